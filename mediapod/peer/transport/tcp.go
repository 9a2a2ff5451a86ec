package transport

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
)

// Limits on ICE-TCP.
const (
	maxTCPConns     = 2048
	firstPacketWait = 10 * time.Second
	// maxFrame is the most bytes of a frame (RFC 4571) from a peer.
	maxFrame = 8192
	// tcpQueue is how many bytes wait to be written at most; what does not fit is lost, as on UDP.
	tcpQueue = 1 << 20
	// tcpStall is how long a peer may take nothing.
	tcpStall = 10 * time.Second
)

// TCPListener accepts ICE-TCP connections (RFC 6544). Accept returns those that are not for connections of this package.
type TCPListener struct {
	net.Listener
	sockets *Sockets
	open    atomic.Int32
	others  chan net.Conn
	done    chan struct{}
	running sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

func newTCPListener(listener net.Listener, sockets *Sockets) *TCPListener {
	l := &TCPListener{
		Listener: listener, sockets: sockets,
		others: make(chan net.Conn), done: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	l.running.Go(l.listen)
	return l
}

// Accept waits for the next connection that is not for a connection of this package.
func (l *TCPListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.others:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// close ends all and waits.
func (l *TCPListener) close() error {
	err := l.Listener.Close()
	<-l.done // no more connections come
	l.mu.Lock()
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	for _, conn := range conns { // each takes l.mu
		_ = conn.Close()
	}
	l.running.Wait()
	return err
}

// listen accepts connections; those above the limit are closed at once.
func (l *TCPListener) listen() {
	defer close(l.done)
	for pause := time.Millisecond; ; {
		conn, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of files, or the like
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		if l.open.Add(1) > maxTCPConns {
			l.open.Add(-1)
			_ = conn.Close()
			continue
		}
		accepted := &tcpConn{Conn: conn, listener: l}
		l.mu.Lock()
		l.conns[accepted] = struct{}{}
		l.mu.Unlock()
		l.running.Go(func() { l.serve(accepted) })
	}
}

// serve reads a connection's first packet, which says whose it is, and then all others, or passes it on.
func (l *TCPListener) serve(conn *tcpConn) {
	_ = conn.SetReadDeadline(time.Now().Add(firstPacketWait))
	buffer := make([]byte, maxFrame)
	n, err := readFrame(conn, buffer)
	if err != nil || !stun.IsMessage(buffer[:n]) {
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	c := l.sockets.checked(buffer[:n])
	if c == nil {
		conn.replay(buffer[:n])
		select {
		case l.others <- conn:
		case <-l.done:
			_ = conn.Close()
		}
		return
	}
	flow := &tcpFlow{conn: conn}
	flow.wake = sync.NewCond(&flow.mu)
	defer flow.close()
	l.running.Go(flow.run)
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	via := route{address: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), tcp: flow}
	for err == nil {
		if packet := buffer[:n]; stun.IsMessage(packet) {
			c.check(packet, via)
		} else if r := c.route.Load(); r != nil && r.tcp == flow { // else it has not shown yet that it is the peer
			c.receive(packet)
		}
		n, err = readFrame(conn, buffer)
	}
}

func readFrame(r io.Reader, b []byte) (int, error) {
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > len(b) {
		return 0, io.ErrShortBuffer
	}
	return io.ReadFull(r, b[:n])
}

// tcpFlow writes packets to a TCP connection, without ever blocking who sends them.
type tcpFlow struct {
	conn net.Conn

	mu      sync.Mutex // guards the fields below
	wake    *sync.Cond // of mu; something waits, or the flow is closed
	waiting []byte     // frames
	closed  bool
}

// write queues a packet; false when it does not fit.
func (f *tcpFlow) write(packet []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.waiting)+2+len(packet) > tcpQueue {
		return false
	}
	f.waiting = binary.BigEndian.AppendUint16(f.waiting, uint16(len(packet)))
	f.waiting = append(f.waiting, packet...)
	f.wake.Signal()
	return true
}

// run writes what is queued until the flow is closed.
func (f *tcpFlow) run() {
	var frames []byte
	for {
		f.mu.Lock()
		for len(f.waiting) == 0 && !f.closed {
			f.wake.Wait()
		}
		frames, f.waiting = f.waiting, frames[:0]
		closed := f.closed
		f.mu.Unlock()
		if len(frames) > 0 {
			_ = f.conn.SetWriteDeadline(time.Now().Add(tcpStall))
			if _, err := f.conn.Write(frames); err != nil {
				closed = true
			}
		}
		if closed {
			_ = f.conn.Close() // this ends the reader
			f.close()
			return
		}
	}
}

func (f *tcpFlow) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.wake.Signal()
}

func (f *tcpFlow) gone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// tcpConn is an accepted connection.
type tcpConn struct {
	net.Conn
	listener *TCPListener
	closed   atomic.Bool
	first    []byte // read already, to be read again
}

// replay makes a packet the first one to be read again.
func (c *tcpConn) replay(packet []byte) {
	c.first = binary.BigEndian.AppendUint16(nil, uint16(len(packet)))
	c.first = append(c.first, packet...)
}

// Read reads what was read already, and then on.
func (c *tcpConn) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// Close closes the connection and frees its place.
func (c *tcpConn) Close() error {
	if !c.closed.Swap(true) {
		c.listener.open.Add(-1)
		c.listener.mu.Lock()
		delete(c.listener.conns, c)
		c.listener.mu.Unlock()
	}
	return c.Conn.Close()
}
