package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/transport/v4"
)

// The agents of pion/ice name each local candidate by an address. What we listen on is known to them by these two
// documentation addresses (RFC 5737, RFC 3849) only; the addresses that peers are told are written into the SDP by us.
var (
	internalV4 = net.IPv4(192, 0, 2, 1).To4()
	internalV6 = net.ParseIP("2001:db8::1")
)

const (
	socketBuffer = 4 << 20 // bytes; the kernel may grant less

	// Limits on ICE-TCP.
	maxTCPConns     = 2048
	firstPacketWait = 10 * time.Second
	tcpWriteBuffer  = 1 << 20 // bytes per connection; what does not fit is lost, as on UDP
	tcpReadPackets  = 64
)

// ports are the sockets of an engine: one for UDP and one for TCP, for all peer connections.
type ports struct {
	udp *udpMux
	tcp ice.TCPMux // nil without ICE-TCP
	net fixedNet
	// tcpPort is 0 without ICE-TCP.
	udpPort, tcpPort uint16
}

// listen opens the sockets. A port of 0 is any free one; with a negative tcpPort there is no ICE-TCP.
func listen(ip netip.Addr, udpPort, tcpPort int, families func() (v4, v6 bool), logs logging.LoggerFactory) (*ports, error) {
	host := ""
	if ip.IsValid() {
		host = ip.String()
	}
	conn, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", net.JoinHostPort(host, fmt.Sprint(udpPort)))
	if err != nil {
		return nil, fmt.Errorf("listening for media: %w", err)
	}
	udp := conn.(*net.UDPConn)
	// Smaller buffers lose packets in bursts, no more.
	_ = udp.SetReadBuffer(socketBuffer)
	_ = udp.SetWriteBuffer(socketBuffer)
	p := &ports{
		net:     fixedNet{families: families},
		udpPort: uint16(udp.LocalAddr().(*net.UDPAddr).Port),
	}
	if tcpPort >= 0 {
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(host, fmt.Sprint(tcpPort)))
		if err != nil {
			_ = udp.Close()
			return nil, fmt.Errorf("listening for media over TCP: %w", err)
		}
		p.tcpPort = uint16(listener.Addr().(*net.TCPAddr).Port)
		p.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener:                     &tcpListener{Listener: listener},
			Logger:                       logs.NewLogger("ice-tcp"),
			ReadBufferSize:               tcpReadPackets,
			WriteBufferSize:              tcpWriteBuffer,
			FirstStunBindTimeout:         firstPacketWait,
			AliveDurationForConnFromStun: firstPacketWait,
		})
	}
	p.udp = &udpMux{
		UDPMuxDefault: ice.NewUDPMuxDefault(ice.UDPMuxParams{
			Logger:  logs.NewLogger("ice-udp"),
			UDPConn: &udpSocket{UDPConn: udp},
			Net:     p.net,
		}),
		port:     int(p.udpPort),
		families: families,
	}
	return p, nil
}

func (p *ports) close() error {
	err := p.udp.Close()
	if p.tcp != nil {
		err = errors.Join(err, p.tcp.Close())
	}
	return err
}

// udpMux names its socket to ICE agents by the internal addresses of the families that are advertised.
type udpMux struct {
	*ice.UDPMuxDefault
	port     int
	families func() (v4, v6 bool)
}

// GetListenAddresses is what ICE agents take for the local addresses.
func (m *udpMux) GetListenAddresses() []net.Addr {
	var addresses []net.Addr
	for _, ip := range internalIPs(m.families()) {
		addresses = append(addresses, &net.UDPAddr{IP: ip, Port: m.port})
	}
	return addresses
}

func internalIPs(v4, v6 bool) []net.IP {
	var ips []net.IP
	if v4 {
		ips = append(ips, internalV4)
	}
	if v6 {
		ips = append(ips, internalV6)
	}
	return ips
}

// udpSocket is the media socket. All that is sent to peers over UDP passes through WriteToAddrPort.
type udpSocket struct {
	*net.UDPConn
}

// LocalAddr is always the unspecified address: for others the mux insists on being asked by the very address.
func (s *udpSocket) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv6unspecified, Port: s.UDPConn.LocalAddr().(*net.UDPAddr).Port}
}

// ReadFromAddrPort returns an error only when the socket is closed or a deadline is over, since the mux gives up for
// good after any other.
func (s *udpSocket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		n, from, err := s.UDPConn.ReadFromUDPAddrPort(b)
		var timeout net.Error
		switch {
		case err == nil:
			return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), nil
		case errors.Is(err, net.ErrClosed), errors.As(err, &timeout) && timeout.Timeout():
			return 0, netip.AddrPort{}, err
		}
		time.Sleep(pause) // the kernel is out of memory, or the like
	}
}

// WriteToAddrPort sends one packet.
func (s *udpSocket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return s.UDPConn.WriteToUDPAddrPort(b, to)
}

// tcpListener bounds the connections, and names their local ends to ICE agents by the internal addresses.
type tcpListener struct {
	net.Listener
	open atomic.Int32
}

// Accept waits for the next connection; those above the limit are closed at once.
func (l *tcpListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) > maxTCPConns {
			l.open.Add(-1)
			_ = conn.Close()
			continue
		}
		local := &net.TCPAddr{IP: internalV4, Port: l.Addr().(*net.TCPAddr).Port}
		if remote := conn.RemoteAddr().(*net.TCPAddr); remote.IP.To4() == nil {
			local.IP = internalV6
		}
		return &tcpConn{Conn: conn, local: local, listener: l}, nil
	}
}

// Addr is always the unspecified address; see udpSocket.LocalAddr.
func (l *tcpListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv6unspecified, Port: l.Listener.Addr().(*net.TCPAddr).Port}
}

type tcpConn struct {
	net.Conn
	local    net.Addr
	listener *tcpListener
	closed   atomic.Bool
}

// LocalAddr is the internal address.
func (c *tcpConn) LocalAddr() net.Addr { return c.local }

// Close closes the connection and frees its place.
func (c *tcpConn) Close() error {
	if !c.closed.Swap(true) {
		c.listener.open.Add(-1)
	}
	return c.Conn.Close()
}

var errNoSockets = errors.New("peer connections use the engine's sockets only")

// fixedNet is the network as ICE agents see it: one interface with the internal addresses, and no way to open sockets.
type fixedNet struct {
	families func() (v4, v6 bool)
}

var _ transport.Net = fixedNet{}

// Interfaces returns the one interface.
func (n fixedNet) Interfaces() ([]*transport.Interface, error) {
	i := transport.NewInterface(net.Interface{Index: 1, MTU: 1500, Name: "media", Flags: net.FlagUp})
	for _, ip := range internalIPs(n.families()) {
		i.AddAddress(&net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))})
	}
	return []*transport.Interface{i}, nil
}

// InterfaceByIndex returns the one interface.
func (n fixedNet) InterfaceByIndex(int) (*transport.Interface, error) {
	interfaces, err := n.Interfaces()
	return interfaces[0], err
}

// InterfaceByName returns the one interface.
func (n fixedNet) InterfaceByName(string) (*transport.Interface, error) {
	return n.InterfaceByIndex(1)
}

// ListenPacket is refused.
func (fixedNet) ListenPacket(string, string) (net.PacketConn, error) { return nil, errNoSockets }

// ListenUDP is refused.
func (fixedNet) ListenUDP(string, *net.UDPAddr) (transport.UDPConn, error) { return nil, errNoSockets }

// ListenTCP is refused.
func (fixedNet) ListenTCP(string, *net.TCPAddr) (transport.TCPListener, error) {
	return nil, errNoSockets
}

// Dial is refused.
func (fixedNet) Dial(string, string) (net.Conn, error) { return nil, errNoSockets }

// DialUDP is refused.
func (fixedNet) DialUDP(string, *net.UDPAddr, *net.UDPAddr) (transport.UDPConn, error) {
	return nil, errNoSockets
}

// DialTCP is refused.
func (fixedNet) DialTCP(string, *net.TCPAddr, *net.TCPAddr) (transport.TCPConn, error) {
	return nil, errNoSockets
}

// ResolveIPAddr is refused.
func (fixedNet) ResolveIPAddr(string, string) (*net.IPAddr, error) { return nil, errNoSockets }

// ResolveUDPAddr is refused.
func (fixedNet) ResolveUDPAddr(string, string) (*net.UDPAddr, error) { return nil, errNoSockets }

// ResolveTCPAddr is refused.
func (fixedNet) ResolveTCPAddr(string, string) (*net.TCPAddr, error) { return nil, errNoSockets }

// CreateDialer is refused: what it returns can't dial.
func (fixedNet) CreateDialer(*net.Dialer) transport.Dialer { return refusingDialer{} }

// CreateListenConfig is refused: what it returns can't listen.
func (fixedNet) CreateListenConfig(*net.ListenConfig) transport.ListenConfig {
	return refusingListenConfig{}
}

type refusingDialer struct{}

// Dial is refused.
func (refusingDialer) Dial(string, string) (net.Conn, error) { return nil, errNoSockets }

type refusingListenConfig struct{}

// Listen is refused.
func (refusingListenConfig) Listen(context.Context, string, string) (net.Listener, error) {
	return nil, errNoSockets
}

// ListenPacket is refused.
func (refusingListenConfig) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, errNoSockets
}
