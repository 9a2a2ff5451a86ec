package creation

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMilliseconds(t *testing.T) {
	created := time.Unix(1700000000, 0)
	object := &metav1.ObjectMeta{UID: "a", CreationTimestamp: metav1.NewTime(created)}
	plain := Milliseconds(object)
	if plain < created.UnixMilli() || plain >= created.UnixMilli()+1000 || plain != Milliseconds(object) {
		t.Errorf("an object without the annotation was created at %d", plain)
	}
	object.Annotations = Stamp(time.UnixMilli(1700000000123))
	if got := Milliseconds(object); got != 1700000000123 {
		t.Errorf("an object with the annotation was created at %d", got)
	}
	for _, value := range []string{"", "x", "-1", "1e3"} {
		object.Annotations[Annotation] = value
		if got := Milliseconds(object); got != plain {
			t.Errorf("with the annotation %q it was created at %d, want %d", value, got, plain)
		}
	}
}
