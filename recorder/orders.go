package recorder

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/grpcstream"
)

// orders takes what the operator wants, and tells it what there is. It serves one stream at a time;
// the newest wins.
type orders struct {
	egressv1.UnimplementedWorkerServer

	library    *library
	log        logr.Logger
	podUID     string
	version    string
	instanceID string
	streamsMax int
	stopping   chan struct{} // closed by stop

	mu      sync.Mutex // guards what follows, and lets only the current stream order anything
	current *ordering
	stopped bool
}

// ordering is one stream of the operator.
type ordering struct {
	superseded chan struct{}
	named      map[string]bool
	synced     bool
}

// Why the worker ends a stream.
var (
	errSuperseded = status.Error(codes.Aborted, "another control stream has taken over")
	errStopping   = status.Error(codes.Unavailable, "the worker stops")
)

// Sync implements egressv1.WorkerServer.
func (o *orders) Sync(grpcStream egressv1.Worker_SyncServer) error {
	if err := o.greet(grpcStream); err != nil {
		return err
	}
	current := &ordering{superseded: make(chan struct{}), named: map[string]bool{}}
	if !o.takeOver(current) {
		return errStopping
	}
	defer o.release(current)
	if err := o.tellAll(grpcStream); err != nil {
		return err
	}
	err := o.serve(grpcStream, current)
	o.log.Info("Control stream ended", "reason", fmt.Sprint(err))
	return err
}

// greet waits for the operator's hello, and answers it.
func (o *orders) greet(grpcStream egressv1.Worker_SyncServer) error {
	first, err := grpcStream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "the first message must be Hello")
	}
	if o.podUID != "" && hello.GetPodUid() != o.podUID {
		return status.Errorf(codes.FailedPrecondition, "this is pod %s, not %s", o.podUID, hello.GetPodUid())
	}
	o.log.Info("Control stream opened", "operatorVersion", hello.GetVersion())
	return grpcStream.Send(&egressv1.Report{Message: &egressv1.Report_Hello{Hello: &egressv1.WorkerHello{
		Version: o.version, PodUid: o.podUID, InstanceId: o.instanceID,
	}}})
}

func (o *orders) takeOver(current *ordering) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.current != nil {
		close(o.current.superseded)
	}
	o.current = current
	return !o.stopped
}

func (o *orders) release(current *ordering) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.current == current {
		o.current = nil
	}
}

// tellAll tells what there is.
func (o *orders) tellAll(grpcStream egressv1.Worker_SyncServer) error {
	capacity := &egressv1.Capacity{StreamsMax: int32(o.streamsMax)}
	if err := grpcStream.Send(&egressv1.Report{Message: &egressv1.Report_Capacity{Capacity: capacity}}); err != nil {
		return err
	}
	o.library.takeChanges()
	if err := tell(grpcStream, o.library.statuses()); err != nil {
		return err
	}
	return grpcStream.Send(&egressv1.Report{Message: &egressv1.Report_SnapshotEnd{SnapshotEnd: &egressv1.SnapshotEnd{}}})
}

func tell(grpcStream egressv1.Worker_SyncServer, statuses []*egressv1.JobStatus) error {
	for _, s := range statuses {
		if err := grpcStream.Send(&egressv1.Report{Message: &egressv1.Report_Status{Status: s}}); err != nil {
			return err
		}
	}
	return nil
}

// serve takes orders and tells changes until the stream ends.
func (o *orders) serve(grpcStream egressv1.Worker_SyncServer, current *ordering) error {
	messages, failed := grpcstream.Receive(grpcStream.Context(), grpcStream.Recv)
	for {
		var err error
		select {
		case <-current.superseded:
			return errSuperseded
		case <-o.stopping:
			return errors.Join(tell(grpcStream, o.library.takeChanges()), errStopping)
		case err = <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
		case order := <-messages:
			err = o.take(current, order)
		case <-o.library.signal:
			err = tell(grpcStream, o.library.takeChanges())
		}
		if err != nil {
			return err
		}
	}
}

// take does what an order asks for.
func (o *orders) take(current *ordering, order *egressv1.Order) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.current != current {
		return errSuperseded
	}
	switch {
	case order.GetJob() != nil:
		current.named[order.GetJob().GetUid()] = true
		o.library.apply(order.GetJob())
	case order.GetRemoveJob() != nil:
		delete(current.named, order.GetRemoveJob().GetUid())
		o.library.remove(order.GetRemoveJob().GetUid())
	case order.GetSnapshotEnd() != nil && !current.synced:
		current.synced = true
		o.library.keep(current.named)
	}
	return nil
}

// stop ends the stream of the operator.
func (o *orders) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.stopped {
		o.stopped = true
		close(o.stopping)
	}
}
