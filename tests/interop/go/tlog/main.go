// Command tlog checks a log's files with Go's own golang.org/x/mod/sumdb packages note and tlog.
//
//	tlog FOLDER PROOFS VKEY [VKEY...]           accepts the log, or says what is wrong with it
//	tlog -mutants FOLDER PROOFS VKEY [VKEY...]  and then changes one byte after another, none of which may pass
//
// The first key is the log's (type 01), the others are witnesses' (type 04); all of them must have signed. PROOFS is a
// JSON file with proofs that the log's own code has made.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

// Result is what is printed, as JSON.
type Result struct {
	Size          int64             `json:"size"`
	Entries       int               `json:"entries"`
	Hashes        int               `json:"hashes"`
	Inclusions    int               `json:"inclusions"`
	Consistencies int               `json:"consistencies"`
	Mutants       map[string]Tested `json:"mutants,omitempty"`
}

func main() {
	mutants := flag.Bool("mutants", false, "change one byte after another")
	flag.Parse()
	if flag.NArg() < 3 {
		fmt.Fprintln(os.Stderr, "usage: tlog [-mutants] FOLDER PROOFS VKEY [VKEY...]")
		os.Exit(2)
	}
	result, err := run(flag.Arg(0), flag.Arg(1), flag.Args()[2:], *mutants)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		panic(err)
	}
}

func run(folder, proofsFile string, vkeys []string, mutants bool) (*Result, error) {
	keys, err := parseKeys(vkeys)
	if err != nil {
		return nil, err
	}
	files, err := readFiles(folder)
	if err != nil {
		return nil, err
	}
	proofs, err := readProofs(proofsFile)
	if err != nil {
		return nil, err
	}
	log, err := openLog(files, keys)
	if err != nil {
		return nil, err
	}
	result := &Result{Size: log.tree.N}
	if result.Entries, err = log.checkEntries(); err != nil {
		return nil, err
	}
	if result.Hashes, err = log.checkUpperTiles(); err != nil {
		return nil, err
	}
	for _, inclusion := range proofs.Inclusions {
		if err := log.checkInclusion(inclusion); err != nil {
			return nil, err
		}
	}
	for _, consistency := range proofs.Consistencies {
		if err := log.checkConsistency(consistency); err != nil {
			return nil, err
		}
	}
	result.Inclusions, result.Consistencies = len(proofs.Inclusions), len(proofs.Consistencies)
	if mutants {
		result.Mutants = tryMutants(log, keys, proofs)
	}
	return result, nil
}
