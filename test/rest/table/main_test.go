package main

import (
	"os"
	"path/filepath"
	"testing"

	"mediarooms.dev/mediarooms/test/coverage"
	"mediarooms.dev/mediarooms/test/rest"
)

func TestThePageIsUpToDate(t *testing.T) {
	tests, err := readTests()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(coverage.Root(), "docs", "rest-cases.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != render(tests) {
		t.Error("docs/rest-cases.md is not up to date: run hack/generate")
	}
}

func TestEveryCaseHasATest(t *testing.T) {
	tests, err := readTests()
	if err != nil {
		t.Fatal(err)
	}
	next := 1
	for _, section := range rest.Sections() {
		for _, c := range section.Cases {
			if c.Number != next || c.Title == "" {
				t.Errorf("case %d %q comes after case %d", c.Number, c.Title, next-1)
			}
			next = c.Number + 1
			if len(tests[c.ID()]) == 0 {
				t.Errorf("no test shows case %d (%s)", c.Number, c.Title)
			}
		}
	}
	if next != 190 {
		t.Errorf("there are %d cases, want the reference's 189", next-1)
	}
}
