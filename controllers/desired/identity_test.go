package desired

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/token"
)

func TestIdentitiesAreRememberedAndNeverStale(t *testing.T) {
	var remembered Identities
	first, second := make([]byte, 32), []byte("another key of 32 bytes or more.")
	one, other := token.Keys{Current: first}, token.Keys{Current: second}
	rotated := token.Keys{Current: second, Previous: first, Since: time.Unix(1700000010, 0)}
	guest := func(uid string, rotation int32) *v1alpha1.Connection {
		c := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}}
		c.Spec.TokenRotation = rotation
		return c
	}
	for _, step := range []struct {
		sentence string
		keys     token.Keys
		guests   []*v1alpha1.Connection
	}{
		{"the first room", one, []*v1alpha1.Connection{guest("a", 0), guest("b", 0)}},
		{"the same once more", one, []*v1alpha1.Connection{guest("a", 0), guest("b", 0)}},
		{"with another token", one, []*v1alpha1.Connection{guest("a", 1), guest("b", 0)}},
		{"without one of them", one, []*v1alpha1.Connection{guest("b", 0)}},
		{"after a rotation", rotated, []*v1alpha1.Connection{guest("b", 0), guest("d", 0)}},
		{"by another key", other, []*v1alpha1.Connection{guest("b", 0), guest("c", 0)}},
	} {
		names := make(map[types.UID]types.NamespacedName)
		for _, c := range step.guests {
			names[c.UID] = types.NamespacedName{}
			for range 2 {
				if got, want := remembered.Of("room", step.keys, c), identify(step.keys, c); got != want {
					t.Errorf("%s: %s is %v, want %v", step.sentence, c.UID, got, want)
				}
			}
		}
		remembered.Keep("room", names)
		if n := len(remembered.sessions["room"]); n != len(step.guests) {
			t.Errorf("%s: %d identities are remembered, want %d", step.sentence, n, len(step.guests))
		}
	}
	remembered.Keep("room", nil)
	if len(remembered.sessions) != 0 {
		t.Error("the room that is gone is remembered")
	}
}

// A rotation of the signing key changes nothing of the Connections that there are: neither their
// tokens nor what their users come back with.
func TestIdentitiesOutliveARotation(t *testing.T) {
	first, second := make([]byte, 32), []byte("another key of 32 bytes or more.")
	since := time.Unix(1700000010, 0)
	before, after := token.Keys{Current: first}, token.Keys{Current: second, Previous: first, Since: since}
	c := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: "guest", CreationTimestamp: metav1.NewTime(since.Add(-time.Second))}}
	if identify(before, c) != identify(after, c) {
		t.Error("a Connection from before it is another")
	}
	c.Spec.TokenRotation = 1
	if identify(before, c) != identify(after, c) {
		t.Error("its next token is another")
	}
	c.CreationTimestamp = metav1.NewTime(since)
	if a, b := identify(before, c), identify(after, c); a.tokenDigest == b.tokenDigest || a.rpcSessionID == b.rpcSessionID || a.connectionID != b.connectionID {
		t.Error("a Connection from after it is the same by the old key")
	}
}
