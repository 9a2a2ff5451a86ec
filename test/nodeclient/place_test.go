//go:build e2e

package nodeclient

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
)

// folder is where the package is installed.
var folder = filepath.Join(cluster.Root(), "test", "nodeclient")

// place is where JavaScript runs that has the package as OpenViduNodeClient.
type place interface {
	// Evaluate runs an expression, waits for its promise if it is one, and decodes what it gives
	// into result unless that is nil.
	Evaluate(expression string, result any) error
}

// everywhere runs a scenario in Node and in a page.
func everywhere(t *testing.T, scenario func(*testing.T, place)) {
	t.Helper()
	t.Run("Node", func(t *testing.T) { t.Parallel(); scenario(t, startNode(t)) })
	t.Run("Page", func(t *testing.T) { t.Parallel(); scenario(t, openPage(t)) })
}

// node is a Node process (node.mjs).
type node struct {
	input  io.Writer
	output *bufio.Reader
}

// startNode starts one, which ends with the test.
func startNode(t *testing.T) *node {
	t.Helper()
	command := exec.Command("node", "node.mjs")
	command.Dir = folder
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("starting Node: %v", err)
	}
	t.Cleanup(func() {
		_ = input.Close() // it ends with its input
		if err := command.Wait(); err != nil {
			t.Errorf("Node ended: %v", err)
		}
	})
	return &node{input: input, output: bufio.NewReader(output)}
}

// Evaluate implements place.
func (n *node) Evaluate(expression string, result any) error {
	line, err := json.Marshal(expression)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(n.input, "%s\n", line); err != nil {
		return fmt.Errorf("telling Node: %w", err)
	}
	text, err := n.output.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("hearing from Node: %w", err)
	}
	var answer struct {
		Value json.RawMessage `json:"value"`
		Error string          `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("decoding what Node says: %w", err)
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Value, result)
}

// openPage opens a page with the package. Its origin is not the gateway's.
func openPage(t *testing.T) place {
	t.Helper()
	script := filepath.Join(t.TempDir(), "page.js")
	bundle := exec.CommandContext(t.Context(), filepath.Join("node_modules", ".bin", "esbuild"),
		"page.js", "--bundle", "--define:global=globalThis", "--log-level=warning", "--outfile="+script)
	bundle.Dir = folder
	if output, err := bundle.CombinedOutput(); err != nil {
		t.Fatalf("bundling the package: %v\n%s", err, output)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, script) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><title>openvidu-node-client</title><link rel="icon" href="data:,"><script src="page.js"></script>`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return chromium.Open(t, "openvidu-node-client", server.URL, browser.Viewport{})
}
