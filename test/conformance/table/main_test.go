package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mediarooms.dev/mediarooms/test/conformance"
)

func TestThePageIsUpToDate(t *testing.T) {
	tests, err := readTests(folder())
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(folder(), "..", "..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != render(tests) {
		t.Error("docs/protocol.md is not up to date: run hack/generate")
	}
}

func TestEveryItemHasATest(t *testing.T) {
	tests, err := readTests(folder())
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

func TestTheReadersMistakesAreTold(t *testing.T) {
	for name, source := range map[string]string{
		"an unknown item":  "package p\nfunc TestX(t *testing.T) { covers(t, \"9-46\") }\n",
		"an item computed": "package p\nfunc TestX(t *testing.T) { covers(t, id) }\n",
		"no Go at all":     "pack",
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "x_test.go"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		if tests, err := readTests(folder); err == nil {
			t.Errorf("%s: no error, tests %v", name, tests)
		}
	}
}

func TestCoversIsFoundInSubtestsAndCountsOnce(t *testing.T) {
	folder := t.TempDir()
	source := `package p
func TestX(t *testing.T) {
	covers(t, "9-1", "9-2")
	t.Run("more", func(t *testing.T) { covers(t, "9-1") })
}
func other(t *testing.T) { covers(t, "9-3") }
`
	if err := os.WriteFile(filepath.Join(folder, "x_test.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	tests, err := readTests(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := []test{{file: "x_test.go", name: "TestX"}}
	if !slices.Equal(tests["9-1"], want) || !slices.Equal(tests["9-2"], want) || tests["9-3"] != nil {
		t.Errorf("got %v", tests)
	}
}
