package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
)

const (
	// maxMessage bounds one message of a worker, in bytes.
	maxMessage = 16 << 20
	// greeting bounds the time from a stream's beginning until the worker has said all that it
	// knows.
	greeting = 30 * time.Second
)

// link is the stream to one worker. What may change is guarded by Workers.mu.
type link struct {
	worker Worker
	cancel context.CancelFunc
	// wake has one element when there may be something to send.
	wake   chan struct{}
	synced bool
}

func newLink(worker Worker) *link {
	return &link{worker: worker, cancel: func() {}, wake: make(chan struct{}, 1)}
}

// stop ends the link. Its goroutine ends soon after.
func (l *link) stop() { l.cancel() }

// run keeps a stream to the worker until the context ends.
func (w *Workers) run(ctx context.Context, l *link) {
	logger := log.FromContext(ctx).WithValues("Pod", l.worker.Name)
	var last string
	for ctx.Err() == nil {
		err := w.sync(ctx, l)
		w.mu.Lock()
		l.synced = false
		var names []types.NamespacedName
		if w.links[l.worker.Pool] == l {
			names = w.names(l.worker.Pool)
		}
		w.mu.Unlock()
		w.wake(names)
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != last {
			last = text
			logger.Info("Stream to the worker is down", "reason", text)
		}
		select {
		case <-ctx.Done():
		case <-time.After(redial):
		}
	}
}

// sync is the life of one stream. It returns why it ended.
func (w *Workers) sync(ctx context.Context, l *link) error {
	connection, err := grpc.NewClient("passthrough:///"+l.worker.Address,
		grpc.WithTransportCredentials(w.config.Credentials),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return fmt.Errorf("dialling: %w", err)
	}
	defer connection.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(greeting, func() { cancel(fmt.Errorf("waiting for what the worker knows: %w", context.DeadlineExceeded)) })
	defer late.Stop()

	stream, err := egressv1.NewWorkerClient(connection).Sync(ctx)
	if err != nil {
		return cause(ctx, fmt.Errorf("opening the stream: %w", err))
	}
	hello := &egressv1.Hello{Version: w.config.Version, PodUid: l.worker.UID}
	if err := stream.Send(&egressv1.Order{Message: &egressv1.Order_Hello{Hello: hello}}); err != nil {
		return cause(ctx, fmt.Errorf("greeting: %w", err))
	}
	known, err := w.greet(stream, l)
	if err != nil {
		return cause(ctx, err)
	}
	late.Stop()
	select {
	case <-w.settled:
	case <-ctx.Done():
		return cause(ctx, ctx.Err())
	}
	w.replace(l, known)

	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := w.send(ctx, l, stream); err != nil {
			cancel(err)
		}
	}()
	err = cause(ctx, w.receive(l, stream))
	cancel(err)
	<-sent
	return err
}

// greet takes in what the worker knows.
func (w *Workers) greet(stream egressv1.Worker_SyncClient, l *link) (map[types.UID]*status, error) {
	known := make(map[types.UID]*status)
	greeted := false
	for {
		report, err := stream.Recv()
		if err != nil {
			return nil, ending(err)
		}
		switch m := report.GetMessage().(type) {
		case *egressv1.Report_Hello:
			if m.Hello.GetPodUid() != l.worker.UID {
				return nil, fmt.Errorf("another pod answered, with UID %q", m.Hello.GetPodUid())
			}
			greeted = true
		case *egressv1.Report_Status:
			known[types.UID(m.Status.GetUid())] = m.Status
		case *egressv1.Report_SnapshotEnd:
			if !greeted {
				return nil, fmt.Errorf("the worker has not said who it is")
			}
			return known, nil
		}
	}
}

// replace takes what a worker has told for all that it knows.
func (w *Workers) replace(l *link, known map[types.UID]*status) {
	w.mu.Lock()
	if w.links[l.worker.Pool] != l {
		w.mu.Unlock()
		return
	}
	w.said[l.worker.Pool] = known
	names := w.names(l.worker.Pool)
	w.mu.Unlock()
	w.wake(names)
}

// receive takes in changes until the stream ends.
func (w *Workers) receive(l *link, stream egressv1.Worker_SyncClient) error {
	for {
		report, err := stream.Recv()
		if err != nil {
			return ending(err)
		}
		if m, ok := report.GetMessage().(*egressv1.Report_Status); ok {
			w.take(l, m.Status)
		}
	}
}

// take takes in how far a job is. What is not known here is not kept.
func (w *Workers) take(l *link, said *status) {
	w.mu.Lock()
	uid := types.UID(said.GetUid())
	j, known := w.jobs[l.worker.Pool][uid]
	if !known || w.links[l.worker.Pool] != l {
		w.mu.Unlock()
		return
	}
	if w.said[l.worker.Pool] == nil {
		w.said[l.worker.Pool] = make(map[types.UID]*status)
	}
	w.said[l.worker.Pool][uid] = said
	name := j.name
	w.mu.Unlock()
	w.config.Changed(name)
}

// send tells the worker all jobs, and then what changes, until the context ends.
func (w *Workers) send(ctx context.Context, l *link, stream egressv1.Worker_SyncClient) error {
	told := make(map[types.UID]*egressv1.Job)
	for first := true; ; first = false {
		if err := w.tell(l, stream, told); err != nil {
			return err
		}
		if first {
			if err := stream.Send(&egressv1.Order{Message: &egressv1.Order_SnapshotEnd{SnapshotEnd: &egressv1.SnapshotEnd{}}}); err != nil {
				return fmt.Errorf("ending the snapshot: %w", err)
			}
			w.mu.Lock()
			l.synced = true
			names := w.names(l.worker.Pool)
			w.mu.Unlock()
			w.wake(names)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		}
	}
}

// tell sends what the worker was not told yet. told is what it was.
func (w *Workers) tell(l *link, stream egressv1.Worker_SyncClient, told map[types.UID]*egressv1.Job) error {
	w.mu.Lock()
	due := make(map[types.UID]*job)
	for uid, j := range w.jobs[l.worker.Pool] {
		if j.removed && !j.told || !j.removed && !proto.Equal(told[uid], j.want) {
			due[uid] = j
		}
	}
	w.mu.Unlock()
	for uid, j := range due {
		if err := stream.Send(&egressv1.Order{Message: &egressv1.Order_Job{Job: j.want}}); err != nil {
			return fmt.Errorf("sending a job: %w", err)
		}
		told[uid] = j.want
		if !j.removed {
			continue
		}
		if err := stream.Send(&egressv1.Order{Message: &egressv1.Order_RemoveJob{RemoveJob: &egressv1.RemoveJob{Uid: string(uid)}}}); err != nil {
			return fmt.Errorf("removing a job: %w", err)
		}
		w.mu.Lock()
		j.told = true
		w.mu.Unlock()
		w.config.Changed(j.name)
	}
	return nil
}

// ending says how a stream has ended.
func ending(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the worker has ended the stream")
	}
	return fmt.Errorf("receiving: %w", err)
}

// cause returns why a context has ended, or else an error.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}
