// Command tessera reads and makes logs with the tlog-tiles implementation of transparency-dev/tessera.
//
//	tessera fsck FOLDER VKEY            re-derives the log in a folder from its entries
//	tessera read FOLDER VKEY [VKEY...]  opens the checkpoint with its client, proves every entry and older sizes
//	tessera quorum POLICY_FILE CHECKPOINT_FILE...
//	                                    says of each checkpoint whether the policy's quorum has cosigned it
//	tessera append FOLDER KEY_FILE POLICY_FILE COUNT
//	                                    appends entries to a log of its own, once the policy's witnesses cosign
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "fsck":
		return check(ctx, args[1], args[2])
	case len(args) >= 3 && args[0] == "read":
		return read(ctx, args[1], args[2], args[3:])
	case len(args) >= 3 && args[0] == "quorum":
		return judge(args[1], args[2:])
	case len(args) == 5 && args[0] == "append":
		count, err := strconv.Atoi(args[4])
		if err != nil {
			return err
		}
		return appendEntries(ctx, args[1], args[2], args[3], count)
	}
	return fmt.Errorf("usage: tessera fsck|read|quorum|append ..., see the source")
}

// check runs Tessera's fsck: every hash again from the entries, every tile compared.
func check(ctx context.Context, folder, vkey string) error {
	verifier, err := f_note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	files := &client.FileFetcher{Root: folder}
	// A worker ends at the first tile that is wrong, and when all have ended Check waits for ever: eight are plenty.
	return fsck.New(verifier.Name(), verifier, files, leafHashes, fsck.Opts{N: 8}).Check(ctx)
}

func leafHashes(bundle []byte) ([][]byte, error) {
	parsed := api.EntryBundle{}
	if err := parsed.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(parsed.Entries))
	for i, entry := range parsed.Entries {
		hashes[i] = rfc6962.DefaultHasher.HashLeaf(entry)
	}
	return hashes, nil
}

// read goes over a log as a client of Tessera would. The further keys are those of witnesses, all of which must have
// cosigned the checkpoint.
func read(ctx context.Context, folder, vkey string, witnesses []string) error {
	verifier, err := f_note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	files := &client.FileFetcher{Root: folder}
	checkpoint, raw, _, err := client.FetchCheckpoint(ctx, files.ReadCheckpoint, verifier, verifier.Name())
	if err != nil {
		return err
	}
	if err := checkCosignatures(raw, verifier, witnesses); err != nil {
		return err
	}
	builder, err := client.NewProofBuilder(ctx, checkpoint.Size, files.ReadTile)
	if err != nil {
		return err
	}
	for index := uint64(0); index < checkpoint.Size; index++ {
		if err := checkEntry(ctx, files, builder, checkpoint, index); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
	}
	if err := checkGrowth(ctx, files, builder, checkpoint); err != nil {
		return err
	}
	fmt.Println(checkpoint.Size)
	return nil
}

func checkCosignatures(raw []byte, logKey note.Verifier, witnesses []string) error {
	known := []note.Verifier{logKey}
	for _, vkey := range witnesses {
		verifier, err := f_note.NewVerifierForCosignatureV1(vkey)
		if err != nil {
			return err
		}
		known = append(known, verifier)
	}
	opened, err := note.Open(raw, note.VerifierList(known...))
	if err != nil {
		return err
	}
	if len(opened.Sigs) != len(known) || len(opened.UnverifiedSigs) != 0 {
		return fmt.Errorf("%d of %d keys signed, %d others", len(opened.Sigs), len(known), len(opened.UnverifiedSigs))
	}
	return nil
}

func checkEntry(
	ctx context.Context, files *client.FileFetcher, builder *client.ProofBuilder, checkpoint *log.Checkpoint, index uint64,
) error {
	bundle, err := client.GetEntryBundle(ctx, files.ReadEntryBundle, index/256, checkpoint.Size)
	if err != nil {
		return err
	}
	path, err := builder.InclusionProof(ctx, index)
	if err != nil {
		return err
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(bundle.Entries[index%256])
	return proof.VerifyInclusion(rfc6962.DefaultHasher, index, checkpoint.Size, leaf, path, checkpoint.Hash)
}

// checkGrowth asks for the consistency proofs from sizes around a full tile, the first and the last.
func checkGrowth(
	ctx context.Context, files *client.FileFetcher, builder *client.ProofBuilder, checkpoint *log.Checkpoint,
) error {
	for _, size := range []uint64{1, 2, 255, 256, 257, checkpoint.Size - 1, checkpoint.Size} {
		if size == 0 || size > checkpoint.Size {
			continue
		}
		nodes, err := client.FetchLeafHashes(ctx, files.ReadTile, 0, size, checkpoint.Size)
		if err != nil {
			return err
		}
		old := rootOf(nodes)
		path, err := builder.ConsistencyProof(ctx, size, checkpoint.Size)
		if err != nil {
			return err
		}
		err = proof.VerifyConsistency(rfc6962.DefaultHasher, size, checkpoint.Size, path, old, checkpoint.Hash)
		if err != nil {
			return fmt.Errorf("from size %d: %w", size, err)
		}
	}
	return nil
}

func rootOf(leaves [][]byte) []byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	split := 1
	for split*2 < len(leaves) {
		split *= 2
	}
	return rfc6962.DefaultHasher.HashChildren(rootOf(leaves[:split]), rootOf(leaves[split:]))
}

// judge reads a policy file with Tessera's parser and applies it.
func judge(policyFile string, checkpoints []string) error {
	witnesses, err := readPolicy(policyFile)
	if err != nil {
		return err
	}
	for _, file := range checkpoints {
		checkpoint, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fmt.Println(witnesses.Satisfied(checkpoint))
	}
	return nil
}

func readPolicy(file string) (tessera.WitnessGroup, error) {
	policy, err := os.ReadFile(file)
	if err != nil {
		return tessera.WitnessGroup{}, err
	}
	return tessera.NewWitnessGroupFromPolicy(policy)
}

// appendEntries appends to a log of Tessera's and returns when a cosigned checkpoint covers them.
func appendEntries(ctx context.Context, folder, keyFile, policyFile string, count int) error {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(string(key))
	if err != nil {
		return err
	}
	witnesses, err := readPolicy(policyFile)
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: folder})
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(uint(count), 100*time.Millisecond).
		WithCheckpointInterval(100*time.Millisecond).
		WithWitnesses(witnesses, &tessera.WitnessOptions{Timeout: 5 * time.Second})
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	published := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 50*time.Millisecond)
	futures := make([]tessera.IndexFuture, count)
	for i := range futures {
		futures[i] = appender.Add(ctx, tessera.NewEntry(fmt.Appendf(nil, "entry %d of %s", i, time.Now())))
	}
	var checkpoint []byte
	for _, future := range futures {
		if _, checkpoint, err = published.Await(ctx, future); err != nil {
			return err
		}
	}
	if err := shutdown(ctx); err != nil {
		return err
	}
	_, err = os.Stdout.Write(checkpoint)
	return err
}
