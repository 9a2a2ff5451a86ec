package room

import (
	"time"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/journal"
)

// diary writes what happens in a room into the pod's journal, from which the operator takes it. Of who is hidden it says nothing. It
// belongs to its room and is guarded by the room's mutex.
type diary struct {
	journal *journal.Journal
	uid     string
	// endsWhenEmpty says that the room goes with its last user.
	endsWhenEmpty bool
	// users are in the room; visited says that there was one, lastReason why the last one has left.
	users      int
	visited    bool
	lastReason reasons.Reason
}

// begin opens the diary of a room. One whose Session is told of already, since it was on another pod, has no beginning here.
func (d *diary) begin(desired Desired) {
	if desired.Tenant == "" {
		return // the operator is of a version that wants no events
	}
	d.journal.Open(journal.Room{
		UID: desired.UID, Tenant: desired.Tenant, Name: desired.Name, SessionID: desired.SessionID, Created: desired.Created, Proof: desired.Proof,
	}, desired.Known)
	if !desired.Known {
		d.journal.Write(d.uid, desired.Created, journal.Event{Kind: journal.SessionCreated})
	}
}

func (d *diary) joined(p *Participant) {
	if p.hidden() {
		return
	}
	d.users++
	d.visited = true
	d.journal.Write(d.uid, p.seat.activated, journal.Event{Kind: journal.ParticipantJoined, Participant: p.identity()})
}

func (d *diary) left(p *Participant) {
	if p.hidden() {
		return
	}
	d.users--
	d.lastReason = p.seat.reason
	d.journal.Write(d.uid, p.seat.left, journal.Event{
		Kind: journal.ParticipantLeft, Participant: p.identity(), Began: p.seat.activated, Reason: string(p.seat.reason),
	})
}

// sends and receives write that a participant begins to; the moment is kept for the end.
func (d *diary) sends(s *stream) {
	s.began = s.info.Created
	d.journal.Write(d.uid, s.began, journal.Event{Kind: journal.ConnectionCreated, Connection: s.sending()})
}

func (d *diary) receives(p *Participant, s *subscription) {
	if p.hidden() || !s.began.IsZero() {
		return
	}
	s.began = time.Now()
	d.journal.Write(d.uid, s.began, journal.Event{Kind: journal.ConnectionCreated, Connection: s.receiving(p)})
}

// sent and received write that a participant no longer does, if its beginning was written.
func (d *diary) sent(s *stream, reason reasons.Reason) {
	if !s.began.IsZero() {
		d.ended(s.sending(), s.began, reason)
	}
}

func (d *diary) received(p *Participant, s *subscription, reason reasons.Reason) {
	if !s.began.IsZero() {
		d.ended(s.receiving(p), s.began, reason)
	}
}

func (d *diary) ended(connection journal.Connection, began time.Time, reason reasons.Reason) {
	d.journal.Write(d.uid, time.Now(), journal.Event{Kind: journal.ConnectionDestroyed, Connection: connection, Began: began, Reason: string(reason)})
}

// signalled writes who was told what.
func (d *diary) signalled(from string, recipients []*Participant, signal Signal) {
	told := journal.Signal{From: from, Type: signal.Topic, Data: signal.Data}
	for _, p := range recipients {
		if !p.hidden() {
			told.To = append(told.To, p.id)
		}
	}
	if len(told.To) > 0 {
		d.journal.Write(d.uid, time.Now(), journal.Event{Kind: journal.SignalSent, Signal: told})
	}
}

// conclusion is why the Session ends when it does so now, before anybody is thrown out: one that its last user has left ends for that, unless
// the user did not go by itself (openvidu-rest section 8).
func (d *diary) conclusion(reason reasons.Reason) reasons.Reason {
	if reason != reasons.SessionClosedByServer {
		return reason
	}
	emptied := d.endsWhenEmpty && d.visited && d.users == 0
	return reasons.SessionEnd(emptied, d.lastReason)
}

// end writes the end of the Session, unless nobody is to be told, and closes the diary. Who was told that somebody came is told of the end, too.
func (d *diary) end(reason reasons.Reason, silent bool) {
	if !silent || d.visited {
		d.journal.Write(d.uid, time.Now(), journal.Event{Kind: journal.SessionDestroyed, Reason: string(reason)})
	}
	d.journal.Close(d.uid)
}

func (p *Participant) identity() journal.Participant {
	client := p.seat.client
	return journal.Participant{
		ConnectionID: p.id, IP: client.Address, Platform: client.Platform, ClientData: client.Metadata, ServerData: p.seat.desired.ServerData,
	}
}

func (s *stream) sending() journal.Connection {
	return journal.Connection{ConnectionID: s.owner.id, Stream: s.facts()}
}

func (s *subscription) receiving(p *Participant) journal.Connection {
	return journal.Connection{ConnectionID: p.id, ReceivingFrom: s.stream.owner.id, Stream: s.stream.facts()}
}

// facts are what a stream is like now.
func (s *stream) facts() journal.Stream {
	i := s.info
	return journal.Stream{
		ID: i.ID, Created: i.Created, HasAudio: i.HasAudio, HasVideo: i.HasVideo, AudioActive: i.AudioActive, VideoActive: i.VideoActive,
		TypeOfVideo: string(i.TypeOfVideo), FrameRate: i.FrameRate, VideoDimensions: i.VideoDimensions,
	}
}
