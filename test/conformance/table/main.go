// Command table is the authority on docs/protocol.md: it reads the calls of covers in the
// conformance tests and writes which test shows each protocol item. It prints the page to its
// standard output.
//
//	go run ./test/conformance/table > docs/protocol.md
package main

import (
	"fmt"
	"os"

	"mediarooms.dev/mediarooms/test/conformance"
	"mediarooms.dev/mediarooms/test/coverage"
)

func main() {
	tests, err := readTests()
	if err == nil {
		_, err = os.Stdout.WriteString(render(tests))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "table: %v\n", err)
		os.Exit(1)
	}
}

// readTests returns the conformance tests by the id of the item that they cover.
func readTests() (map[string][]coverage.Test, error) {
	return coverage.List{Function: "covers", Check: conformance.Check}.Read(coverage.Root(), "test/conformance")
}
