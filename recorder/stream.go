package recorder

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
	"mediarooms.dev/mediarooms/recorder/clock"
	"mediarooms.dev/mediarooms/recorder/frames"
	"mediarooms.dev/mediarooms/recorder/matroska"
)

const (
	// hold is how long frames wait for those of the other track that belong before them: longer
	// than a packet that is missing is waited for.
	hold = frames.Patience + 200*time.Millisecond
	// headerWait is how long the first frames of a stream wait for those of its other track, which
	// say what belongs into the header of the file.
	headerWait = 2 * time.Second
	// maxQueue bounds how many frames wait.
	maxQueue = 8192
)

// The tracks of a file.
const (
	audioNumber = 1
	videoNumber = 2
)

// stream records one stream of a room: its packets become frames, these are placed in time, and
// written in order. It belongs to its recording.
type stream struct {
	recording *recording
	said      *tapv1.Stream
	tracks    map[uint32]*track // by their numbers in the tap
	clock     *clock.Clock
	queue     []placed // by time
	file      *file    // nil before the first frame
	writer    *matroska.Writer
	retryAt   time.Time // after an error of the disk
	newest    time.Time // arrival
}

// track is one track of the stream, in one tap.
type track struct {
	number    uint64 // in the file
	frames    *frames.Assembler
	newest    time.Time // where the last frame was placed
	askedAt   time.Time // for a key frame
	lost      uint64    // as last counted
	left      uint64
	keyNeeded bool // of the file: it begins with a key frame
}

// placed is a frame that has its place.
type placed struct {
	frames.Frame
	when  time.Time
	track uint32
}

var codecNames = map[tapv1.Codec]frames.Codec{
	tapv1.Codec_CODEC_OPUS: frames.Opus, tapv1.Codec_CODEC_VP8: frames.VP8, tapv1.Codec_CODEC_VP9: frames.VP9, tapv1.Codec_CODEC_H264: frames.H264,
}

// attach makes the tracks of a tap those of the stream. With resumed they go on right after what
// was written; else what comes has nothing to do with what was there before.
func (s *stream) attach(said *tapv1.Stream, resumed bool) {
	s.said = said
	s.tracks = map[uint32]*track{}
	s.clock = clock.New()
	s.queue = nil
	job := s.recording.job
	add := func(number uint32, kind string, in uint64, rate uint32) {
		t := &track{number: in, frames: frames.New()}
		if s.file != nil && resumed {
			if last, known := s.file.Last[kind]; known {
				t.frames = frames.Resume(last)
			}
		}
		s.tracks[number] = t
		s.clock.Add(int(number), rate)
	}
	if number := said.GetAudioTrack(); number != 0 && job.GetHasAudio() {
		add(number, "audio", audioNumber, 48_000)
	}
	if number := said.GetVideoTrack(); number != 0 && job.GetHasVideo() {
		add(number, "video", videoNumber, 90_000)
	}
}

// take takes packets of a track.
func (s *stream) take(number uint32, record *tapv1.Record) {
	t := s.tracks[number]
	if t == nil {
		return
	}
	packets := record.GetPackets()
	at := time.UnixMicro(record.GetAtUnixUs())
	if at.After(s.newest) {
		s.newest = at
	}
	for _, p := range packets.GetPackets() {
		t.frames.Push(frames.Packet{
			Codec: codecNames[packets.GetCodec()], Sequence: uint16(p.GetSequence()), Timestamp: p.GetTimestamp(), Marker: p.GetMarker(),
			Payload: p.GetPayload(), At: at, When: s.clock.Place(int(number), p.GetTimestamp(), at), Position: record.GetPosition(),
		})
	}
	s.drain(number, t, s.newest)
}

// drain places the frames of a track that are whole.
func (s *stream) drain(number uint32, t *track, now time.Time) {
	for {
		f, ok := t.frames.Pop(now)
		if !ok {
			break
		}
		if f.When.After(t.newest) {
			t.newest = f.When
		}
		s.enqueue(placed{Frame: f, when: t.newest, track: number}) // in order, whatever the clock says
	}
	m := s.recording.metrics
	m.lostPackets.Add(float64(t.frames.Lost() - t.lost))
	m.leftFrames.Add(float64(t.frames.Left() - t.left))
	t.lost, t.left = t.frames.Lost(), t.frames.Left()
	if t.number == videoNumber && t.frames.Broken() {
		s.ask(number, t)
	}
}

// ask asks for a key frame, at most once a second.
func (s *stream) ask(number uint32, t *track) {
	if now := time.Now(); now.Sub(t.askedAt) >= time.Second {
		t.askedAt = now
		s.recording.askKeyFrame(number)
	}
}

func (s *stream) enqueue(p placed) {
	at, _ := slices.BinarySearchFunc(s.queue, p.when, func(q placed, when time.Time) int {
		if q.when.After(when) {
			return 1
		}
		return -1 // behind those of the same time
	})
	s.queue = slices.Insert(s.queue, at, p)
}

// idleAfter is how much older than now a stream is at least when nothing comes of it.
const idleAfter = 2 * time.Second

// idle notes what time it is where packets arrive, so that nothing waits when nothing more comes.
func (s *stream) idle(now time.Time) {
	if past := now.Add(-idleAfter); !now.IsZero() && past.After(s.newest) {
		s.newest = past
	}
}

// advance writes what has waited long enough; with all, everything that there is.
func (s *stream) advance(all bool) {
	now := s.newest
	for number, t := range s.tracks {
		if all { // nothing more comes: what is missing is lost
			s.drain(number, t, now.Add(time.Hour))
		} else {
			s.drain(number, t, now)
		}
	}
	if !all && !s.described(now) && len(s.queue) < maxQueue {
		return
	}
	n := 0
	for n < len(s.queue) && (all || now.Sub(s.queue[n].when) >= hold || len(s.queue)-n > maxQueue) {
		s.write(s.queue[n])
		n++
	}
	clear(s.queue[:n])
	s.queue = s.queue[n:]
}

// described tells whether it is known what belongs into the header of the file.
func (s *stream) described(now time.Time) bool {
	if s.file != nil || len(s.queue) == 0 {
		return true
	}
	_, video := s.first(videoNumber)
	if !s.expects(videoNumber) || video {
		return true
	}
	return now.Sub(s.queue[0].when) >= headerWait
}

// expects tells whether the stream has a track.
func (s *stream) expects(number uint64) bool {
	for _, t := range s.tracks {
		if t.number == number {
			return true
		}
	}
	return false
}

// first returns the first frame of a track that waits.
func (s *stream) first(number uint64) (placed, bool) {
	for _, p := range s.queue {
		if t := s.tracks[p.track]; t != nil && t.number == number {
			return p, true
		}
	}
	return placed{}, false
}

// write writes one frame; what can't be written is lost, and the recording's status says so.
func (s *stream) write(p placed) {
	t := s.tracks[p.track]
	if !s.retryAt.IsZero() && time.Now().Before(s.retryAt) {
		return
	}
	if !s.fits(p) { // another codec: another file
		s.finish()
	}
	if s.file == nil {
		s.begin(p)
	}
	if s.writer == nil {
		if err := s.open(); err != nil {
			s.fail(err)
			return
		}
	}
	if t.keyNeeded && !p.Key {
		s.ask(p.track, t)
		return
	}
	t.keyNeeded = false
	block := matroska.Block{
		Track: t.number, At: p.when.Sub(time.UnixMicro(s.file.StartUnixUs)), Key: p.Key, Data: p.Data,
	}
	if err := s.writer.Add(block); err != nil {
		s.fail(err)
		return
	}
	s.file.EndUnixUs = max(s.file.EndUnixUs, p.when.UnixMicro())
	s.file.Last[kindOf(t.number)] = p.Last
	s.recording.metrics.frames.Inc()
}

func kindOf(number uint64) string {
	if number == audioNumber {
		return "audio"
	}
	return "video"
}

// fits tells whether the file has a track for a frame.
func (s *stream) fits(p placed) bool {
	if s.file == nil {
		return true
	}
	for _, t := range s.file.Tracks {
		if t.Number == s.tracks[p.track].number {
			return t.Codec == string(p.Codec)
		}
	}
	return false
}

// begin makes the file that a frame is the first of.
func (s *stream) begin(p placed) {
	f := &file{
		Base: s.recording.unique(fileName(s.said.GetId())), StreamID: s.said.GetId(), ConnectionID: s.said.GetConnectionId(),
		ClientData: s.said.GetClientData(), ServerData: s.said.GetServerData(), StartUnixUs: p.when.UnixMicro(), EndUnixUs: p.when.UnixMicro(),
		Last: map[string]uint16{},
	}
	if s.expects(audioNumber) {
		f.Tracks = append(f.Tracks, matroska.Track{Number: audioNumber, Codec: string(frames.Opus)})
	}
	if s.expects(videoNumber) {
		f.TypeOfVideo = s.said.GetTypeOfVideo()
		described := matroska.Track{Number: videoNumber, Codec: string(frames.VP8), Width: int(s.said.GetWidth()), Height: int(s.said.GetHeight())}
		first, known := s.first(videoNumber)
		if p.Codec.Video() {
			first, known = p, true
		}
		if known {
			described.Codec, described.Private = string(first.Codec), first.Private
			if first.Width > 0 {
				described.Width, described.Height = first.Width, first.Height
			}
		}
		if described.Width <= 0 || described.Height <= 0 {
			described.Width, described.Height = 640, 480
		}
		f.Tracks = append(f.Tracks, described)
	}
	s.file = f
	s.recording.state.Files = append(s.recording.state.Files, f)
	if s.recording.state.StartedUnixMs == 0 {
		s.recording.state.StartedUnixMs = f.StartUnixUs / 1000
	}
}

// open begins a fragment of the file.
func (s *stream) open() error {
	if err := s.recording.space(); err != nil {
		return err
	}
	name := fmt.Sprintf("%s.%d%s", s.file.Base, len(s.file.Fragments), partial)
	w, err := matroska.Create(filepath.Join(s.recording.folder, name), s.file.Tracks)
	if err != nil {
		return err
	}
	s.writer, s.retryAt = w, time.Time{}
	s.file.Fragments = append(s.file.Fragments, fragment{Name: name})
	return nil
}

// fail gives a fragment up after an error of the disk: what is written stays, and it is tried again
// in a second, with a key frame.
func (s *stream) fail(err error) {
	s.recording.trouble(err)
	s.retryAt = time.Now().Add(time.Second)
	if s.writer != nil {
		_ = s.writer.Abandon() // the error is known already
		s.writer = nil
	}
	for _, t := range s.tracks {
		t.keyNeeded = t.number == videoNumber
	}
}

// flush writes what the fragment has not yet.
func (s *stream) flush() {
	if s.writer == nil {
		return
	}
	before := s.writer.Size()
	err := s.recording.space()
	if err == nil {
		err = s.writer.Flush()
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.recording.metrics.bytes.Add(float64(s.writer.Size() - before))
}

// finish ends the file: nothing more comes into it.
func (s *stream) finish() {
	if s.file == nil {
		return
	}
	if s.writer != nil {
		err := s.writer.Finish()
		if err != nil {
			s.recording.trouble(err)
		}
		last := &s.file.Fragments[len(s.file.Fragments)-1]
		last.Size, last.Whole = s.writer.Size(), err == nil
		s.file.EndUnixUs = max(s.file.EndUnixUs, s.file.StartUnixUs+s.writer.End().Microseconds())
		s.writer = nil
	}
	s.file.Ended = true
	s.file = nil
}

// oldest returns the least position of what is not written; false when there is nothing.
func (s *stream) oldest() (uint64, bool) {
	var least uint64
	found := false
	note := func(position uint64) {
		if !found || position < least {
			least, found = position, true
		}
	}
	for _, p := range s.queue {
		note(p.Position)
	}
	for _, t := range s.tracks {
		if position, waits := t.frames.Oldest(); waits {
			note(position)
		}
	}
	return least, found
}

// fileName makes the id of a stream fit to be the name of a file.
func fileName(id string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_~", r) {
			return r
		}
		return '_'
	}, id)
	if name == "" {
		name = "stream"
	}
	return name[:min(len(name), 128)]
}
