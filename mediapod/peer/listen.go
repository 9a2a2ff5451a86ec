package peer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	piontransport "github.com/pion/transport/v4"

	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

// The agents of pion/ice name each local candidate by an address. What we listen on is known to them by these two
// documentation addresses (RFC 5737, RFC 3849) only; the addresses that peers are told are written into the SDP by us.
var (
	internalV4 = net.IPv4(192, 0, 2, 1).To4()
	internalV6 = net.ParseIP("2001:db8::1")
)

// Limits on the ICE-TCP of pion's.
const (
	firstPacketWait = 10 * time.Second
	tcpWriteBuffer  = 1 << 20 // bytes per connection; what does not fit is lost, as on UDP
	tcpReadPackets  = 64
)

// ports are the sockets of an engine, for all peer connections, and what pion takes for its own sockets.
type ports struct {
	sockets *transport.Sockets
	udp     *udpMux
	tcp     ice.TCPMux // nil without ICE-TCP
	net     fixedNet
	// tcpPort is 0 without ICE-TCP.
	udpPort, tcpPort uint16
}

// listen opens the sockets. A port of 0 is any free one; with a negative tcpPort there is no ICE-TCP.
func listen(ip netip.Addr, udpPort, tcpPort int, families func() (v4, v6 bool), logs logging.LoggerFactory) (*ports, error) {
	sockets, err := transport.Listen(ip, udpPort, tcpPort, logs)
	if err != nil {
		return nil, err
	}
	p := &ports{
		sockets: sockets,
		net:     fixedNet{families: families},
		udpPort: sockets.UDP.Port(),
	}
	if sockets.TCP != nil {
		p.tcpPort = uint16(sockets.TCP.Addr().(*net.TCPAddr).Port)
		p.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener:                     tcpListener{sockets.TCP},
			Logger:                       logs.NewLogger("ice-tcp"),
			ReadBufferSize:               tcpReadPackets,
			WriteBufferSize:              tcpWriteBuffer,
			FirstStunBindTimeout:         firstPacketWait,
			AliveDurationForConnFromStun: firstPacketWait,
		})
	}
	p.udp = newUDPMux(sockets, int(p.udpPort), families)
	sockets.Serve(p.udp.deliver)
	return p, nil
}

func (p *ports) close() error {
	err := p.udp.Close()
	if p.tcp != nil {
		err = errors.Join(err, p.tcp.Close())
	}
	return errors.Join(err, p.sockets.Close())
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

// tcpListener names the local ends of connections to ICE agents by the internal addresses.
type tcpListener struct {
	*transport.TCPListener
}

// Accept waits for the next connection.
func (l tcpListener) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	if err != nil {
		return nil, err
	}
	local := &net.TCPAddr{IP: internalV4, Port: l.TCPListener.Addr().(*net.TCPAddr).Port}
	if remote := conn.RemoteAddr().(*net.TCPAddr); remote.IP.To4() == nil {
		local.IP = internalV6
	}
	return tcpConn{Conn: conn, local: local}, nil
}

// Addr is always the unspecified address: for others pion's mux insists on being asked by the very address.
func (l tcpListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv6unspecified, Port: l.TCPListener.Addr().(*net.TCPAddr).Port}
}

type tcpConn struct {
	net.Conn
	local net.Addr
}

// LocalAddr is the internal address.
func (c tcpConn) LocalAddr() net.Addr { return c.local }

var errNoSockets = errors.New("peer connections use the engine's sockets only")

// fixedNet is the network as ICE agents see it: one interface with the internal addresses, and no way to open sockets.
type fixedNet struct {
	families func() (v4, v6 bool)
}

var _ piontransport.Net = fixedNet{}

// Interfaces returns the one interface.
func (n fixedNet) Interfaces() ([]*piontransport.Interface, error) {
	i := piontransport.NewInterface(net.Interface{Index: 1, MTU: 1500, Name: "media", Flags: net.FlagUp})
	for _, ip := range internalIPs(n.families()) {
		i.AddAddress(&net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))})
	}
	return []*piontransport.Interface{i}, nil
}

// InterfaceByIndex returns the one interface.
func (n fixedNet) InterfaceByIndex(int) (*piontransport.Interface, error) {
	interfaces, err := n.Interfaces()
	return interfaces[0], err
}

// InterfaceByName returns the one interface.
func (n fixedNet) InterfaceByName(string) (*piontransport.Interface, error) {
	return n.InterfaceByIndex(1)
}

// ListenPacket is refused.
func (fixedNet) ListenPacket(string, string) (net.PacketConn, error) { return nil, errNoSockets }

// ListenUDP is refused.
func (fixedNet) ListenUDP(string, *net.UDPAddr) (piontransport.UDPConn, error) {
	return nil, errNoSockets
}

// ListenTCP is refused.
func (fixedNet) ListenTCP(string, *net.TCPAddr) (piontransport.TCPListener, error) {
	return nil, errNoSockets
}

// Dial is refused.
func (fixedNet) Dial(string, string) (net.Conn, error) { return nil, errNoSockets }

// DialUDP is refused.
func (fixedNet) DialUDP(string, *net.UDPAddr, *net.UDPAddr) (piontransport.UDPConn, error) {
	return nil, errNoSockets
}

// DialTCP is refused.
func (fixedNet) DialTCP(string, *net.TCPAddr, *net.TCPAddr) (piontransport.TCPConn, error) {
	return nil, errNoSockets
}

// ResolveIPAddr is refused.
func (fixedNet) ResolveIPAddr(string, string) (*net.IPAddr, error) { return nil, errNoSockets }

// ResolveUDPAddr is refused.
func (fixedNet) ResolveUDPAddr(string, string) (*net.UDPAddr, error) { return nil, errNoSockets }

// ResolveTCPAddr is refused.
func (fixedNet) ResolveTCPAddr(string, string) (*net.TCPAddr, error) { return nil, errNoSockets }

// CreateDialer is refused: what it returns can't dial.
func (fixedNet) CreateDialer(*net.Dialer) piontransport.Dialer { return refusingDialer{} }

// CreateListenConfig is refused: what it returns can't listen.
func (fixedNet) CreateListenConfig(*net.ListenConfig) piontransport.ListenConfig {
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
