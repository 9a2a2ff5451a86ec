package v1alpha1_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// TestInvalidManifestsAreRefused tries the manifests of the end-to-end table here already: each is
// refused with every text of its "# expect:" lines.
func TestInvalidManifestsAreRefused(t *testing.T) {
	for _, file := range manifests(t, "../../test/e2e/testdata/invalid/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, objects := readManifest(t, file)
			err := apiClient.Create(t.Context(), objects[0], client.FieldValidation("Strict"), client.DryRunAll)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for line := range strings.Lines(text) {
				want, expected := strings.CutPrefix(strings.TrimSpace(line), "# expect: ")
				if expected && !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want in it %q", err, want)
				}
			}
		})
	}
}

// TestSamplesAreValid tries every sample, also those that are not applied by default.
func TestSamplesAreValid(t *testing.T) {
	for _, file := range manifests(t, "../../config/samples/*.yaml") {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, objects := readManifest(t, file)
			for _, object := range objects {
				if err := apiClient.Create(t.Context(), object, client.FieldValidation("Strict"), client.DryRunAll); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func manifests(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests in %s: %v", pattern, err)
	}
	return files
}

// readManifest returns the text of a file and the objects in it.
func readManifest(t *testing.T, file string) (string, []*unstructured.Unstructured) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var fields map[string]any
		if err := yaml.Unmarshal(document, &fields); err != nil {
			t.Fatalf("reading %s: %v", file, err)
		}
		object := &unstructured.Unstructured{Object: fields}
		if object.GetNamespace() == "" && object.GetKind() != "MediaPool" {
			object.SetNamespace("default")
		}
		objects = append(objects, object)
	}
	return string(text), objects
}
