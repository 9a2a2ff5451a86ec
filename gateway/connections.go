package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// connections bounds what is open towards clients: by TLS alone each costs memory before anybody
// has said who asks. Safe for concurrent use.
type connections struct {
	maxTotal, maxPerAddress int
	// bound returns what counts as one client; false for a peer that speaks for many.
	bound   func(peer netip.Addr) (netip.Prefix, bool)
	refused *prometheus.CounterVec

	mu         sync.Mutex // guards what follows
	open       int
	perAddress map[netip.Prefix]int // client -> its open connections
}

func newConnections(maxTotal, maxPerAddress int, bound func(netip.Addr) (netip.Prefix, bool), registry prometheus.Registerer) (*connections, error) {
	c := &connections{
		maxTotal: maxTotal, maxPerAddress: maxPerAddress, bound: bound, perAddress: map[netip.Prefix]int{},
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mediarooms_gateway_refused_connections_total",
			Help: "Connections that were closed at once, by reason: address_limit or total_limit.",
		}, []string{"reason"}),
	}
	if err := registry.Register(c.refused); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return c, nil
}

// listen returns a listener that closes at once what is beyond the bounds.
func (c *connections) listen(listener net.Listener) net.Listener {
	return &boundedListener{Listener: listener, connections: c}
}

// enter counts a connection, and returns what to call when it has ended; or the reason for a
// refusal.
func (c *connections) enter(peer netip.Addr) (leave func(), refusal string) {
	client, bounded := c.bound(peer)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.maxTotal > 0 && c.open >= c.maxTotal:
		return nil, "total_limit"
	case bounded && c.maxPerAddress > 0 && c.perAddress[client] >= c.maxPerAddress:
		return nil, "address_limit"
	}
	c.open++
	if !bounded {
		return func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.open--
		}, ""
	}
	c.perAddress[client]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open--
		if c.perAddress[client]--; c.perAddress[client] == 0 {
			delete(c.perAddress, client)
		}
	}, ""
}

type boundedListener struct {
	net.Listener
	connections *connections
}

// Accept returns the next connection that is within the bounds.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var peer netip.Addr
		if address, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			peer = address.AddrPort().Addr()
		}
		leave, refusal := l.connections.enter(peer)
		if refusal == "" {
			return &countedConn{Conn: conn, leave: sync.OnceFunc(leave)}, nil
		}
		l.connections.refused.WithLabelValues(refusal).Inc()
		_ = conn.Close() // it is of no use any more
	}
}

// countedConn is a connection that counts until it is closed.
type countedConn struct {
	net.Conn
	leave func()
}

// Close ends the connection.
func (c *countedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// CloseWrite tells the peer that nothing more comes. The server does that before it closes a
// connection whose request it has not read to the end: the answer would be lost otherwise.
func (c *countedConn) CloseWrite() error {
	if conn, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return conn.CloseWrite()
	}
	return nil
}
