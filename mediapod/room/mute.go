package room

import "slices"

// Wishes for mute go over to another pod: that a room is to be mute, and which streams are to be
// that are not yet.

// ForceMute lets a moderator ask for the audio of a stream to be muted: the moderator is answered,
// then the owner is told (StreamMuteForced). It is for the owner's client to do.
func (p *Participant) ForceMute(streamID string, reply func()) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.mayForceMute(); err != nil {
		return err
	}
	return r.mute(streamID, p.spend, reply)
}

// ForceMuteAll lets a moderator ask for the audio of all streams to be muted but those that are
// excluded, and of those that are published later, until DisableForceMute: the moderator is
// answered, then everybody is told (ForceMuteChanged), then the owners are (StreamMuteForced).
// Excluded streams that are not there do not matter.
func (p *Participant) ForceMuteAll(excluded []string, reply func()) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.mayForceMute(); err != nil {
		return err
	}
	return r.muteAll(excluded, p.spend, reply)
}

// DisableForceMute ends what ForceMuteAll has begun: nobody's audio comes back by that.
func (p *Participant) DisableForceMute(reply func()) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.mayForceMute(); err != nil {
		return err
	}
	return r.endMute(p.spend, reply)
}

// ForceMute is what Participant.ForceMute is for moderators, for the server. It fails with
// NotFoundError without that stream, LimitError when the server has said too much in the room, and
// ErrClosed when there is no such room any more.
func (r *Room) ForceMute(streamID string) error {
	return r.forServer(func() error { return r.mute(streamID, r.serversBudget.spend, func() {}) })
}

// ForceMuteAll is what Participant.ForceMuteAll is for moderators, for the server. It fails as
// ForceMute does, and with ErrEmpty when nobody is there.
func (r *Room) ForceMuteAll(excluded []string) error {
	return r.forServer(func() error { return r.muteAll(excluded, r.serversBudget.spend, func() {}) })
}

// DisableForceMute ends what ForceMuteAll has begun, whoever has called it. It fails as that does.
func (r *Room) DisableForceMute() error {
	return r.forServer(func() error { return r.endMute(r.serversBudget.spend, func() {}) })
}

// forServer does something in a room in which somebody is.
func (r *Room) forServer(do func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if !r.occupied() {
		return ErrEmpty
	}
	return do()
}

// mute is ForceMute of whoever may. The room is locked.
func (r *Room) mute(streamID string, spend func(Notification, int) error, reply func()) error {
	s, err := r.liveStream(streamID)
	if err != nil {
		return err
	}
	told := StreamMuteForced{streamID}
	if err := spend(told, 1); err != nil {
		return err
	}
	reply()
	r.askForMute(s)
	return nil
}

// muteAll is ForceMuteAll of whoever may. The room is locked.
func (r *Room) muteAll(excluded []string, spend func(Notification, int) error, reply func()) error {
	told := ForceMuteChanged{Active: true}
	if err := spend(told, len(r.participants)+len(r.streams)); err != nil {
		return err
	}
	reply()
	r.forceMute = true
	r.rememberMute()
	r.notify(told)
	for _, owner := range r.participants {
		for _, s := range owner.publications.sorted() {
			if s.live && s.info.HasAudio && !slices.Contains(excluded, s.info.ID) {
				r.askForMute(s)
			}
		}
	}
	r.registry.mark(r.uid)
	return nil
}

// endMute is DisableForceMute of whoever may. The room is locked.
func (r *Room) endMute(spend func(Notification, int) error, reply func()) error {
	told := ForceMuteChanged{Active: false}
	if err := spend(told, len(r.participants)); err != nil {
		return err
	}
	reply()
	r.forceMute = false
	r.rememberMute()
	r.notify(told)
	r.registry.mark(r.uid)
	return nil
}

// mayForceMute refuses who may not mute others. The room is locked.
func (p *Participant) mayForceMute() error {
	if err := p.alive(); err != nil {
		return err
	}
	if !p.seat.mayModerate() {
		return ForbiddenError{ForceMute}
	}
	return nil
}

// muteNew asks for a new stream to be muted where all have to be. The room is locked.
func (r *Room) muteNew(s *stream) {
	if r.forceMute && s.info.HasAudio {
		r.askForMute(s)
	}
}

// askForMute asks the owner of a stream to mute it. The wish stands until the stream is mute. The
// room is locked.
func (r *Room) askForMute(s *stream) {
	s.info.MuteForced = s.info.AudioActive
	s.remember()
	s.owner.mailbox.notify(StreamMuteForced{s.info.ID})
	r.registry.mark(r.uid)
}
