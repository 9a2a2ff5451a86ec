// Command table is the authority on docs/rest-cases.md: it reads which tests say that they show
// which case of the REST catalogue and writes the page to its standard output.
//
//	go run ./test/rest/table > docs/rest-cases.md
package main

import (
	"fmt"
	"os"

	"mediarooms.dev/mediarooms/test/coverage"
	"mediarooms.dev/mediarooms/test/rest"
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

// readTests returns the tests by the id of the case that they show.
func readTests() (map[string][]coverage.Test, error) {
	return coverage.List{Function: "Shows", Check: rest.Check}.Read(coverage.Root(), rest.Folders...)
}
