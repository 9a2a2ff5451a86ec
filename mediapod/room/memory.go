package room

import (
	"maps"
	"slices"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// What a room's standby must know at once: who is in the room, what it sends, what it receives,
// whether all have to be muted, and what the last minute was like. The operator tells the next pod
// the same, but only what it was told itself; a pod may be lost before that.
//
//	joined, announced, answered, changed --> Engine.Remember --> standby --lost--> Engine.Remembered --> Presence
//
// Each is a memory of its own, small and complete. What is remembered of somebody takes the place
// of what the operator says, which may be old.

// The names of memories begin with their kind; ids follow.
const (
	participantMemory = "participant"
	streamMemory      = "stream"
	receptionMemory   = "reception"
	muteMemory        = "mute"
	levelsMemory      = "levels"
)

// rememberedParticipant is the memory of who is in the room by a Connection.
type rememberedParticipant struct {
	Activated time.Time
	Client    Client
	Socket    string
}

// rememberedStream is the memory of a stream.
type rememberedStream struct {
	Publisher string // its connection id
	Stream    Stream
}

// rememberedReception is the memory of what somebody receives.
type rememberedReception struct {
	Subscriber string // its connection id
	Reception  Reception
}

func memoryName(kind string, ids ...string) string {
	return strings.Join(append([]string{kind}, ids...), "/")
}

// remember has the room's standby know a value.
func (r *Room) remember(value any, kind string, ids ...string) {
	memory, err := media.NewMemory(value)
	if err != nil {
		r.registry.log.Error(err, "Remembering what a standby is to know", "room", r.uid, "kind", kind)
		return
	}
	r.engine().Remember(r.uid, memoryName(kind, ids...), memory)
}

// forget has the room's standby know a value no longer.
func (r *Room) forget(kind string, ids ...string) {
	r.engine().Remember(r.uid, memoryName(kind, ids...), nil)
}

// remember has the standby know that the participant is in the room. Who has no Connection does not
// come along.
func (p *Participant) remember() {
	if p.seat.claims == nil {
		p.room.remember(rememberedParticipant{p.seat.activated, p.seat.client, p.seat.socket}, participantMemory, p.id)
	}
}

func (p *Participant) forget() { p.room.forget(participantMemory, p.id) }

// remember has the standby know of a stream that was announced, as it is now.
func (s *stream) remember() {
	if s.owner.seat.claims == nil {
		s.owner.room.remember(rememberedStream{s.owner.id, s.info}, streamMemory, s.info.ID)
	}
}

func (s *stream) forget() { s.owner.room.forget(streamMemory, s.info.ID) }

// rememberReception has the standby know what the participant receives. What does not last is made
// anew by its client.
func (p *Participant) rememberReception(s *subscription) {
	if reception := s.reception(); p.seat.claims == nil && reception.Lasting {
		p.room.remember(rememberedReception{p.id, reception}, receptionMemory, p.id, s.id)
	}
}

func (p *Participant) forgetReception(s *subscription) {
	p.room.forget(receptionMemory, p.id, s.id)
}

// rememberMute has the standby know whether all have to be muted.
func (r *Room) rememberMute() { r.remember(r.forceMute, muteMemory) }

// forgetAll has the standby know nothing of the room any more. The room is locked.
func (r *Room) forgetAll() {
	r.forget(muteMemory)
	r.forget(levelsMemory)
	for _, p := range r.participants {
		p.forget()
		for _, s := range p.publications.byID {
			s.forget()
		}
		for _, s := range p.subscriptions.byID {
			p.forgetReception(s)
		}
	}
}

// recall returns who was in the room on another pod: as that pod has remembered it, or else as the
// operator has it, which knows later.
func (r *Room) recall(connections []Connection) []Connection {
	memories := r.engine().Remembered(r.uid)
	if len(memories) == 0 {
		return connections
	}
	r.read(memories, memoryName(muteMemory), &r.forceMute)
	r.recallLevels(memories)
	connections = slices.Clone(connections)
	presences := make(map[string]*Presence, len(connections)) // by connection id
	for i := range connections {
		if c := &connections[i]; r.recallParticipant(memories, c) {
			presences[c.ID] = c.Presence
		}
	}
	for _, name := range slices.Sorted(maps.Keys(memories)) {
		switch kind, _, _ := strings.Cut(name, "/"); kind {
		case streamMemory:
			var known rememberedStream
			if r.read(memories, name, &known) && presences[known.Publisher] != nil {
				presence := presences[known.Publisher]
				presence.Published = append(presence.Published, known.Stream)
			}
		case receptionMemory:
			var known rememberedReception
			if r.read(memories, name, &known) && presences[known.Subscriber] != nil {
				presence := presences[known.Subscriber]
				presence.Received = append(presence.Received, known.Reception)
			}
		}
	}
	for _, presence := range presences {
		slices.SortStableFunc(presence.Published, func(a, b Stream) int { return a.Created.Compare(b.Created) })
		slices.SortStableFunc(presence.Received, func(a, b Reception) int { return a.Began.Compare(b.Began) })
	}
	return connections
}

// recallParticipant says whether it is remembered that somebody is in the room by a Connection, and
// begins the presence then. Whoever has left, as the operator knows, is not in the room.
func (r *Room) recallParticipant(memories map[string]media.Memory, c *Connection) bool {
	var known rememberedParticipant
	left := c.Spent && c.Presence == nil
	if left || !r.read(memories, memoryName(participantMemory, c.ID), &known) {
		return false
	}
	c.Presence = &Presence{Activated: known.Activated, Client: known.Client, socket: known.Socket}
	return true
}

// read reads the memory of that name, if there is one.
func (r *Room) read(memories map[string]media.Memory, name string, value any) bool {
	memory, found := memories[name]
	if !found {
		return false
	}
	if err := memory.Read(value); err != nil {
		// It is of another version of the pod; the operator's word counts.
		r.registry.log.V(1).Info("Reading what the pod before has remembered", "room", r.uid, "memory", name, "reason", err.Error())
		return false
	}
	return true
}
