package room

import (
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/outbox"
)

// eventRecorder appends what happens in a room to the pod's outbox, from which the operator takes
// it. Of who is hidden it says nothing. It belongs to its room and is guarded by the room's mutex.
type eventRecorder struct {
	outbox *outbox.Outbox
	uid    string
	// endsWhenEmpty says that the room goes with its last user.
	endsWhenEmpty bool
	// users are in the room; visited says that there was one, lastReason why the last one has left.
	users      int
	visited    bool
	lastReason reasons.Reason
}

// begin begins to record a room. One whose Session is told of already, since it was on another pod,
// has no beginning here.
func (r *eventRecorder) begin(desired Desired) {
	if desired.Tenant == "" {
		return // the operator is of a version that wants no events
	}
	r.outbox.Open(&controlv1.RoomIdentity{
		Uid: desired.UID, Tenant: desired.Tenant, Name: desired.Name, SessionId: desired.SessionID,
		CreatedUnixMs: events.UnixMilli(desired.Created), Proof: desired.Proof,
	}, desired.Known)
	if !desired.Known {
		r.outbox.Append(r.uid, events.SessionCreated(desired.Created))
	}
}

func (r *eventRecorder) joined(p *Participant) {
	if p.hidden() {
		return
	}
	r.users++
	r.visited = true
	r.outbox.Append(r.uid, events.ParticipantJoined(p.seat.activated, p.identity()))
}

// restored takes over a participant that has joined on another pod, of which everybody was told.
func (r *eventRecorder) restored(p *Participant) {
	r.users++
	r.visited = true
	r.outbox.Inherit(r.uid, events.ParticipantJoined(p.seat.activated, p.identity()))
}

// sendsOn and receivesOn take over what has begun on another pod.
func (r *eventRecorder) sendsOn(s *stream) {
	s.began = s.info.Created
	r.outbox.Inherit(r.uid, events.WebRTCConnectionCreated(s.began, s.sending()))
}

func (r *eventRecorder) receivesOn(p *Participant, s *subscription) {
	r.outbox.Inherit(r.uid, events.WebRTCConnectionCreated(s.began, s.receiving(p)))
}

func (r *eventRecorder) left(p *Participant) {
	if p.hidden() {
		return
	}
	r.users--
	r.lastReason = p.seat.reason
	r.outbox.Append(r.uid, events.ParticipantLeft(p.seat.left, p.identity(), p.seat.activated, p.seat.reason))
}

// sends and receives write that a participant begins to; the moment is kept for the end.
func (r *eventRecorder) sends(s *stream) {
	s.began = s.info.Created
	r.outbox.Append(r.uid, events.WebRTCConnectionCreated(s.began, s.sending()))
}

func (r *eventRecorder) receives(p *Participant, s *subscription) {
	if p.hidden() || !s.began.IsZero() {
		return
	}
	s.began = time.Now()
	r.outbox.Append(r.uid, events.WebRTCConnectionCreated(s.began, s.receiving(p)))
}

// sent and received write that a participant no longer does, if its beginning was written.
func (r *eventRecorder) sent(s *stream, reason reasons.Reason) {
	if !s.began.IsZero() {
		r.ended(s.sending(), s.began, reason)
	}
}

func (r *eventRecorder) received(p *Participant, s *subscription, reason reasons.Reason) {
	if !s.began.IsZero() {
		r.ended(s.receiving(p), s.began, reason)
	}
}

func (r *eventRecorder) ended(connection *controlv1.WebrtcConnection, began time.Time, reason reasons.Reason) {
	r.outbox.Append(r.uid, events.WebRTCConnectionDestroyed(time.Now(), connection, began, reason))
}

// signalled writes who was told what.
func (r *eventRecorder) signalled(from string, recipients []*Participant, signal Signal) {
	told := &controlv1.SignalSent{From: from, Type: signal.Topic, Data: signal.Data}
	for _, p := range recipients {
		if !p.hidden() {
			told.To = append(told.To, p.id)
		}
	}
	if len(told.To) > 0 {
		r.outbox.Append(r.uid, events.SignalSent(time.Now(), told))
	}
}

// conclusion is why the Session ends when it does so now, before anybody is thrown out: one that
// its last user has left ends for that, unless the user did not go by itself (openvidu-rest section
// 8).
func (r *eventRecorder) conclusion(reason reasons.Reason) reasons.Reason {
	if reason != reasons.SessionClosedByServer {
		return reason
	}
	emptied := r.endsWhenEmpty && r.visited && r.users == 0
	return reasons.SessionEnd(emptied, r.lastReason)
}

// end writes the end of the Session, unless nobody is to be told, and ends the record. Who was told
// that somebody came is told of the end, too.
func (r *eventRecorder) end(reason reasons.Reason, silent bool) {
	if !silent || r.visited {
		r.outbox.Append(r.uid, events.SessionDestroyed(time.Now(), reason))
	}
	r.outbox.Close(r.uid)
}

func (p *Participant) identity() *controlv1.ParticipantIdentity {
	client := p.seat.client
	return &controlv1.ParticipantIdentity{
		ConnectionId: p.id, Ip: client.Address, Platform: client.Platform, ClientData: client.Metadata, ServerData: p.seat.desired.ServerData,
	}
}

func (s *stream) sending() *controlv1.WebrtcConnection {
	return &controlv1.WebrtcConnection{ConnectionId: s.owner.id, Stream: s.info.Published()}
}

func (s *subscription) receiving(p *Participant) *controlv1.WebrtcConnection {
	return &controlv1.WebrtcConnection{ConnectionId: p.id, ReceivingFrom: s.stream.owner.id, Stream: s.stream.info.Published()}
}

// Published returns what a stream is like now, as the operator is told it.
func (s Stream) Published() *controlv1.PublishedStream {
	return &controlv1.PublishedStream{
		StreamId: s.ID, CreatedUnixMs: events.UnixMilli(s.Created), HasAudio: s.HasAudio, HasVideo: s.HasVideo,
		AudioActive: s.AudioActive, VideoActive: s.VideoActive, TypeOfVideo: string(s.TypeOfVideo),
		FrameRate: max(0, int32(s.FrameRate)), VideoDimensions: events.VideoDimensions(s.VideoDimensions.Width, s.VideoDimensions.Height),
		Loopback: s.Loopback,
	}
}
