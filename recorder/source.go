package recorder

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
)

// maxTapMessage bounds what a media pod sends at once.
const maxTapMessage = 16 << 20

// tapping is one stream of a tap, which a goroutine reads.
type tapping struct {
	messages chan *tapv1.PodMessage
	failed   chan error // one element: why it has ended
	cancel   context.CancelFunc
	stream   tapv1.Tap_OpenClient
	ready    chan struct{} // closed when stream is set
	done     chan struct{} // closed when nothing of it runs any more
}

// startTapping opens a tap in the background.
func startTapping(ctx context.Context, creds credentials.TransportCredentials, address string, open *tapv1.Open) *tapping {
	ctx, cancel := context.WithCancel(ctx)
	t := &tapping{
		messages: make(chan *tapv1.PodMessage), failed: make(chan error, 1), cancel: cancel, ready: make(chan struct{}), done: make(chan struct{}),
	}
	go func() {
		defer close(t.done)
		t.failed <- t.run(ctx, creds, address, open)
	}()
	return t
}

func (t *tapping) run(ctx context.Context, creds credentials.TransportCredentials, address string, open *tapv1.Open) error {
	connection, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxTapMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	)
	if err != nil {
		return fmt.Errorf("preparing the connection to %s: %w", address, err)
	}
	defer connection.Close()
	stream, err := tapv1.NewTapClient(connection).Open(ctx)
	if err != nil {
		return fmt.Errorf("opening a tap at %s: %w", address, err)
	}
	if err := stream.Send(&tapv1.WorkerMessage{Message: &tapv1.WorkerMessage_Open{Open: open}}); err != nil {
		_, err = stream.Recv() // says why
		return fmt.Errorf("opening a tap at %s: %w", address, err)
	}
	t.stream = stream
	close(t.ready)
	for {
		message, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("reading the tap at %s: %w", address, err)
		}
		select {
		case t.messages <- message:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send says something to the pod, if the stream is open. Errors show where it is read.
func (t *tapping) send(message *tapv1.WorkerMessage) {
	if t == nil {
		return
	}
	select {
	case <-t.ready:
		_ = t.stream.Send(message) // as said above
	default:
	}
}

// end closes the stream, and waits until nothing of it runs any more.
func (t *tapping) end() {
	if t == nil {
		return
	}
	t.cancel()
	<-t.done
}

// stopWait is how long the pod may take to end a tap.
const stopWait = time.Second

// stop tells the pod that the tap is not needed any more, and closes the stream.
func (t *tapping) stop() {
	if t == nil {
		return
	}
	t.send(&tapv1.WorkerMessage{Message: &tapv1.WorkerMessage_Stop{Stop: &tapv1.Stop{}}})
	late := time.NewTimer(stopWait)
	defer late.Stop()
	for waiting := true; waiting; {
		select {
		case <-t.messages: // too late
		case <-t.done:
			waiting = false
		case <-late.C:
			waiting = false
		}
	}
	t.end()
}
