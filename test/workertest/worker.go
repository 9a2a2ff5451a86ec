// Package workertest is a recorder for tests of the operator and the gateway: the egress protocol
// and the files over real mutual TLS, without any media. A recording of a room that is on a pod
// starts at once, and is ready as soon as it is stopped.
package workertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
)

// Content is what each file of a recording holds.
const Content = "0123456789abcdef"

// Config is what a Worker needs.
type Config struct {
	// Address of the control stream and FilesAddress of the files, HOST:PORT; "" serves none.
	Address, FilesAddress string
	// UID of the Pod object.
	UID      string
	Identity mtls.Source
}

// Worker is a recorder. Safe for concurrent use.
type Worker struct {
	egressv1.UnimplementedWorkerServer
	config Config
	server *grpc.Server
	files  *http.Server

	mu       sync.Mutex // guards what follows
	jobs     map[string]*egressv1.Job
	statuses map[string]*egressv1.JobStatus
	removed  []string
	faults   Faults
	streams  int           // that are open
	refused  int           // streams for another pod
	changed  chan struct{} // closed when a status has changed
	breaks   chan struct{} // closed to end the streams that are open
}

// Faults is how a Worker misbehaves.
type Faults struct {
	// Stuck has it say nothing of jobs.
	Stuck bool
	// Fails is why a job fails that would start; "" is that it does not.
	Fails string
}

// Start serves a worker until Stop.
func Start(config Config) (*Worker, error) {
	w := &Worker{
		config: config, jobs: make(map[string]*egressv1.Job), statuses: make(map[string]*egressv1.JobStatus),
		changed: make(chan struct{}), breaks: make(chan struct{}),
		server: grpc.NewServer(grpc.Creds(credentials.NewTLS(mtls.ServerFrom(config.Identity, mtls.Manager)))),
	}
	egressv1.RegisterWorkerServer(w.server, w)
	if config.Address != "" {
		listener, err := net.Listen("tcp", config.Address)
		if err != nil {
			return nil, fmt.Errorf("listening: %w", err)
		}
		w.config.Address = listener.Addr().String()
		go func() { _ = w.server.Serve(listener) }()
	}
	if config.FilesAddress != "" {
		listener, err := net.Listen("tcp", config.FilesAddress)
		if err != nil {
			w.server.Stop()
			return nil, fmt.Errorf("listening for files: %w", err)
		}
		w.config.FilesAddress = listener.Addr().String()
		w.files = &http.Server{
			Handler: http.HandlerFunc(w.serveFile), TLSConfig: mtls.ServerFrom(config.Identity, mtls.Gateway), ReadHeaderTimeout: 10 * time.Second,
		}
		go func() { _ = w.files.ServeTLS(listener, "", "") }()
	}
	return w, nil
}

// Address returns where the control stream is served.
func (w *Worker) Address() string { return w.config.Address }

// Streams returns how many control streams are open.
func (w *Worker) Streams() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.streams
}

// Refused returns how many streams were refused, since they were for another pod.
func (w *Worker) Refused() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

// FilesAddress returns where files are served.
func (w *Worker) FilesAddress() string { return w.config.FilesAddress }

// Stop ends everything.
func (w *Worker) Stop() {
	w.Break()
	w.server.Stop()
	if w.files != nil {
		_ = w.files.Close()
	}
}

// Break ends the streams that are open.
func (w *Worker) Break() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.breaks)
	w.breaks = make(chan struct{})
}

// Misbehave changes how it behaves from now on.
func (w *Worker) Misbehave(faults Faults) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = faults
}

// Job returns what the worker was told of a recording; nil for nothing.
func (w *Worker) Job(uid string) *egressv1.Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.jobs[uid]
}

// Removed returns the recordings that it was told to forget, each with whether its files went.
func (w *Worker) Removed() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.removed)
}

// Set makes a recording be as a status says, whatever its job.
func (w *Worker) Set(s *egressv1.JobStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set(s)
}

// set is Set. The lock is held.
func (w *Worker) set(s *egressv1.JobStatus) {
	w.statuses[s.GetUid()] = s
	close(w.changed)
	w.changed = make(chan struct{})
}

// Sync implements egressv1.WorkerServer.
func (w *Worker) Sync(stream egressv1.Worker_SyncServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetHello().GetPodUid() != w.config.UID {
		w.mu.Lock()
		w.refused++
		w.mu.Unlock()
		return status.Error(codes.FailedPrecondition, "this is another pod")
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	w.mu.Lock()
	w.streams++
	breaks := w.breaks
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.streams--
		w.mu.Unlock()
	}()
	ended := make(chan error, 2)
	go func() { ended <- w.receive(stream) }()
	go func() { ended <- w.report(ctx, stream) }()
	select {
	case err = <-ended:
	case <-breaks:
		err = status.Error(codes.Unavailable, "broken by the test")
	}
	return err
}

// receive takes orders in.
func (w *Worker) receive(stream egressv1.Worker_SyncServer) error {
	named := make(map[string]bool)
	for {
		order, err := stream.Recv()
		if err != nil {
			return err
		}
		w.mu.Lock()
		switch m := order.GetMessage().(type) {
		case *egressv1.Order_Job:
			named[m.Job.GetUid()] = true
			w.do(m.Job)
		case *egressv1.Order_RemoveJob:
			w.remove(m.RemoveJob.GetUid())
		case *egressv1.Order_SnapshotEnd:
			for _, uid := range slices.Sorted(maps.Keys(w.jobs)) {
				if !named[uid] {
					w.remove(uid)
				}
			}
		}
		w.mu.Unlock()
	}
}

// do takes a job in. The lock is held.
func (w *Worker) do(job *egressv1.Job) {
	w.jobs[job.GetUid()] = job
	before := w.statuses[job.GetUid()]
	if w.faults.Stuck {
		return
	}
	now := time.Now().UnixMilli()
	switch {
	case before.GetState() >= egressv1.State_STATE_READY:
	case w.faults.Fails != "":
		w.set(&egressv1.JobStatus{Uid: job.GetUid(), State: egressv1.State_STATE_FAILED, Message: w.faults.Fails})
	case job.GetStop() && before == nil:
		w.set(&egressv1.JobStatus{Uid: job.GetUid(), State: egressv1.State_STATE_FAILED, Message: "nothing was recorded"})
	case job.GetStop():
		w.set(ready(job, before.GetStartedUnixMs()))
	case job.GetSource() != nil && before == nil:
		w.set(&egressv1.JobStatus{Uid: job.GetUid(), State: egressv1.State_STATE_STARTED, StartedUnixMs: now})
	}
}

// ready is how far a recording is that was stopped: a file of one stream, and the zip of all.
func ready(job *egressv1.Job, started int64) *egressv1.JobStatus {
	size := int64(len(Content))
	return &egressv1.JobStatus{
		Uid: job.GetUid(), State: egressv1.State_STATE_READY, Reason: job.GetStopReason(), StartedUnixMs: started, DurationMs: 2500, SizeBytes: size,
		Files: []*egressv1.File{
			{
				Name: "str_CAM_A.webm", SizeBytes: size, ContentType: "video/webm", StreamId: "str_CAM_A", ConnectionId: "con_A",
				StartOffsetMs: 100, DurationMs: 2500, HasAudio: true, HasVideo: true,
			},
			{Name: job.GetName() + ".zip", SizeBytes: size, ContentType: "application/zip"},
		},
	}
}

// remove forgets a job. The lock is held.
func (w *Worker) remove(uid string) {
	job := w.jobs[uid]
	kept := "kept"
	if job.GetDeleteFiles() {
		kept = "deleted"
		delete(w.statuses, uid)
	}
	delete(w.jobs, uid)
	w.removed = append(w.removed, uid+" "+kept)
}

// report tells what is there, and then what changes.
func (w *Worker) report(ctx context.Context, stream egressv1.Worker_SyncServer) error {
	send := func(r *egressv1.Report) error { return stream.Send(r) }
	hello := &egressv1.WorkerHello{PodUid: w.config.UID, InstanceId: "test"}
	if err := send(&egressv1.Report{Message: &egressv1.Report_Hello{Hello: hello}}); err != nil {
		return err
	}
	told := make(map[string]*egressv1.JobStatus)
	for first := true; ; first = false {
		w.mu.Lock()
		changed := w.changed
		var due []*egressv1.JobStatus
		for uid, s := range w.statuses {
			if !proto.Equal(told[uid], s) {
				told[uid] = s
				due = append(due, s)
			}
		}
		w.mu.Unlock()
		for _, s := range due {
			if err := send(&egressv1.Report{Message: &egressv1.Report_Status{Status: s}}); err != nil {
				return err
			}
		}
		if first {
			if err := send(&egressv1.Report{Message: &egressv1.Report_SnapshotEnd{SnapshotEnd: &egressv1.SnapshotEnd{}}}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the stream has ended")
		case <-changed:
		}
	}
}

// serveFile serves GET /recordings/{uid}/{file}.
func (w *Worker) serveFile(out http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/recordings/"), "/")
	w.mu.Lock()
	known := len(parts) == 2 && slices.ContainsFunc(w.statuses[parts[0]].GetFiles(), func(f *egressv1.File) bool { return f.GetName() == parts[1] })
	w.mu.Unlock()
	if !known {
		http.NotFound(out, r)
		return
	}
	http.ServeContent(out, r, parts[1], time.Unix(1700000000, 0), bytes.NewReader([]byte(Content)))
}
