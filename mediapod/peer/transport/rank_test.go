package transport

import "testing"

// A peer keeps the candidates of a process in reserve only if they are better than all of the one
// that serves it, and the order is ours only while they are worse than the peer's own: the worst of
// a browser's are those for TCP.
func TestTheNextProcessIsPreferred(t *testing.T) {
	const worstOfBrowsers, addresses = 1518280447, 100
	for rank := range MaxRank + 1 {
		if rank.Priority(true, 0) >= rank.Priority(false, addresses) {
			t.Errorf("rank %d prefers TCP", rank)
		}
		if rank.Priority(false, 0) >= worstOfBrowsers {
			t.Errorf("rank %d is above a browser's own candidates", rank)
		}
		if next := rank + 1; next <= MaxRank && next.Priority(true, addresses) <= rank.Priority(false, 0) {
			t.Errorf("TCP of rank %d is not above UDP of the one before", next)
		}
		if err := rank.check(); err != nil {
			t.Error(err)
		}
	}
	if err := (MaxRank + 1).check(); err == nil {
		t.Error("there is a rank above the highest")
	}
}
