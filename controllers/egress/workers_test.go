package egress

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	"k8s.io/apimachinery/pkg/types"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/test/wait"
	"mediarooms.dev/mediarooms/test/workertest"
)

const (
	pool     = "default"
	patience = 20 * time.Second
)

// scene is Workers with a worker of one pool, over real mutual TLS.
type scene struct {
	*Workers
	t        *testing.T
	worker   *workertest.Worker
	identity *mtls.Memory // of workers

	mu    sync.Mutex // guards woken
	woken []string   // the Recordings that have been woken, in order
}

// newScene starts Workers for Recordings that there are already.
func newScene(t *testing.T, recordings ...string) *scene {
	t.Helper()
	authority := mtlstest.NewAuthority(t)
	s := &scene{t: t, identity: authority.Memory(t, mtls.Worker)}
	s.Workers = New(Config{
		Credentials: credentials.NewTLS(mtls.ClientFrom(authority.Memory(t, mtls.Manager), mtls.Worker)), Version: "test",
		Changed: func(recording types.NamespacedName) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.woken = append(s.woken, recording.Name)
		},
	})
	s.worker = s.serve("uid-1")
	ctx, cancel := context.WithCancel(context.Background())
	var names []types.NamespacedName
	for _, name := range recordings {
		names = append(names, named(name))
	}
	s.Expect(names)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Start(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return s
}

// serve starts a worker pod, which Workers are to See.
func (s *scene) serve(uid string) *workertest.Worker {
	s.t.Helper()
	return s.serveAt("127.0.0.1:0", uid)
}

func (s *scene) serveAt(address, uid string) *workertest.Worker {
	s.t.Helper()
	worker, err := workertest.Start(workertest.Config{Address: address, UID: uid, Identity: s.identity})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(worker.Stop)
	return worker
}

func (s *scene) see(worker *workertest.Worker, uid string) {
	s.See(Worker{Pool: pool, Name: "default-recorder", UID: uid, Address: worker.Address()})
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}

// jobOf is the job of a recording that is named as its UID.
func jobOf(uid string) *egressv1.Job {
	return &egressv1.Job{Uid: uid, Name: uid, Source: &egressv1.Source{RoomUid: "room"}}
}

// eventually waits until something is so.
func (s *scene) eventually(what string, so func() bool) {
	s.t.Helper()
	wait.For(s.t, patience, what, func() error {
		if !so() {
			return errors.New("it is not")
		}
		return nil
	})
}

func (s *scene) synced() bool { return s.View(pool, "").State == Synced }

// wakes returns how often a Recording was woken.
func (s *scene) wakes(name string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, woken := range s.woken {
		if woken == name {
			n++
		}
	}
	return n
}

// A worker ends the jobs that it is not told of: it must not be told that these are all before each
// Recording had its say.
func TestAWorkerIsToldNothingBeforeEachRecordingHasSettled(t *testing.T) {
	s := newScene(t, "a", "b")
	s.worker.Set(&egressv1.JobStatus{Uid: "b", State: egressv1.State_STATE_STARTED})
	s.Put(pool, named("a"), jobOf("a"))
	s.see(s.worker, "uid-1")
	s.Settle(named("a"))
	s.Settle(named("a"))       // again
	s.Settle(named("another")) // one that is new is not waited for
	s.eventually("the worker to greet", func() bool { return s.worker.Streams() == 1 })
	if s.synced() || s.worker.Job("a") != nil {
		t.Error("the worker was told before b has settled")
	}
	s.Put(pool, named("b"), jobOf("b"))
	s.Settle(named("b"))
	s.eventually("both sides to know all", s.synced)
	for _, uid := range []string{"a", "b"} {
		s.eventually(uid+" to be recorded", func() bool { return s.View(pool, types.UID(uid)).Status.GetState() == egressv1.State_STATE_STARTED })
	}
	if removed := s.worker.Removed(); len(removed) != 0 {
		t.Errorf("the worker has ended %v", removed)
	}
}

func TestWhatIsNewIsToldAndSeen(t *testing.T) {
	s := newScene(t)
	if got := s.View(pool, "a"); got.State != Absent {
		t.Errorf("without a worker the state is %d", got.State)
	}
	s.see(s.worker, "uid-1")
	s.eventually("both sides to know all", s.synced)
	s.Put(pool, named("a"), jobOf("a"))
	s.eventually("it to be recorded", func() bool { return s.View(pool, "a").Status.GetState() == egressv1.State_STATE_STARTED })
	s.eventually("its Recording to be woken", func() bool { return s.wakes("a") > 0 })

	before := s.wakes("a")
	s.Put(pool, named("a"), jobOf("a")) // the same
	stop := jobOf("a")
	stop.Stop, stop.StopReason = true, "recordingStoppedByServer"
	s.Put(pool, named("a"), stop)
	s.eventually("it to be ready", func() bool { return s.View(pool, "a").Status.GetState() == egressv1.State_STATE_READY })
	s.eventually("its Recording to be woken once", func() bool { return s.wakes("a") == before+1 })

	// Of what nobody knows here nothing is kept.
	s.worker.Set(&egressv1.JobStatus{Uid: "stranger", State: egressv1.State_STATE_READY})
	s.worker.Set(&egressv1.JobStatus{Uid: "a", State: egressv1.State_STATE_FAILED, Message: "the last one"})
	s.eventually("the next status", func() bool { return s.View(pool, "a").Status.GetMessage() == "the last one" })
	if got := s.View(pool, "stranger").Status; got != nil {
		t.Errorf("of a stranger is known: %v", got)
	}
	s.eventually("its Recording to be woken once more", func() bool { return s.wakes("a") == before+2 })
}

func TestARemovedJobIsForgottenOnceTheWorkerWasTold(t *testing.T) {
	s := newScene(t)
	last := jobOf("a")
	last.DeleteFiles = true
	if s.Remove(pool, named("a"), last) {
		t.Error("told without a worker")
	}
	s.see(s.worker, "uid-1")
	s.eventually("the Recording to be woken", func() bool { return s.wakes("a") > 0 && s.Remove(pool, named("a"), last) })
	s.eventually("the worker to have forgotten it", func() bool { return slices.Equal(s.worker.Removed(), []string{"a deleted"}) })
	s.Put(pool, named("a"), jobOf("a")) // too late: it is being deleted
	s.Drop("a")
	s.Put(pool, named("b"), jobOf("b"))
	s.eventually("the next one to be recorded", func() bool { return s.View(pool, "b").Status != nil })
	if s.worker.Job("a") != nil {
		t.Error("what was removed has come back")
	}
}

func TestAStreamThatEndsIsOpenedAgain(t *testing.T) {
	s := newScene(t)
	s.see(s.worker, "uid-1")
	s.Put(pool, named("a"), jobOf("a"))
	s.eventually("it to be recorded", func() bool { return s.View(pool, "a").Status.GetState() == egressv1.State_STATE_STARTED })
	before := s.wakes("a")
	s.worker.Stop()
	s.eventually("the stream to be down", func() bool { return s.View(pool, "a").State == Down })
	s.eventually("the Recording to be woken", func() bool { return s.wakes("a") > before })
	if got := s.View(pool, "a").Status.GetState(); got != egressv1.State_STATE_STARTED {
		t.Errorf("what was said last is %v", got)
	}
	// What changes meanwhile is told when it is there again.
	stop := jobOf("a")
	stop.Stop = true
	s.Put(pool, named("a"), stop)
	again := s.serveAt(s.worker.Address(), "uid-1")
	again.Set(&egressv1.JobStatus{Uid: "a", State: egressv1.State_STATE_STARTED})
	s.eventually("it to be ready", func() bool {
		v := s.View(pool, "a")
		return v.State == Synced && v.Status.GetState() == egressv1.State_STATE_READY
	})
	if removed := again.Removed(); len(removed) != 0 {
		t.Errorf("the worker has ended %v", removed)
	}
}

func TestAnotherPodIsAnotherStream(t *testing.T) {
	s := newScene(t)
	s.see(s.worker, "uid-1")
	s.Put(pool, named("a"), jobOf("a"))
	s.eventually("it to be recorded", func() bool { return s.View(pool, "a").Status != nil })
	s.see(s.worker, "uid-1") // nothing new
	next := s.serve("uid-2")
	next.Misbehave(workertest.Faults{Stuck: true})
	s.see(next, "uid-2")
	s.eventually("the other pod to be told", func() bool { return s.synced() && next.Job("a") != nil })
	if got := s.View(pool, "a").Status; got != nil {
		t.Errorf("what the pod before has said is taken for the next one's: %v", got)
	}
	s.eventually("the stream to the pod before to end", func() bool { return s.worker.Streams() == 0 })

	s.Forget(pool)
	s.Forget(pool) // again
	if got := s.View(pool, "a"); got.State != Absent || got.Status != nil {
		t.Errorf("of a pool without a worker is known: %+v", got)
	}
	s.eventually("the stream to end", func() bool { return next.Streams() == 0 })
}

func TestAPodThatIsAnotherOneIsNotTalkedTo(t *testing.T) {
	s := newScene(t)
	s.Put(pool, named("a"), jobOf("a"))
	s.see(s.worker, "uid-of-a-pod-before")
	s.eventually("it to be tried twice", func() bool { return s.worker.Refused() >= 2 })
	if s.worker.Job("a") != nil || s.View(pool, "a").State != Down {
		t.Error("a pod was told that is another one")
	}
}
