package signalling

import (
	"testing"
	"testing/synctest"
)

func TestRequestsWaitInOrderWithinTheLimit(t *testing.T) {
	b := newBacklog()
	for i := range maxPending {
		if !b.push(Request{Content: string(rune('a' + i%26))}) {
			t.Fatalf("request %d is refused", i)
		}
	}
	if b.push(Request{}) {
		t.Error("more than maxPending wait")
	}
	b.end()
	for i := range maxPending {
		if r, more := b.next(); !more || r.Content != string(rune('a'+i%26)) {
			t.Fatalf("request %d is %q, %v", i, r.Content, more)
		}
	}
	if _, more := b.next(); more {
		t.Error("there is more after the end")
	}
}

func TestTheWorkerWaitsForRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBacklog()
		var done []any
		go func() {
			for r, more := b.next(); more; r, more = b.next() {
				done = append(done, r.Content)
			}
			done = append(done, "end")
		}()
		for _, step := range []func(){func() { b.push(Request{Content: "1"}) }, func() { b.push(Request{Content: "2"}) }, b.end} {
			synctest.Wait()
			step()
		}
		synctest.Wait()
		if len(done) != 3 || done[0] != "1" || done[1] != "2" || done[2] != "end" {
			t.Errorf("it did %v", done)
		}
	})
}
