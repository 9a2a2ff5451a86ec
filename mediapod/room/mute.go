package room

import "slices"

// ForceMute lets a moderator ask for the audio of a stream to be muted: the moderator is answered,
// then the owner is told (StreamMuteForced). It is for the owner's client to do.
func (p *Participant) ForceMute(streamID string, reply func()) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.mayForceMute(); err != nil {
		return err
	}
	s, err := r.liveStream(streamID)
	if err != nil {
		return err
	}
	told := StreamMuteForced{streamID}
	if err := p.spend(told, 1); err != nil {
		return err
	}
	reply()
	s.owner.mailbox.notify(told)
	return nil
}

// ForceMuteAll lets a moderator ask for the audio of all streams to be muted but those that are
// excluded, and of those that are published later, until DisableForceMute: the moderator is
// answered, then everybody is told (ForceMuteChanged), then the owners are (StreamMuteForced).
// Excluded streams that are not there do not matter. It does not outlive the pod.
func (p *Participant) ForceMuteAll(excluded []string, reply func()) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.mayForceMute(); err != nil {
		return err
	}
	told := ForceMuteChanged{Active: true}
	if err := p.spend(told, len(r.participants)+len(r.streams)); err != nil {
		return err
	}
	reply()
	r.forceMute = true
	r.notify(told)
	for _, owner := range r.participants {
		for _, s := range owner.publications.sorted() {
			if s.live && s.info.HasAudio && !slices.Contains(excluded, s.info.ID) {
				owner.mailbox.notify(StreamMuteForced{s.info.ID})
			}
		}
	}
	return nil
}

// DisableForceMute ends what ForceMuteAll has begun: nobody's audio comes back by that.
func (p *Participant) DisableForceMute(reply func()) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.mayForceMute(); err != nil {
		return err
	}
	told := ForceMuteChanged{Active: false}
	if err := p.spend(told, len(r.participants)); err != nil {
		return err
	}
	reply()
	r.forceMute = false
	r.notify(told)
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
		s.owner.mailbox.notify(StreamMuteForced{s.info.ID})
	}
}
