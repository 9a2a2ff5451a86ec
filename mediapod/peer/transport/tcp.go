package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
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
	maxTCPConns = 2048
	// maxTCPPerAddress is how many of them one address may have. Behind it may be an office that
	// lets no UDP out.
	maxTCPPerAddress = 512
	// maxTCPUnproven is how many connections of one address wait for their first check at the same
	// time.
	maxTCPUnproven = 32
	// firstCheckWait is how long that may take.
	firstCheckWait = 10 * time.Second
	// tcpIdle is how long a connection may bring nothing. Peers check what they may want to use
	// every 15 s at least (RFC 7675, section 5.1).
	tcpIdle = 60 * time.Second
	// maxFrame is the most bytes of a frame (RFC 4571) from a peer.
	maxFrame = 8192
	// tcpQueue is how many bytes wait to be written at most; what does not fit is lost, as on UDP.
	tcpQueue = 1 << 20
	// tcpStall is how long a peer may take nothing.
	tcpStall = 10 * time.Second
	// refusalInterval is how often connections that are refused are told of.
	refusalInterval = time.Minute
)

// TCPListener accepts ICE-TCP connections (RFC 6544).
//
// The first frame of a connection has to be a connectivity check that was made with the password of
// the agent that it is for. Nothing else is kept, so that only who was given a password by
// signalling holds a connection for longer than that takes.
type TCPListener struct {
	net.Listener
	sockets *Sockets
	tell    func(from netip.Prefix, reason error) // of what is refused
	done    chan struct{}
	running sync.WaitGroup

	mu        sync.Mutex // guards the fields below
	conns     map[*tcpConn]struct{}
	origins   map[netip.Prefix]*origin
	refusedAt time.Time // when that was told of last
}

// origin is what one address has opened.
type origin struct {
	open, unproven int
}

func newTCPListener(listener net.Listener, sockets *Sockets, refused func(netip.Prefix, error)) *TCPListener {
	l := &TCPListener{
		Listener: listener, sockets: sockets, tell: refused,
		done: make(chan struct{}), conns: map[*tcpConn]struct{}{}, origins: map[netip.Prefix]*origin{},
	}
	l.running.Go(l.listen)
	return l
}

// Port is the TCP port.
func (l *TCPListener) Port() uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }

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

// listen accepts connections; those above the limits are closed at once.
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
		accepted := &tcpConn{Conn: conn, listener: l, from: originOf(conn)}
		if err := l.enter(accepted); err != nil {
			_ = conn.Close()
			l.refused(accepted, err)
			continue
		}
		l.running.Go(func() { l.serve(accepted) })
	}
}

// originOf returns what is counted as one address: an IPv4 address, or a /64 of IPv6.
func originOf(conn net.Conn) netip.Prefix {
	ip := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.WithZone("").Prefix(bits) // the zero value is an address, too
	return prefix
}

var (
	errTCPFull     = fmt.Errorf("there are %d ICE-TCP connections, no more are allowed", maxTCPConns)
	errTCPAddress  = fmt.Errorf("the address has %d ICE-TCP connections, no more are allowed", maxTCPPerAddress)
	errTCPUnproven = fmt.Errorf("the address has %d ICE-TCP connections without a check, no more are allowed", maxTCPUnproven)
)

// enter gives a connection its place.
func (l *TCPListener) enter(conn *tcpConn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := l.origins[conn.from]
	switch {
	case len(l.conns) >= maxTCPConns:
		return errTCPFull
	case from == nil:
		from = &origin{}
		l.origins[conn.from] = from
	case from.open >= maxTCPPerAddress:
		return errTCPAddress
	case from.unproven >= maxTCPUnproven:
		return errTCPUnproven
	}
	from.open++
	from.unproven++
	l.conns[conn] = struct{}{}
	return nil
}

// prove notes that a connection has brought an authentic check.
func (l *TCPListener) prove(conn *tcpConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.conns[conn]; ok && !conn.proven {
		conn.proven = true
		l.origins[conn.from].unproven--
	}
}

// leave frees the place of a connection.
func (l *TCPListener) leave(conn *tcpConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.conns[conn]; !ok {
		return
	}
	delete(l.conns, conn)
	from := l.origins[conn.from]
	from.open--
	if !conn.proven {
		from.unproven--
	}
	if from.open == 0 {
		delete(l.origins, conn.from)
	}
}

// refused tells why a connection was refused, unless something like it was just told.
func (l *TCPListener) refused(conn *tcpConn, reason error) {
	now := time.Now()
	l.mu.Lock()
	tell := now.Sub(l.refusedAt) >= refusalInterval
	if tell {
		l.refusedAt = now
	}
	l.mu.Unlock()
	if tell {
		l.tell(conn.from, reason)
	}
}

// serve reads a connection's first frame, which says whose it is, and then all others.
func (l *TCPListener) serve(conn *tcpConn) {
	_ = conn.SetReadDeadline(time.Now().Add(firstCheckWait))
	frames := newFrameReader(conn)
	first, err := frames.next()
	if err != nil || !stun.IsMessage(first) {
		_ = conn.Close()
		return
	}
	if c := l.sockets.checked(first); c != nil {
		l.receive(c, conn, frames, first)
		return
	}
	_ = conn.Close()
}

// receive reads what a peer sends to a connection of this package.
func (l *TCPListener) receive(c *Conn, conn *tcpConn, frames *frameReader, first []byte) {
	flow := &tcpFlow{conn: conn}
	flow.wake = sync.NewCond(&flow.mu)
	defer flow.close()
	l.running.Go(flow.run)
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	via := route{address: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), tcp: flow}
	if !c.check(first, via) {
		return
	}
	l.prove(conn)
	if !c.flows.add(flow) {
		return
	}
	defer c.flows.remove(flow)
	for {
		conn.extend(time.Now())
		packet, err := frames.next()
		if err != nil {
			return
		}
		switch {
		case !stun.IsMessage(packet):
			c.receive(packet, via)
		case isResponse(packet):
			c.answers(packet, via)
		default:
			c.check(packet, via)
		}
	}
}

// frameReader reads frames (RFC 4571): two bytes with their size, and what they frame.
type frameReader struct {
	buffer *bufio.Reader
	taken  int // bytes of the frame that was read last
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{buffer: bufio.NewReaderSize(r, frameHeaderBytes+maxFrame)}
}

const frameHeaderBytes = 2

var errFrame = fmt.Errorf("a frame has more than %d bytes", maxFrame)

// next returns the next frame, until the one after that is read.
func (r *frameReader) next() ([]byte, error) {
	if _, err := r.buffer.Discard(r.taken); err != nil {
		return nil, err
	}
	r.taken = 0
	header, err := r.buffer.Peek(frameHeaderBytes)
	if err != nil {
		return nil, err
	}
	size := frameHeaderBytes + int(binary.BigEndian.Uint16(header))
	if size > frameHeaderBytes+maxFrame {
		return nil, errFrame
	}
	frame, err := r.buffer.Peek(size)
	if err != nil {
		return nil, err
	}
	r.taken = size
	return frame[frameHeaderBytes:], nil
}

// tcpFlow writes packets to a TCP connection, without ever blocking who sends them.
type tcpFlow struct {
	conn *tcpConn

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

// heard is when something came last.
func (f *tcpFlow) heard() time.Time { return f.conn.heard() }

// close ends the flow when what waits has been written.
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
	from     netip.Prefix
	proven   bool // guarded by listener.mu
	heardAt  atomic.Int64
}

// extendInterval is how exact the idle time of a connection is.
const extendInterval = time.Second

// extend notes that something came. It is to be called by who reads.
func (c *tcpConn) extend(now time.Time) {
	if now.Sub(c.heard()) >= extendInterval {
		c.heardAt.Store(now.UnixNano())
		_ = c.SetReadDeadline(now.Add(tcpIdle))
	}
}

func (c *tcpConn) heard() time.Time { return time.Unix(0, c.heardAt.Load()) }

// Close closes the connection and frees its place.
func (c *tcpConn) Close() error {
	c.listener.leave(c)
	return c.Conn.Close()
}
