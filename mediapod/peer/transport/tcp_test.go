package transport

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

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
	for deadline := time.Now().Add(10 * time.Second); s.TCP.open.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the connection is not accepted")
		}
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(firstPacketWait / 2):
		t.Fatal("closing hangs")
	}
}
