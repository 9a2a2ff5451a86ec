package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"google.golang.org/protobuf/proto"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
)

// library has all recordings of the disk: a folder each, below one root. It is safe for concurrent
// use.
type library struct {
	shared

	root    string
	ctx     context.Context //nolint:containedctx // of all recordings: it ends with the process
	running sync.WaitGroup

	mu      sync.Mutex                     // guards what follows
	byUID   map[string]*recording          // those that have a folder
	refused map[string]*egressv1.JobStatus // jobs that can't be done, by uid
	erased  map[string]bool                // recordings that go, by uid
	changes map[string]struct{}            // uids
	signal  chan struct{}                  // has an element while there are changes
}

func newLibrary(ctx context.Context, root string, s shared) *library {
	l := &library{
		shared: s, root: root, ctx: ctx, byUID: map[string]*recording{}, refused: map[string]*egressv1.JobStatus{},
		erased: map[string]bool{}, changes: map[string]struct{}{}, signal: make(chan struct{}, 1),
	}
	l.changed = l.mark
	return l
}

// open finds what is on the disk, and goes on with what is not complete.
func (l *library) open() error {
	entries, err := os.ReadDir(l.root)
	if err != nil {
		return fmt.Errorf("reading the folder of recordings: %w", err)
	}
	for _, entry := range entries {
		folder := filepath.Join(l.root, entry.Name())
		state, job, err := load(folder)
		switch {
		case !entry.IsDir() || errors.Is(err, os.ErrNotExist):
			continue // not ours
		case err != nil:
			l.log.Error(err, "Leaving a recording alone that can't be read", "folder", entry.Name())
			continue
		}
		l.mu.Lock()
		l.start(newRecording(l.shared, folder, state, job))
		l.mu.Unlock()
	}
	return nil
}

// start lets a recording run. The library is locked.
func (l *library) start(r *recording) {
	l.byUID[r.uid] = r
	l.running.Go(func() { r.run(l.ctx) })
}

// names of folders: nothing that leads elsewhere.
var folderName = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9_~.-]{0,127}$`)

// check refuses what can't be recorded, and says what can.
func check(job *egressv1.Job) error {
	switch {
	case job.GetUid() == "":
		return errors.New("the job has no uid")
	case !folderName.MatchString(job.GetRecordingId()):
		return fmt.Errorf("recording id %q: it has 1 to 128 letters, digits and any of -_~. and begins with no dot", job.GetRecordingId())
	case !job.GetHasAudio() && !job.GetHasVideo():
		return errors.New("neither audio nor video is to be recorded")
	}
	return nil
}

// apply has a recording be as the operator wants.
func (l *library) apply(job *egressv1.Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.byUID[job.GetUid()]; r != nil {
		r.want(job)
		return
	}
	if err := l.begin(job); err != nil {
		l.log.Info("Refusing a job", "recording", job.GetRecordingId(), "reason", err.Error())
		l.refused[job.GetUid()] = &egressv1.JobStatus{Uid: job.GetUid(), State: egressv1.State_STATE_FAILED, Message: err.Error()}
		l.note(job.GetUid())
		return
	}
	delete(l.refused, job.GetUid())
}

// begin makes a recording. The library is locked.
func (l *library) begin(job *egressv1.Job) error {
	if err := cmp.Or(check(job), l.checkMode(job)); err != nil {
		return err
	}
	folder, err := l.folder(job.GetRecordingId())
	if err != nil {
		return fmt.Errorf("making the folder of a recording: %w", err)
	}
	s := &state{State: egressv1.State_STATE_STARTING}
	if err := errors.Join(s.setJob(job), s.save(folder), syncFolder(l.root)); err != nil {
		return errors.Join(err, os.Remove(folder))
	}
	r := newRecording(l.shared, folder, s, job)
	l.start(r)
	l.note(job.GetUid())
	if job.GetStop() {
		r.wake()
	}
	return nil
}

// maxSameID bounds how many recordings with the same id are kept.
const maxSameID = 1000

// folder makes a folder for a recording: a number is behind its id when files of another one are
// still there.
func (l *library) folder(id string) (string, error) {
	for n := range maxSameID {
		folder := filepath.Join(l.root, id)
		if n > 0 {
			folder += "~" + strconv.Itoa(n)
		}
		if err := os.Mkdir(folder, 0o750); !errors.Is(err, os.ErrExist) {
			return folder, err
		}
	}
	return "", fmt.Errorf("there are %d recordings with the id %q, which is as many as are kept", maxSameID, id)
}

// remove ends a recording whose Recording is gone. Its files go with it when its job has said so.
func (l *library) remove(uid string) {
	l.mu.Lock()
	delete(l.refused, uid)
	r := l.byUID[uid]
	l.mu.Unlock()
	if r == nil {
		return
	}
	r.remove()
	if !r.lastJob().GetDeleteFiles() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.erased[uid] {
		return
	}
	l.erased[uid] = true
	l.running.Go(func() {
		<-r.ended
		if !r.deleteStored(l.ctx) {
			return // the process ends; the next one is told again
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.erased, uid)
		if err := os.RemoveAll(r.folder); err != nil {
			l.log.Error(err, "Deleting a recording")
			return
		}
		delete(l.byUID, uid)
	})
}

// keep removes the recordings that are not among those.
func (l *library) keep(named map[string]bool) {
	l.mu.Lock()
	uids := slices.Concat(slices.Collect(maps.Keys(l.byUID)), slices.Collect(maps.Keys(l.refused)))
	l.mu.Unlock()
	for _, uid := range uids {
		if !named[uid] {
			l.remove(uid)
		}
	}
}

// find returns a recording.
func (l *library) find(uid string) *recording {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byUID[uid]
}

// status returns what is known of a job; nil when that is nothing.
func (l *library) status(uid string) *egressv1.JobStatus {
	l.mu.Lock()
	r, refused := l.byUID[uid], l.refused[uid]
	l.mu.Unlock()
	if r != nil {
		return r.observed()
	}
	return refused
}

// statuses returns what is known of all jobs, by uid.
func (l *library) statuses() []*egressv1.JobStatus {
	l.mu.Lock()
	all := slices.Collect(maps.Values(l.refused))
	running := slices.Collect(maps.Values(l.byUID))
	l.mu.Unlock()
	for _, r := range running {
		all = append(all, r.observed())
	}
	slices.SortFunc(all, func(a, b *egressv1.JobStatus) int { return cmp.Compare(a.GetUid(), b.GetUid()) })
	return all
}

// mark notes that the status of a job has changed.
func (l *library) mark(uid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(uid)
}

// note is mark; the library is locked.
func (l *library) note(uid string) {
	l.changes[uid] = struct{}{}
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// takeChanges returns the statuses that have changed since it was last called.
func (l *library) takeChanges() []*egressv1.JobStatus {
	l.mu.Lock()
	uids := slices.Sorted(maps.Keys(l.changes))
	clear(l.changes)
	l.mu.Unlock()
	var all []*egressv1.JobStatus
	for _, uid := range uids {
		if status := l.status(uid); status != nil {
			all = append(all, proto.CloneOf(status))
		}
	}
	return all
}
