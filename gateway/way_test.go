package gateway_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	kuberest "k8s.io/client-go/rest"
)

// way is a way to the API server that can be cut.
type way struct {
	config *kuberest.Config
	target string
	t      *testing.T

	mu       sync.Mutex // guards what follows
	address  string
	listener net.Listener
	conns    []net.Conn
}

func newWay(t *testing.T, to *kuberest.Config) *way {
	t.Helper()
	w := &way{config: kuberest.CopyConfig(to), target: strings.Trim(strings.TrimPrefix(to.Host, "https:"), "/"), t: t, address: freeAddress(t)}
	w.config.Host = "https://" + w.address
	w.open()
	t.Cleanup(w.cut)
	return w
}

func (w *way) open() {
	w.t.Helper()
	listener, err := net.Listen("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listener = listener
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", w.target)
			if err != nil {
				_ = near.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			go pass(near, far)
			go pass(far, near)
		}
	}()
}

func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.listener.Close()
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	w.conns = nil
}
