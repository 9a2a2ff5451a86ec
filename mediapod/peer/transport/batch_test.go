package transport

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

type received struct {
	packet []byte
	from   netip.AddrPort
}

// collect collects what comes.
func collect(s *Sockets, room int) <-chan received {
	c := make(chan received, room)
	s.serving.Go(func() {
		_ = s.UDP.serve(func(packet []byte, from netip.AddrPort) { c <- received{bytes.Clone(packet), from} })
	})
	return c
}

func next(t *testing.T, c <-chan received) received {
	t.Helper()
	select {
	case r := <-c:
		return r
	case <-time.After(5 * time.Second):
		t.Fatal("nothing came")
		return received{}
	}
}

func TestAllPacketsAreReadInOrderWithTheirAddress(t *testing.T) {
	for _, test := range []struct{ listen, peer string }{{"127.0.0.1", "127.0.0.1"}, {"::", "127.0.0.1"}, {"::", "::1"}} {
		t.Run(test.listen+" from "+test.peer, func(t *testing.T) {
			const packets = 5*batchPackets + 3
			s := newSockets(t, test.listen)
			to := netip.AddrPortFrom(netip.MustParseAddr(test.peer), s.UDP.Port())
			peer, address := newReceiver(t, test.peer)
			send := func(b []byte) {
				t.Helper()
				if _, err := peer.WriteToUDPAddrPort(b, to); err != nil {
					t.Fatal(err)
				}
			}
			for i := range packets { // before anybody reads, so that batches are full
				send(fmt.Appendf(nil, "packet %d", i))
			}
			c := collect(s, packets)
			for i := range packets {
				if r := next(t, c); string(r.packet) != fmt.Sprintf("packet %d", i) || r.from != address {
					t.Fatalf("packet %d is %q from %v, want it from %v", i, r.packet, r.from, address)
				}
			}
			for i := range 100 { // one at a time: each has to wake the reader
				send([]byte{byte(i)})
				if r := next(t, c); len(r.packet) != 1 || r.packet[0] != byte(i) {
					t.Fatalf("%v came, want %d", r.packet, i)
				}
			}
			send(make([]byte, maxReceived+1))
			send(make([]byte, maxReceived))
			if r := next(t, c); len(r.packet) != maxReceived {
				t.Errorf("%d bytes came", len(r.packet))
			}
		})
	}
}

// Packets wake the reader or are found by it, whatever lies between them.
func TestNoArrivalIsMissed(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.UDP.Port())
	peer, _ := newReceiver(t, "127.0.0.1")
	c := collect(s, 1)
	for i := range 500 {
		if _, err := peer.WriteToUDPAddrPort([]byte{byte(i)}, to); err != nil {
			t.Fatal(err)
		}
		if r := next(t, c); r.packet[0] != byte(i) {
			t.Fatalf("%v came, want %d", r.packet, i)
		}
		<-time.After(time.Duration(i%50) * lookInterval / 16)
	}
}

func TestWhoReadsIsIdleWhenNothingMoreWaits(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.UDP.Port())
	peer, _ := newReceiver(t, "127.0.0.1")
	const packets = 3*batchPackets + 1
	for range packets {
		if _, err := peer.WriteToUDPAddrPort([]byte("a packet"), to); err != nil {
			t.Fatal(err)
		}
	}
	var idle []bool
	n, err := s.UDP.drain(newBatch(), func([]byte, netip.AddrPort) { idle = append(idle, s.Idle()) })
	if err != nil || n != packets {
		t.Fatal(n, err)
	}
	for i, is := range idle {
		if want := i >= 3*batchPackets; is != want {
			t.Errorf("packet %d: idle %v, want %v", i, is, want)
		}
	}
	s.UDP.fullAt.Store(time.Now().UnixNano())
	if s.Idle() {
		t.Error("idle just after there was no room")
	}
	s.UDP.fullAt.Store(time.Now().Add(-fullTime - time.Millisecond).UnixNano())
	if !s.Idle() {
		t.Error("not idle a while after there was no room")
	}
}

func TestClosingEndsTheReader(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	s.Serve()
	if err := s.Close(); err != nil { // it waits for the reader
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestReceivingDoesNotAllocate(t *testing.T) {
	s := newSockets(t, "::")
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.UDP.Port())
	peer, _ := newReceiver(t, "127.0.0.1")
	b := newBatch()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := peer.WriteToUDPAddrPort([]byte("a packet"), to); err != nil {
			t.Fatal(err)
		}
		if err := s.UDP.raw.Control(b.run); err != nil || b.err != nil || b.received != 1 {
			t.Fatal(err, b.err, b.received)
		}
		b.packet(0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
