package podtest

import (
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// beat is how often the pod says that it lives: more often than a real one, for tests with a clock
// of their own.
const beat = 20 * time.Millisecond

var errBroken = status.Error(codes.Unavailable, "the stream is broken")

// Sync implements the control protocol.
func (p *Pod) Sync(inner controlv1.MediaPod_SyncServer) error {
	p.mu.Lock()
	p.streams++
	server, breaks := p.control, p.breaks
	s := &stream{MediaPod_SyncServer: inner, pod: p}
	p.latest = s
	p.mu.Unlock()
	ended := make(chan error, 1)
	go func() { ended <- server.Sync(s) }() // it ends with the stream
	defer s.end()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-breaks:
			return errBroken
		case <-ticker.C:
			// Should it fail, the control server notices.
			_ = s.Send(&controlv1.PodMessage{Message: &controlv1.PodMessage_Heartbeat{Heartbeat: &controlv1.Heartbeat{}}})
		}
	}
}

// stream is a control stream that writes down what goes over it, and fails as the pod is told to.
type stream struct {
	controlv1.MediaPod_SyncServer
	pod *Pod

	mu    sync.Mutex // guards what follows, and sending
	ended bool
	hello bool // the pod has said hello
}

func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// Send sends a message of the pod.
func (s *stream) Send(message *controlv1.PodMessage) error {
	if s.pod.now().muted {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return errBroken
	case message.GetHello() != nil:
		s.hello = true
	case !s.hello:
		return nil
	}
	s.pod.sends(message)
	return s.MediaPod_SyncServer.Send(message)
}

// Recv returns the next message of the operator that the pod takes in.
func (s *stream) Recv() (*controlv1.OperatorMessage, error) {
	for {
		message, err := s.MediaPod_SyncServer.Recv()
		if err != nil {
			return nil, err
		}
		faults := s.pod.now()
		ofRoom := message.GetRoom() != nil || message.GetRemoveRoom() != nil
		if faults.deaf && ofRoom || faults.hanging && message.GetSnapshotEnd() != nil {
			continue
		}
		s.pod.receives(message)
		return message, nil
	}
}

// record is what went over the streams.
type record struct {
	config        *controlv1.PodConfig
	desired       map[string]*controlv1.Room    // by room
	follows       map[string]*controlv1.Standby // by room
	hosted        []string                      // rooms that the pod told of
	connectionIDs map[string]string             // by Connection
	left          map[string]string             // connection id -> why it is out
	told          map[string]uint64             // room -> sequence of the last event
	acknowledged  map[string]uint64             // room -> sequence
	dates         map[string][2]int64           // Connection -> when it came and went, if the test says so
}

func newRecord() record {
	return record{
		desired: make(map[string]*controlv1.Room), follows: make(map[string]*controlv1.Standby), connectionIDs: make(map[string]string), left: make(map[string]string),
		told: make(map[string]uint64), acknowledged: make(map[string]uint64), dates: make(map[string][2]int64),
	}
}

// receives writes down a message of the operator.
func (p *Pod) receives(message *controlv1.OperatorMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.record
	switch m := message.Message.(type) {
	case *controlv1.OperatorMessage_Config:
		r.config = m.Config
	case *controlv1.OperatorMessage_Room:
		r.desired[m.Room.GetUid()] = m.Room
		for _, c := range m.Room.GetConnections() {
			r.connectionIDs[c.GetUid()] = c.GetConnectionId()
		}
	case *controlv1.OperatorMessage_Standby:
		r.follows[m.Standby.GetUid()] = m.Standby
	case *controlv1.OperatorMessage_AckEvents:
		r.acknowledged[m.AckEvents.GetUid()] = m.AckEvents.GetSequence()
	}
}

// sends writes down a message of the pod, and dates it.
func (p *Pod) sends(message *controlv1.PodMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.record
	switch m := message.Message.(type) {
	case *controlv1.PodMessage_Room:
		if uid := m.Room.GetUid(); !slices.Contains(r.hosted, uid) {
			r.hosted = append(r.hosted, uid)
		}
		for _, c := range m.Room.GetConnections() {
			date, dated := r.dates[c.GetUid()]
			if dated && c.GetActiveUnixMs() != 0 {
				c.ActiveUnixMs = date[0]
			}
			if dated && c.GetDisconnectedUnixMs() != 0 {
				c.DisconnectedUnixMs = date[1]
			}
		}
	case *controlv1.PodMessage_Events:
		for _, event := range m.Events.GetEvents() {
			r.told[m.Events.GetRoom().GetUid()] = event.GetSequence()
			if left := event.GetParticipantLeft(); left != nil {
				r.left[left.GetParticipant().GetConnectionId()] = left.GetReason()
			}
		}
	}
}
