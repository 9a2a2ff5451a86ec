package transport

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mediarooms.dev/mediarooms/test/wait"
)

func (l *TCPListener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

func TestClosingEndsOpenTCPConnections(t *testing.T) {
	s, err := Listen(netip.MustParseAddr("127.0.0.1"), 0, 0, quiet(), func(netip.Prefix, error) {})
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp4", s.TCP.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	wait.For(t, 10*time.Second, "the connection", wait.True(func() bool { return s.TCP.count() == 1 }))
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(firstCheckWait / 2):
		t.Fatal("closing hangs")
	}
}

// pipes is a listener whose connections live on a test's own clock.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// pipe is one end of a connection from an address.
type pipe struct {
	net.Conn
	from netip.Addr
}

func (p pipe) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.from, 7)) }

// tcpWorld are sockets with TCP only, on a test's own clock.
type tcpWorld struct {
	t       *testing.T
	sockets *Sockets
	pipes   *pipes
	conns   []*Conn
	refused chan error // what was told of connections that are over a limit
}

func inTCPWorld(t *testing.T, play func(w *tcpWorld)) {
	synctest.Test(t, func(t *testing.T) {
		w := &tcpWorld{
			t:       t,
			sockets: &Sockets{logs: quiet(), byName: map[string]*Conn{}, byAddress: newAddressBook[*Conn](), claims: newAddressBook[*Conn]()},
			pipes:   &pipes{conns: make(chan net.Conn), closed: make(chan struct{})},
			refused: make(chan error, 100),
		}
		w.sockets.TCP = newTCPListener(w.pipes, w.sockets, func(_ netip.Prefix, reason error) { w.refused <- reason })
		play(w)
		for _, c := range w.conns {
			c.Close()
		}
		if err := w.sockets.TCP.close(); err != nil {
			t.Error(err)
		}
		if n := w.sockets.TCP.count(); n != 0 || len(w.sockets.TCP.origins) != 0 {
			t.Errorf("%d connections and %d addresses are left", n, len(w.sockets.TCP.origins))
		}
	})
}

// open makes a connection to the sockets, and tells when it ends.
func (w *tcpWorld) open(from string) (net.Conn, <-chan struct{}) {
	ours, theirs := net.Pipe()
	w.pipes.conns <- pipe{ours, netip.MustParseAddr(from)}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, theirs)
		_ = theirs.Close()
		close(ended)
	}()
	synctest.Wait()
	return theirs, ended
}

// agent makes what TCP connections may be for.
func (w *tcpWorld) agent() (name, password string, end func()) {
	c := newConn(w.t, w.sockets)
	w.conns = append(w.conns, c)
	return c.name, c.password, c.Close
}

func framed(packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
}

func over(ended <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

func TestATCPConnectionBringsAnAuthenticCheckFirst(t *testing.T) {
	inTCPWorld(t, func(w *tcpWorld) {
		name, password, _ := w.agent()
		for what, first := range map[string][]byte{
			"a wrong password":  request(t, name+":them", "a wrong password"),
			"nobody's name":     request(t, "nobody:them", password),
			"no check":          {128, 200, 0, 1, 0, 0, 0, 0},
			"nothing in it":     {},
			"too large a frame": make([]byte, maxFrame+1),
		} {
			conn, ended := w.open("192.0.2.1")
			_, _ = conn.Write(framed(first)[:min(len(first)+2, 100)])
			if !over(ended) {
				w.t.Errorf("a connection with %s stays", what)
			}
		}
		silent, ended := w.open("192.0.2.1")
		_, _ = silent.Write([]byte{0})
		time.Sleep(firstCheckWait - time.Second)
		if over(ended) {
			w.t.Error("a connection ends too soon")
		}
		time.Sleep(time.Second)
		if !over(ended) {
			w.t.Error("a connection that brings nothing stays")
		}
		conn, ended := w.open("192.0.2.1")
		_, _ = conn.Write(framed(request(t, name+":them", password)))
		time.Sleep(firstCheckWait)
		if over(ended) {
			w.t.Error("a connection with an authentic check ends")
		}
	})
}

func TestAnIdleTCPConnectionEnds(t *testing.T) {
	inTCPWorld(t, func(w *tcpWorld) {
		name, password, _ := w.agent()
		conn, ended := w.open("192.0.2.1")
		for range 20 {
			if _, err := conn.Write(framed(request(t, name+":them", password))); err != nil {
				w.t.Fatal(err)
			}
			time.Sleep(15 * time.Second)
		}
		if over(ended) {
			w.t.Fatal("a connection in use ends")
		}
		time.Sleep(tcpIdle - 15*time.Second + time.Second)
		if !over(ended) {
			w.t.Error("an idle connection stays")
		}
	})
}

func TestTCPConnectionsEndWithWhatTheyAreFor(t *testing.T) {
	inTCPWorld(t, func(w *tcpWorld) {
		name, password, end := w.agent()
		var all []<-chan struct{}
		for range 3 {
			conn, ended := w.open("192.0.2.1")
			_, _ = conn.Write(framed(request(t, name+":them", password)))
			all = append(all, ended)
		}
		synctest.Wait()
		end()
		for i, ended := range all {
			if !over(ended) {
				w.t.Errorf("connection %d stays", i)
			}
		}
		late, ended := w.open("192.0.2.1")
		_, _ = late.Write(framed(request(t, name+":them", password)))
		if !over(ended) {
			w.t.Error("a connection that comes late stays")
		}
	})
}

func TestAPeerHasFewTCPConnections(t *testing.T) {
	inTCPWorld(t, func(w *tcpWorld) {
		name, password, _ := w.agent()
		var all []<-chan struct{}
		for range 3 * maxFlows {
			conn, ended := w.open("192.0.2.1")
			_, _ = conn.Write(framed(request(t, name+":them", password)))
			synctest.Wait()
			all = append(all, ended)
			time.Sleep(2 * extendInterval)
		}
		open := 0
		for i, ended := range all {
			if !over(ended) {
				open++
			} else if i >= 2*maxFlows {
				w.t.Errorf("connection %d of %d has ended", i, len(all))
			}
		}
		if open != maxFlows {
			w.t.Errorf("%d connections are open", open)
		}
	})
}

func TestAnAddressHasABoundedNumberOfTCPConnections(t *testing.T) {
	inTCPWorld(t, func(w *tcpWorld) {
		silent := func(from string, n int) (open int) {
			var all []<-chan struct{}
			for range n {
				_, ended := w.open(from)
				all = append(all, ended)
			}
			for _, ended := range all {
				if !over(ended) {
					open++
				}
			}
			return open
		}
		for _, from := range []string{"192.0.2.1", "2001:db8::1"} {
			if n := silent(from, 100); n != maxTCPUnproven {
				w.t.Errorf("%d connections of %s that bring nothing are open", n, from)
			}
		}
		if told := len(w.refused); told != 1 || !errors.Is(<-w.refused, errTCPUnproven) {
			w.t.Errorf("it is told %d times why connections are refused, want 1", told)
		}
		for from, want := range map[string]int{"192.0.2.2": 5, "2001:db8:0:1::1": 5, "2001:db8::2": 0, "::ffff:192.0.2.1": 0} {
			if n := silent(from, 5); n != want {
				w.t.Errorf("%d of 5 connections of %s are open, want %d", n, from, want)
			}
		}
		time.Sleep(firstCheckWait + time.Second)
		if n := w.sockets.TCP.count(); n != 0 {
			w.t.Errorf("%d connections are left", n)
		}
		open := 0
		for range maxTCPPerAddress/maxFlows + 10 {
			name, password, _ := w.agent()
			for range maxFlows {
				conn, ended := w.open("192.0.2.1")
				_, _ = conn.Write(framed(request(t, name+":them", password)))
				if !over(ended) {
					open++
				}
			}
		}
		if open != maxTCPPerAddress {
			w.t.Errorf("%d proven connections of one address are open", open)
		}
		if n := silent("192.0.2.3", 5); n != 5 {
			w.t.Errorf("%d of 5 connections of another address are open", n)
		}
	})
}
