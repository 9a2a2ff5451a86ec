package desired

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestIdentitiesAreRememberedAndNeverStale(t *testing.T) {
	var remembered identities
	one, other := make([]byte, 32), []byte("another key of 32 bytes or more.")
	guest := func(uid string, rotation int32) *v1alpha1.Connection {
		c := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}}
		c.Spec.TokenRotation = rotation
		return c
	}
	for _, step := range []struct {
		sentence string
		key      []byte
		guests   []*v1alpha1.Connection
	}{
		{"the first room", one, []*v1alpha1.Connection{guest("a", 0), guest("b", 0)}},
		{"the same once more", one, []*v1alpha1.Connection{guest("a", 0), guest("b", 0)}},
		{"with another token", one, []*v1alpha1.Connection{guest("a", 1), guest("b", 0)}},
		{"without one of them", one, []*v1alpha1.Connection{guest("b", 0)}},
		{"by another key", other, []*v1alpha1.Connection{guest("b", 0), guest("c", 0)}},
	} {
		give, done := remembered.of("room", step.key)
		for _, c := range step.guests {
			if got, want := give(c), Identify(step.key, c); got != want {
				t.Errorf("%s: %s is %v, want %v", step.sentence, c.UID, got, want)
			}
		}
		done()
		if n := len(remembered.rooms["room"]); n != len(step.guests) {
			t.Errorf("%s: %d identities are remembered, want %d", step.sentence, n, len(step.guests))
		}
	}
	remembered.forget("room")
	if len(remembered.rooms) != 0 {
		t.Error("the room that is gone is remembered")
	}
}
