package changed

import (
	"slices"
	"testing"
)

func TestSet(t *testing.T) {
	s := NewSet()
	signalled := func() bool {
		select {
		case <-s.Signal():
			return true
		default:
			return false
		}
	}
	if signalled() || len(s.Take()) != 0 {
		t.Error("an empty set has something to say")
	}
	for _, id := range []string{"b", "a", "b"} {
		s.Mark(id)
	}
	if !signalled() {
		t.Error("nobody is told")
	}
	s.Mark("c") // after the signal was read
	if got := s.Take(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %q", got)
	}
	if signalled() || len(s.Take()) != 0 {
		t.Error("what was taken is told again")
	}
}
