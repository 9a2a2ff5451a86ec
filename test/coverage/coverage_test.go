package coverage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// items are two items.
var items = List{Function: "covers", Check: func(ids ...string) error {
	for _, id := range ids {
		if id != "9-1" && id != "7" {
			return fmt.Errorf("no item %q", id)
		}
	}
	return nil
}}

// checkout is a folder tree with one test file in "tests".
func checkout(t *testing.T, source string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "tests"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "tests", "x_test.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestMistakesAreTold(t *testing.T) {
	for name, source := range map[string]string{
		"an unknown item":  "package p\nfunc TestX(t *testing.T) { covers(t, \"9-46\") }\n",
		"an item computed": "package p\nfunc TestX(t *testing.T) { covers(t, id) }\n",
		"another number":   "package p\nfunc TestX(t *testing.T) { cases.covers(t, 7, 8) }\n",
		"no Go at all":     "pack",
	} {
		if tests, err := items.Read(checkout(t, source), "tests"); err == nil {
			t.Errorf("%s: no error, tests %v", name, tests)
		}
	}
}

func TestItemsAreFoundInSubtestsAndCountOnce(t *testing.T) {
	root := checkout(t, `package p
func TestX(t *testing.T) {
	covers(t, "9-1", 7)
	t.Run("more", func(t *testing.T) { other.covers(t, "9-1") })
}
func other(t *testing.T) { covers(t, "9-1") }
func TestY(t *testing.T) { shows(t, "5") }
`)
	tests, err := items.Read(root, "tests", "none")
	if err != nil {
		t.Fatal(err)
	}
	want := []Test{{File: "tests/x_test.go", Name: "TestX"}}
	if !slices.Equal(tests["9-1"], want) || !slices.Equal(tests["7"], want) || len(tests) != 2 {
		t.Errorf("got %v", tests)
	}
	if got := Links(append(want, want[0])); got != "[TestX](../tests/x_test.go)<br>[TestX](../tests/x_test.go)" {
		t.Errorf("the links are %s", got)
	}
}
