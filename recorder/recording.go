package recorder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
	"mediarooms.dev/mediarooms/recorder/bucket"
	"mediarooms.dev/mediarooms/recorder/compose"
)

const (
	// checkpointInterval is how often what is written is made to survive the machine, and the pod
	// is told so.
	checkpointInterval = time.Second
	// tailWait is for how long nothing comes any more, after a stop, of what came to the pod before
	// it; it takes maxTail at most.
	tailWait = 400 * time.Millisecond
	maxTail  = 10 * time.Second
	// progressInterval is how often the operator is told of a recording that goes on as it does.
	progressInterval = 10 * time.Second
	// completeRetry is how long after an error a recording is tried to be completed again.
	completeRetry = 2 * time.Second
	// lastComposeRetry bounds that of a recording that is composed.
	lastComposeRetry = time.Minute
	// firstRetry and lastRetry bound how long it takes until a tap is opened again.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// errDiskFull says that nothing more is written, so that what is there can be completed.
var errDiskFull = errors.New("the disk is full")

// shared is what all recordings of a process have in common.
type shared struct {
	log     logr.Logger
	creds   credentials.TransportCredentials
	metrics *metrics
	// free returns how many bytes can still be written below a folder, reserve is how many must
	// stay.
	free    func(folder string) (uint64, error)
	reserve uint64
	changed func(uid string)
	// store reaches S3, and uploads has room for the recordings that are brought there at the same
	// time.
	store   *bucket.Store
	uploads chan struct{}
	// composer makes one file of those of the streams, and compositions has room for the recordings
	// for which it does at the same time.
	composer     compose.Composer
	compositions chan struct{}
}

// recording is one recording: what the operator wants, what is on the disk, and what goes on. run
// owns everything but what the mutex guards.
type recording struct {
	shared

	uid    string
	folder string
	log    logr.Logger

	state   *state
	job     *egressv1.Job
	streams map[string]*stream // by id
	byTrack map[uint32]*stream
	tap     *tapping
	source  *egressv1.Source // of the tap
	retry   time.Duration
	retryAt time.Time
	read    uint64    // the last position that was taken
	epoch   string    // of the tap that is read; "" before
	told    bool      // the pod has said what there is
	adopted bool      // the files are of another process, and no tap was opened yet
	resumed bool      // and the tap goes on right where that was
	arrived time.Time // of the newest record, by the pod's clock
	heard   time.Time // when that came
	written time.Time // when there was a checkpoint last
	shown   time.Time // when the operator was told last
	stopped time.Time // when the end was ordered
	stopAt  time.Time // when nothing more is waited for; zero before a stop

	mu      sync.Mutex // guards what follows
	wanted  *egressv1.Job
	status  *egressv1.JobStatus
	stored  *stored // where the files are in S3, once all are; it does not change
	removed bool
	poke    chan struct{}
	ended   chan struct{} // closed when run has returned
}

// newRecording returns one that is to be, or that is found on the disk.
func newRecording(s shared, folder string, st *state, job *egressv1.Job) *recording {
	r := &recording{
		shared: s, uid: job.GetUid(), folder: folder, log: s.log.WithValues("recording", job.GetRecordingId()),
		state: st, job: job, wanted: job, streams: map[string]*stream{}, byTrack: map[uint32]*stream{},
		poke: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	r.status, r.stored = st.status(job), st.Stored.whole()
	return r
}

// want has the recording be as the operator wants. The library is locked.
func (r *recording) want(job *egressv1.Job) {
	r.mu.Lock()
	r.wanted = job
	r.mu.Unlock()
	r.wake()
	select {
	case <-r.ended: // run takes it over no more; it matters for what becomes of the files
		if err := errors.Join(r.state.setJob(job), r.state.save(r.folder)); err != nil {
			r.log.Error(err, "Keeping what the operator wants")
		}
	default:
	}
}

// remove ends the recording, for the Recording is gone.
func (r *recording) remove() {
	r.mu.Lock()
	r.removed = true
	r.mu.Unlock()
	r.wake()
}

func (r *recording) wake() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// say makes the state known.
func (r *recording) say() {
	said := r.state.status(r.job)
	r.mu.Lock()
	same := proto.Equal(said, r.status)
	r.status, r.stored = said, r.state.Stored.whole()
	r.mu.Unlock()
	if !same {
		r.shown = time.Now()
		r.changed(r.uid)
	}
}

// observed is what is known of the recording.
func (r *recording) observed() *egressv1.JobStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// place is where the files are in S3; nil while they are on the disk.
func (r *recording) place() *stored {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stored
}

// lastJob is what the operator wants.
func (r *recording) lastJob() *egressv1.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wanted
}

func over(s egressv1.State) bool {
	return s == egressv1.State_STATE_READY || s == egressv1.State_STATE_FAILED
}

// run records until the recording is complete, or the process ends. Then it goes on from the disk.
func (r *recording) run(ctx context.Context) {
	defer close(r.ended)
	defer func() { r.tap.end() }()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	if !r.restore(ctx) {
		return
	}
	r.adopt()
	r.obey()
	for r.state.State != egressv1.State_STATE_STOPPED && !over(r.state.State) {
		r.connect(ctx)
		select {
		case <-ctx.Done():
			r.suspend()
			return
		case <-r.poke:
			r.obey()
		case message := <-r.messages():
			r.take(message)
			continue // there may be more
		case err := <-r.failures():
			r.disconnected(err)
		case <-ticker.C:
		}
		r.advance()
	}
	r.completeAll(ctx)
}

// adopt takes up what a process before has left.
func (r *recording) adopt() {
	for _, f := range r.state.Files {
		if f.Ended || over(r.state.State) {
			continue
		}
		r.streams[f.StreamID] = &stream{recording: r, said: &tapv1.Stream{Id: f.StreamID}, file: f}
	}
	r.read, r.epoch, r.adopted = r.state.Position, r.state.Epoch, r.state.Epoch != ""
	r.written = time.Now()
}

// obey takes over what the operator wants now.
func (r *recording) obey() {
	r.mu.Lock()
	wanted, removed := r.wanted, r.removed
	r.mu.Unlock()
	if !proto.Equal(wanted, r.job) {
		r.job = wanted
		if err := errors.Join(r.state.setJob(wanted), r.state.save(r.folder)); err != nil {
			r.trouble(err)
		}
	}
	if (wanted.GetStop() || removed) && r.stopAt.IsZero() && r.state.State < egressv1.State_STATE_STOPPED {
		r.stop(wanted.GetStopReason())
	}
}

// stop begins the end: what has come to the pod until now still belongs to the recording.
func (r *recording) stop(reason string) {
	r.stopped = time.Now()
	r.stopAt = r.stopped.Add(tailWait)
	r.state.Reason = reason
	if r.tap == nil {
		r.stopAt = time.Now()
	}
}

// connect opens the tap of the room where it is now, when there is none.
func (r *recording) connect(ctx context.Context) {
	source := r.job.GetSource()
	if r.tap != nil && !proto.Equal(source, r.source) { // the room has moved
		r.tap.end()
		r.tap, r.retryAt, r.retry = nil, time.Time{}, 0
	}
	if r.tap != nil || source == nil || source.GetAddress() == "" || !r.stopAt.IsZero() || time.Now().Before(r.retryAt) {
		return
	}
	r.source, r.told = source, false
	r.tap = startTapping(ctx, r.creds, source.GetAddress(), &tapv1.Open{
		RoomUid: source.GetRoomUid(), Name: r.uid, Epoch: r.epoch, After: r.read, PodUid: source.GetPodUid(),
	})
}

func (r *recording) messages() <-chan *tapv1.PodMessage {
	if r.tap == nil {
		return nil
	}
	return r.tap.messages
}

func (r *recording) failures() <-chan error {
	if r.tap == nil {
		return nil
	}
	return r.tap.failed
}

// disconnected tries again later.
func (r *recording) disconnected(err error) {
	r.log.V(1).Info("The tap has ended", "reason", err.Error())
	r.tap.end()
	r.tap = nil
	r.metrics.taps.Inc()
	r.retry = min(max(2*r.retry, firstRetry), lastRetry)
	r.retryAt = time.Now().Add(r.retry)
	if !r.stopAt.IsZero() {
		r.stopAt = time.Now()
	}
}

// take does what a message of the pod asks for.
func (r *recording) take(message *tapv1.PodMessage) {
	switch {
	case message.GetOpened() != nil:
		r.opened(message.GetOpened())
	case message.GetRecords() != nil:
		known := map[string]bool{}
		for _, record := range message.GetRecords().GetRecords() {
			if said := record.GetStream(); said != nil {
				known[said.GetId()] = true
			}
			r.record(record)
		}
		if !r.told { // the first message has all streams that there are
			r.told = true
			r.endOthers(known)
		}
	case message.GetClosed() != nil: // the streams may go on at another pod
		r.flushAll()
		r.checkpoint()
		r.tap.send(&tapv1.WorkerMessage{Message: &tapv1.WorkerMessage_Stop{Stop: &tapv1.Stop{}}})
	}
}

// opened notes whether the records go on where they were.
func (r *recording) opened(opened *tapv1.Opened) {
	r.retry = 0
	same := opened.GetEpoch() == r.epoch
	r.resumed = r.adopted && same && opened.GetResumed()
	r.adopted = false
	if !same {
		r.flushAll() // what waits belongs to what was before
		r.epoch, r.read, r.byTrack = opened.GetEpoch(), 0, map[uint32]*stream{}
	}
	if r.resumed {
		r.cut()
	}
}

// cut takes off the files what was written after the position from which the records come again.
func (r *recording) cut() {
	for _, s := range r.streams {
		if s.file == nil || len(s.file.Fragments) == 0 {
			continue
		}
		last := s.file.Fragments[len(s.file.Fragments)-1]
		path := filepath.Join(r.folder, last.Name)
		if info, err := os.Stat(path); err == nil && info.Size() > last.Size {
			if err := os.Truncate(path, last.Size); err != nil {
				r.trouble(err)
			}
		}
	}
}

// record takes one record of the tap.
func (r *recording) record(record *tapv1.Record) {
	if position := record.GetPosition(); position != 0 {
		r.read = position
		r.arrived, r.heard = time.UnixMicro(record.GetAtUnixUs()), time.Now()
		if !r.stopAt.IsZero() && r.arrived.Before(r.stopped) && r.heard.Sub(r.stopped) < maxTail {
			r.stopAt = r.heard.Add(tailWait)
		}
	}
	switch {
	case record.GetStream() != nil:
		r.described(record.GetStream())
	case record.GetPackets() != nil:
		if s := r.byTrack[record.GetPackets().GetTrack()]; s != nil {
			s.take(record.GetPackets().GetTrack(), record)
		}
	case record.GetReport() != nil:
		report := record.GetReport()
		if s := r.byTrack[report.GetTrack()]; s != nil {
			s.clock.Report(int(report.GetTrack()), report.GetNtp(), report.GetTimestamp())
		}
	case record.GetDropped() != nil:
		r.metrics.droppedPackets.Add(float64(record.GetDropped().GetPackets()))
		r.log.Info("The media pod has dropped packets that were not taken in time", "packets", record.GetDropped().GetPackets())
	}
}

// described takes what is known of a stream.
func (r *recording) described(said *tapv1.Stream) {
	s := r.streams[said.GetId()]
	if said.GetEnded() || !r.includes(said) {
		if s != nil {
			r.end(s)
		}
		return
	}
	if s == nil {
		s = &stream{recording: r}
		r.streams[said.GetId()] = s
	}
	if s.tracks == nil || s.said.GetAudioTrack() != said.GetAudioTrack() || s.said.GetVideoTrack() != said.GetVideoTrack() || r.byTrack[anyTrack(said)] != s {
		s.attach(said, r.resumed)
		for number := range s.tracks {
			r.byTrack[number] = s
		}
	}
	s.said = said
}

func anyTrack(said *tapv1.Stream) uint32 { return max(said.GetAudioTrack(), said.GetVideoTrack()) }

// includes tells whether the recording has a stream: its kinds of media and, where it gets a file
// of its own, its word that it may be recorded (openvidu-rest 6.5).
func (r *recording) includes(said *tapv1.Stream) bool {
	if !said.GetRecord() && !composes(r.job.GetMode()) {
		return false
	}
	return said.GetHasAudio() && r.job.GetHasAudio() || said.GetHasVideo() && r.job.GetHasVideo()
}

// end completes the file of a stream as far as that goes now.
func (r *recording) end(s *stream) {
	s.advance(true)
	s.finish()
	delete(r.streams, s.said.GetId())
	for number := range s.tracks {
		if r.byTrack[number] == s {
			delete(r.byTrack, number)
		}
	}
}

// endOthers ends the streams that are not among those.
func (r *recording) endOthers(known map[string]bool) {
	for id, s := range r.streams {
		if !known[id] {
			r.end(s)
		}
	}
}

func (r *recording) flushAll() {
	for _, s := range r.streams {
		s.advance(true)
		s.flush()
	}
}

// unique returns the name of the next file of a stream: the second one has a number, as in
// OpenVidu (openvidu-rest 6.5).
func (r *recording) unique(base string) string {
	for n := 0; ; n++ {
		name := base
		if n > 0 {
			name += "-" + strconv.Itoa(n)
		}
		if !slices.ContainsFunc(r.state.Files, func(f *file) bool { return f.Base == name }) {
			return name
		}
	}
}

func (r *recording) askKeyFrame(track uint32) {
	r.tap.send(&tapv1.WorkerMessage{Message: &tapv1.WorkerMessage_KeyFrame{KeyFrame: &tapv1.KeyFrame{Track: track}}})
}

// space refuses to write when the disk is as good as full.
func (r *recording) space() error {
	free, err := r.free(r.folder)
	if err != nil {
		return fmt.Errorf("asking for the free space: %w", err)
	}
	if free < r.reserve {
		return fmt.Errorf("%w: %d bytes are free, and %d are kept to complete recordings", errDiskFull, free, r.reserve)
	}
	return nil
}

// trouble says what is wrong with the disk.
func (r *recording) trouble(err error) {
	r.metrics.errors.Inc()
	r.complain(err)
}

// complain says what is wrong.
func (r *recording) complain(err error) {
	if r.state.Message != err.Error() {
		r.log.Info("Recording has trouble", "reason", err.Error())
	}
	r.state.Message = err.Error()
	r.say()
}

// advance writes what is due.
func (r *recording) advance() {
	begun := false
	for _, s := range r.streams {
		s.idle(r.podTime())
		s.advance(false)
		begun = begun || s.writer != nil
	}
	now := time.Now()
	if now.Sub(r.written) >= checkpointInterval || begun && r.state.State == egressv1.State_STATE_STARTING {
		r.checkpoint()
	}
	if r.tooLong(now) {
		r.stop("automaticStop")
	}
	if !r.stopAt.IsZero() && !now.Before(r.stopAt) {
		r.conclude()
	}
}

// podTime is about what time it is by the clock of the pod; zero when that is not known.
func (r *recording) podTime() time.Time {
	if r.tap == nil || !r.told || r.arrived.IsZero() {
		return time.Time{}
	}
	return r.arrived.Add(time.Since(r.heard))
}

// tooLong tells whether the recording is as long as it may be.
func (r *recording) tooLong(now time.Time) bool {
	most, started := r.job.GetMaxDurationSeconds(), r.state.StartedUnixMs
	return most > 0 && started > 0 && r.stopAt.IsZero() && now.Sub(time.UnixMilli(started)) >= time.Duration(most)*time.Second
}

// checkpoint makes what is written survive the machine, writes down what that is, and tells the pod
// that it may forget it.
func (r *recording) checkpoint() {
	r.written = time.Now()
	failures := r.state.Message
	var syncing sync.WaitGroup
	var failed sync.Map
	media := false
	for _, s := range r.streams {
		s.flush()
		if s.writer == nil {
			continue
		}
		syncing.Go(func() {
			if err := s.writer.Sync(); err != nil {
				failed.Store(s, err)
			}
		})
	}
	syncing.Wait()
	failed.Range(func(s, err any) bool {
		s.(*stream).fail(err.(error))
		return true
	})
	wrong := false
	for _, s := range r.streams {
		if s.file != nil && s.writer != nil {
			s.file.Fragments[len(s.file.Fragments)-1].Size = s.writer.Size()
		}
		wrong = wrong || !s.retryAt.IsZero()
	}
	for _, f := range r.state.Files {
		media = media || f.bytes() > 0
	}
	if media && r.state.State == egressv1.State_STATE_STARTING {
		r.state.State = egressv1.State_STATE_STARTED
	}
	if !wrong && r.state.Message == failures {
		r.state.Message = ""
	}
	r.state.Epoch, r.state.Position = r.epoch, r.safe()
	if err := r.state.save(r.folder); err != nil {
		r.trouble(err)
		return
	}
	r.tap.send(&tapv1.WorkerMessage{Message: &tapv1.WorkerMessage_Ack{Ack: &tapv1.Ack{Position: r.state.Position}}})
	if status := r.observed(); status.GetState() != r.state.State || status.GetMessage() != r.state.Message || time.Since(r.shown) >= progressInterval {
		r.say()
	}
}

// safe is up to where everything of the tap is written.
func (r *recording) safe() uint64 {
	position := r.read
	for _, s := range r.streams {
		if oldest, waits := s.oldest(); waits && oldest > 0 {
			position = min(position, oldest-1)
		}
	}
	return position
}

// suspend leaves everything as a process can go on with it.
func (r *recording) suspend() {
	r.checkpoint()
	for _, s := range r.streams {
		if s.writer != nil {
			_ = s.writer.Abandon() // it was synced
		}
	}
}

// conclude ends the media.
func (r *recording) conclude() {
	r.endOthers(nil)
	r.tap.stop()
	r.tap = nil
	r.state.State = egressv1.State_STATE_STOPPED
	if err := r.state.save(r.folder); err != nil {
		r.trouble(err)
	}
	r.say()
}

// completeAll makes the files complete, brings them to where they belong, and tries again for as
// long as it takes.
func (r *recording) completeAll(ctx context.Context) {
	if over(r.state.State) {
		r.clear()
		return
	}
	for _, f := range r.state.Files {
		f.Ended = true
	}
	if len(r.state.Files) == 0 {
		r.insist(ctx, completing, func(context.Context) error {
			return r.settle(egressv1.State_STATE_FAILED, "nothing was published while it was recorded")
		})
		return
	}
	finishing, finish := completing, func(ctx context.Context) error {
		return errors.Join(complete(ctx, r.folder, r.state, r.job), r.state.save(r.folder))
	}
	if composes(r.job.GetMode()) {
		finishing, finish = composing, r.compose
	}
	settle := func(context.Context) error { return r.settle(egressv1.State_STATE_READY, "") }
	if r.insist(ctx, finishing, finish) && r.insist(ctx, storing, r.bring) && r.insist(ctx, completing, settle) {
		r.clear()
	}
}

// activity is something that is tried until it succeeds.
type activity struct {
	// first and last bound the pause before the next try.
	first, last time.Duration
	// failed takes what went wrong.
	failed func(*recording, error)
}

var (
	completing = activity{completeRetry, completeRetry, (*recording).trouble}
	composing  = activity{completeRetry, lastComposeRetry, (*recording).uncomposed}
	storing    = activity{firstStoreRetry, lastStoreRetry, (*recording).unstored}
)

// insist does something until it succeeds, and says whether it has: not when the process ends, nor
// when nobody wants the files any more. A word of the operator has it tried at once.
func (r *recording) insist(ctx context.Context, a activity, do func(context.Context) error) bool {
	for pause := a.first; ; {
		if ctx.Err() != nil || r.unwanted() {
			return false
		}
		err := do(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil || r.unwanted() {
			return false
		}
		a.failed(r, err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			pause = min(2*pause, a.last)
		case <-r.poke:
			r.obey()
			pause = a.first
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// unwanted says that the recording and its files are to go.
func (r *recording) unwanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removed && r.wanted.GetDeleteFiles()
}

// settle writes down how the recording has ended.
func (r *recording) settle(final egressv1.State, message string) error {
	before := r.state.State
	r.state.State, r.state.Message = final, message
	if err := r.state.save(r.folder); err != nil {
		r.state.State = before
		return err
	}
	r.say()
	r.log.Info("Recording has ended", "state", final.String(), "reason", r.state.Reason)
	return nil
}
