package v1alpha1_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// updateDocs rewrites the tables of docs/api.md: go test ./api/v1alpha1 -run TestDocsTables
// -update.
var updateDocs = flag.Bool("update", false, "rewrite the generated tables of docs/api.md")

var docsFile = filepath.Join("..", "..", "docs", "api.md")

// TestDocsTables compares the tables of docs/api.md with the CRDs.
func TestDocsTables(t *testing.T) {
	text := readDocs(t)
	for name, goType := range map[string]reflect.Type{
		"Session":    reflect.TypeFor[v1alpha1.Session](),
		"Connection": reflect.TypeFor[v1alpha1.Connection](),
		"MediaPool":  reflect.TypeFor[v1alpha1.MediaPool](),
		"Webhook":    reflect.TypeFor[v1alpha1.Webhook](),
		"Recording":  reflect.TypeFor[v1alpha1.Recording](),
	} {
		schema := readCRD(t, name).Spec.Versions[0].Schema.OpenAPIV3Schema
		for _, part := range []string{"spec", "status"} {
			begin := fmt.Sprintf("<!-- BEGIN GENERATED: %s %s -->\n", name, part)
			end := fmt.Sprintf("<!-- END GENERATED: %s %s -->\n", name, part)
			before, rest, foundBegin := strings.Cut(text, begin)
			table, after, foundEnd := strings.Cut(rest, end)
			if !foundBegin || !foundEnd {
				t.Fatalf("docs/api.md lacks %q or %q", begin, end)
			}
			want := fieldTable(part, schema.Properties[part], partOf(t, goType, part))
			if table == want {
				continue
			}
			if !*updateDocs {
				t.Errorf("the table of %s %s in docs/api.md is not up to date: run go test ./api/v1alpha1 -run TestDocsTables -update", name, part)
			}
			text = before + begin + want + end + after
		}
	}
	if *updateDocs {
		if err := os.WriteFile(docsFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDocsReasons fails for a reason of a condition that docs/api.md does not explain.
func TestDocsReasons(t *testing.T) {
	text := readDocs(t)
	file, err := parser.ParseFile(token.NewFileSet(), "conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "`"+value+"`") {
			t.Errorf("docs/api.md does not explain %s", value)
		}
		return false
	})
}

// TestDocsManifests tries the manifests of docs/api.md that are objects of ours.
func TestDocsManifests(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readDocs(t), -1)
	tried := 0
	for _, block := range blocks {
		for document := range strings.SplitSeq(block[1], "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
				t.Fatalf("reading\n%s\n%v", document, err)
			}
			if object.GroupVersionKind().GroupVersion() != v1alpha1.GroupVersion {
				continue
			}
			if object.GetKind() != "MediaPool" {
				object.SetNamespace("default")
			}
			tried++
			if err := apiClient.Create(t.Context(), object, client.FieldValidation("Strict"), client.DryRunAll); err != nil {
				t.Errorf("%v in\n%s", err, document)
			}
		}
	}
	if tried == 0 {
		t.Error("docs/api.md has no manifests")
	}
}

func readDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// partOf returns the Go type of spec or status.
func partOf(t *testing.T, object reflect.Type, part string) reflect.Type {
	t.Helper()
	for i := range object.NumField() {
		if jsonName(object.Field(i)) == part {
			return object.Field(i).Type
		}
	}
	t.Fatalf("%s has no %s", object, part)
	return nil
}

func jsonName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

// fieldTable writes the fields of a part of an object as a table, in the order of the Go types.
func fieldTable(part string, schema apiextensionsv1.JSONSchemaProps, goType reflect.Type) string {
	var table strings.Builder
	if part == "spec" {
		table.WriteString("| field | type | default | allowed | meaning |\n|---|---|---|---|---|\n")
	} else {
		table.WriteString("| field | type | meaning |\n|---|---|---|\n")
	}
	var walk func(path string, schema apiextensionsv1.JSONSchemaProps, goType reflect.Type)
	walk = func(path string, schema apiextensionsv1.JSONSchemaProps, goType reflect.Type) {
		for goType.Kind() == reflect.Pointer || goType.Kind() == reflect.Slice {
			goType = goType.Elem()
		}
		if schema.Items != nil {
			schema, path = *schema.Items.Schema, path+"[]"
		}
		if goType.Kind() != reflect.Struct || len(schema.Properties) == 0 || slices.Contains(foreign, path) {
			return
		}
		for i := range goType.NumField() {
			name := jsonName(goType.Field(i))
			field, ok := schema.Properties[name]
			if !ok {
				continue
			}
			fieldPath := path + "." + name
			shown := "`" + strings.TrimPrefix(fieldPath, part+".") + "`"
			meaning := cell(field.Description)
			if part == "spec" {
				fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", shown, typeOf(field), defaultOf(field),
					cell(strings.Join(allowed(name, field, schema), "; ")), meaning)
			} else {
				fmt.Fprintf(&table, "| %s | %s | %s |\n", shown, typeOf(field), meaning)
			}
			walk(fieldPath, field, goType.Field(i).Type)
		}
	}
	walk(part, schema, goType)
	return table.String()
}

func typeOf(schema apiextensionsv1.JSONSchemaProps) string {
	switch {
	case schema.Format == "date-time":
		return "time"
	case schema.Type == "array":
		return "list"
	case schema.AdditionalProperties != nil:
		return "map"
	case schema.Type == "string" && len(schema.Enum) > 0:
		return "enum"
	default:
		return schema.Type
	}
}

func defaultOf(schema apiextensionsv1.JSONSchemaProps) string {
	if schema.Default == nil || string(schema.Default.Raw) == "{}" {
		return ""
	}
	value := string(schema.Default.Raw)
	if text, err := strconv.Unquote(value); err == nil {
		value = text
	}
	return "`" + value + "`"
}

// allowed lists the rules of a field, and those of its parent that are about it.
func allowed(name string, schema, parent apiextensionsv1.JSONSchemaProps) []string {
	var rules []string
	if slices.Contains(parent.Required, name) {
		rules = append(rules, "required")
	}
	for _, value := range schema.Enum {
		rules = append(rules, "`"+strings.Trim(string(value.Raw), `"`)+"`")
	}
	if len(schema.Enum) > 0 {
		rules = []string{strings.Join(rules, ", ")}
	}
	switch {
	case schema.Minimum != nil && schema.Maximum != nil:
		rules = append(rules, fmt.Sprintf("%.0f to %.0f", *schema.Minimum, *schema.Maximum))
	case schema.Minimum != nil:
		rules = append(rules, fmt.Sprintf("at least %.0f", *schema.Minimum))
	}
	if schema.MaxLength != nil {
		rules = append(rules, fmt.Sprintf("at most %d characters", *schema.MaxLength))
	}
	if schema.MaxItems != nil {
		rules = append(rules, fmt.Sprintf("at most %d items", *schema.MaxItems))
	}
	if schema.MaxProperties != nil {
		rules = append(rules, fmt.Sprintf("at most %d entries", *schema.MaxProperties))
	}
	if schema.Items != nil && schema.Items.Schema.MaxLength != nil {
		rules = append(rules, fmt.Sprintf("items of at most %d characters", *schema.Items.Schema.MaxLength))
	}
	own := schema.XValidations
	if schema.Items != nil {
		own = append(slices.Clone(own), schema.Items.Schema.XValidations...)
	}
	for _, rule := range own {
		if rule.FieldPath == "" {
			rules = append(rules, rule.Message)
		}
	}
	for _, rule := range parent.XValidations {
		if rule.FieldPath == "."+name {
			rules = append(rules, rule.Message)
		}
	}
	return rules
}

// cell makes a text fit into a cell of a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}
