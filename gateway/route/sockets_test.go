package route

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestSocketsAreBounded(t *testing.T) {
	ann, bob := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	s := newSockets(3, 2)
	open := func(client netip.Prefix, want refusal) func() {
		t.Helper()
		_, done, reason := s.add(t.Context(), client)
		if reason != want {
			t.Fatalf("add = %q, want %q", reason, want)
		}
		return done
	}
	first := open(ann, "")
	open(ann, "")
	open(ann, refusedAddress)
	open(bob, "")
	open(bob, refusedTotal)
	first()
	open(bob, "")
	open(ann, refusedTotal)
	if len(s.open) != 3 || s.perAddress[ann] != 1 || s.perAddress[bob] != 2 {
		t.Errorf("open %d, per address %v", len(s.open), s.perAddress)
	}
}

func TestDrainEndsSocketsEvenlyAndTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSockets(0, 0)
		client := netip.MustParsePrefix("192.0.2.1/32")
		began := time.Now()
		ended := make(chan time.Duration, 4)
		for range 4 {
			ctx, done, _ := s.add(t.Context(), client)
			go func() {
				<-ctx.Done()
				ended <- time.Since(began)
				done()
			}()
		}
		s.drain(t.Context(), 4*time.Second)
		for i := range 4 {
			if got, want := <-ended, time.Duration(i+1)*time.Second; got != want {
				t.Errorf("socket %d ended after %v, want %v", i, got, want)
			}
		}
		if _, _, reason := s.add(t.Context(), client); reason != refusedStopping {
			t.Errorf("add after drain = %q, want %q", reason, refusedStopping)
		}
		if len(s.perAddress) != 0 {
			t.Errorf("addresses left: %v", s.perAddress)
		}
	})
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSockets(0, 0)
		// This socket never ends.
		socket, _, _ := s.add(t.Context(), netip.MustParsePrefix("192.0.2.1/32"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		s.drain(ctx, time.Hour)
		if got := time.Since(began); got != time.Second {
			t.Errorf("drain took %v, want 1s", got)
		}
		if socket.Err() == nil {
			t.Error("the socket was not told to end")
		}
	})
}
