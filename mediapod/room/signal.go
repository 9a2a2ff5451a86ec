package room

import "slices"

// Signal sends a message to the listed connections, or to everybody, itself included, when none is listed.
// Nobody gets it when one of them is not in the room, or when too much was said (budget).
func (p *Participant) Signal(to []string, signal Signal) error {
	recipients := listed(to)
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone {
		return p.left()
	}
	told, err := p.room.signal(recipients, SignalReceived{From: p.id, Signal: signal}, p.spend)
	if err == nil && !p.hidden() {
		p.room.diary.signalled(p.id, told, Signal{Type: withoutPrefix(signal.Type), Data: signal.Data})
	}
	return err
}

// Signal sends a message of the server to the listed connections, or to everybody when none is listed. Nobody gets it, and CodeSignalTo is the
// answer, when one of them is not in the room, or when the room is empty. A type without the prefix that clients listen for is given it.
// CodeGeneric means that the server has said too much in this room. ErrClosed means that there is no such room any more.
func (r *Room) Signal(to []string, signal Signal) error {
	recipients := listed(to)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if !slices.ContainsFunc(r.participants, func(p *Participant) bool { return !p.hidden() }) {
		return refuse(CodeSignalTo, "Nobody is in session %s", r.sessionID)
	}
	told, err := r.signal(recipients, SignalReceived{Signal: Signal{Type: withPrefix(signal.Type), Data: signal.Data}}, r.serversBudget.spend)
	if err == nil {
		r.diary.signalled("", told, signal)
	}
	return err
}

// listed returns the recipients of a signal, each once.
func listed(to []string) map[string]struct{} {
	recipients := make(map[string]struct{}, len(to))
	for _, connectionID := range to {
		recipients[connectionID] = struct{}{}
	}
	return recipients
}

// signal tells the listed connections, or everybody when none is listed, if the budget has that much left, and returns who that is. The room is
// locked.
func (r *Room) signal(to map[string]struct{}, signal SignalReceived, spend func(Notification, int) *Error) ([]*Participant, error) {
	recipients := make([]*Participant, 0, len(r.participants))
	for _, p := range r.participants {
		if _, meant := to[p.id]; meant || len(to) == 0 {
			recipients = append(recipients, p)
		}
	}
	if len(to) > 0 && len(recipients) != len(to) {
		return nil, refuse(CodeSignalTo, `Signal "to" field invalid format: some connectionId does not exist in this session`)
	}
	if over := spend(signal, len(recipients)); over != nil {
		return nil, over
	}
	for _, recipient := range recipients {
		recipient.notify(signal)
	}
	return recipients, nil
}
