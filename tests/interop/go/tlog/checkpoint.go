package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Keys that a checkpoint must be signed with: the log's and its witnesses'.
type Keys struct {
	log note.Verifier
	all []note.Verifier
}

func parseKeys(vkeys []string) (*Keys, error) {
	keys := &Keys{}
	for i, vkey := range vkeys {
		parse := parseWitnessKey
		if i == 0 {
			parse = note.NewVerifier
		}
		verifier, err := parse(vkey)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", vkey, err)
		}
		keys.all = append(keys.all, verifier)
	}
	keys.log = keys.all[0]
	return keys, nil
}

// cosigner verifies timestamped cosignatures of checkpoints (C2SP tlog-cosignature, type 04), which note does not know.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func parseWitnessKey(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("not name+id+key")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
		return nil, fmt.Errorf("not a key of type 04")
	}
	digest := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	id := binary.BigEndian.Uint32(digest[:4])
	if fmt.Sprintf("%08x", id) != parts[1] {
		return nil, fmt.Errorf("another key's id")
	}
	return &cosigner{parts[0], id, key[1:]}, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }
func (c *cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature[:8])
	signed := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", time, text)
	return ed25519.Verify(c.key, signed, signature[8:])
}

// openCheckpoint opens the note and returns the tree it is about. Every key must have signed, and nobody else.
//
// Signatures must be the one base64 of their bytes: note.Open lets the unused bits of the last digit pass, so that
// three (type 01) or fifteen (type 04) other spellings of a signature would be a changed byte that nobody refuses.
func openCheckpoint(raw []byte, keys *Keys) (tlog.Tree, error) {
	opened, err := note.Open(raw, note.VerifierList(keys.all...))
	if err != nil {
		return tlog.Tree{}, err
	}
	if len(opened.Sigs) != len(keys.all) || len(opened.UnverifiedSigs) != 0 {
		return tlog.Tree{}, fmt.Errorf("%d of %d keys have signed, and %d others",
			len(opened.Sigs), len(keys.all), len(opened.UnverifiedSigs))
	}
	for _, signature := range opened.Sigs {
		if _, err := base64.StdEncoding.Strict().DecodeString(signature.Base64); err != nil {
			return tlog.Tree{}, err
		}
	}
	return parseTree(opened.Text, keys.log.Name())
}

func parseTree(text, origin string) (tlog.Tree, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != origin || lines[3] != "" {
		return tlog.Tree{}, fmt.Errorf("not three lines of %s", origin)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("not a size: %q", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("not a root: %q", lines[2])
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(root)}, nil
}
