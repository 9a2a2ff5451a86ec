package monitoring

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

var (
	root = filepath.Join("..", "..")
	// literal is a metric's name where the code makes it.
	literal = regexp.MustCompile(`"(mediarooms_[a-z0-9_]+)"`)
	// documented is a row of the table of metrics.
	documented = regexp.MustCompile("(?m)^\\| `(mediarooms_[a-z0-9_]+)` \\|")
	// used is a metric in a query. What has a colon in front is the middle of a recorded name.
	used = regexp.MustCompile(`(?:^|[^:a-z0-9_])(mediarooms_[a-z0-9_]+)`)
	// recorded is a name that a rule records.
	recorded = regexp.MustCompile(`[a-z_]+:mediarooms_[a-z0-9_:]+`)
)

// made returns the names of all metrics, from the sources.
func made(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, folder := range []string{"controllers", "gateway", "mediapod"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() && entry.Name() == "node_modules" {
				return filepath.SkipDir
			}
			if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, match := range literal.FindAllStringSubmatch(string(text), -1) {
				names[match[1]] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// TestEachMetricIsDocumented compares the table of docs/monitoring.md with the sources.
func TestEachMetricIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]bool)
	for _, match := range documented.FindAllStringSubmatch(string(page), -1) {
		rows[match[1]] = true
	}
	names := made(t)
	if len(names) < 50 {
		t.Errorf("the sources have only %d metrics", len(names))
	}
	for name := range names {
		if !rows[name] {
			t.Errorf("docs/monitoring.md has no row for %s", name)
		}
	}
	for name := range rows {
		if !names[name] {
			t.Errorf("docs/monitoring.md has a row for %s, which there is not", name)
		}
	}
}

// rule is one of alerts.yaml.
type rule struct {
	Alert, Record, Expr string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Spec struct {
			Groups []struct{ Rules []rule }
		}
	}
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, group := range object.Spec.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// TestEachAlertIsDocumented looks for each alert in docs/monitoring.md.
func TestEachAlertIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range readRules(t) {
		if name := rule.Alert + rule.Record; !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("docs/monitoring.md has no row for %s", name)
		}
	}
}

// TestQueriesUseMetricsThatExist looks at each query of the rules and of the dashboard, which
// promtool parses, too.
func TestQueriesUseMetricsThatExist(t *testing.T) {
	names, records := made(t), make(map[string]bool)
	queries := make(map[string]string)
	for _, rule := range readRules(t) {
		queries[rule.Alert+rule.Record] = rule.Expr
		if rule.Record != "" {
			records[rule.Record] = true
		}
	}
	maps.Copy(queries, dashboardQueries(t))
	if len(queries) < 30 {
		t.Errorf("there are only %d queries", len(queries))
	}
	for where, query := range queries {
		for _, match := range used.FindAllStringSubmatch(query, -1) {
			name := match[1]
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				if whole, is := strings.CutSuffix(name, part); is && names[whole] {
					name = whole
				}
			}
			if !names[name] {
				t.Errorf("%s uses %s, which there is not", where, match[1])
			}
		}
		for _, name := range recorded.FindAllString(query, -1) {
			if !records[name] {
				t.Errorf("%s uses %s, which no rule records", where, name)
			}
		}
	}
	parse(t, queries)
}

// dashboardQueries returns the queries of the dashboard, by their panel, with its variables
// replaced.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("mediarooms.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		UID, Title string
		Panels     []struct {
			ID          int
			Type, Title string
			Description string
			GridPos     struct{ H, W, X, Y int }
			Targets     []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID == "" || dashboard.Title == "" {
		t.Error("the dashboard has no uid or no title")
	}
	queries, ids := make(map[string]string), make(map[int]bool)
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] {
			t.Errorf("two panels have the id %d", panel.ID)
		}
		ids[panel.ID] = true
		if panel.GridPos.X+panel.GridPos.W > 24 {
			t.Errorf("the panel %q is outside of the grid", panel.Title)
		}
		if panel.Type != "row" && (len(panel.Targets) == 0 || panel.Description == "") {
			t.Errorf("the panel %q has no query or no description", panel.Title)
		}
		for i, target := range panel.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$pool", ".*").Replace(target.Expr)
			queries[fmt.Sprintf("panel %q, %d", panel.Title, i)] = expr
		}
	}
	for _, variable := range dashboard.Templating.List {
		if strings.Contains(variable.Query, "mediarooms_") {
			queries["variable "+variable.Name] = strings.TrimSuffix(strings.TrimPrefix(variable.Query, "label_values("), ", pool)")
		}
	}
	return queries
}

// parse has promtool parse queries.
func parse(t *testing.T, queries map[string]string) {
	t.Helper()
	type record struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var all []record
	for i, where := range slices.Sorted(maps.Keys(queries)) {
		all = append(all, record{fmt.Sprintf("test:query%d", i), queries[where]})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "queries.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", "--lint=none", file).CombinedOutput(); err != nil {
		t.Errorf("promtool does not take the queries: %v\n%s", err, output)
	}
}
