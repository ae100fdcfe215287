package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
)

// Files of a log by their paths under its prefix (C2SP tlog-tiles).
type Files map[string][]byte

func readFiles(folder string) (Files, error) {
	files := Files{}
	err := filepath.WalkDir(folder, func(path string, item fs.DirEntry, err error) error {
		if err != nil || item.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	return files, err
}

// tilePath is where tlog-tiles has a tile: without the height that tlog writes, entries where it says data.
func tilePath(tile tlog.Tile) string {
	return strings.Replace(strings.Replace(tile.Path(), "tile/8/", "tile/", 1), "/data/", "/entries/", 1)
}

// tileReader hands the files to tlog.TileHashReader, which authenticates them.
type tileReader struct {
	files Files
}

func (r tileReader) Height() int                     { return height }
func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		file, ok := r.files[tilePath(tile)]
		if !ok {
			return nil, fmt.Errorf("%s is missing", tilePath(tile))
		}
		data[i] = file
	}
	return data, nil
}

// Log is a log whose checkpoint has been opened.
type Log struct {
	files  Files
	tree   tlog.Tree
	hashes tlog.HashReader
	leaves []tlog.Hash // As the tiles have them, authenticated.
}

func openLog(files Files, keys *Keys) (*Log, error) {
	tree, err := openCheckpoint(files["checkpoint"], keys)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	log := &Log{files, tree, tlog.TileHashReader(tree, tileReader{files}), nil}
	log.leaves, err = log.read(0, 0, tree.N)
	return log, err
}

// read returns hashes [first, end) of a level of the tree.
func (l *Log) read(level int, first, end int64) ([]tlog.Hash, error) {
	indexes := make([]int64, 0, end-first)
	for i := first; i < end; i++ {
		indexes = append(indexes, tlog.StoredHashIndex(level, i))
	}
	return l.hashes.ReadHashes(indexes)
}

// checkEntries compares every entry with its leaf hash.
func (l *Log) checkEntries() (int, error) {
	count := 0
	for bundle := int64(0); bundle*width < l.tree.N; bundle++ {
		path := bundlePath(bundle, l.tree.N)
		data, ok := l.files[path]
		if !ok {
			return 0, fmt.Errorf("%s is missing", path)
		}
		if err := l.checkBundle(bundle, data); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		count += len(l.bundleLeaves(bundle))
	}
	return count, nil
}

// checkUpperTiles reads every hash of the levels 1 and up, so that no tile goes unread.
func (l *Log) checkUpperTiles() (int, error) {
	count := len(l.leaves)
	for level := height; l.tree.N>>level > 0; level += height {
		hashes, err := l.read(level, 0, l.tree.N>>level)
		if err != nil {
			return 0, err
		}
		count += len(hashes)
	}
	return count, nil
}

func (l *Log) bundleLeaves(bundle int64) []tlog.Hash {
	return l.leaves[bundle*width : min((bundle+1)*width, l.tree.N)]
}

func (l *Log) checkBundle(bundle int64, data []byte) error {
	leaves := l.bundleLeaves(bundle)
	for i, leaf := range leaves {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return fmt.Errorf("entry %d does not end", i)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		if tlog.RecordHash(data[2:end]) != leaf {
			return fmt.Errorf("entry %d is another", i)
		}
		data = data[end:]
	}
	if len(data) != 0 {
		return fmt.Errorf("%d bytes too many", len(data))
	}
	return nil
}

func bundlePath(bundle, size int64) string {
	return tilePath(tlog.Tile{H: height, L: -1, N: bundle, W: int(min(width, size-bundle*width))})
}

// Proofs that our code has made.
type Proofs struct {
	Inclusions    []Inclusion   `json:"inclusions"`
	Consistencies []Consistency `json:"consistencies"`
}

// Inclusion of the entry at an index.
type Inclusion struct {
	Index int64       `json:"index"`
	Path  []tlog.Hash `json:"path"`
}

// Consistency with an older size and its root.
type Consistency struct {
	Size int64       `json:"size"`
	Root tlog.Hash   `json:"root"`
	Path []tlog.Hash `json:"path"`
}

func readProofs(path string) (*Proofs, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	proofs := &Proofs{}
	return proofs, json.Unmarshal(data, proofs)
}

// checkInclusion checks a proof, and that Go makes the same one from our tiles.
func (l *Log) checkInclusion(proof Inclusion) error {
	leaf := l.leaves[proof.Index]
	if err := tlog.CheckRecord(proof.Path, l.tree.N, l.tree.Hash, proof.Index, leaf); err != nil {
		return fmt.Errorf("inclusion of %d: %w", proof.Index, err)
	}
	made, err := tlog.ProveRecord(l.tree.N, proof.Index, l.hashes)
	if err != nil {
		return err
	}
	return same(made, proof.Path, fmt.Sprintf("inclusion of %d", proof.Index))
}

// checkConsistency does the same for an older size.
func (l *Log) checkConsistency(proof Consistency) error {
	if err := tlog.CheckTree(proof.Path, l.tree.N, l.tree.Hash, proof.Size, proof.Root); err != nil {
		return fmt.Errorf("consistency with %d: %w", proof.Size, err)
	}
	made, err := tlog.ProveTree(l.tree.N, proof.Size, l.hashes)
	if err != nil {
		return err
	}
	return same(made, proof.Path, fmt.Sprintf("consistency with %d", proof.Size))
}

func same(made, given []tlog.Hash, what string) error {
	if len(made) != len(given) {
		return fmt.Errorf("%s: Go makes %d hashes, not %d", what, len(made), len(given))
	}
	for i := range made {
		if made[i] != given[i] {
			return fmt.Errorf("%s: hash %d is another than Go's", what, i)
		}
	}
	return nil
}
