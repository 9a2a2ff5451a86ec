package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mediarooms.dev/mediarooms/test/conformance"
	"mediarooms.dev/mediarooms/test/coverage"
)

func TestThePageIsUpToDate(t *testing.T) {
	tests, err := readTests()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(coverage.Root(), "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != render(tests) {
		t.Error("docs/protocol.md is not up to date: run hack/generate")
	}
}

func TestEveryItemHasATest(t *testing.T) {
	tests, err := readTests()
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range conformance.Sections() {
		for _, item := range section.Items {
			if len(tests[item.ID]) == 0 {
				t.Errorf("no test covers %s (%s)", item.ID, item.Title)
			}
		}
	}
}

func TestItemsAreOnceInTheirSection(t *testing.T) {
	var ids []string
	for _, section := range conformance.Sections() {
		if len(section.Items) == 0 || section.Title == "" {
			t.Errorf("section %s is empty", section.Number)
		}
		for _, item := range section.Items {
			if item.Title == "" {
				t.Errorf("%s has no title", item.ID)
			}
			if slices.Contains(ids, item.ID) {
				t.Errorf("%s is there twice", item.ID)
			}
			ids = append(ids, item.ID)
		}
	}
}
