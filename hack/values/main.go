// Command values reads a chart's values.yaml, whose comments describe each value, and writes the
// chart's README.md and values.schema.json.
//
//	values CHART OUTPUT
//
// A line "@schema {...}" of a comment is added to the JSON schema of its value. A mapping whose
// keys have no comments is one value.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: values CHART OUTPUT")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(chart, output string) error {
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return fmt.Errorf("reading the values: %w", err)
	}
	root, err := parse(text)
	if err != nil {
		return fmt.Errorf("reading the values: %w", err)
	}
	schema := root.schema()
	schema["$schema"] = "http://json-schema.org/draft-07/schema#"
	// Helm hands it to every chart of a chart of charts.
	schema["properties"].(map[string]any)["global"] = map[string]any{"type": "object"}
	described, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the schema: %w", err)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(output, "values.schema.json"), append(described, '\n'), 0o644),
		os.WriteFile(filepath.Join(output, "README.md"), []byte(head+root.table()), 0o644),
	)
}

// head is what the README says before the table.
const head = `# Chart of Mediarooms

<!-- Generated from values.yaml by hack/generate. -->

Installs the operator and the gateway. [docs/install.md](../../docs/install.md#with-helm) says how.

| value | default | means |
|---|---|---|
`

// value is one value of a chart, or a group of them.
type value struct {
	path    string // such as image.tag; "" of all
	means   string
	extra   map[string]any // of the schema
	node    *yaml.Node
	members []value // of a group
}

func parse(text []byte) (value, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return value{}, err
	}
	if document.Kind != yaml.DocumentNode || document.Content[0].Kind != yaml.MappingNode {
		return value{}, errors.New("values.yaml is not a mapping")
	}
	root := value{node: document.Content[0]}
	return root, root.fill()
}

// fill finds the members of a group.
func (v *value) fill() error {
	if v.node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		if key.HeadComment == "" {
			if v.path == "" || len(v.members) > 0 {
				return fmt.Errorf("line %d: %s has no comment", key.Line, key.Value)
			}
			return nil
		}
		member := value{path: strings.TrimPrefix(v.path+"."+key.Value, "."), node: v.node.Content[i+1]}
		if err := member.describe(key.HeadComment); err != nil {
			return fmt.Errorf("line %d: %s: %w", key.Line, key.Value, err)
		}
		if err := member.fill(); err != nil {
			return err
		}
		v.members = append(v.members, member)
	}
	return nil
}

// describe takes the comment of a value apart.
func (v *value) describe(comment string) error {
	var words []string
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		schema, is := strings.CutPrefix(line, "@schema ")
		if !is {
			words = append(words, line)
			continue
		}
		if err := json.Unmarshal([]byte(schema), &v.extra); err != nil {
			return fmt.Errorf("reading its @schema: %w", err)
		}
	}
	v.means = strings.Join(words, " ")
	return nil
}

// types are JSON's, by YAML's tags.
var types = map[string]string{
	"!!str": "string", "!!int": "integer", "!!bool": "boolean", "!!map": "object", "!!seq": "array",
}

func (v *value) schema() map[string]any {
	schema := map[string]any{"type": types[v.node.ShortTag()]}
	if v.means != "" {
		schema["description"] = v.means
	}
	if len(v.members) > 0 {
		properties := make(map[string]any)
		for i := range v.members {
			member := &v.members[i]
			properties[member.path[strings.LastIndex(member.path, ".")+1:]] = member.schema()
		}
		schema["properties"], schema["additionalProperties"] = properties, false
	}
	maps.Copy(schema, v.extra)
	return schema
}

// table returns the rows of a value and its members.
func (v *value) table() string {
	if len(v.members) == 0 {
		return fmt.Sprintf("| `%s` | `%s` | %s |\n", v.path, v.text(), strings.ReplaceAll(v.means, "|", `\|`))
	}
	var rows strings.Builder
	if v.path != "" {
		fmt.Fprintf(&rows, "| **`%s`** | | %s |\n", v.path, v.means)
	}
	for i := range v.members {
		rows.WriteString(v.members[i].table())
	}
	return rows.String()
}

// text returns a value as JSON.
func (v *value) text() string {
	var content any
	if err := v.node.Decode(&content); err != nil {
		return ""
	}
	text, err := json.Marshal(content)
	if err != nil {
		return ""
	}
	return string(text)
}
