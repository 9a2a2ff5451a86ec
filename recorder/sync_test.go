package recorder_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
)

// film is a media pod that has the records of a whole call, and sends them as fast as they are
// taken.
type film struct {
	tapv1.UnimplementedTapServer

	records []*tapv1.Record
	taken   chan struct{} // closed when they are on the disk, but for the last ones
}

// Open implements tapv1.TapServer.
func (f *film) Open(stream tapv1.Tap_OpenServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if err := stream.Send(&tapv1.PodMessage{Message: &tapv1.PodMessage_Opened{Opened: &tapv1.Opened{Epoch: "film"}}}); err != nil {
		return err
	}
	for records := f.records; len(records) > 0; {
		n := min(len(records), 500)
		if err := stream.Send(&tapv1.PodMessage{Message: &tapv1.PodMessage_Records{Records: &tapv1.Records{Records: records[:n]}}}); err != nil {
			return err
		}
		records = records[n:]
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // the recorder has stopped
		}
		if message.GetAck().GetPosition() > uint64(max(0, len(f.records)-200)) {
			close(f.taken)
			<-stream.Context().Done()
			return nil
		}
	}
}

// shoot makes the records of a call of so long. The sender's clock is wrong and drifts, the network
// delays, reorders and loses packets, and the sender stalls.
type shoot struct {
	records  []*tapv1.Record
	random   *rand.Rand
	began    time.Time
	audio    uint16
	video    uint16
	pictures int
	key      bool
}

const (
	shootAudio = 1
	shootVideo = 2
	drift      = 1.0001 // the sender's seconds to ours
)

func (s *shoot) add(at time.Time, record *tapv1.Record) {
	record.AtUnixUs = at.UnixMicro()
	s.records = append(s.records, record)
}

// stamp is what a frame says of when it was made.
func stamp(payload []byte, number int, made time.Time) []byte {
	payload = binary.BigEndian.AppendUint32(payload, 0x6d724c54)
	payload = binary.BigEndian.AppendUint64(payload, uint64(made.UnixNano()))
	payload = binary.BigEndian.AppendUint32(payload, uint32(number))
	return append(payload, 0, 0)
}

func (s *shoot) packet(track uint32, codec tapv1.Codec, sequence uint16, timestamp uint32, marker bool, payload []byte, arrives time.Time) {
	s.add(arrives, &tapv1.Record{Record: &tapv1.Record_Packets{Packets: &tapv1.Packets{Track: track, Codec: codec, Packets: []*tapv1.Packet{
		{Sequence: uint32(sequence), Timestamp: timestamp, Marker: marker, Payload: payload},
	}}}})
}

// take shoots so long. With a stall the audio's timestamps are behind by as much.
func (s *shoot) take(from, to, stall time.Duration) {
	for after := from; after < to; after += 20 * time.Millisecond {
		made := s.began.Add(after)
		theirs := time.Duration(float64(after) * drift)
		audioStamp := 4_294_900_000 + uint32((theirs-stall).Seconds()*48_000+0.5)
		videoStamp := 77 + uint32(theirs.Seconds()*90_000+0.5)
		jitter := time.Duration(s.random.IntN(40)) * time.Millisecond
		if s.random.IntN(50) > 0 { // 2 % are lost
			s.packet(shootAudio, tapv1.Codec_CODEC_OPUS, s.audio, audioStamp, false, stamp([]byte{0xfc}, int(after/(20*time.Millisecond)), made), made.Add(20*time.Millisecond+jitter))
		}
		s.audio++
		if after%(40*time.Millisecond) == 0 {
			s.picture(made, videoStamp, jitter)
		}
		if after%time.Second == 0 {
			for track, timestamp := range map[uint32]uint32{shootAudio: audioStamp, shootVideo: videoStamp} {
				said := s.began.Add(theirs - 3*time.Hour)
				ntp := uint64(said.Unix()+2_208_988_800)<<32 | uint64(said.Nanosecond())<<32/uint64(time.Second)
				s.add(made.Add(20*time.Millisecond), &tapv1.Record{Record: &tapv1.Record_Report{Report: &tapv1.SenderReport{Track: track, Ntp: ntp, Timestamp: timestamp}}})
			}
		}
	}
}

// picture shoots a frame of two packets, which take longer than sound.
func (s *shoot) picture(made time.Time, timestamp uint32, jitter time.Duration) {
	size := 100
	if s.pictures%1000 < 500 {
		size = 200 // the size of the picture changes with the next key frame
	}
	s.key = s.key || s.pictures%50 == 0
	first := []byte{0x10, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if s.key {
		first = []byte{0x10, 0x00, 0, 0, 0x9d, 0x01, 0x2a, byte(size), 0, byte(size), 0}
	}
	s.key = false
	arrives := made.Add(60*time.Millisecond + jitter)
	for i, payload := range [][]byte{first, stamp([]byte{0x00, 1, 2, 3}, s.pictures, made)} {
		if s.random.IntN(100) > 0 {
			s.packet(shootVideo, tapv1.Codec_CODEC_VP8, s.video, timestamp, i == 1, payload, arrives)
		}
		s.video++
	}
	s.pictures++
}

func TestSoundAndPictureStayTogether(t *testing.T) {
	w := newWorld(t)
	s := &shoot{random: rand.New(rand.NewPCG(1, 2)), began: time.Now().Add(-time.Hour).Truncate(time.Second)}
	said := &tapv1.Stream{
		Id: "str_1", ConnectionId: "con_1", Record: true, HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true,
		TypeOfVideo: "CAMERA", AudioTrack: shootAudio, VideoTrack: shootVideo,
	}
	s.add(s.began, &tapv1.Record{Record: &tapv1.Record_Stream{Stream: said}})
	s.take(0, 8*time.Minute, 0)
	s.take(8*time.Minute+5*time.Second, 20*time.Minute, 5*time.Second) // the sender has stood still
	slices.SortStableFunc(s.records[1:], func(a, b *tapv1.Record) int { return int(a.GetAtUnixUs() - b.GetAtUnixUs()) })
	for i, record := range s.records[1:] {
		record.Position = uint64(i + 1)
	}
	f := &film{records: s.records, taken: make(chan struct{})}
	address := w.show(f)

	w.record(false)
	job := w.job()
	job.Source = &egressv1.Source{RoomUid: "room-uid", Address: address}
	w.want(job)
	w.snapshotEnd()
	select {
	case <-f.taken:
	case <-time.After(patience):
		t.Fatal("the recorder does not take the records")
	}
	ready := w.stop(job)
	if d := time.Duration(ready.GetDurationMs()) * time.Millisecond; d < 20*time.Minute-2*time.Second || d > 20*time.Minute+2*time.Second {
		t.Errorf("20 minutes are recorded as %v", d)
	}
	all := frames(t, w.path("str_1.webm"))
	if n := len(all[1]); n < 57_000 { // of 59750, less 2 %
		t.Errorf("there are %d frames of audio", n)
	}
	if n := len(all[2]); n < 10_000 { // what needs a lost frame is left out
		t.Errorf("there are %d frames of video", n)
	}
	apart(t, all[1], all[2])
}

// apart checks in each second of a file how far sound and picture are from each other that were
// made together.
func apart(t *testing.T, audio, video []stamped) {
	t.Helper()
	shifts := func(all []stamped) map[int64]time.Duration {
		by := map[int64]time.Duration{}
		for _, f := range all {
			by[f.sent.UnixMilli()/1000] = f.at - time.Duration(f.sent.UnixNano())
		}
		return by
	}
	sound, picture := shifts(audio), shifts(video)
	worst, checked := time.Duration(0), 0
	for second, shift := range sound {
		if other, both := picture[second]; both {
			worst = max(worst, max(shift-other, other-shift))
			checked++
		}
	}
	if worst > 80*time.Millisecond || checked < 800 {
		t.Errorf("in %d seconds sound and picture are up to %v apart", checked, worst)
	}
}

// show serves a film as a media pod does, and returns its address.
func (w *world) show(f *film) string {
	w.t.Helper()
	tls, err := mtls.Server(w.ca.Directory(w.t, mtls.MediaPod), mtls.Worker)
	if err != nil {
		w.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(tls)))
	tapv1.RegisterTapServer(server, f)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	w.t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	return listener.Addr().String()
}
