package room

import "slices"

// Signal sends a message to the listed connections, or to everybody, itself included, when none is
// listed. Nobody gets it when one of them is not in the room, or when too much was said (budget).
func (p *Participant) Signal(to []string, signal Signal) error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if err := p.alive(); err != nil {
		return err
	}
	recipients, err := p.room.signal(to, SignalReceived{From: p.id, Signal: signal}, p.spend)
	if err == nil && !p.hidden() {
		p.room.recorder.signalled(p.id, recipients, signal)
	}
	return err
}

// Signal sends a message of the server to the listed connections, or to everybody when none is
// listed. Nobody gets it when one of them is not in the room (NotFoundError), when the room is
// empty (ErrEmpty), or when the server has said too much in it (LimitError). ErrClosed means that
// there is no such room any more.
func (r *Room) Signal(to []string, signal Signal) error {
	return r.forServer(func() error {
		recipients, err := r.signal(to, SignalReceived{Signal: signal}, r.serversBudget.spend)
		if err == nil {
			r.recorder.signalled("", recipients, signal)
		}
		return err
	})
}

// occupied says whether anybody is there who is seen. The room is locked.
func (r *Room) occupied() bool {
	return slices.ContainsFunc(r.participants, func(p *Participant) bool { return !p.hidden() })
}

// signal notifies the listed connections, each once, or everybody when none is listed, if the
// budget has that much left, and returns who that is. The room is locked.
func (r *Room) signal(to []string, signal SignalReceived, spend func(Notification, int) error) ([]*Participant, error) {
	listed := make(map[string]bool, len(to))
	for _, id := range to {
		listed[id] = true
	}
	recipients := make([]*Participant, 0, len(r.participants))
	for _, p := range r.participants {
		if listed[p.id] || len(to) == 0 {
			recipients = append(recipients, p)
			delete(listed, p.id)
		}
	}
	for unknown := range listed {
		return nil, NotFoundError{KindParticipant, unknown}
	}
	if err := spend(signal, len(recipients)); err != nil {
		return nil, err
	}
	for _, recipient := range recipients {
		recipient.mailbox.notify(signal)
	}
	return recipients, nil
}
