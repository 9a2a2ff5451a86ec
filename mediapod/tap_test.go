package mediapod

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// tapped is a tap of the room as its worker has it.
type tapped struct {
	t      *testing.T
	stream tapv1.Tap_OpenClient
	cancel context.CancelFunc
	opened *tapv1.Opened

	streams map[string]*tapv1.Stream
	track   map[uint32]*sequence
	last    uint64 // position
}

// sequence is what has come of a track.
type sequence struct {
	codec        tapv1.Codec
	packets, gap int
	last         uint16
	reports      int
}

func (w *world) control(part string) *grpc.ClientConn {
	w.t.Helper()
	config, err := mtls.Client(w.ca.Directory(w.t, part), mtls.MediaPod)
	if err != nil {
		w.t.Fatal(err)
	}
	connection, err := grpc.NewClient("passthrough:///"+w.pod.listeners.control.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// tap opens a tap and waits for the pod's first word.
func (w *world) tap(connection *grpc.ClientConn, open *tapv1.Open) (*tapped, error) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	stream, err := tapv1.NewTapClient(connection).Open(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := stream.Send(&tapv1.WorkerMessage{Message: &tapv1.WorkerMessage_Open{Open: open}}); err != nil && !errors.Is(err, io.EOF) {
		w.t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	return &tapped{
		t: w.t, stream: stream, cancel: cancel, opened: first.GetOpened(), last: open.GetAfter(),
		streams: map[string]*tapv1.Stream{}, track: map[uint32]*sequence{},
	}, nil
}

func (w *world) mustTap(connection *grpc.ClientConn, open *tapv1.Open) *tapped {
	w.t.Helper()
	tapped, err := w.tap(connection, open)
	if err != nil {
		w.t.Fatal(err)
	}
	return tapped
}

// until reads records until that is so.
func (s *tapped) until(what string, reached func() bool) {
	s.t.Helper()
	late := time.AfterFunc(20*time.Second, s.cancel)
	defer late.Stop()
	for !reached() {
		message, err := s.stream.Recv()
		if err != nil {
			s.t.Fatalf("waiting until %s: %v", what, err)
		}
		for _, record := range message.GetRecords().GetRecords() {
			s.take(record)
		}
	}
}

func (s *tapped) take(record *tapv1.Record) {
	s.t.Helper()
	if position := record.GetPosition(); position != 0 {
		if position != s.last+1 {
			s.t.Errorf("position %d comes after %d", position, s.last)
		}
		s.last = position
	}
	if stream := record.GetStream(); stream != nil {
		s.streams[stream.GetId()] = stream
		for _, track := range []uint32{stream.GetAudioTrack(), stream.GetVideoTrack()} {
			if track != 0 && s.track[track] == nil {
				s.track[track] = &sequence{}
			}
		}
	}
	if report := record.GetReport(); report != nil {
		s.track[report.GetTrack()].reports++
	}
	if dropped := record.GetDropped(); dropped != nil {
		s.t.Errorf("%d packets were dropped", dropped.GetPackets())
	}
	packets := record.GetPackets()
	for _, packet := range packets.GetPackets() {
		of := s.track[packets.GetTrack()]
		if of == nil {
			s.t.Fatalf("a packet of track %d comes before its stream", packets.GetTrack())
		}
		sequence := uint16(packet.GetSequence())
		if of.packets > 0 && sequence != of.last+1 {
			of.gap++
		}
		of.codec, of.last = packets.GetCodec(), sequence
		of.packets++
	}
}

func (s *tapped) send(message *tapv1.WorkerMessage) {
	s.t.Helper()
	if err := s.stream.Send(message); err != nil {
		s.t.Fatal(err)
	}
}

func (s *tapped) ack() {
	s.send(&tapv1.WorkerMessage{Message: &tapv1.WorkerMessage_Ack{Ack: &tapv1.Ack{Position: s.last}}})
}

// only returns the one stream.
func (s *tapped) only() *tapv1.Stream {
	for _, stream := range s.streams {
		return stream
	}
	return nil
}

// flows says that so many packets of both kinds have come.
func (s *tapped) flows(packets int) func() bool {
	return func() bool {
		stream := s.only()
		return stream != nil && s.track[stream.GetAudioTrack()].packets >= packets && s.track[stream.GetVideoTrack()].packets >= packets
	}
}

// calling is a world in which A publishes.
func calling(t *testing.T) (*world, *roomclient.Client, *roomclient.Publisher) {
	t.Helper()
	w := newWorld(t)
	w.operate("A", "B")
	media, err := roomclient.NewMedia(func(networkInterface string) bool { return networkInterface == "lo" })
	if err != nil {
		t.Fatal(err)
	}
	a, _ := w.join("A")
	published, err := a.Publish(t.Context(), media, roomclient.Stream{VideoFrameRate: 30, Video: roomclient.Fixed(3, 1000), AudioPacketBytes: 80})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = published.Close() })
	return w, a, published
}

func TestAWorkerTapsARoom(t *testing.T) {
	w, a, published := calling(t)
	s := w.mustTap(w.control(mtls.Worker), &tapv1.Open{RoomUid: "room-uid", Name: "one"})
	if s.opened.GetResumed() || s.opened.GetEpoch() == "" {
		t.Errorf("a new tap is opened as %v", s.opened)
	}
	s.until("media comes", s.flows(60))
	stream := s.only()
	if stream.GetId() != published.StreamID || stream.GetConnectionId() != "con_A" || stream.GetClientData() != "client A" ||
		!stream.GetHasAudio() || !stream.GetHasVideo() || !stream.GetVideoActive() || stream.GetTypeOfVideo() != "CAMERA" {
		t.Errorf("the stream is said to be %v", stream)
	}
	audio, video := s.track[stream.GetAudioTrack()], s.track[stream.GetVideoTrack()]
	if audio.codec != tapv1.Codec_CODEC_OPUS || video.codec != tapv1.Codec_CODEC_VP8 || audio.gap+video.gap > 0 {
		t.Errorf("audio is %+v, video %+v", audio, video)
	}
	s.until("sender reports come", func() bool { return audio.reports > 0 && video.reports > 0 })
	before := published.KeyframeRequests()
	s.send(&tapv1.WorkerMessage{Message: &tapv1.WorkerMessage_KeyFrame{KeyFrame: &tapv1.KeyFrame{Track: stream.GetVideoTrack()}}})
	s.until("a key frame is asked for", func() bool { return published.KeyframeRequests() > before })
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.until("the stream ends", func() bool { return s.streams[published.StreamID].GetEnded() })
}

func TestATapGoesOnWhereItsWorkerWas(t *testing.T) {
	w, _, _ := calling(t)
	connection := w.control(mtls.Worker)
	s := w.mustTap(connection, &tapv1.Open{RoomUid: "room-uid", Name: "one"})
	s.until("media comes", s.flows(30))
	s.ack()
	s.cancel() // as if the worker was killed
	again := w.mustTap(connection, &tapv1.Open{RoomUid: "room-uid", Name: "one", Epoch: s.opened.GetEpoch(), After: s.last})
	if !again.opened.GetResumed() || again.opened.GetEpoch() != s.opened.GetEpoch() {
		t.Fatalf("the tap is opened as %v", again.opened)
	}
	for number, of := range s.track { // the very next packet must come
		copied := *of
		again.track[number] = &copied
	}
	again.until("media comes again", again.flows(90))
	for number, of := range again.track {
		if of.gap != 0 {
			t.Errorf("track %d has %d gaps", number, of.gap)
		}
	}
	third := w.mustTap(connection, &tapv1.Open{RoomUid: "room-uid", Name: "one", Epoch: "another", After: 7})
	if third.opened.GetResumed() {
		t.Error("a tap goes on with positions of another one")
	}
	for {
		if _, err := again.stream.Recv(); err != nil {
			if status.Code(err) != codes.Aborted {
				t.Errorf("the stream before ends with %v", err)
			}
			break
		}
	}
}

func TestATapEndsWithItsRoom(t *testing.T) {
	w, _, _ := calling(t)
	s := w.mustTap(w.control(mtls.Worker), &tapv1.Open{RoomUid: "room-uid", Name: "one"})
	s.until("media comes", s.flows(3))
	w.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_RemoveRoom{RemoveRoom: &controlv1.RemoveRoom{Uid: "room-uid"}}})
	for {
		message, err := s.stream.Recv()
		if err != nil {
			t.Fatalf("the tap ends with %v", err)
		}
		if message.GetClosed() != nil {
			return
		}
	}
}

func TestASlowWorkerLosesMediaAndHoldsNobody(t *testing.T) {
	w, _, _ := calling(t)
	media, err := roomclient.NewMedia(func(networkInterface string) bool { return networkInterface == "lo" })
	if err != nil {
		t.Fatal(err)
	}
	s := w.mustTap(w.control(mtls.Worker), &tapv1.Open{RoomUid: "room-uid", Name: "one"})
	b, joined := w.join("B")
	received, err := b.Subscribe(t.Context(), media, joined.Value[0].Streams[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer received.Close()
	// The worker takes nothing. What it is sent fills the windows of the connection first.
	before := w.pod.taps.Stats()
	for after := before; after.Packets < before.Packets+300; after = w.pod.taps.Stats() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("no packets come")
		}
	}
	if received.VideoPackets() == 0 {
		t.Error("a subscriber gets nothing")
	}
	if kept := w.pod.taps.Stats().KeptBytes; kept == 0 {
		t.Error("nothing is kept")
	}
	s.send(&tapv1.WorkerMessage{Message: &tapv1.WorkerMessage_Stop{Stop: &tapv1.Stop{}}})
	for w.pod.taps.Stats().Taps > 0 || w.pod.taps.Stats().KeptBytes > 0 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("after the end there are %+v", w.pod.taps.Stats())
		}
	}
}

func TestOnlyWorkersTapRoomsThatAreThere(t *testing.T) {
	w := newWorld(t)
	w.operate("A")
	worker := w.control(mtls.Worker)
	for name, c := range map[string]struct {
		connection *grpc.ClientConn
		open       *tapv1.Open
		want       codes.Code
	}{
		"the operator":    {w.control(mtls.Manager), &tapv1.Open{RoomUid: "room-uid", Name: "x"}, codes.PermissionDenied},
		"another pod":     {w.control(mtls.MediaPod), &tapv1.Open{RoomUid: "room-uid", Name: "x"}, codes.PermissionDenied},
		"no room":         {worker, &tapv1.Open{RoomUid: "other", Name: "x"}, codes.NotFound},
		"no name":         {worker, &tapv1.Open{RoomUid: "room-uid"}, codes.InvalidArgument},
		"another pod UID": {worker, &tapv1.Open{RoomUid: "room-uid", Name: "x", PodUid: "other"}, codes.FailedPrecondition},
		"no open":         {worker, nil, codes.InvalidArgument},
	} {
		if _, err := w.tap(c.connection, c.open); status.Code(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	for i := range 4 {
		w.mustTap(worker, &tapv1.Open{RoomUid: "room-uid", Name: string(rune('a' + i))})
	}
	if _, err := w.tap(worker, &tapv1.Open{RoomUid: "room-uid", Name: "e"}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a fifth tap of a room: %v", err)
	}
	if _, err := controlv1.NewMediaPodClient(worker).Sync(t.Context()); err == nil {
		stream, _ := controlv1.NewMediaPodClient(worker).Sync(t.Context())
		if _, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("a worker operates a pod: %v", err)
		}
	}
}
