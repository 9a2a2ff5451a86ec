package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const (
		entries = `{"osv":{"id":"GO-1","summary":"one"}}{"osv":{"id":"GO-2","summary":"two"}}{"progress":{"message":"x"}}`
		// Only imported: no function.
		imported = `{"finding":{"osv":"GO-1","fixed_version":"v1.1.0","trace":[{"module":"example.org/m","version":"v1.0.0","package":"example.org/m"}]}}`
		called   = `{"finding":{"osv":"GO-1","fixed_version":"v1.1.0","trace":[{"module":"example.org/m","version":"v1.0.0","function":"F"},{"package":"ours","function":"G"}]}}`
		library  = `{"finding":{"osv":"GO-2","trace":[{"module":"stdlib","version":"v1.26.0","function":"F"},{"package":"ours","function":"H"}]}}`
	)
	for sentence, test := range map[string]struct {
		input, want string
		mendable    int
	}{
		"nothing":                       {entries, "", 0},
		"what is not called is nothing": {entries + imported, "", 0},
		"a module":                      {entries + imported + called + called, "GO-1  example.org/m v1.0.0, mended in v1.1.0: one (by ours.G)\n", 1},
		"the standard library is said":  {entries + library, "GO-2  stdlib v1.26.0, nothing mends it yet: two (by ours.H)\n", 0},
	} {
		var out strings.Builder
		if mendable, err := report(strings.NewReader(test.input), &out); err != nil || mendable != test.mendable || out.String() != test.want {
			t.Errorf("%s: %d, %v, %q", sentence, mendable, err, out.String())
		}
	}
	if _, err := report(strings.NewReader("{"), new(strings.Builder)); err == nil {
		t.Error("half a message is good enough")
	}
}
