// Package egress is the authority on the streams to the workers that take media out of rooms: which
// worker each pool has, what it was told of jobs, and what it has said of them.
//
//	recording: Put, Remove --> Workers --> Order stream --> worker
//	recording: View        <-- Workers <-- Report stream <-- worker
//
// Nothing here outlives the process: a new leader is told by the Recordings what the jobs are, and
// by the workers how far they have come. A worker ends the jobs that it is not told of, so nothing
// is told before each Recording that a leader has found has had its pass (Expect, Settle).
package egress

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
)

// Worker is the worker pod of a pool.
type Worker struct {
	// Pool that it works for, the name and UID of the pod, and the host and port of its control
	// stream.
	Pool, Name, UID, Address string
}

// State says how the stream to the worker of a pool stands.
type State int

// States of a stream.
const (
	// Absent: the pool has no worker that runs.
	Absent State = iota
	// Down: the worker can't be reached.
	Down
	// Synced: both sides know what the other does.
	Synced
)

// View is what is known of one job.
type View struct {
	// State of the stream to the pool's worker.
	State State
	// Status is what the worker has said of the job last; nil when it does not know it. It is not
	// to be changed.
	Status *egressv1.JobStatus
}

// Config is what Workers need.
type Config struct {
	// Credentials towards workers.
	Credentials credentials.TransportCredentials
	// Version of the operator's software, told to the workers.
	Version string
	// Changed is called when something has changed that a Recording may depend on. It must not
	// block.
	Changed func(recording types.NamespacedName)
}

// Workers holds the streams to the workers of all pools. Safe for concurrent use.
type Workers struct {
	config Config

	mu      sync.Mutex // guards what follows, and the links
	running context.Context
	links   map[string]*link                 // by pool
	jobs    map[string]map[types.UID]*job    // by pool
	said    map[string]map[types.UID]*status // by pool
	// expected are Recordings that have not had their first pass; settled is closed when there is
	// none any more.
	expected map[types.NamespacedName]bool
	settled  chan struct{}
	ended    sync.WaitGroup
}

// job is one recording as its worker is to be told.
type job struct {
	name types.NamespacedName
	want *egressv1.Job
	// removed says that the worker is to forget it, told that it was told so.
	removed, told bool
}

// status is what a worker has said of a job.
type status = egressv1.JobStatus

// New returns Workers that talk to nobody before Start.
func New(config Config) *Workers {
	return &Workers{
		config: config, links: make(map[string]*link), jobs: make(map[string]map[types.UID]*job),
		said: make(map[string]map[types.UID]*status), expected: make(map[types.NamespacedName]bool), settled: make(chan struct{}),
	}
}

// Expect says which Recordings there are, before any of them has a pass: no worker is told which
// jobs there are before each has settled.
func (w *Workers) Expect(recordings []types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range recordings {
		w.expected[name] = true
	}
}

// Start talks to the workers until the context ends. It is to be called after Expect.
func (w *Workers) Start(ctx context.Context) {
	w.mu.Lock()
	w.running = ctx
	w.release()
	for _, l := range w.links {
		w.start(l)
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.ended.Wait()
}

// Settle says that a Recording has had its first pass, or is gone.
func (w *Workers) Settle(recording types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.expected[recording] {
		delete(w.expected, recording)
		w.release()
	}
}

// release lets snapshots end when nothing is expected any more. The lock is held.
func (w *Workers) release() {
	if len(w.expected) > 0 || w.running == nil {
		return
	}
	select {
	case <-w.settled:
	default:
		close(w.settled)
	}
}

// See takes in the worker of a pool. Another pod than before is another stream.
func (w *Workers) See(worker Worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l, known := w.links[worker.Pool]; known {
		if l.worker == worker {
			return
		}
		l.stop()
	}
	l := newLink(worker)
	w.links[worker.Pool] = l
	delete(w.said, worker.Pool)
	if w.running != nil {
		w.start(l)
	}
}

// Forget takes out the worker of a pool.
func (w *Workers) Forget(pool string) {
	w.mu.Lock()
	l, known := w.links[pool]
	if known {
		l.stop()
		delete(w.links, pool)
		delete(w.said, pool)
	}
	names := w.names(pool)
	w.mu.Unlock()
	if known {
		w.wake(names)
	}
}

// start begins the stream of a link, unless all end. The lock is held.
func (w *Workers) start(l *link) {
	if w.running.Err() != nil {
		return
	}
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(w.running)
	w.ended.Go(func() { w.run(ctx, l) })
}

// Put has the worker of a pool do a job. What was told before under the same UID is replaced.
func (w *Workers) Put(pool string, name types.NamespacedName, want *egressv1.Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	uid := types.UID(want.GetUid())
	if w.jobs[pool] == nil {
		w.jobs[pool] = make(map[types.UID]*job)
	}
	if j, known := w.jobs[pool][uid]; known && (j.removed || proto.Equal(j.want, want)) {
		return
	}
	w.jobs[pool][uid] = &job{name: name, want: want}
	w.nudge(pool)
}

// Remove has the worker of a pool forget a job, after a last word of it, and says whether it was
// told so. What it is told wakes the Recording. A job that is on no pool is forgotten at once.
func (w *Workers) Remove(pool string, name types.NamespacedName, last *egressv1.Job) (told bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	uid := types.UID(last.GetUid())
	j, known := w.jobs[pool][uid]
	if !known || !j.removed {
		if w.jobs[pool] == nil {
			w.jobs[pool] = make(map[types.UID]*job)
		}
		w.jobs[pool][uid] = &job{name: name, want: last, removed: true}
		w.nudge(pool)
		return false
	}
	return j.told
}

// Drop forgets a job without a word to its worker.
func (w *Workers) Drop(recording types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for pool, jobs := range w.jobs {
		delete(jobs, recording)
		delete(w.said[pool], recording)
		if len(jobs) == 0 {
			delete(w.jobs, pool)
		}
	}
}

// View returns what is known of a job of a pool.
func (w *Workers) View(pool string, recording types.UID) View {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, known := w.links[pool]
	if !known {
		return View{State: Absent}
	}
	view := View{State: Down, Status: w.said[pool][recording]}
	if l.synced {
		view.State = Synced
	}
	return view
}

// nudge has the link of a pool look for what to send. The lock is held.
func (w *Workers) nudge(pool string) {
	if l, known := w.links[pool]; known {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// names returns the Recordings of a pool. The lock is held.
func (w *Workers) names(pool string) []types.NamespacedName {
	names := make([]types.NamespacedName, 0, len(w.jobs[pool]))
	for _, j := range w.jobs[pool] {
		names = append(names, j.name)
	}
	return names
}

// wake has the controller look at Recordings. The lock is not held.
func (w *Workers) wake(names []types.NamespacedName) {
	for _, name := range names {
		w.config.Changed(name)
	}
}

// redial is the pause before a stream is opened again.
const redial = time.Second
