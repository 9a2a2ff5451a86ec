package charts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/test/wait"
)

// TestTheLinesOfTheWayOut runs the lines of docs/uninstall.md, to the letter: objects that an
// operator holds which is gone go, and with them the definitions.
func TestTheLinesOfTheWayOut(t *testing.T) {
	c := live(t)
	inNamespace(t, c, "tenant")
	inNamespace(t, c, namespace)
	if _, err := runHelm(t.Context(), t.TempDir(), "install", "rooms", chart, "--namespace", namespace); err != nil {
		t.Fatal(err)
	}
	held := []*unstructured.Unstructured{
		custom("MediaPool", "", "pool", "remove-pods", map[string]any{"publicURL": "https://rooms.example.org"}),
		custom("Session", "tenant", "room", "close-room", map[string]any{}),
		custom("Session", "default", "room", "close-room", map[string]any{}),
		custom("Connection", "tenant", "guest", "evict-user", map[string]any{"sessionName": "room"}),
	}
	for _, object := range held {
		wait.For(t, bound, "the kind of "+object.GetName(), func() error { return c.Create(t.Context(), object) })
	}
	if _, err := runHelm(t.Context(), t.TempDir(), "uninstall", "rooms", "--namespace", namespace); err != nil {
		t.Fatal(err)
	}
	for _, object := range held {
		if err := c.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Errorf("nobody holds %s: %v", name(object), err)
		}
	}

	page, err := os.ReadFile(filepath.Join("..", "docs", "uninstall.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, lines, _ := strings.Cut(string(page), "<!-- A test runs this block. -->\n```bash\n")
	lines, _, found := strings.Cut(lines, "```")
	if !found {
		t.Fatal("docs/uninstall.md has no such block")
	}
	command := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", lines)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+os.Getenv("KUBEBUILDER_ASSETS")+":"+os.Getenv("PATH"))
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("the lines do not work: %v: %s", err, output)
	}
	for _, object := range held {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
			t.Errorf("%s is still there: %v", name(object), err)
		}
	}
	removeDefinitions(t, c)
}

// TestAPIServersTakeTheJob checks config/uninstall.
func TestAPIServersTakeTheJob(t *testing.T) {
	c := live(t)
	inNamespace(t, c, namespace)
	all := kustomize(t, filepath.Join("..", "config", "uninstall"))
	if len(all) != 6 {
		t.Errorf("there are %d objects, want 6", len(all))
	}
	for _, object := range all {
		if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.DryRunAll, client.FieldOwner("kubectl")); err != nil {
			t.Errorf("%s: %v", name(object), err)
		}
	}
}

// custom returns an object of the project's that a finalizer holds.
func custom(kind, namespace, name, finalizer string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "mediarooms.dev", Version: "v1alpha1", Kind: kind})
	object.SetNamespace(namespace)
	object.SetName(name)
	object.SetFinalizers([]string{"mediarooms.dev/" + finalizer})
	return object
}

// remindEvery is how often an API server is reminded of a definition that has not gone. When its
// controller loses a conflict it waits for the next change, which nobody else makes.
const remindEvery = 5 * time.Second

// removeDefinitions removes the project's definitions and waits until they are gone.
func removeDefinitions(t *testing.T, c client.Client) {
	t.Helper()
	var going []*apiextensionsv1.CustomResourceDefinition
	for _, name := range []string{"sessions", "connections", "mediapools", "webhooks"} {
		definition := &apiextensionsv1.CustomResourceDefinition{}
		definition.Name = name + ".mediarooms.dev"
		if err := c.Delete(t.Context(), definition); err != nil {
			t.Error(err)
		}
		going = append(going, definition)
	}
	for _, definition := range going {
		reminded := time.Now()
		wait.For(t, 2*bound, "the end of "+definition.Name, func() error {
			err := c.Get(t.Context(), client.ObjectKeyFromObject(definition), definition)
			if err != nil {
				return client.IgnoreNotFound(err)
			}
			if time.Since(reminded) > remindEvery {
				reminded = time.Now()
				remind(t, c, definition)
			}
			return fmt.Errorf("it is %+v", definition.Status.Conditions)
		})
	}
}

// remind changes a definition, so that the API server's controller looks at it again.
func remind(t *testing.T, c client.Client, definition *apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	before := definition.DeepCopy()
	metav1.SetMetaDataAnnotation(&definition.ObjectMeta, "reminded", time.Now().Format(time.RFC3339Nano))
	if err := c.Patch(t.Context(), definition, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		t.Error(err)
	}
}
