package certs

import (
	"bytes"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/internal/token"
)

// keysSecret is a Secret with signing keys; pairs are fields and their values.
func keysSecret(pairs ...string) *corev1.Secret {
	data := make(map[string][]byte)
	for i := 0; i < len(pairs); i += 2 {
		data[pairs[i]] = []byte(pairs[i+1])
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: SigningKeySecret}, Data: data}
}

func (f *fixture) keys() token.Keys {
	f.Helper()
	keys, err := f.Keys.SigningKeys(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	return keys
}

// rotate asks for another key.
func (f *fixture) rotate() {
	f.Helper()
	f.change(func(secret *corev1.Secret) { secret.Annotations = map[string]string{RotateAnnotation: ""} })
	f.pass()
}

func (f *fixture) change(change func(*corev1.Secret)) {
	f.Helper()
	secret := keysSecret()
	if err := f.Client.Get(f.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		f.Fatal(err)
	}
	change(secret)
	if err := f.Client.Update(f.Context(), secret); err != nil {
		f.Fatal(err)
	}
}

var (
	one   = string(bytes.Repeat([]byte{1}, 32))
	two   = string(bytes.Repeat([]byte{2}, 32))
	three = string(bytes.Repeat([]byte{3}, 32))
)

func TestSigningKeysThatExistAreUsed(t *testing.T) {
	for sentence, test := range map[string]struct {
		secret *corev1.Secret
		want   token.Keys
		err    error
	}{
		"one key":                        {keysSecret("key", one), token.Keys{Current: []byte(one)}, nil},
		"a key that is too short":        {keysSecret("key", one[:31]), token.Keys{}, errShortKey},
		"no key":                         {keysSecret(), token.Keys{}, errShortKey},
		"an empty previous one is none":  {keysSecret("key", one, "previous-key", ""), token.Keys{Current: []byte(one)}, nil},
		"a previous one is too short":    {keysSecret("key", one, "previous-key", "x", "since", "2026-01-02T03:04:05Z"), token.Keys{}, errShortKey},
		"nobody says since when":         {keysSecret("key", one, "previous-key", two), token.Keys{}, errWithoutIt},
		"since when is no time":          {keysSecret("key", one, "previous-key", two, "since", "yesterday"), token.Keys{}, errWithoutIt},
		"two keys, since a moment, read": {keysSecret("key", one, "previous-key", two, "since", start.Format(time.RFC3339)+"\n"), token.Keys{Current: []byte(one), Previous: []byte(two), Since: start}, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := newFixture(t, test.secret)
			if _, err := f.Reconcile(t.Context(), ctrl.Request{}); !errors.Is(err, test.err) {
				t.Fatalf("got %v, want %v", err, test.err)
			}
			if test.err == nil && !f.keys().Equal(test.want) {
				t.Error("other keys are used")
			}
		})
	}
}

func TestTheSigningKeyIsRotated(t *testing.T) {
	f := newFixture(t, keysSecret("key", one))
	f.pass()
	f.rotate()
	keys := f.keys()
	if !bytes.Equal(keys.Previous, []byte(one)) || len(keys.Current) != token.MinKeySize || bytes.Equal(keys.Current, []byte(one)) || !keys.Since.After(start) {
		t.Fatalf("the keys hold since %v", keys.Since)
	}
	// What was made before, and what is made while the key is written, stays what it is.
	for _, made := range []time.Time{start.Add(-time.Hour), start, keys.Since.Add(-time.Second)} {
		if !bytes.Equal(keys.For(made), []byte(one)) {
			t.Errorf("of %v it is another key", made)
		}
	}
	if !bytes.Equal(keys.For(keys.Since), keys.Current) {
		t.Error("what is made from then on is of the old key")
	}

	// It is done once, whoever looks, also a process that starts.
	f.pass()
	if !f.keys().Equal(keys) {
		t.Error("it was rotated again without being asked")
	}
	secret := keysSecret()
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		t.Fatal(err)
	}
	if _, asked := secret.Annotations[RotateAnnotation]; asked {
		t.Error("the annotation is still there")
	}
	f.Keys = NewKeys()
	f.pass()
	if !f.keys().Equal(keys) {
		t.Error("a process that starts has other keys")
	}

	// The previous key may be needed: another rotation has to wait.
	f.rotate()
	if !f.keys().Equal(keys) {
		t.Error("a key was lost by which Connections are known")
	}
	f.remove(SigningKeySecret)
	f.pass()
	if restored, err := parseKeys(f.secret(SigningKeySecret)); err != nil || !restored.Equal(keys) {
		t.Errorf("it was restored as something else: %v", err)
	}
	f.change(func(secret *corev1.Secret) { delete(secret.Data, PreviousKeyField) })
	f.pass()
	if got := f.keys(); got.Previous != nil || !bytes.Equal(got.Current, keys.Current) {
		t.Error("the previous key is still used")
	}
	f.rotate()
	if got := f.keys(); !bytes.Equal(got.Previous, keys.Current) {
		t.Error("it can't be rotated again")
	}
}

// A key that nothing was derived from would make every token worthless at once.
func TestAnUnknownSigningKeyWaitsForTheNextStart(t *testing.T) {
	f := newFixture(t, keysSecret("key", one))
	f.pass()
	f.change(func(secret *corev1.Secret) {
		secret.Data = keysSecret("key", two, "previous-key", three, "since", "2026-01-02T03:04:05Z").Data
	})
	f.pass()
	if got := f.keys(); !got.Equal(token.Keys{Current: []byte(one)}) {
		t.Error("it is used")
	}
	f.change(func(secret *corev1.Secret) {
		secret.Data = keysSecret("key", two, "previous-key", one, "since", "2026-01-02T03:04:05Z").Data
	})
	f.pass()
	if got := f.keys(); !bytes.Equal(got.Current, []byte(two)) || !bytes.Equal(got.Previous, []byte(one)) {
		t.Error("one that keeps the old key is not")
	}
}
