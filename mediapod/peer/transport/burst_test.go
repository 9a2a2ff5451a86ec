package transport

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/logging"
	"golang.org/x/sys/unix"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

func quiet() logging.LoggerFactory {
	return &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
}

func newSockets(t testing.TB, ip string) *Sockets {
	t.Helper()
	s, err := Listen(netip.MustParseAddr(ip), 0, 0, quiet(), func(netip.Prefix, error) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// receiver is a plain UDP socket.
func newReceiver(t testing.TB, ip string) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadBuffer(4 << 20)
	return conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// receive returns the next n packets.
func receive(t testing.TB, conn *net.UDPConn, n int) [][]byte {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	var packets [][]byte
	for range n {
		b := make([]byte, 65536)
		size, err := conn.Read(b)
		if err != nil {
			t.Fatalf("after %d of %d packets: %v", len(packets), n, err)
		}
		packets = append(packets, b[:size])
	}
	return packets
}

// fill makes a burst of packets of the given sizes; each is full of its number.
func fill(sizes ...int) *burst {
	b := newBurst()
	for i, size := range sizes {
		b.data = append(b.data, bytes.Repeat([]byte{byte(i)}, size)...)
		b.sizes = append(b.sizes, size)
	}
	return b
}

func (b *burst) packets() [][]byte {
	var all [][]byte
	start := 0
	for _, size := range b.sizes {
		all = append(all, b.data[start:start+size])
		start += size
	}
	return all
}

func TestRuns(t *testing.T) {
	for _, c := range []struct {
		sizes []int
		runs  []int
	}{
		{[]int{5}, []int{1}},
		{[]int{5, 5, 5}, []int{3}},
		{[]int{5, 5, 4}, []int{3}},
		{[]int{5, 4, 4}, []int{2, 1}},
		{[]int{4, 5, 5}, []int{1, 2}},
		{[]int{40000, 20000, 20000}, []int{2, 1}},
		{[]int{30000, 30000, 30000}, []int{2, 1}},
	} {
		b := fill(c.sizes...)
		var runs []int
		for i := 0; i < len(b.sizes); {
			n, _ := b.run(i)
			runs = append(runs, n)
			i += n
		}
		if !slices.Equal(runs, c.runs) {
			t.Errorf("sizes %v make runs of %v, want %v", c.sizes, runs, c.runs)
		}
	}
}

func TestABurstArrivesPacketByPacketInOrder(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		for _, segments := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, segments %v", ip, segments), func(t *testing.T) {
				s := newSockets(t, ip)
				if segments && !s.UDP.segments.Load() {
					t.Fatal("this kernel makes no segments")
				}
				s.UDP.segments.Store(segments)
				conn, to := newReceiver(t, ip)
				for _, sizes := range [][]int{
					{100}, {1200, 1200, 1200, 1200, 1200, 700}, {1000, 1200, 1200, 1100, 1200}, {10, 20, 30, 20, 10, 10},
					slices.Repeat([]int{1200}, sfu.MaxBurst),
				} {
					b := fill(sizes...)
					if n := s.UDP.writeBurst(b, to); n != len(sizes) {
						t.Fatalf("%d of %d packets were taken", n, len(sizes))
					}
					if got := receive(t, conn, len(sizes)); !slices.EqualFunc(got, b.packets(), bytes.Equal) {
						t.Errorf("packets of %v bytes come in other sizes, or another order", sizes)
					}
				}
			})
		}
	}
}

func TestManyFlowsKeepTheirOrder(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	const flows, rounds = 8, 50
	var senders sync.WaitGroup
	var receivers []*net.UDPConn
	for range flows {
		conn, to := newReceiver(t, "127.0.0.1")
		receivers = append(receivers, conn)
		senders.Go(func() {
			for range rounds {
				s.UDP.writeBurst(fill(1000, 1000, 1000, 1000, 900), to)
			}
		})
	}
	senders.Wait()
	for flow, conn := range receivers {
		for i, packet := range receive(t, conn, rounds*5) {
			if int(packet[0]) != i%5 {
				t.Fatalf("flow %d: packet %d is number %d of its burst", flow, i, packet[0])
			}
		}
	}
}

func TestPacketsThatAreTooLargeDoNotKeepTheOthers(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	conn, to := newReceiver(t, "127.0.0.1")
	b := fill(200, 200, 200)
	// The kernel refuses segments above the route's MTU, which is 65536 on loopback, and packets
	// above 65507 bytes.
	b.data = append(b.data, make([]byte, 70000)...)
	b.sizes = append(b.sizes, 70000)
	b.data = append(b.data, 9, 9, 9)
	b.sizes = append(b.sizes, 3)
	if n := s.UDP.writeBurst(b, to); n != 4 {
		t.Errorf("%d packets were taken, want 4", n)
	}
	got := receive(t, conn, 4)
	for i, size := range []int{200, 200, 200, 3} {
		if len(got[i]) != size {
			t.Errorf("packet %d has %d bytes, want %d", i, len(got[i]), size)
		}
	}
}

func TestAnErrorOfOneBurstDoesNotEndSegments(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	_, to := newReceiver(t, "127.0.0.1")
	b := fill(1000, 1000, 500)
	if err := s.UDP.writeSegments(b, make([]byte, 66000), 1000, to); err == nil {
		t.Fatal("66000 bytes were taken at once")
	}
	if !s.UDP.segments.Load() {
		t.Error("segments are not tried any more")
	}
}

func TestAClosedSocketTakesNothing(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	_, to := newReceiver(t, "127.0.0.1")
	if err := s.UDP.close(); err != nil {
		t.Fatal(err)
	}
	if n := s.UDP.writeBurst(fill(100, 100, 100), to); n != 0 {
		t.Errorf("%d packets were taken", n)
	}
	if _, err := s.UDP.WriteToAddrPort([]byte("a packet"), to); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing one: %v", err)
	}
}

func TestWritingDoesNotAllocate(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	_, to := newReceiver(t, "127.0.0.1")
	for _, sizes := range [][]int{{1000, 1000, 1000, 900}, {900, 1000}} {
		b := fill(sizes...)
		if n := testing.AllocsPerRun(1000, func() { s.UDP.writeBurst(b, to) }); n != 0 {
			t.Errorf("%v allocations for packets of %v", n, sizes)
		}
	}
	packet := []byte("a packet")
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.UDP.WriteToAddrPort(packet, to) }); n != 0 {
		t.Errorf("%v allocations for one packet", n)
	}
}

func TestWhatTheKernelDoesNotSegmentGoesPacketByPacket(t *testing.T) {
	s := newSockets(t, "127.0.0.1")
	conn, to := newReceiver(t, "127.0.0.1")
	var err error
	_ = s.UDP.raw.Control(func(fd uintptr) { // without checksums segments are refused (udp_send_skb in Linux)
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	b := fill(1000, 1000, 500)
	if err := s.UDP.writeSegments(b, b.data, 1000, to); err == nil {
		t.Fatal("segments without checksums were taken")
	}
	if n := s.UDP.writeBurst(b, to); n != 3 {
		t.Errorf("%d packets were taken", n)
	}
	if got := receive(t, conn, 3); !slices.EqualFunc(got, b.packets(), bytes.Equal) {
		t.Error("other packets came")
	}
}
