package transport

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/wait"
)

func (l *TCPListener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

func TestClosingEndsOpenTCPConnections(t *testing.T) {
	s, err := Listen(netip.MustParseAddr("127.0.0.1"), 0, 0, quiet())
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
