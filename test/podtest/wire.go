package podtest

import (
	"net"
	"sync"
)

// wire is what the operator reaches a pod by. While it is cut, nothing passes either way and nobody
// is told, as when a firewall drops it. What was sent meanwhile arrives when it is mended.
type wire struct {
	mu    sync.Mutex
	whole chan struct{} // closed while nothing is in the way
}

func newWire() *wire {
	whole := make(chan struct{})
	close(whole)
	return &wire{whole: whole}
}

// cut has nothing pass from now on, or everything again.
func (w *wire) cut(cut bool) {
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

// passes returns when nothing is in the way.
func (w *wire) passes() {
	w.mu.Lock()
	whole := w.whole
	w.mu.Unlock()
	<-whole
}

// listener accepts connections that are on a wire.
type listener struct {
	net.Listener
	wire *wire
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn{inner, l.wire}, nil
}

// conn is a connection on a wire.
type conn struct {
	net.Conn
	wire *wire
}

// Read implements net.Conn.
func (c conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wire.passes()
	return n, err
}

// Write implements net.Conn.
func (c conn) Write(b []byte) (int, error) {
	c.wire.passes()
	return c.Conn.Write(b)
}
