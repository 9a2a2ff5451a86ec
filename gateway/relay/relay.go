package relay

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// leaveTimeout is how long a media pod may take to end its side after the client has: it does
	// what it was asked before.
	leaveTimeout = 10 * time.Second
	// pause is between two media pods at least.
	pause = 500 * time.Millisecond
)

// Why a relay ends.
var (
	errEnded = errors.New("the client's socket has ended")
	errLeft  = errors.New("the client has closed its socket")
)

// Config is what a relay connects.
type Config struct {
	// Client is the client's connection, and FromClient reads from it, both after the handshake.
	Client     net.Conn
	FromClient *bufio.Reader
	// Pod is the connection to the media pod, after the handshake.
	Pod io.ReadWriteCloser
	// Resumption is what the media pod has told of the client by its answer to the handshake; ""
	// for nothing.
	Resumption string
	// Attach returns the connection to the media pod that goes on with the client, by what the one
	// before has told. An error means that there is none, and the client has to notice.
	Attach func(ctx context.Context, resumption string) (io.ReadWriteCloser, error)
	// Moved reports whether the room is on another media pod than the one attached last.
	Moved func() bool
}

// relay is one client's.
type relay struct {
	Config
	up     *uplink
	down   *downlink
	cancel context.CancelCauseFunc
}

// Run carries a client's WebSocket until it ends or the context does, and closes both connections.
func Run(ctx context.Context, config Config) error {
	ctx, cancel := context.WithCancelCause(ctx)
	r := &relay{Config: config, up: newUplink(config.Pod, config.Moved), cancel: cancel}
	r.down = &downlink{client: config.Client, answered: r.up.answered, resumption: config.Resumption}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel(nil)
	context.AfterFunc(ctx, func() {
		r.up.end() // first: what ends now is not the client's doing
		_ = r.Client.Close()
	})
	reading.Go(func() { r.fromClient(ctx) })
	err := r.toClient(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// fromClient passes what the client sends until it sends no more.
func (r *relay) fromClient(ctx context.Context) {
	for {
		f, err := peekFrame(r.FromClient)
		switch {
		case err != nil:
			r.up.gone()
		case f.control():
			err = f.whole(r.FromClient, func(whole []byte) error { return r.control(f, whole) })
		default:
			err = f.parts(r.FromClient, func(part []byte, offset uint64, last bool) error {
				r.up.data(f, part, offset, last)
				return context.Cause(ctx)
			})
		}
		if errors.Is(err, io.EOF) && r.up.leave() {
			// The media pod still does what it was asked, and then ends its side.
			timer := time.AfterFunc(leaveTimeout, func() { r.cancel(errLeft) })
			context.AfterFunc(ctx, func() { timer.Stop() })
			return
		}
		if err != nil {
			r.cancel(err)
			return
		}
	}
}

// control passes a client's control frame on. While there is no media pod, one that closes the
// socket ends it.
func (r *relay) control(f frame, whole []byte) error {
	if !r.up.control(f, whole) && !r.up.attached() {
		return errLeft
	}
	return nil
}

// toClient passes what media pods send, one after the other.
func (r *relay) toClient(ctx context.Context) error {
	pod := r.Pod
	for first := true; ; first = false {
		attached := time.Now()
		err := r.with(ctx, pod, first)
		// Both are to be told.
		goesOn := r.up.lose()
		goesOn = r.down.lose() && goesOn
		if !goesOn || !lost(err) || ctx.Err() != nil {
			return err
		}
		if pod, err = r.next(ctx, time.Since(attached)); err != nil {
			return err
		}
	}
}

// with passes what one media pod sends, until it is lost or nothing more comes, and closes the way
// to it.
func (r *relay) with(ctx context.Context, pod io.ReadWriteCloser, first bool) error {
	defer func() { _ = pod.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = pod.Close() })
	defer stop()
	epoch := 0
	if !first {
		var err error
		if epoch, err = r.up.attach(pod); err != nil {
			return err
		}
	}
	return r.down.carry(bufio.NewReader(pod), epoch)
}

// next returns the next media pod, after one that was there for a while.
func (r *relay) next(ctx context.Context, after time.Duration) (io.ReadWriteCloser, error) {
	if after < pause {
		timer := time.NewTimer(pause - after)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return r.Attach(ctx, r.down.resumption)
}

// lost reports whether an error on the way to the client is the loss of the media pod. It is not
// when nothing came since the client is silent, or when the client takes nothing.
func lost(err error) bool {
	return !errors.As(err, new(clientError)) && !errors.Is(err, errTold) && !errors.Is(err, errFrame) && !errors.Is(err, os.ErrDeadlineExceeded)
}
