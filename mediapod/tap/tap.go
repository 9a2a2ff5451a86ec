package tap

import (
	"crypto/rand"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// source is a publication that can be tapped.
type source interface {
	Tap(sink peer.TapSink) (*peer.Tap, error)
}

// key names a tap.
type key struct {
	room, name string
}

// tap follows one room for one worker: it taps what is published there, and writes that into its
// history, whether the worker is connected or not.
type tap struct {
	key
	service *Service
	epoch   string
	history *history
	watch   *room.Watch
	stop    chan struct{} // closed by end
	over    chan struct{} // closed when the room is not there any more

	mu      sync.Mutex // guards what follows
	streams map[string]*stream
	tracks  uint32  // how many there were
	reader  *reader // nil while the worker is away
	waiting *time.Timer
	ended   bool
}

// stream is one stream of the room.
type stream struct {
	said        *tapv1.Stream
	publication media.Publication
	tapped      *peer.Tap // nil when it can't be tapped
	endedAt     uint64    // the position of the record that says so; 0 before
	askedAt     time.Time // for a key frame
}

// reader is one connection of the worker.
type reader struct {
	superseded chan struct{} // closed when another one counts
	changed    chan struct{} // has an element when there may be something to send
}

func newReader() *reader {
	return &reader{superseded: make(chan struct{}), changed: make(chan struct{}, 1)}
}

func newTap(s *Service, k key) *tap {
	return &tap{
		key: k, service: s, epoch: rand.Text(),
		history: newHistory(s.budget, s.limits.Life, &s.lost),
		watch:   s.rooms.Watch(k.room), stop: make(chan struct{}), over: make(chan struct{}),
		streams: map[string]*stream{},
	}
}

// run follows the room until it, or the tap, ends.
func (t *tap) run() {
	defer t.release()
	for t.follow() {
		select {
		case <-t.watch.Changed():
		case <-t.stop:
			return
		}
	}
	close(t.over)
	<-t.stop
}

// release ends what the tap holds.
func (t *tap) release() {
	t.watch.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.streams {
		s.close()
	}
	t.history.close()
}

func (s *stream) close() {
	if s.tapped != nil {
		s.tapped.Close()
		s.tapped = nil
	}
}

// follow makes the tap be as the room is. It returns false when that is not there any more.
func (t *tap) follow() bool {
	sent, found := t.service.rooms.Sent(t.room)
	if !found { // its streams may go on elsewhere
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	here := make(map[string]bool, len(sent))
	for _, s := range sent {
		here[s.Stream.ID] = true
		t.update(s, now)
	}
	for id, s := range t.streams {
		if !here[id] && s.endedAt == 0 {
			t.finish(s, now)
		}
	}
	return true
}

// update taps a stream that is new, and says what has changed of one that is not.
func (t *tap) update(sent room.Sent, now time.Time) {
	s := t.streams[sent.Stream.ID]
	if s != nil && s.publication != sent.Publication {
		t.finish(s, now) // another one under its id
		s = nil
	}
	begins := s == nil
	if begins {
		s = &stream{publication: sent.Publication, said: &tapv1.Stream{}}
		t.streams[sent.Stream.ID] = s
	}
	said := describe(sent)
	said.AudioTrack, said.VideoTrack = s.said.GetAudioTrack(), s.said.GetVideoTrack()
	if begins {
		said.AudioTrack, said.VideoTrack = t.track(said.GetHasAudio()), t.track(said.GetHasVideo())
	}
	if proto.Equal(said, s.said) {
		return
	}
	s.said = said
	t.tell(s, now)
	if !begins {
		return
	}
	// Only now, so that what it is comes before what it brings.
	if from, ok := sent.Publication.(source); ok {
		tapped, err := from.Tap(&sink{tap: t, audio: said.GetAudioTrack(), video: said.GetVideoTrack()})
		if err != nil { // it has just ended
			t.service.log.V(1).Info("Nothing to tap", "room", t.room, "stream", said.GetId(), "reason", err.Error())
			return
		}
		s.tapped = tapped
	}
}

func (t *tap) track(has bool) uint32 {
	if !has {
		return 0
	}
	t.tracks++
	return t.tracks
}

// finish says that a stream has ended.
func (t *tap) finish(s *stream, now time.Time) {
	s.close()
	s.said = proto.CloneOf(s.said)
	s.said.Ended = true
	t.tell(s, now)
	s.endedAt = t.history.newest()
}

// tell writes what is known of a stream into the history.
func (t *tap) tell(s *stream, now time.Time) {
	t.history.add(&tapv1.Record{AtUnixUs: now.UnixMicro(), Record: &tapv1.Record_Stream{Stream: s.said}}, 0, now)
}

// describe says what is known of a stream, but for its tracks.
func describe(sent room.Sent) *tapv1.Stream {
	s := sent.Stream
	return &tapv1.Stream{
		Id: s.ID, ConnectionId: sent.ConnectionID, ClientData: sent.ClientData, ServerData: sent.ServerData, Record: sent.Record,
		HasAudio: s.HasAudio, HasVideo: s.HasVideo, AudioActive: s.AudioActive, VideoActive: s.VideoActive,
		TypeOfVideo: string(s.TypeOfVideo), CreatedUnixMs: s.Created.UnixMilli(),
		Width: int32(s.VideoDimensions.Width), Height: int32(s.VideoDimensions.Height),
	}
}

// sink writes what a publication brings into the history of a tap.
type sink struct {
	tap          *tap
	audio, video uint32
}

var codecs = map[string]tapv1.Codec{
	"opus": tapv1.Codec_CODEC_OPUS, "VP8": tapv1.Codec_CODEC_VP8, "VP9": tapv1.Codec_CODEC_VP9, "H264": tapv1.Codec_CODEC_H264,
}

func (s *sink) track(kind sfu.Kind) uint32 {
	if kind == sfu.Audio {
		return s.audio
	}
	return s.video
}

// WriteRTP implements peer.TapSink.
func (s *sink) WriteRTP(kind sfu.Kind, codec string, packets []sfu.Outgoing) {
	bytes := 0
	for i := range packets {
		bytes += len(packets[i].Payload)
	}
	copied := make([]byte, 0, bytes)
	all := make([]tapv1.Packet, len(packets))
	said := &tapv1.Packets{Track: s.track(kind), Codec: codecs[codec], Packets: make([]*tapv1.Packet, len(packets))}
	for i := range packets {
		p := &packets[i]
		start := len(copied)
		copied = append(copied, p.Payload...)
		all[i].Sequence, all[i].Timestamp, all[i].Marker = uint32(p.Sequence), p.Timestamp, p.Marker
		all[i].Payload = copied[start:len(copied):len(copied)]
		said.Packets[i] = &all[i]
	}
	now := time.Now()
	s.tap.service.packets.Add(uint64(len(packets)))
	s.tap.history.add(&tapv1.Record{AtUnixUs: now.UnixMicro(), Record: &tapv1.Record_Packets{Packets: said}}, len(packets), now)
}

// SenderReport implements peer.TapSink.
func (s *sink) SenderReport(kind sfu.Kind, ntp uint64, timestamp uint32) {
	now := time.Now()
	s.tap.history.add(&tapv1.Record{AtUnixUs: now.UnixMicro(), Record: &tapv1.Record_Report{
		Report: &tapv1.SenderReport{Track: s.track(kind), Ntp: ntp, Timestamp: timestamp},
	}}, 0, now)
}

// known returns what a worker that connects has to know: all streams of which something is kept.
func (t *tap) known() []*tapv1.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now().UnixMicro()
	var records []*tapv1.Record
	for _, s := range t.streams {
		said := proto.CloneOf(s.said)
		said.Ended = s.endedAt != 0 && t.history.released(s.endedAt) // else a record says it
		records = append(records, &tapv1.Record{AtUnixUs: now, Record: &tapv1.Record_Stream{Stream: said}})
	}
	return records
}

// acknowledge takes the word of a worker for it that everything up to a position is safe.
func (t *tap) acknowledge(r *reader, position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reader != r {
		return
	}
	t.history.acknowledge(position)
	for id, s := range t.streams {
		if s.endedAt != 0 && t.history.released(s.endedAt) {
			delete(t.streams, id)
		}
	}
}

// requestKeyframe asks for a key frame of a track, at most once in keyframeInterval.
func (t *tap) requestKeyframe(track uint32, now time.Time) {
	t.mu.Lock()
	var tapped *peer.Tap
	for _, s := range t.streams {
		if track != 0 && s.said.GetVideoTrack() == track && now.Sub(s.askedAt) >= keyframeInterval {
			tapped, s.askedAt = s.tapped, now
		}
	}
	t.mu.Unlock()
	if tapped != nil {
		tapped.RequestKeyframe()
	}
}

// attach makes a connection of the worker the one that counts. It returns false when the tap has
// ended.
func (t *tap) attach(r *reader) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return false
	}
	if t.reader != nil {
		close(t.reader.superseded)
	}
	if t.waiting != nil {
		t.waiting.Stop()
	}
	t.reader = r
	t.history.wake(r.changed)
	return true
}

// detach waits for the worker to come back after a connection has ended, if that still counts.
func (t *tap) detach(r *reader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reader != r || t.ended {
		return
	}
	t.reader = nil
	t.waiting = time.AfterFunc(t.service.limits.Linger, func() {
		t.mu.Lock()
		back := t.reader != nil
		t.mu.Unlock()
		if !back {
			t.end()
		}
	})
}

// end ends the tap. It is idempotent.
func (t *tap) end() {
	t.mu.Lock()
	ended := t.ended
	t.ended = true
	if t.waiting != nil {
		t.waiting.Stop()
	}
	t.mu.Unlock()
	if !ended {
		t.service.forget(t)
		close(t.stop)
	}
}
