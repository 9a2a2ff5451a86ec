package tenant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// writes is an API server that notes what is written.
type writes struct {
	client.Client
	patched, told []string
	err           error
}

func (w *writes) Patch(_ context.Context, object client.Object, _ client.Patch, _ ...client.PatchOption) error {
	if w.err != nil {
		return w.err
	}
	w.patched = append(w.patched, fmt.Sprintf("%s=%s", object.GetNamespace(), object.GetAnnotations()[Annotation]))
	return nil
}

func (w *writes) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	event, ok := object.(*corev1.Event)
	if !ok {
		return errors.New("not an Event")
	}
	w.told = append(w.told, event.Namespace+": "+event.Message)
	return nil
}

func TestTenantsAreToldOfPasswordsThatLetNobodyIn(t *testing.T) {
	settled := secret("d", SecretName, map[string]string{CurrentKey: "only-of-d"})
	settled.Annotations = map[string]string{Annotation: Refused, "other": "stays"}
	known := secret("e", SecretName, map[string]string{CurrentKey: "of-both-of-them"})
	known.Annotations = map[string]string{Annotation: Refused}
	live := &writes{}
	notices := NewNotices(&Directory{Reader: secrets{
		secret("a", SecretName, map[string]string{CurrentKey: "of-both-of-them", PreviousKey: "of-both-before"}),
		secret("b", SecretName, map[string]string{CurrentKey: "only-of-b", PreviousKey: "of-both-of-them\n"}),
		secret("c", SecretName, map[string]string{CurrentKey: "of-both-before", PreviousKey: "of-both-of-them"}),
		secret("f", SecretName, map[string]string{CurrentKey: "", PreviousKey: " "}),
		secret("g", SecretName, map[string]string{CurrentKey: "", PreviousKey: ""}),
		settled, known,
	}}, live)
	if !notices.tell(t.Context()) {
		t.Error("it has not worked")
	}
	if got := strings.Join(live.patched, " "); got != "b=Refused c=Refused d=" {
		t.Errorf("annotated: %s", got)
	}
	if len(live.told) != 2 || !strings.Contains(live.told[0], "b: What is in previous-secret ") || !strings.Contains(live.told[1], "c: What is in secret and in previous-secret ") {
		t.Errorf("told: %q", live.told)
	}
}

func TestWhatATenantIsNotToldIsTriedAgain(t *testing.T) {
	var lines []string
	ctx := logr.NewContext(t.Context(), funcr.New(func(_, text string) { lines = append(lines, text) }, funcr.Options{}))
	live := &writes{err: apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, SecretName, errors.New("no rights"))}
	younger := secret("b", SecretName, map[string]string{CurrentKey: "of-both-of-them"})
	younger.ResourceVersion = "7"
	notices := NewNotices(&Directory{Reader: secrets{secret("a", SecretName, map[string]string{CurrentKey: "of-both-of-them"}), younger}}, live)
	for range 3 {
		if notices.tell(ctx) {
			t.Error("it has worked")
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], `"namespace"="b"`) || strings.Contains(lines[0], "of-both-of-them") {
		t.Errorf("the log says %q, want one line", lines)
	}
	live.err = apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, SecretName, errors.New("another gateway"))
	if !notices.tell(ctx) || len(live.told) != 0 {
		t.Errorf("where another gateway was faster: told %q", live.told)
	}
	live.err = nil
	if !notices.tell(ctx) || len(live.told) != 1 {
		t.Errorf("told %q, want once", live.told)
	}
}
