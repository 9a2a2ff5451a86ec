package room

import "time"

// A client notices nothing of the loss of its pod, or of the way to it, where the gateway keeps its
// socket and what the client sends and receives goes on. Its participant is then resumed without a
// word from the client, unless the client has to send something anew: it must lose its socket, and
// come back by itself. What it has to receive anew it is offered.

// Unnoticed reports whether ResumeUnnoticed would go well. ErrNotResumed means that the client must
// notice, ErrNotYet that it may go well later: the room is not on this pod, or the client has
// another socket. lost is when the gateway lost the client's pod, which counts for the answer to a
// client that comes back by itself (Resumed).
func (g *Registry) Unnoticed(key, privateID string, lost time.Time) error {
	room, found := g.Lookup(key)
	if !found {
		return ErrNotYet
	}
	room.mu.Lock()
	defer room.mu.Unlock()
	p, err := room.unnoticed(privateID)
	if p != nil && p.restored && lost.Before(p.restoredAt) {
		p.restoredAt = lost
	}
	return err
}

// ResumeUnnoticed gives a participant a sink, by its private id, of whose client the gateway has
// kept the socket. The participant must be in the room that clients name by the key. What the
// client missed meanwhile is queued after the call of joined, which only queues. The errors are
// those of Unnoticed.
func (g *Registry) ResumeUnnoticed(key, privateID string, sink Sink, joined func(*Participant)) error {
	room, found := g.Lookup(key)
	if !found {
		return ErrNotYet
	}
	room.mu.Lock()
	defer room.mu.Unlock()
	p, err := room.unnoticed(privateID)
	if err != nil {
		return err
	}
	if !p.resume(sink, func(resumed Resumed) { joined(resumed.Participant) }) {
		return ErrNotResumed
	}
	return nil
}

// unnoticed returns the participant with a private id, if there is one, and an error unless its
// client needs not notice that it has another sink. The room is locked.
func (r *Room) unnoticed(id string) (*Participant, error) {
	if r.closed {
		return nil, ErrNotYet
	}
	s, found := r.byPrivateID[digestOf(id)]
	if !found || id == "" || s.participant == nil {
		return nil, ErrNotResumed
	}
	p := s.participant
	switch {
	case p.mailbox.sink != nil:
		return p, ErrNotYet
	case p.mailbox.missed.tooMuch, p.restored && p.publications.awaited():
		return p, ErrNotResumed
	}
	return p, nil
}
