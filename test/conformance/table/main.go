// Command table is the authority on docs/protocol.md: it reads the calls of covers in the conformance tests and writes which test
// shows each protocol item. It prints the page to its standard output.
//
//	go run ./test/conformance/table > docs/protocol.md
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

func main() {
	tests, err := readTests(folder())
	if err == nil {
		_, err = os.Stdout.WriteString(render(tests))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "table: %v\n", err)
		os.Exit(1)
	}
}

// folder is where the conformance tests are.
func folder() string {
	_, source, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(source))
}
