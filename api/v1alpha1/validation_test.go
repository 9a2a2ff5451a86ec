package v1alpha1_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// change maps the dotted path of a field to its new value; removed takes the field away.
type change map[string]any

type removedField struct{}

var removed = removedField{}

// creation is one object that is sent to the API server: the base object of its kind after the
// change.
type creation struct {
	change change
	// want is part of the error's message; "" is an object that is accepted.
	want string
	// bound names the bound of the schema that is tried, as boundsOf names them; "" where none is.
	bound string
}

// update is one object that is stored (the base object after before) and then changed.
type update struct {
	before, after change
	want          string
}

// kind is all that is tried with one kind: its smallest object and tables keyed by sentences.
type kind struct {
	base      string
	creations map[string]creation
	updates   map[string]update
}

var kinds = map[string]kind{
	"Session":    sessionValidation,
	"Connection": connectionValidation,
	"MediaPool":  mediaPoolValidation,
	"Webhook":    webhookValidation,
	"Recording":  recordingValidation,
}

// testValidation tries the tables of a kind with the API server.
func testValidation(t *testing.T, k kind) {
	ctx := t.Context()
	strict := client.FieldValidation("Strict")
	for sentence, test := range k.creations {
		t.Run(sentence, func(t *testing.T) {
			err := apiClient.Create(ctx, object(t, k.base, test.change), strict, client.DryRunAll)
			checkRefusal(t, err, test.want)
			// A number out of its bounds may also break a rule that compares it with another, and a
			// set that is longer than its enum has duplicates.
			if !strings.Contains(test.bound, "imum ") && test.bound != "spec.moderation.publish maxItems 2" &&
				test.bound != "spec.events maxItems 17" {
				checkOneMessage(t, err)
			}
		})
	}
	for sentence, test := range k.updates {
		t.Run(sentence, func(t *testing.T) {
			stored := object(t, k.base, test.before)
			stored.SetName("")
			stored.SetGenerateName("update-")
			create(ctx, t, stored)
			apply(t, stored, test.after)
			err := apiClient.Update(ctx, stored, strict, client.DryRunAll)
			checkRefusal(t, err, test.want)
			checkOneMessage(t, err)
		})
	}
}

// checkRefusal fails the test when the error is not the wanted refusal.
func checkRefusal(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
		t.Fatalf("got %v, want a refusal with %q", err, want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("refused with\n%v\nwant\n%s", err, want)
	}
}

// checkOneMessage fails the test when one mistake is answered by several messages.
func checkOneMessage(t *testing.T, err error) {
	t.Helper()
	status, ok := err.(apierrors.APIStatus)
	if !ok || status.Status().Details == nil {
		return
	}
	var causes []string
	for _, cause := range status.Status().Details.Causes {
		// The API server adds causes without a field, such as that it skipped the CEL rules.
		if cause.Field != "<nil>" {
			causes = append(causes, cause.Field+": "+cause.Message)
		}
	}
	if len(causes) > 1 {
		t.Errorf("one mistake is answered by %d messages:\n%s", len(causes), strings.Join(causes, "\n"))
	}
}

// TestRulesAreTried fails for a CEL rule or a bound of a CRD that no table tries.
func TestRulesAreTried(t *testing.T) {
	for name, k := range kinds {
		crd := readCRD(t, name)
		tried := make(map[string]bool)
		var wanted strings.Builder
		for _, test := range k.creations {
			tried[test.bound] = true
			fmt.Fprintln(&wanted, test.want)
		}
		for _, test := range k.updates {
			fmt.Fprintln(&wanted, test.want)
		}
		for path, schema := range fields(crd) {
			for _, rule := range schema.XValidations {
				if !strings.Contains(wanted.String(), rule.Message) {
					t.Errorf("%s: no test wants the message of %s: %s", name, path, rule.Message)
				}
				if !strings.Contains(rule.Message, "`") {
					t.Errorf("%s: the message of a rule of %s names no field: %s", name, path, rule.Message)
				}
			}
			if !strings.HasPrefix(path, "spec") {
				continue
			}
			for _, bound := range boundsOf(path, schema) {
				if !tried[bound] {
					t.Errorf("%s: no test tries %q", name, bound)
				}
			}
		}
	}
}

// TestEverythingIsBounded fails for a string, list, map or number of ours that has no bound, and
// for a list without a type.
func TestEverythingIsBounded(t *testing.T) {
	for name := range kinds {
		for path, schema := range fields(readCRD(t, name)) {
			if strings.Contains(path, "conditions") {
				continue
			}
			switch schema.Type {
			case "string":
				if schema.MaxLength == nil && len(schema.Enum) == 0 && schema.Format != "date-time" {
					t.Errorf("%s: %s has no bound", name, path)
				}
			case "integer":
				if strings.HasPrefix(path, "spec") && schema.Minimum == nil {
					t.Errorf("%s: %s has no least value", name, path)
				}
			case "array":
				if schema.MaxItems == nil || schema.XListType == nil {
					t.Errorf("%s: %s must have a greatest length and a list type", name, path)
				}
			case "object":
				if schema.AdditionalProperties != nil && schema.MaxProperties == nil {
					t.Errorf("%s: %s has no bound", name, path)
				}
			case "number":
				t.Errorf("%s: %s is a floating-point number", name, path)
			}
			if schema.Description == "" && !strings.HasSuffix(path, "[]") {
				t.Errorf("%s: %s is not described", name, path)
			}
		}
	}
}

// foreign are the fields whose schemas are Kubernetes' own, and not looked into.
var foreign = []string{
	"spec.allowedNamespaces", "spec.egress.resources", "spec.egress.storage.sizeLimit",
	"spec.template.affinity", "spec.template.resources", "spec.template.tolerations[]",
	"spec.template.topologySpreadConstraints[]", "spec.template.imagePullSecrets[]", "status.conditions[]",
}

// fields returns the schemas of a CRD by path; "[]" stands for the items of a list, "" for the
// object.
func fields(crd *apiextensionsv1.CustomResourceDefinition) map[string]apiextensionsv1.JSONSchemaProps {
	found := make(map[string]apiextensionsv1.JSONSchemaProps)
	var walk func(path string, schema apiextensionsv1.JSONSchemaProps)
	walk = func(path string, schema apiextensionsv1.JSONSchemaProps) {
		if path == "apiVersion" || path == "kind" || path == "metadata" {
			return
		}
		found[path] = schema
		if slices.Contains(foreign, path) {
			return
		}
		for name, property := range schema.Properties {
			walk(strings.TrimPrefix(path+"."+name, "."), property)
		}
		if schema.Items != nil {
			walk(path+"[]", *schema.Items.Schema)
		}
	}
	walk("", *crd.Spec.Versions[0].Schema.OpenAPIV3Schema)
	for _, path := range foreign {
		delete(found, strings.TrimSuffix(path, "[]")+"[]")
	}
	return found
}

// boundsOf names the bounds of a field that a test must try.
func boundsOf(path string, schema apiextensionsv1.JSONSchemaProps) []string {
	var bounds []string
	if len(schema.Enum) > 0 {
		bounds = append(bounds, path+" enum")
	}
	if schema.Minimum != nil {
		bounds = append(bounds, fmt.Sprintf("%s minimum %v", path, *schema.Minimum))
	}
	if schema.Maximum != nil {
		bounds = append(bounds, fmt.Sprintf("%s maximum %v", path, *schema.Maximum))
	}
	if schema.MinLength != nil {
		bounds = append(bounds, fmt.Sprintf("%s minLength %v", path, *schema.MinLength))
	}
	if schema.MaxLength != nil {
		bounds = append(bounds, fmt.Sprintf("%s maxLength %v", path, *schema.MaxLength))
	}
	if schema.MaxItems != nil {
		bounds = append(bounds, fmt.Sprintf("%s maxItems %v", path, *schema.MaxItems))
	}
	if schema.MaxProperties != nil {
		bounds = append(bounds, fmt.Sprintf("%s maxProperties %v", path, *schema.MaxProperties))
	}
	return bounds
}

// set returns the change that gives the field of a bound its value; with nil it is the field at the
// path itself.
type set func(value any) change

func (s set) change(path string, value any) change {
	if s == nil {
		return change{path: value}
	}
	return s(value)
}

// merged joins tables; a sentence that is in two of them is a mistake of the test.
func merged[T any](tables ...map[string]T) map[string]T {
	all := make(map[string]T)
	for _, table := range tables {
		for sentence := range table {
			if _, ok := all[sentence]; ok {
				panic("two tests are called " + sentence)
			}
		}
		maps.Copy(all, table)
	}
	return all
}

// enum tries every value of an enum, one in lower case, and an empty one.
func enum(path string, s set, values ...string) map[string]creation {
	table := make(map[string]creation)
	for _, value := range values {
		table[path+" is "+value] = creation{change: s.change(path, value)}
	}
	table[path+" is in lower case"] = creation{
		change: s.change(path, strings.ToLower(values[0])), bound: path + " enum",
		want: fmt.Sprintf("%s: Unsupported value: %q: supported values: ", indexed(path), strings.ToLower(values[0])),
	}
	table[path+" is empty"] = creation{
		change: s.change(path, ""),
		want:   fmt.Sprintf("%s: Unsupported value: \"\": supported values: ", indexed(path)),
	}
	return table
}

// integer tries the bounds of a number, and numbers of other types.
func integer(path string, s set, minimum, maximum int64) map[string]creation {
	return map[string]creation{
		path + " is the least": {change: s.change(path, minimum)},
		path + " is too small": {
			change: s.change(path, minimum-1), bound: fmt.Sprintf("%s minimum %v", path, float64(minimum)),
			want: fmt.Sprintf("%s in body should be greater than or equal to %d", indexed(path), minimum),
		},
		path + " is the greatest": {change: s.change(path, maximum)},
		path + " is too great": {
			change: s.change(path, maximum+1), bound: fmt.Sprintf("%s maximum %v", path, float64(maximum)),
			want: fmt.Sprintf("%s in body should be less than or equal to %d", indexed(path), maximum),
		},
		path + " is a fraction": {
			change: s.change(path, float64(minimum)+0.5),
			want:   fmt.Sprintf("%s in body must be of type int", indexed(path)),
		},
		path + " is a text": {
			change: s.change(path, "ten"),
			want:   fmt.Sprintf("%s in body must be of type integer: \"string\"", indexed(path)),
		},
	}
}

// text tries an empty text, for which empty is the refusal, and the greatest length. valid makes a
// valid text of n characters; nil repeats "a".
func text(path string, s set, maximum int, empty string, valid func(n int) string) map[string]creation {
	if valid == nil {
		valid = func(n int) string { return strings.Repeat("a", n) }
	}
	return map[string]creation{
		path + " is empty": {
			change: s.change(path, ""), bound: path + " minLength 1", want: indexed(path) + empty,
		},
		path + " has the most characters": {change: s.change(path, valid(maximum))},
		path + " has too many characters": {
			change: s.change(path, valid(maximum+1)), bound: fmt.Sprintf("%s maxLength %d", path, maximum),
			want: fmt.Sprintf("%s: Too long: may not be more than %d bytes", indexed(path), maximum),
		},
		path + " is a number": {
			change: s.change(path, int64(7)),
			want:   fmt.Sprintf("%s in body must be of type string: \"integer\"", indexed(path)),
		},
	}
}

// tooShort is the schema's refusal of an empty text. Texts that a CEL rule checks are refused with
// the rule's message alone.
const tooShort = " in body should be at least 1 chars long"

// list tries the bounds of a list's length; item makes its items, all different.
func list(path string, maximum int, item func(i int) any) map[string]creation {
	items := func(n int) []any {
		var all []any
		for i := range n {
			all = append(all, item(i))
		}
		return all
	}
	return map[string]creation{
		path + " is an empty list":      {change: change{path: []any{}}},
		path + " has the most items":    {change: change{path: items(maximum)}},
		path + " is a text, not a list": {change: change{path: "item"}, want: path + " in body must be of type array: \"string\""},
		path + " has too many items": {
			change: change{path: items(maximum + 1)}, bound: fmt.Sprintf("%s maxItems %d", path, maximum),
			want: fmt.Sprintf("%s: Too many: %d: must have at most %d items", path, maximum+1, maximum),
		},
	}
}

// mapping tries the bounds of a map.
func mapping(path string, maximum int) map[string]creation {
	entries := func(n int) map[string]any {
		all := make(map[string]any)
		for i := range n {
			all[fmt.Sprintf("example.org/key-%d", i)] = "value"
		}
		return all
	}
	return map[string]creation{
		path + " has the most entries": {change: change{path: entries(maximum)}},
		path + " has too many entries": {
			change: change{path: entries(maximum + 1)}, bound: fmt.Sprintf("%s maxProperties %d", path, maximum),
			want: fmt.Sprintf("%s: Too many: %d: must have at most %d items", path, maximum+1, maximum),
		},
		path + " has a number": {
			change: change{path: map[string]any{"key": int64(1)}},
			want:   path + ".key in body must be of type string: \"integer\"",
		},
	}
}

// boolean tries what is not true or false.
func boolean(path string, s set) map[string]creation {
	return map[string]creation{
		path + " is true":  {change: s.change(path, true)},
		path + " is false": {change: s.change(path, false)},
		path + " is a text": {
			change: s.change(path, "yes"), want: indexed(path) + " in body must be of type boolean: \"string\"",
		},
	}
}

// indexed writes the path of a field in the first item of a list as the API server does.
func indexed(path string) string { return strings.ReplaceAll(path, "[]", "[0]") }

// object returns the base object after a change.
func object(t *testing.T, base string, c change) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(base), &o.Object); err != nil {
		t.Fatalf("reading the base object: %v", err)
	}
	apply(t, o, c)
	return o
}

func apply(t *testing.T, o *unstructured.Unstructured, c change) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(c)) {
		names := strings.Split(path, ".")
		if c[path] == removed {
			unstructured.RemoveNestedField(o.Object, names...)
			continue
		}
		if err := unstructured.SetNestedField(o.Object, c[path], names...); err != nil {
			t.Fatalf("setting %s: %v", path, err)
		}
	}
}

// create stores an object until the end of the test.
func create(ctx context.Context, t *testing.T, o client.Object) {
	t.Helper()
	if err := apiClient.Create(ctx, o); err != nil {
		t.Fatalf("creating: %v", err)
	}
	t.Cleanup(func() {
		if err := apiClient.Delete(context.WithoutCancel(ctx), o); err != nil {
			t.Errorf("deleting: %v", err)
		}
	})
}

// readCRD reads the generated CRD of a kind.
func readCRD(t *testing.T, kind string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(crdDirectory, "mediarooms.dev_"+strings.ToLower(kind)+"s.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(data, crd); err != nil {
		t.Fatalf("reading the CRD of %s: %v", kind, err)
	}
	return crd
}
