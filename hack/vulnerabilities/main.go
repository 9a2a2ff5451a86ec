// Command vulnerabilities reads what govulncheck says as JSON and writes a line per
// vulnerability whose code is called. It fails for those that a newer module mends. Those of
// the standard library a newer Go mends, which is not in this repository: they are only said.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// message is what is read of a message of govulncheck's protocol.
type message struct {
	OSV     *entry   `json:"osv"`
	Finding *finding `json:"finding"`
}

type entry struct {
	ID      string `json:"id"`
	Summary string `json:"summary"`
}

// finding is a vulnerability and how it is reached: from the vulnerable symbol, or just its module,
// to the code of this project.
type finding struct {
	OSV          string  `json:"osv"`
	FixedVersion string  `json:"fixed_version"`
	Trace        []frame `json:"trace"`
}

type frame struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Package  string `json:"package"`
	Function string `json:"function"`
}

func main() {
	mendable, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "reading what govulncheck says:", err)
		os.Exit(2)
	}
	if mendable > 0 {
		fmt.Fprintf(os.Stderr, "%d vulnerabilities are called that newer modules mend\n", mendable)
		os.Exit(1)
	}
}

// report writes the lines and returns how many vulnerabilities are not those of the standard
// library.
func report(from io.Reader, to io.Writer) (mendable int, err error) {
	summaries := make(map[string]string)
	called := make(map[string]finding)
	decoder := json.NewDecoder(from)
	for {
		var m message
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, err
		}
		if m.OSV != nil {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		if f := m.Finding; f != nil && len(f.Trace) > 0 && f.Trace[0].Function != "" {
			if _, known := called[f.OSV]; !known {
				called[f.OSV] = *f
			}
		}
	}
	var lines []string
	for id, f := range called {
		first, last := f.Trace[0], f.Trace[len(f.Trace)-1]
		if first.Module != "stdlib" {
			mendable++
		}
		fixed := "nothing mends it yet"
		if f.FixedVersion != "" {
			fixed = "mended in " + f.FixedVersion
		}
		lines = append(lines, fmt.Sprintf("%s  %s %s, %s: %s (by %s.%s)\n", id, first.Module, first.Version, fixed, summaries[id], last.Package, last.Function))
	}
	slices.Sort(lines)
	_, err = io.WriteString(to, strings.Join(lines, ""))
	return mendable, err
}
