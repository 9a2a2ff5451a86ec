package forward

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// listen opens a listener on loopback.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// serve answers each connection with a name and what it has read, when the client
// has ended its direction.
func serve(listener net.Listener, name string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			data, err := io.ReadAll(conn)
			if err == nil {
				_, _ = conn.Write(append([]byte(name+":"), data...))
			}
		}()
	}
}

// start starts a forwarder, which ends with the test, and returns its address.
func start(t *testing.T, targets ...string) string {
	t.Helper()
	front := listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- (&Forwarder{Targets: targets}).Serve(ctx, front) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return front.Addr().String()
}

func ask(t *testing.T, address, text string) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	data, err := io.ReadAll(conn)
	return string(data), err
}

func TestBothDirectionsArePassedAndEndByThemselves(t *testing.T) {
	back := listen(t, "127.0.0.1:0")
	go serve(back, "a")
	if got, err := ask(t, start(t, back.Addr().String()), "hello"); got != "a:hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTargetsThatDoNotAnswerAreSkipped(t *testing.T) {
	gone := listen(t, "127.0.0.1:0")
	gone.Close()
	back := listen(t, "127.0.0.1:0")
	go serve(back, "b")
	front := start(t, gone.Addr().String(), back.Addr().String())
	for range 4 {
		if got, err := ask(t, front, "hello"); got != "b:hello" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestItSurvivesARestartOfItsTarget(t *testing.T) {
	back := listen(t, "127.0.0.1:0")
	address := back.Addr().String()
	front := start(t, address)
	back.Close()
	if got, err := ask(t, front, "hello"); got != "" {
		t.Errorf("with nobody there: got %q, %v", got, err)
	}
	go serve(listen(t, address), "c")
	if got, err := ask(t, front, "hello"); got != "c:hello" {
		t.Errorf("after the restart: got %q, %v", got, err)
	}
}

func TestOpenConnectionsEndWithTheForwarder(t *testing.T) {
	back := listen(t, "127.0.0.1:0")
	go serve(back, "d")
	front := listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- (&Forwarder{Targets: []string{back.Addr().String()}}).Serve(ctx, front) }()
	conn, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end while a connection is open")
	}
}
