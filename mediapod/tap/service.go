// Package tap is the authority on how media leaves a media pod for other parts: workers open taps
// of rooms (internal/tap/v1), and get what is published there, decrypted, with what is known of it.
//
//	publication --peer.Tap--> sink --add--> history --read--> stream of the worker
//	room.Watch ---------------------^          ^---------------- Ack
//
// A tap costs what one more subscriber would, without the encryption. Who does not take its
// records in time loses the oldest of them; nobody else notices. While there is no tap there is no
// cost.
package tap

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
	"mediarooms.dev/mediarooms/mediapod/room"
)

const (
	// keyframeInterval is the least time between two requests of a tap for a key frame of a track.
	keyframeInterval = time.Second
	// gather is how long records are gathered before they are sent: they say themselves when they
	// arrived.
	gather = 50 * time.Millisecond
	// batchBytes is about how much one message holds.
	batchBytes = 256 << 10
	// maxNameBytes bounds the names of taps.
	maxNameBytes = 128
)

// Limits bound what workers can have a pod keep.
type Limits struct {
	// Life is how long a record is kept that is not acknowledged, Linger how long a tap waits for
	// its worker to come back.
	Life, Linger time.Duration
	// Bytes is what all taps may keep.
	Bytes int64
	// Taps is how many there may be, RoomTaps how many of one room.
	Taps, RoomTaps int
}

// DefaultLimits are those of a media pod: 10 s of fifty streams of 2.5 Mbit/s.
var DefaultLimits = Limits{Life: 10 * time.Second, Linger: 30 * time.Second, Bytes: 160 << 20, Taps: 64, RoomTaps: 4}

// Rooms are what can be tapped; *room.Registry implements it.
type Rooms interface {
	Watch(uid string) *room.Watch
	Sent(uid string) ([]room.Sent, bool)
}

// Service implements tapv1.TapServer. It is safe for concurrent use.
type Service struct {
	tapv1.UnimplementedTapServer

	rooms   Rooms
	log     logr.Logger
	podUID  string
	limits  Limits
	budget  *Budget
	packets atomic.Uint64
	lost    atomic.Uint64
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows
	taps   map[key]*tap
	closed bool
}

// NewService returns a service of the pod with that Kubernetes UID, without taps. Close must be
// called.
func NewService(rooms Rooms, log logr.Logger, podUID string, limits Limits) *Service {
	return &Service{
		rooms: rooms, log: log, podUID: podUID, limits: limits, budget: NewBudget(limits.Bytes), taps: map[key]*tap{},
	}
}

// Stats are the figures of a service.
type Stats struct {
	// Taps is how many there are now, KeptBytes what they keep.
	Taps      int
	KeptBytes int64
	// Packets counts RTP packets that went into taps, Dropped those that no worker took in time.
	Packets, Dropped uint64
}

// Stats returns the figures of now.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Taps: len(s.taps), KeptBytes: s.budget.Used(), Packets: s.packets.Load(), Dropped: s.lost.Load()}
}

// Close ends all taps, and waits until nothing of them runs any more.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	taps := make([]*tap, 0, len(s.taps))
	for _, t := range s.taps {
		taps = append(taps, t)
	}
	s.mu.Unlock()
	for _, t := range taps {
		t.end()
	}
	s.running.Wait()
}

// Why the pod ends a stream.
var (
	errSuperseded = status.Error(codes.Aborted, "another stream of this tap has taken over")
	errEnded      = status.Error(codes.Unavailable, "the tap has ended")
)

// find returns the tap with a name, which is made when it is not there.
func (s *Service) find(k key) (*tap, error) {
	_, found := s.rooms.Sent(k.room)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.taps[k]; t != nil {
		return t, nil
	}
	ofRoom := 0
	for other := range s.taps {
		if other.room == k.room {
			ofRoom++
		}
	}
	switch {
	case s.closed:
		return nil, errEnded
	case !found:
		return nil, status.Errorf(codes.NotFound, "room %q is not on this pod", k.room)
	case len(s.taps) >= s.limits.Taps:
		return nil, status.Errorf(codes.ResourceExhausted, "the pod has %d taps, which is as many as it may", len(s.taps))
	case ofRoom >= s.limits.RoomTaps:
		return nil, status.Errorf(codes.ResourceExhausted, "the room has %d taps, which is as many as it may", ofRoom)
	}
	t := newTap(s, k)
	s.taps[k] = t
	s.running.Go(t.run)
	return t, nil
}

// forget takes a tap out that has ended.
func (s *Service) forget(t *tap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taps[t.key] == t {
		delete(s.taps, t.key)
	}
}

// Open implements tapv1.TapServer.
func (s *Service) Open(grpcStream tapv1.Tap_OpenServer) error {
	first, err := grpcStream.Recv()
	if err != nil {
		return err
	}
	open := first.GetOpen()
	switch {
	case open == nil:
		return status.Error(codes.InvalidArgument, "the first message must be Open")
	case open.GetName() == "" || len(open.GetName()) > maxNameBytes:
		return status.Errorf(codes.InvalidArgument, "the name of a tap has 1 to %d bytes, not %d", maxNameBytes, len(open.GetName()))
	case s.podUID != "" && open.GetPodUid() != "" && open.GetPodUid() != s.podUID:
		return status.Errorf(codes.FailedPrecondition, "this is pod %s, not %s", s.podUID, open.GetPodUid())
	}
	t, err := s.find(key{open.GetRoomUid(), open.GetName()})
	if err != nil {
		return err
	}
	r := newReader()
	if !t.attach(r) {
		return errEnded
	}
	defer t.detach(r)
	s.log.V(1).Info("Tap opened", "room", t.room, "tap", t.name)
	go t.hear(r, grpcStream)
	return t.serve(r, grpcStream, open)
}

// hear takes what the worker says, until the stream ends.
func (t *tap) hear(r *reader, grpcStream tapv1.Tap_OpenServer) {
	for {
		message, err := grpcStream.Recv()
		if err != nil {
			return
		}
		switch {
		case message.GetAck() != nil:
			t.acknowledge(r, message.GetAck().GetPosition())
		case message.GetKeyFrame() != nil:
			t.requestKeyframe(message.GetKeyFrame().GetTrack(), time.Now())
		case message.GetStop() != nil:
			t.end()
		}
	}
}

// serve sends what the history has, until the stream, the room or the tap ends.
func (t *tap) serve(r *reader, grpcStream tapv1.Tap_OpenServer, open *tapv1.Open) error {
	after := open.GetAfter()
	if open.GetEpoch() != t.epoch {
		after = 0
	}
	at, whole := t.history.from(after)
	resumed := whole && open.GetEpoch() == t.epoch
	opened := &tapv1.PodMessage{Message: &tapv1.PodMessage_Opened{Opened: &tapv1.Opened{Epoch: t.epoch, Resumed: resumed}}}
	if err := grpcStream.Send(opened); err != nil {
		return err
	}
	if err := sendRecords(grpcStream, t.known()); err != nil {
		return err
	}
	later, armed := time.NewTimer(gather), true
	defer later.Stop()
	for {
		over := false
		select {
		case <-grpcStream.Context().Done():
			return grpcStream.Context().Err()
		case <-r.superseded:
			return errSuperseded
		case <-t.stop:
			return errEnded
		case <-r.changed:
			if !armed {
				armed = true
				later.Reset(gather)
			}
			continue
		case <-t.over:
			over = true
		case <-later.C:
			armed = false
		}
		if err := t.flush(grpcStream, &at); err != nil {
			return err
		}
		if over {
			return grpcStream.Send(&tapv1.PodMessage{Message: &tapv1.PodMessage_Closed{Closed: &tapv1.Closed{}}})
		}
	}
}

// flush sends everything after the cursor.
func (t *tap) flush(grpcStream tapv1.Tap_OpenServer, at *cursor) error {
	for {
		records, dropped := t.history.read(at, batchBytes)
		if len(records) == 0 {
			return nil
		}
		if dropped > 0 {
			gap := &tapv1.Record{AtUnixUs: records[0].GetAtUnixUs(), Record: &tapv1.Record_Dropped{Dropped: &tapv1.Dropped{Packets: dropped}}}
			records = append([]*tapv1.Record{gap}, records...)
		}
		if err := sendRecords(grpcStream, records); err != nil {
			return err
		}
	}
}

func sendRecords(grpcStream tapv1.Tap_OpenServer, records []*tapv1.Record) error {
	return grpcStream.Send(&tapv1.PodMessage{Message: &tapv1.PodMessage_Records{Records: &tapv1.Records{Records: records}}})
}
