package main

import (
	"fmt"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// Tested is how many mutants of one kind were made, and which of them passed.
type Tested struct {
	Tried    int      `json:"tried"`
	Survived []string `json:"survived"`
}

// mutant is a byte at a place of a kind of thing, and the check that reads the thing.
type mutant struct {
	kind   string
	name   string
	data   []byte
	at     int
	passes func(changed []byte) bool
}

// tryMutants changes one byte each time and counts what passes.
//
// Of the checkpoint, of partial tiles and bundles and of proofs every byte is changed, in the checkpoint by each of its
// eight bits. Of full tiles one byte of each hash, of full bundles one byte of each entry or of its length: at another
// place in each, so that all places are met.
func tryMutants(log *Log, keys *Keys, proofs *Proofs) map[string]Tested {
	queue := make(chan mutant, 1024)
	go func() {
		defer close(queue)
		checkpointMutants(log, keys, queue)
		tileMutants(log, queue)
		bundleMutants(log, queue)
		proofMutants(log, proofs, queue)
	}()
	tested := map[string]Tested{}
	var lock sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for m := range queue {
				tried, survived := try(m)
				lock.Lock()
				count := tested[m.kind]
				tested[m.kind] = Tested{count.Tried + tried, append(count.Survived, survived...)}
				lock.Unlock()
			}
		})
	}
	workers.Wait()
	return tested
}

func try(m mutant) (int, []string) {
	masks := []byte{1 << (m.at % 8)}
	if m.kind == "checkpoint" {
		masks = []byte{1, 2, 4, 8, 16, 32, 64, 128}
	}
	var survived []string
	for _, mask := range masks {
		changed := slices.Clone(m.data)
		changed[m.at] ^= mask
		if m.passes(changed) {
			survived = append(survived, fmt.Sprintf("%s byte %d mask %02x", m.name, m.at, mask))
		}
	}
	return len(masks), survived
}

func checkpointMutants(log *Log, keys *Keys, queue chan<- mutant) {
	data := log.files["checkpoint"]
	passes := func(changed []byte) bool {
		_, err := openCheckpoint(changed, keys)
		return err == nil
	}
	for at := range data {
		queue <- mutant{"checkpoint", "checkpoint", data, at, passes}
	}
}

func tileMutants(log *Log, queue chan<- mutant) {
	for level := 0; log.tree.N>>(height*level) > 0; level++ {
		count := log.tree.N >> (height * level)
		for n := int64(0); n*width < count; n++ {
			tile := tlog.Tile{H: height, L: level, N: n, W: int(min(width, count-n*width))}
			oneTileMutants(log, tile, queue)
		}
	}
}

// oneTileMutants has Go read the hash in which a byte was changed, with the tiles that authenticate it.
func oneTileMutants(log *Log, tile tlog.Tile, queue chan<- mutant) {
	path := tilePath(tile)
	data := log.files[path]
	kind, step := "full tiles", tlog.HashSize
	if tile.W < width {
		kind, step = "partial tiles", 1
	}
	for start := 0; start < len(data); start += step {
		at := start
		if step > 1 {
			at += start / step % tlog.HashSize
		}
		index := tlog.StoredHashIndex(height*tile.L, tile.N*width+int64(at/tlog.HashSize))
		passes := func(changed []byte) bool {
			reader := tlog.TileHashReader(log.tree, replaced{tileReader{log.files}, path, changed})
			_, err := reader.ReadHashes([]int64{index})
			return err == nil
		}
		queue <- mutant{kind, path, data, at, passes}
	}
}

// replaced is a reader of the same tiles but one.
type replaced struct {
	tileReader
	path string
	data []byte
}

func (r replaced) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data, err := r.tileReader.ReadTiles(tiles)
	for i, tile := range tiles {
		if err == nil && tilePath(tile) == r.path {
			data[i] = r.data
		}
	}
	return data, err
}

func bundleMutants(log *Log, queue chan<- mutant) {
	for bundle := int64(0); bundle*width < log.tree.N; bundle++ {
		path := bundlePath(bundle, log.tree.N)
		data := log.files[path]
		passes := func(changed []byte) bool { return log.checkBundle(bundle, changed) == nil }
		if len(log.bundleLeaves(bundle)) < width {
			for at := range data {
				queue <- mutant{"partial bundles", path, data, at, passes}
			}
			continue
		}
		for start, i := 0, 0; start < len(data); i++ {
			length := int(data[start])<<8 | int(data[start+1])
			queue <- mutant{"full bundles", path, data, start + i%(2+length), passes}
			start += 2 + length
		}
	}
}

func proofMutants(log *Log, proofs *Proofs, queue chan<- mutant) {
	for _, proof := range proofs.Inclusions {
		leaf := log.leaves[proof.Index]
		passes := func(changed []byte) bool {
			return tlog.CheckRecord(split(changed), log.tree.N, log.tree.Hash, proof.Index, leaf) == nil
		}
		pathMutants(fmt.Sprintf("inclusion %d", proof.Index), proof.Path, passes, queue)
	}
	for _, proof := range proofs.Consistencies {
		passes := func(changed []byte) bool {
			return tlog.CheckTree(split(changed), log.tree.N, log.tree.Hash, proof.Size, proof.Root) == nil
		}
		pathMutants(fmt.Sprintf("consistency %d", proof.Size), proof.Path, passes, queue)
	}
}

func pathMutants(name string, path []tlog.Hash, passes func([]byte) bool, queue chan<- mutant) {
	var data []byte
	for _, hash := range path {
		data = append(data, hash[:]...)
	}
	for at := range data {
		queue <- mutant{"proofs", name, data, at, passes}
	}
}

func split(data []byte) []tlog.Hash {
	hashes := make([]tlog.Hash, 0, len(data)/tlog.HashSize)
	for chunk := range slices.Chunk(data, tlog.HashSize) {
		hashes = append(hashes, tlog.Hash(chunk))
	}
	return hashes
}
