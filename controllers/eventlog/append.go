package eventlog

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// Checkpoint records a room's state as of the last acknowledged event; only a new leader needs it.
func (l *Log) Checkpoint(podName, instance string, message *controlv1.RoomJournal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.podOf(podName, instance)
	s := l.sessionOf(message.GetRoom())
	if s == nil || p.received > 0 {
		return
	}
	s.room, s.told, s.known = message.GetRoom(), message.GetBegun(), true
	s.open[podName] = make(events.Open)
	for _, event := range message.GetOpen() {
		s.take(podName, event)
	}
}

// take notes what an event of a pod begins or ends, also of what began on another one.
func (s *session) take(podName string, event *controlv1.RoomEvent) {
	for other, open := range s.open {
		if open.Forget(event); len(open) == 0 && other != podName {
			delete(s.open, other) // a room may move many times
		}
	}
	open, there := s.open[podName]
	if !there {
		open = make(events.Open)
		s.open[podName] = open
	}
	open.Apply(event)
}

// Append adds events of a pod. hosted says that the room is where it belongs: a room that has moved
// to another pod ends on the one before, but its Session goes on.
func (l *Log) Append(podName, instance string, hosted bool, message *controlv1.RoomEvents) {
	var acks []ack
	l.mu.Lock()
	p := l.podOf(podName, instance)
	uid := types.UID(message.GetRoom().GetUid())
	from, known := p.sources[uid]
	if !known {
		from = &source{pod: podName, session: uid}
		p.sources[uid] = from
	}
	if message.GetDropped() > from.dropped {
		lostEvents.WithLabelValues(lostInPod).Add(float64(message.GetDropped() - from.dropped))
		from.dropped = message.GetDropped()
	}
	for _, event := range message.GetEvents() {
		if event.GetSequence() <= p.received {
			continue // it came before the stream broke
		}
		p.received = event.GetSequence()
		acks = append(acks, l.append(from, instance, hosted, message.GetRoom(), event)...)
	}
	// What was settled at once is acknowledged with what follows it.
	if acks = append(acks, l.confirm(from)...); len(from.entries) > 0 || from.dropped > 0 {
		p.sources[uid] = from // it may have been empty meanwhile
	}
	l.mu.Unlock()
	l.send(acks)
}

// append adds one event. The log is locked.
func (l *Log) append(from *source, instance string, hosted bool, room *controlv1.RoomIdentity, event *controlv1.RoomEvent) []ack {
	if event.GetSessionCreated() != nil {
		// A room that was closed may be made anew for a Session that is still there, after all.
		l.ended.Remove(from.session)
	}
	e, known := newEntry(instance+"-"+strconv.FormatUint(event.GetSequence(), 10), room, event)
	s := l.sessionOf(room)
	if !known || s == nil || !s.wants(event, hosted) || event.GetRecordingStatusChanged() != nil {
		// Nobody is to be told; it goes with what comes before it.
		silent := &Entry{Tenant: room.GetTenant(), sequence: event.GetSequence(), settled: true}
		from.entries = append(from.entries, silent)
		return nil
	}
	s.take(from.pod, event)
	if left := event.GetParticipantLeft(); left != nil {
		s.lastReason = reasons.Reason(left.GetReason())
	}
	e.source, e.sequence = from, event.GetSequence()
	acks := l.add(e)
	if event.GetSessionDestroyed() != nil {
		l.end(types.UID(room.GetUid()))
	}
	return acks
}

// wants says whether an event is to be told of: a Session begins once, and ends where it is.
func (s *session) wants(event *controlv1.RoomEvent, hosted bool) bool {
	switch event.GetEvent().(type) {
	case *controlv1.RoomEvent_SessionCreated:
		before := s.told
		s.told = true
		return !before
	case *controlv1.RoomEvent_SessionDestroyed:
		return hosted
	}
	return true
}

// podOf returns the outbox of a pod; that of another process begins anew. The log is locked.
func (l *Log) podOf(name, instance string) *pod {
	p, known := l.pods[name]
	if !known || p.instance != instance {
		p = &pod{instance: instance, sources: make(map[types.UID]*source)}
		l.pods[name] = p
	}
	return p
}

// Known says whether the beginning of a Session was told.
func (l *Log) Known(uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, known := l.sessions[uid]
	return known && (s.told || s.known)
}

// Inherit takes in what the API objects say of a Session whose beginning an earlier leader has
// told: where it is, and who is there. The pod, if it lives, knows better.
func (l *Log) Inherit(room *controlv1.RoomIdentity, podName string, open []*controlv1.RoomEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sessionOf(room)
	if s == nil {
		return
	}
	s.known = true
	if _, known := s.open[podName]; known {
		return
	}
	there := make(events.Open)
	for _, event := range open {
		there.Apply(event)
	}
	s.open[podName] = there
}

// Ended says that a pod has told of a Session's end, now or to an earlier leader.
func (l *Log) Ended(uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(uid)
}

// Lost forgets the outbox of a pod that is lost. What it told and is not delivered stays; nobody is
// there to be told of it. What has begun there ends where the room goes on, or with GiveUp.
func (l *Log) Lost(podName string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pods, podName)
}

// GiveUp ends everything that was in the room of a Session whose pod is lost, and which no other
// one goes on with.
func (l *Log) GiveUp(uid types.UID) {
	var acks []ack
	l.mu.Lock()
	if s, known := l.sessions[uid]; known {
		acks = l.closeAll(s, reasons.NodeCrashed)
	}
	l.mu.Unlock()
	l.send(acks)
}

// closeAll ends what is open of a Session. The log is locked.
func (l *Log) closeAll(s *session, reason reasons.Reason) []ack {
	var acks []ack
	for _, podName := range slices.Sorted(maps.Keys(s.open)) {
		open := s.open[podName]
		delete(s.open, podName)
		for _, event := range open.Endings(l.clock.Now(), reason) {
			if event.GetParticipantLeft() != nil {
				s.lastReason = reason
			}
			acks = append(acks, l.write(s, event)...)
		}
	}
	return acks
}

// Tell adds an event that the operator itself knows of. It may come after the Session's end: a
// recording is ready when its files are.
func (l *Log) Tell(room *controlv1.RoomIdentity, event *controlv1.RoomEvent) {
	l.mu.Lock()
	acks := l.write(&session{room: room}, event)
	l.mu.Unlock()
	l.send(acks)
}

// Conclusion is how a Session ends that is being deleted.
type Conclusion struct {
	Room *controlv1.RoomIdentity
	// Emptied says that it goes because its last user has left.
	Emptied bool
	// Silent says that nobody is to be told.
	Silent bool
}

// Conclude tells of the end of a Session whose room is closed, or was never made, unless its media
// pod has done so. It may be called again.
func (l *Log) Conclude(c Conclusion) {
	var acks []ack
	l.mu.Lock()
	s := l.sessionOf(c.Room)
	if s == nil {
		l.mu.Unlock()
		return
	}
	if !s.told && !s.known && !c.Silent {
		acks = append(acks, l.write(s, events.SessionCreated(time.UnixMilli(c.Room.GetCreatedUnixMs())))...)
	}
	reason := reasons.SessionEnd(c.Emptied, s.lastReason)
	acks = append(acks, l.closeAll(s, reasons.SessionClosedByServer)...)
	if !c.Silent {
		acks = append(acks, l.write(s, events.SessionDestroyed(l.clock.Now(), reason))...)
	}
	l.end(types.UID(c.Room.GetUid()))
	l.mu.Unlock()
	l.send(acks)
}
