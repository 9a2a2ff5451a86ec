package network

import (
	"net"
	"sync"
)

// Wire is what a server is reached by. While it is cut, nothing passes either way and nobody is
// told, as when a firewall drops it. What was sent meanwhile arrives when it is mended.
type Wire struct {
	mu    sync.Mutex
	whole chan struct{} // closed while nothing is in the way
}

// NewWire returns one that is whole.
func NewWire() *Wire {
	whole := make(chan struct{})
	close(whole)
	return &Wire{whole: whole}
}

// Cut has nothing pass from now on, or everything again.
func (w *Wire) Cut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.whole:
		if cut {
			w.whole = make(chan struct{})
		}
	default:
		if !cut {
			close(w.whole)
		}
	}
}

// Listener returns one whose connections are on the wire.
func (w *Wire) Listener(inner net.Listener) net.Listener { return wireListener{inner, w} }

// passes returns when nothing is in the way.
func (w *Wire) passes() {
	w.mu.Lock()
	whole := w.whole
	w.mu.Unlock()
	<-whole
}

// wireListener accepts connections that are on a wire.
type wireListener struct {
	net.Listener
	wire *Wire
}

// Accept implements net.Listener.
func (l wireListener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return wireConn{inner, l.wire}, nil
}

// wireConn is a connection on a wire.
type wireConn struct {
	net.Conn
	wire *Wire
}

// Read implements net.Conn.
func (c wireConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wire.passes()
	return n, err
}

// Write implements net.Conn.
func (c wireConn) Write(b []byte) (int, error) {
	c.wire.passes()
	return c.Conn.Write(b)
}
