package recent

import "testing"

func TestASetForgetsItsOldestMembers(t *testing.T) {
	s := NewSet[int](3)
	want := func(sentence string, members ...int) {
		t.Helper()
		if s.Len() != len(members) {
			t.Errorf("%s: there are %d members", sentence, s.Len())
		}
		for _, member := range members {
			if !s.Has(member) {
				t.Errorf("%s: %d is not there", sentence, member)
			}
		}
	}
	for member := range 4 {
		s.Add(member)
	}
	want("the fourth takes the place of the first", 1, 2, 3)
	s.Add(1)
	s.Add(4)
	want("who is added again gets no younger", 2, 3, 4)
	s.Remove(3)
	s.Remove(3)
	s.Remove(0)
	want("only who is there can be removed", 2, 4)
	s.Add(3)
	s.Add(5)
	want("who comes back is new", 4, 3, 5)
}
