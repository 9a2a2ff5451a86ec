package podtest

import controlv1 "mediarooms.dev/mediarooms/internal/control/v1"

// Follows returns what the pod was told last of a room that another pod serves, nil when it was
// told nothing. The pod itself follows nobody: it says what the test has it say.
func (p *Pod) Follows(uid string) *controlv1.Standby {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record.follows[uid]
}

// Report has the pod say how far it is as the standby of a room.
func (p *Pod) Report(uid string, state controlv1.StandbyState, cause string) error {
	p.mu.Lock()
	s := p.latest
	p.mu.Unlock()
	if s == nil {
		return errBroken
	}
	return s.Send(&controlv1.PodMessage{Message: &controlv1.PodMessage_Standby{
		Standby: &controlv1.StandbyStatus{Uid: uid, State: state, Cause: cause},
	}})
}
