package citations

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fenced      = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	link        = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	title       = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	target      = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	named       = regexp.MustCompile(`<a id="([^"]+)">`)
	status      = regexp.MustCompile(`(?m)^\W*Status\b`)
	punctuation = regexp.MustCompile(`[^\pL\pN_ -]`)
)

// TestMarkdownLinksResolve fails for a link in Markdown to a file or heading that does not exist.
func TestMarkdownLinksResolve(t *testing.T) {
	for _, file := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, file), ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			to := file
			if path != "" {
				to = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s, which does not exist", file, m[1])
				continue
			}
			if anchor != "" && filepath.Ext(to) == ".md" && !anchors(read(t, to))[anchor] {
				t.Errorf("%s links to %s, which has no such heading", file, m[1])
			}
		}
	}
}

// TestDecisionsAreInTheIndex fails for a decision that has no status, or no row in the index.
func TestDecisionsAreInTheIndex(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "adr", "0*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("found %d decisions: %v", len(pages), err)
	}
	index := read(t, filepath.Join(root, "docs", "adr", "README.md"))
	for _, page := range pages {
		if !status.MatchString(read(t, page)) {
			t.Errorf("%s has no line that begins with Status", page)
		}
		if !strings.Contains(index, "]("+filepath.Base(page)+") |") {
			t.Errorf("docs/adr/README.md has no row with a link to %s", page)
		}
	}
}

// anchors returns the names by which the headings of a document can be linked to.
func anchors(text string) map[string]bool {
	text = fenced.ReplaceAllString(text, "")
	known := map[string]bool{}
	for _, m := range title.FindAllStringSubmatch(text, -1) {
		words := punctuation.ReplaceAllString(strings.ToLower(target.ReplaceAllString(m[1], "$1")), "")
		known[strings.ReplaceAll(words, " ", "-")] = true
	}
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		known[m[1]] = true
	}
	return known
}

// read returns the text of a file.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
