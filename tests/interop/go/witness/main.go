// Command witness runs transparency-dev/witness on loopback, with its memory in this process.
//
//	witness KEY_FILE LOG_VKEY [LOG_VKEY...]
//
// It prints its own vkey and its address, and serves until it is stopped.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/monitoring"
	"github.com/transparency-dev/witness/omniwitness"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, keyFile string, vkeys []string) error {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	signer, err := f_note.NewSignerForCosignatureV1(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	config := "Logs:\n"
	for _, vkey := range vkeys {
		origin, _, _ := strings.Cut(vkey, "+")
		config += fmt.Sprintf("  - Origin: %s\n    PublicKey: %s\n    Feeder: none\n", origin, vkey)
	}
	logs, err := omniwitness.NewStaticLogConfig([]byte(config))
	if err != nil {
		return err
	}
	monitoring.SetMetricFactory(monitoring.InertMetricFactory{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	operator := omniwitness.OperatorConfig{
		WitnessKeys:     []note.Signer{signer},
		WitnessVerifier: signer.Verifier(),
		Logs:            logs,
	}
	return omniwitness.Main(ctx, operator, &memory{latest: map[string][]byte{}}, listener, http.DefaultClient)
}

// memory is the persistence that the witness asks for; a restart forgets.
type memory struct {
	mutex  sync.Mutex
	latest map[string][]byte
}

func (m *memory) Init(context.Context) error { return nil }

func (m *memory) Latest(_ context.Context, origin string) ([]byte, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.latest[origin], nil
}

func (m *memory) Update(_ context.Context, origin string, next func([]byte) ([]byte, error)) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	updated, err := next(m.latest[origin])
	if err == nil {
		m.latest[origin] = updated
	}
	return err
}
