package standby

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"mediarooms.dev/mediarooms/mediapod/peer"
)

// record is what lies between clients and pods, and keeps what the pods send, in the order in
// which it was seen. Each client is known to all pods by one address, which anybody may send to, as
// behind a full-cone NAT: some clients check an address only when they are checked from there.
//
//	client == tap of a pod -- the client's way -- pod
type record struct {
	mu      sync.Mutex // guards the fields below
	seen    []sent
	taps    map[netip.AddrPort]*tap // by where the pod listens
	ways    map[netip.AddrPort]*net.UDPConn
	running sync.WaitGroup
}

// newRecord makes one. Its ways are closed at the end of the test.
func newRecord(t *testing.T) *record {
	r := &record{taps: map[netip.AddrPort]*tap{}, ways: map[netip.AddrPort]*net.UDPConn{}}
	t.Cleanup(func() {
		r.mu.Lock()
		for _, way := range r.ways {
			_ = way.Close()
		}
		r.mu.Unlock()
		r.running.Wait()
	})
	return r
}

// sent is a packet that a pod has sent.
type sent struct {
	pod    string
	client netip.AddrPort
	packet []byte
}

// isProtected says whether a packet is SRTP or SRTCP (RFC 7983).
func isProtected(packet []byte) bool { return len(packet) > 11 && packet[0]>>6 == 2 }

// isControl says whether it is SRTCP (RFC 5761).
func isControl(packet []byte) bool { return packet[1] >= 192 && packet[1] < 224 }

func (r *record) keep(pod string, client netip.AddrPort, packet []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, sent{pod, client, slices.Clone(packet)})
}

// media is how many packets of media a pod has sent so far.
func (r *record) media(pod string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.seen {
		if s.pod == pod && !isControl(s.packet) {
			n++
		}
	}
	return n
}

// lostOf is of how many packets of media one does not arrive, so that some is sent again.
const lostOf = 60

// tap is the address by which clients reach a pod.
type tap struct {
	record *record
	pod    string
	at     netip.AddrPort // where the pod listens
	socket *net.UDPConn
	cut    atomic.Bool // nothing passes
	count  atomic.Int64
}

// tap makes a tap of a pod, until the end of the test.
func (r *record) tap(t *testing.T, pod string, port uint16) *tap {
	t.Helper()
	a := &tap{record: r, pod: pod, at: netip.AddrPortFrom(loopback, port)}
	var err error
	if a.socket, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0))); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.taps[a.at] = a
	r.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.toPod()
	}()
	t.Cleanup(func() {
		_ = a.socket.Close()
		<-ended
	})
	return a
}

var loopback = netip.MustParseAddr("127.0.0.1")

// addresses are those that clients are told of.
func (a *tap) addresses() []peer.Address {
	return []peer.Address{{IP: a.at.Addr(), UDPPort: uint16(a.port())}}
}

func (a *tap) port() int32 { return int32(a.socket.LocalAddr().(*net.UDPAddr).Port) }

// toPod passes on what clients send.
func (a *tap) toPod() {
	packet := make([]byte, 2048)
	for {
		n, client, err := a.socket.ReadFromUDPAddrPort(packet)
		if err != nil {
			return // it is closed
		}
		if a.cut.Load() {
			continue
		}
		if way := a.record.way(client); way != nil {
			_, _ = way.WriteToUDPAddrPort(packet[:n], a.at) // the pod may be gone
		}
	}
}

// way returns the socket by which a client is known to pods.
func (r *record) way(client netip.AddrPort) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if way := r.ways[client]; way != nil {
		return way
	}
	way, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		return nil
	}
	r.ways[client] = way
	r.running.Go(func() { r.toClient(way, client) })
	return way
}

// client returns which client is at an address, as pods see it.
func (r *record) client(seen netip.AddrPort) (netip.AddrPort, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for client, way := range r.ways {
		if way.LocalAddr().(*net.UDPAddr).AddrPort() == seen {
			return client, true
		}
	}
	return netip.AddrPort{}, false
}

// toClient passes on what pods send to a client.
func (r *record) toClient(way *net.UDPConn, client netip.AddrPort) {
	packet := make([]byte, 2048)
	for {
		n, from, err := way.ReadFromUDPAddrPort(packet)
		if err != nil {
			return // it is closed
		}
		r.mu.Lock()
		a := r.taps[from]
		r.mu.Unlock()
		if a != nil {
			a.pass(packet[:n], client)
		}
	}
}

// pass passes on what the pod sends to a client, and keeps it, unless it gets lost.
func (a *tap) pass(packet []byte, client netip.AddrPort) {
	if isProtected(packet) {
		a.record.keep(a.pod, client, packet)
		if !isControl(packet) && a.count.Add(1)%lostOf == 0 {
			return
		}
	}
	if !a.cut.Load() {
		_, _ = a.socket.WriteToUDPAddrPort(packet, client) // the client may be gone
	}
}
