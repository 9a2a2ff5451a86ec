package peer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

// flowPackets is how many packets wait for a publisher's agent at most; what is beyond is lost.
const flowPackets = 512

// udpMux gives the ICE agents of pion/webrtc their share of the media socket. An agent has a flow for each address family; its own are the connectivity checks
// that name it, and all else from addresses that it has answered.
type udpMux struct {
	sockets  *transport.Sockets
	port     int
	families func() (v4, v6 bool)

	mu        sync.RWMutex // guards the fields below
	byName    map[flowName]*flow
	byAddress transport.AddressBook[*flow] // that agents have written to
	closed    bool
}

type flowName struct {
	fragment string // of the agent's ICE user name
	v6       bool
}

var _ ice.UDPMux = (*udpMux)(nil)

func newUDPMux(sockets *transport.Sockets, port int, families func() (v4, v6 bool)) *udpMux {
	return &udpMux{
		sockets: sockets, port: port, families: families, byName: map[flowName]*flow{}, byAddress: transport.NewAddressBook[*flow](),
	}
}

// deliver hands a packet to the agent that it is for. It does not keep it.
func (m *udpMux) deliver(packet []byte, from netip.AddrPort) {
	f := m.flowOf(packet, from)
	if f == nil {
		return
	}
	if packet = f.guest.Filter(packet); len(packet) == 0 { // not under m.mu: what is read of RTCP may be answered by the same flow
		return
	}
	d := datagrams.Get().(*datagram)
	d.from, d.bytes = from, append(d.bytes[:0], packet...)
	select {
	case f.queue <- d:
	default:
		datagrams.Put(d)
	}
}

// flowOf returns the flow that a packet is for, nil when it is for nobody.
func (m *udpMux) flowOf(packet []byte, from netip.AddrPort) *flow {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if stun.IsMessage(packet) { // a new connection may have the address of one whose end was not noticed
		if f := m.byName[flowName{fragment: transport.CheckedName(packet), v6: from.Addr().Is6()}]; f != nil {
			return f
		}
	}
	return m.byAddress.Peer(from)
}

// GetListenAddresses is what ICE agents take for the local addresses: the internal addresses of the families that are advertised.
func (m *udpMux) GetListenAddresses() []net.Addr {
	var addresses []net.Addr
	for _, ip := range internalIPs(m.families()) {
		addresses = append(addresses, &net.UDPAddr{IP: ip, Port: m.port})
	}
	return addresses
}

var errFlowExists = errors.New("there is one already")

// GetConn makes the flow of the agent with a user name fragment, for the family of a listen address.
func (m *udpMux) GetConn(fragment string, address net.Addr) (net.PacketConn, error) {
	local, ok := address.(*net.UDPAddr)
	f := &flow{
		mux: m, queue: make(chan *datagram, flowPackets), done: make(chan struct{}), name: flowName{fragment: fragment, v6: ok && local.IP.To4() == nil},
		guest: m.sockets.Guest(fragment),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("making flow: %w", net.ErrClosed)
	}
	if m.byName[f.name] != nil {
		return nil, fmt.Errorf("making flow: %w", errFlowExists)
	}
	m.byName[f.name] = f
	return f, nil
}

// RemoveConnByUfrag closes the flows of an agent.
func (m *udpMux) RemoveConnByUfrag(fragment string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v6 := range []bool{false, true} {
		if f := m.byName[flowName{fragment: fragment, v6: v6}]; f != nil {
			m.remove(f)
		}
	}
}

// Close closes all flows. The socket is its owner's.
func (m *udpMux) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, f := range m.byName {
		m.remove(f)
	}
	return nil
}

// remove closes a flow. The caller holds m.mu.
func (m *udpMux) remove(f *flow) {
	if m.byName[f.name] != f {
		return // closed already
	}
	delete(m.byName, f.name)
	m.byAddress.Remove(f)
	close(f.done)
}

// learn notes that an agent talks to an address.
func (m *udpMux) learn(f *flow, address netip.AddrPort) error {
	m.mu.RLock()
	known := m.byAddress.Peer(address) == f
	m.mu.RUnlock()
	if known {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byName[f.name] != f {
		return io.ErrClosedPipe // by which pion knows that nothing more can be sent
	}
	m.sockets.Forget(address)
	m.byAddress.Add(f, address)
	return nil
}

// flow is the packets of one agent.
type flow struct {
	mux   *udpMux
	name  flowName
	guest *transport.Guest // nil for an agent that may get everything
	queue chan *datagram
	done  chan struct{} // closed when the flow is
}

var (
	_ net.PacketConn           = (*flow)(nil)
	_ ice.AddrPortReaderWriter = (*flow)(nil)
)

// datagram is a packet that waits to be read.
type datagram struct {
	from  netip.AddrPort
	bytes []byte
}

var datagrams = sync.Pool{New: func() any { return &datagram{bytes: make([]byte, 0, packetBytes)} }}

// ReadFromAddrPort waits for the next packet.
func (f *flow) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	var d *datagram
	select {
	case d = <-f.queue:
	case <-f.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
	defer datagrams.Put(d)
	return copy(b, d.bytes), d.from, nil
}

// WriteToAddrPort sends a packet.
func (f *flow) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if err := f.mux.learn(f, to); err != nil {
		return 0, err
	}
	return f.mux.sockets.UDP.WriteToAddrPort(b, to)
}

// ReadFrom is ReadFromAddrPort.
func (f *flow) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := f.ReadFromAddrPort(b)
	return n, net.UDPAddrFromAddrPort(from), err
}

// WriteTo is WriteToAddrPort.
func (f *flow) WriteTo(b []byte, to net.Addr) (int, error) {
	address, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("writing to %v: %w", to, errors.ErrUnsupported)
	}
	return f.WriteToAddrPort(b, address.AddrPort())
}

// Close ends reading. It is idempotent.
func (f *flow) Close() error {
	f.mux.mu.Lock()
	defer f.mux.mu.Unlock()
	f.mux.remove(f)
	return nil
}

// LocalAddr is the unspecified address with the port of the media socket.
func (f *flow) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv6unspecified, Port: f.mux.port}
}

// SetDeadline does nothing: pion sets deadlines only before it closes.
func (f *flow) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (f *flow) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: writing does not wait for long.
func (f *flow) SetWriteDeadline(time.Time) error { return nil }
