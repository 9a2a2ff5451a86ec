package peer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"

	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

func newMux(t *testing.T) *udpMux {
	t.Helper()
	sockets, err := transport.Listen(netip.MustParseAddr("127.0.0.1"), 0, -1, &logging.DefaultLoggerFactory{})
	if err != nil {
		t.Fatal(err)
	}
	m := newUDPMux(sockets, int(sockets.UDP.Port()), func() (v4, v6 bool) { return true, true })
	t.Cleanup(func() {
		if err := errors.Join(m.Close(), sockets.Close()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *udpMux) flow(t *testing.T, fragment string, family int) *flow {
	t.Helper()
	conn, err := m.GetConn(fragment, m.GetListenAddresses()[family])
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*flow)
}

func check(t *testing.T, name string) []byte {
	t.Helper()
	message, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(name))
	if err != nil {
		t.Fatal(err)
	}
	return message.Raw
}

func TestAFlowGetsItsChecksAndThenAllFromWhereItHasAnswered(t *testing.T) {
	m := newMux(t)
	v4, v6 := m.flow(t, "us", 0), m.flow(t, "us", 1)
	other := m.flow(t, "others", 0)
	at := netip.MustParseAddrPort("127.0.0.1:9")
	media := []byte{128, 96, 1, 2}
	m.deliver(media, at) // from nobody yet
	m.deliver(check(t, "nobody:them"), at)
	m.deliver([]byte{0}, at)
	m.deliver(check(t, "us:them"), at)
	m.deliver(check(t, "us:them"), netip.MustParseAddrPort("[2001:db8::1]:9"))
	if len(v4.queue) != 1 || len(v6.queue) != 1 || len(other.queue) != 0 {
		t.Fatalf("%d, %d and %d packets wait, want 1, 1 and 0", len(v4.queue), len(v6.queue), len(other.queue))
	}
	b := make([]byte, 1500)
	if _, from, err := v4.ReadFrom(b); err != nil || from.String() != at.String() {
		t.Errorf("a check from %v: %v", from, err)
	}
	if _, err := v4.WriteTo(media, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(at.Addr().As16()), at.Port()))); err != nil {
		t.Fatal(err)
	}
	m.deliver(media, at)
	if n, from, err := v4.ReadFromAddrPort(b); err != nil || n != len(media) || from != at {
		t.Errorf("%d bytes from %v: %v", n, from, err)
	}
	// Whom it has answered last has the address.
	if _, err := other.WriteToAddrPort(media, at); err != nil {
		t.Fatal(err)
	}
	m.deliver(media, at)
	m.deliver(check(t, "us:them"), at)
	if len(v4.queue) != 1 || len(other.queue) != 1 {
		t.Errorf("%d and %d packets wait, want 1 and 1", len(v4.queue), len(other.queue))
	}
}

func TestWhatAFlowHoldsIsBounded(t *testing.T) {
	m := newMux(t)
	f := m.flow(t, "us", 0)
	for port := range uint16(100) {
		if _, err := f.WriteToAddrPort([]byte("a packet"), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 20000+port)); err != nil {
			t.Fatal(err)
		}
	}
	known := 0
	for port := range uint16(100) {
		if m.byAddress.Peer(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 20000+port)) == f {
			known++
		}
	}
	if known != 16 {
		t.Errorf("%d addresses are known", known)
	}
	for range 2 * flowPackets {
		m.deliver([]byte("a packet"), netip.MustParseAddrPort("127.0.0.1:20099"))
	}
	if len(f.queue) != flowPackets {
		t.Errorf("%d packets wait", len(f.queue))
	}
}

func TestAClosedFlow(t *testing.T) {
	for how, shut := range map[string]func(m *udpMux, f *flow) error{
		"the flow is closed":      func(_ *udpMux, f *flow) error { return f.Close() },
		"the agent is removed":    func(m *udpMux, _ *flow) error { m.RemoveConnByUfrag("us"); return nil },
		"the whole mux is closed": func(m *udpMux, _ *flow) error { return m.Close() },
	} {
		t.Run(how, func(t *testing.T) {
			m := newMux(t)
			f := m.flow(t, "us", 0)
			if _, err := m.GetConn("us", m.GetListenAddresses()[0]); !errors.Is(err, errFlowExists) {
				t.Errorf("another one: %v", err)
			}
			at := netip.MustParseAddrPort("127.0.0.1:9")
			if _, err := f.WriteToAddrPort([]byte("a packet"), at); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				_, _, err := f.ReadFromAddrPort(make([]byte, 100))
				ended <- err
			}()
			if err := shut(m, f); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("reading: %v", err)
			}
			if _, err := f.WriteToAddrPort([]byte("a packet"), netip.MustParseAddrPort("127.0.0.1:10")); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("writing: %v", err)
			}
			m.deliver([]byte("a packet"), at)
			if len(m.byName) != 0 || m.byAddress.Peer(at) != nil {
				t.Errorf("%d names are left, and at %v is %v", len(m.byName), at, m.byAddress.Peer(at))
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func BenchmarkDelivery(b *testing.B) {
	m := newUDPMux(nil, 0, nil)
	f := &flow{mux: m, queue: make(chan *datagram, flowPackets), done: make(chan struct{})}
	at := netip.MustParseAddrPort("127.0.0.1:9")
	m.byAddress.Add(f, at)
	packet, buffer := make([]byte, 1200), make([]byte, 1500)
	b.ReportAllocs()
	for b.Loop() {
		m.deliver(packet, at)
		if n, _, err := f.ReadFromAddrPort(buffer); err != nil || n != len(packet) {
			b.Fatal(fmt.Errorf("%d bytes: %w", n, err))
		}
	}
}
