// Package citations is the authority on whether what sources and documents refer to exists: the
// sections of docs/spec that comments cite, and the targets of links in Markdown.
package citations

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/test/conformance"
)

// root is the repository's folder.
var root = filepath.Join("..", "..")

var (
	heading  = regexp.MustCompile(`(?m)^#{2,4} (?:Appendix )?(\d+(?:\.\d+)*b?|[A-Z]\b)`)
	anchor   = regexp.MustCompile(`<a id="(trap-\d+)">`)
	document = regexp.MustCompile(`\b(openvidu-rpc|openvidu-rest|opentok-rest|opentok-rpc)\b`)
	number   = regexp.MustCompile(
		`^(?:,| and| to)? (?:(trap |section |sections )?(\d+(?:\.\d+)*)|appendix ([A-Z])\b)`)
	trap    = regexp.MustCompile(`\btraps? (\d+)`)
	mark    = regexp.MustCompile(`§ ?(\d+(?:\.\d+)*)`)
	newline = regexp.MustCompile(`\n\s*(?://)?[ \t]*`)
)

// citation names a section ("3.10", "A") or a trap ("trap-39") of a document.
type citation struct{ document, section string }

// TestCitedSectionsExist fails for a citation of docs/spec that has no heading there.
func TestCitedSectionsExist(t *testing.T) {
	known := knownSections(t)
	total := 0
	for _, file := range files(t, ".go", ".proto") {
		text := read(t, file)
		found := citations(text)
		if strings.HasPrefix(file, filepath.Join(root, "test", "rest")) {
			found = append(found, marks(text)...)
		}
		for _, c := range found {
			if !known[c] {
				t.Errorf("%s cites %s %s, which docs/spec does not have", file, c.document, c.section)
			}
		}
		total += len(found)
	}
	if total < 50 {
		t.Errorf("found %d citations, want at least 50: does the pattern still find them?", total)
	}
}

// TestConformanceSectionsExist fails for a section of protocol items that openvidu-rpc lacks.
func TestConformanceSectionsExist(t *testing.T) {
	known := knownSections(t)
	for _, section := range conformance.Sections() {
		if !known[citation{"openvidu-rpc", section.Number}] {
			t.Errorf("there is no section %s (%s) in openvidu-rpc", section.Number, section.Title)
		}
	}
}

// TestCitationsAreFound tries the forms in which comments cite.
func TestCitationsAreFound(t *testing.T) {
	rpc := func(section string) citation { return citation{"openvidu-rpc", section} }
	for text, want := range map[string][]citation{
		"// (openvidu-rpc 3.10).":                       {rpc("3.10")},
		"// openvidu-rpc 3.10. A stream":                {rpc("3.10")},
		"// openvidu-rpc section 5. More":               {rpc("5")},
		"// openvidu-rpc 2.13 to 2.16, 2.21).":          {rpc("2.13"), rpc("2.16"), rpc("2.21")},
		"// openvidu-rpc 3.15, 5.1 and appendix A.":     {rpc("3.15"), rpc("5.1"), rpc("A")},
		"// openvidu-rpc 1.6, trap 14":                  {rpc("1.6"), rpc("trap-14")},
		"// a comment ends in openvidu-rpc\n\t// 1.4).": {rpc("1.4")},
		"// as trap 39 says":                            {rpc("trap-39")},
		"// openvidu-rest 5.3.4, in its order":          {{"openvidu-rest", "5.3.4"}},
		"// \"openvidu-rpc\" in comments":               nil,
	} {
		if got := citations(text); !slices.Equal(got, want) {
			t.Errorf("citations(%q) = %v, want %v", text, got, want)
		}
	}
}

// citations returns what a source file cites.
func citations(text string) []citation {
	text = newline.ReplaceAllString(text, " ")
	var found []citation
	for _, at := range document.FindAllStringIndex(text, -1) {
		name, rest := text[at[0]:at[1]], text[at[1]:]
		for m := number.FindStringSubmatch(rest); m != nil; m = number.FindStringSubmatch(rest) {
			section := m[2] + m[3]
			if m[1] == "trap " {
				section = "trap-" + section
			}
			found = append(found, citation{name, section})
			rest = rest[len(m[0]):]
		}
	}
	for _, m := range trap.FindAllStringSubmatch(text, -1) {
		if c := (citation{"openvidu-rpc", "trap-" + m[1]}); !slices.Contains(found, c) {
			found = append(found, c)
		}
	}
	return found
}

// marks returns the sections of openvidu-rest that the REST cases name by "§".
func marks(text string) []citation {
	var found []citation
	for _, m := range mark.FindAllStringSubmatch(text, -1) {
		found = append(found, citation{"openvidu-rest", m[1]})
	}
	return found
}

// knownSections returns all headings and traps of docs/spec.
func knownSections(t *testing.T) map[citation]bool {
	t.Helper()
	known := map[citation]bool{}
	for _, name := range []string{"openvidu-rpc", "openvidu-rest", "opentok-rest", "opentok-rpc"} {
		text := read(t, filepath.Join(root, "docs", "spec", name+".md"))
		for _, pattern := range []*regexp.Regexp{heading, anchor} {
			for _, m := range pattern.FindAllStringSubmatch(text, -1) {
				known[citation{name, m[1]}] = true
			}
		}
	}
	return known
}

// files returns the files of the repository with one of the extensions.
func files(t *testing.T, extensions ...string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && slices.Contains(skipped, name) {
			return filepath.SkipDir
		}
		if slices.Contains(extensions, filepath.Ext(name)) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// skipped are folders without sources of this repository, and this one, whose examples cite.
var skipped = []string{".git", ".local", "bin", "citations", "node_modules"}
