package rpc

import (
	"testing"
	"testing/synctest"
)

func TestRequestsWaitInOrderWithinTheLimit(t *testing.T) {
	b := newBacklog()
	for i := range maxPending {
		if !b.push(request{Method: string(rune('a' + i%26))}) {
			t.Fatalf("request %d is refused", i)
		}
	}
	if b.push(request{}) {
		t.Error("more than maxPending wait")
	}
	b.end()
	for i := range maxPending {
		if r, more := b.next(); !more || r.Method != string(rune('a'+i%26)) {
			t.Fatalf("request %d is %q, %v", i, r.Method, more)
		}
	}
	if _, more := b.next(); more {
		t.Error("there is more after the end")
	}
}

func TestTheWorkerWaitsForRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBacklog()
		var done []string
		go func() {
			for r, more := b.next(); more; r, more = b.next() {
				done = append(done, r.Method)
			}
			done = append(done, "end")
		}()
		for _, step := range []func(){func() { b.push(request{Method: "1"}) }, func() { b.push(request{Method: "2"}) }, b.end} {
			synctest.Wait()
			step()
		}
		synctest.Wait()
		if len(done) != 3 || done[0] != "1" || done[1] != "2" || done[2] != "end" {
			t.Errorf("it did %v", done)
		}
	})
}
