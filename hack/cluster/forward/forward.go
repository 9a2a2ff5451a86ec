// Package forward passes TCP connections on from an address of this machine to
// the first of several targets that answers. It decides per connection, so it outlives
// restarts of everything behind it.
package forward

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dialTimeout = 2 * time.Second
	// keepAlive ends a connection whose far side has vanished without a word,
	// as that of a killed pod does.
	keepAliveIdle     = 5 * time.Second
	keepAliveInterval = 2 * time.Second
	keepAliveCount    = 3
	unacknowledged    = 10 * time.Second
)

// Forwarder passes connections on to Targets.
type Forwarder struct {
	// Targets are host:port addresses. New connections take turns, and skip those that do not
	// answer.
	Targets []string

	next atomic.Uint32
}

// Serve accepts connections until the context ends or a listener fails. It
// closes the listeners.
func (f *Forwarder) Serve(ctx context.Context, listeners ...net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, listener := range listeners {
		context.AfterFunc(ctx, func() { _ = listener.Close() })
		wg.Go(func() {
			for {
				client, err := listener.Accept()
				if err != nil {
					cancel(err)
					return
				}
				wg.Go(func() { f.pass(ctx, client) })
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// pass carries one connection to its end.
func (f *Forwarder) pass(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := f.dial(ctx)
	if err != nil {
		log.Printf("no target answers: %v", err)
		return
	}
	defer server.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = server.Close()
	})
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { pump(server, client) })
	wg.Go(func() { pump(client, server) })
	wg.Wait()
}

// dial connects to the next target, or else to the one after it, and so on.
func (f *Forwarder) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout: dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
		},
		Control: limitUnacknowledged,
	}
	start := int(f.next.Add(1))
	var errs []error
	for k := range f.Targets {
		conn, err := dialer.DialContext(ctx, "tcp", f.Targets[(start+k)%len(f.Targets)])
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// limitUnacknowledged makes a connection fail when what was sent stays
// unacknowledged; keep-alives are silent while data is under way (RFC 5482).
func limitUnacknowledged(_, _ string, conn syscall.RawConn) error {
	var optionErr error
	err := conn.Control(func(fd uintptr) {
		optionErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledged.Milliseconds()))
	})
	return errors.Join(err, optionErr)
}

// pump copies one direction and hands its end on. An error ends both: the
// other direction has nobody left to talk to.
func pump(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		_ = from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
