package tenant

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/internal/podhttp"
)

// secrets is a cache with some Secrets.
type secrets []corev1.Secret

func (s secrets) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	for i := range s {
		if client.ObjectKeyFromObject(&s[i]) == key {
			s[i].DeepCopyInto(object.(*corev1.Secret))
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
}

func (s secrets) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	found, ok := list.(*corev1.SecretList)
	if !ok {
		return errors.New("not Secrets")
	}
	found.Items = s
	return nil
}

func secret(namespace, name string, data map[string]string) corev1.Secret {
	made := corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{}}
	for key, value := range data {
		made.Data[key] = []byte(value)
	}
	return made
}

var tenants = &Directory{Reader: secrets{
	secret("a", SecretName, map[string]string{CurrentKey: "new-of-a\n", PreviousKey: "old-of-a", "other": "no-password"}),
	secret("b", SecretName, map[string]string{CurrentKey: "MY_SECRET", PreviousKey: ""}),
	secret("c", SecretName, map[string]string{CurrentKey: " \n"}),
	secret("d", SecretName, map[string]string{CurrentKey: "twice-it", PreviousKey: "twice-it"}),
	secret("e", SecretName, map[string]string{CurrentKey: "shared-by-two"}),
	secret("f", SecretName, map[string]string{CurrentKey: "only-of-f", PreviousKey: "shared-by-two"}),
	secret("g", "another", map[string]string{CurrentKey: "password-of-g"}),
	secret("h", SecretName, map[string]string{CurrentKey: "7-bytes", PreviousKey: "8--bytes"}),
	secret("i", SecretName, map[string]string{CurrentKey: "7-bytes        \n"}),
}}

func TestAPasswordSaysWhoAsks(t *testing.T) {
	for password, want := range map[string]string{
		"new-of-a": "a", "old-of-a": "a", "MY_SECRET": "b", "twice-it": "d", "only-of-f": "f", "8--bytes": "h",
		"new-of-a\n": "", "no-password": "", "": "", " ": "", "my_secret": "", "password-of-g": "", "new-of-ab": "",
		"shared-by-two": "e", // that of two tenants, of the same age
		"7-bytes":       "",  // too short
	} {
		got, err := tenants.Holder(t.Context(), password)
		if err != nil || got != want {
			t.Errorf("%q: got %q and %v, want %q", password, got, err, want)
		}
	}
}

func TestAPasswordThatTwoHaveIsThatOfTheOlderSecret(t *testing.T) {
	aged := func(made corev1.Secret, minute int) corev1.Secret {
		made.CreationTimestamp = metav1.NewTime(time.Unix(0, 0).Add(time.Duration(minute) * time.Minute))
		return made
	}
	first := aged(secret("z-first", SecretName, map[string]string{CurrentKey: "of-the-first", PreviousKey: "of-both-of-them"}), 1)
	second := aged(secret("a-second", SecretName, map[string]string{CurrentKey: "of-both-of-them", PreviousKey: "of-the-second"}), 2)
	for name, order := range map[string]secrets{"the older one first": {first, second}, "the older one last": {second, first}} {
		directory := &Directory{Reader: order}
		for password, want := range map[string]string{"of-both-of-them": "z-first", "of-the-first": "z-first", "of-the-second": "a-second"} {
			if got, err := directory.Holder(t.Context(), password); err != nil || got != want {
				t.Errorf("%s: %s: got %q and %v, want %q", name, password, got, err, want)
			}
		}
		// What opens nothing by REST opens no room either, or the older tenant could join the
		// younger's.
		for namespace, want := range map[string]int{"z-first": 2, "a-second": 1} {
			digests, err := directory.Digests(t.Context(), namespace)
			if err != nil || strings.Count(digests, ":") != want {
				t.Errorf("%s: the media pod is told %q and %v of %s, want %d digests", name, digests, err, namespace, want)
			}
		}
	}
}

func TestAShortPasswordIsSaidOncePerChange(t *testing.T) {
	var lines []string
	ctx := logr.NewContext(t.Context(), funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{}))
	short := secret("h", SecretName, map[string]string{CurrentKey: "7-bytes", PreviousKey: "long enough"})
	directory := &Directory{}
	ask := func(version string) {
		t.Helper()
		short.ResourceVersion = version
		directory.Reader = secrets{short}
		if got, err := directory.Holder(ctx, "7-bytes"); got != "" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := directory.Digests(ctx, "h"); err != nil {
			t.Error(err)
		}
	}
	for i, version := range []string{"1", "1", "2"} {
		ask(version)
		if want := []int{1, 1, 2}[i]; len(lines) != want {
			t.Fatalf("after %d times there are %d lines: %q", i+1, len(lines), lines)
		}
	}
	if line := lines[0]; strings.Contains(line, "7-bytes") || !strings.Contains(line, `"namespace"="h"`) || !strings.Contains(line, `"leastBytes"=8`) ||
		!strings.Contains(line, `"key"="secret"`) {
		t.Errorf("the line is %s", line)
	}
}

func TestDigestsCanBeCheckedButNotRead(t *testing.T) {
	for namespace, want := range map[string][]string{"a": {"new-of-a", "old-of-a"}, "b": {"MY_SECRET"}, "c": nil, "h": {"8--bytes"}, "i": nil, "nobody": nil} {
		value, err := tenants.Digests(t.Context(), namespace)
		if err != nil {
			t.Fatal(err)
		}
		var entries []string
		if value != "" {
			entries = strings.Split(value, ",")
		}
		if len(entries) != len(want) {
			t.Fatalf("%s: got %q, want %d entries", namespace, value, len(want))
		}
		for i, entry := range entries {
			if !podhttp.ParseSecretDigests(entry).Match(want[i]) || strings.Contains(value, want[i]) {
				t.Errorf("%s: entry %d is %s", namespace, i, entry)
			}
		}
		if again, _ := tenants.Digests(t.Context(), namespace); again == value && value != "" {
			t.Errorf("%s: the salt is not new", namespace)
		}
	}
}
