package lease

import "time"

// Cause says why a standby takes over.
type Cause int

const (
	// None is that it does not.
	None Cause = iota
	// Silent is that no Beat came for Silence. The primary may live: the standby nominates itself,
	// and may encrypt once a client has gone over.
	Silent
	// Dead is that the primary's process has ended.
	Dead
	// Handed is that the primary has handed the room over.
	Handed
)

// Acks is the standby's end of a link. The zero value is one that has just begun.
type Acks struct {
	number uint64
	ended  bool
	cause  Cause
	sent   time.Time // the Ack of number
	known  time.Time // when the Ack before that was sent, which the primary has read
}

// Heard notes a Beat. It says whether an Ack of it is to be sent; if not, the link is of no use any
// more. Now is read after the Beat and before the Ack. All that was sent before the Beat was taken
// in.
func (a *Acks) Heard(number uint64, now time.Time) bool {
	if a.ended || a.cause != None || number != a.number+1 {
		return false
	}
	a.known, a.sent, a.number = a.sent, now, number
	return true
}

// End notes that the stream has ended. The standby dials the primary again at once. If that
// succeeds it leaves the rooms that it is not the owner of and wants them anew.
func (a *Acks) End() { a.ended = true }

// Refused notes that a connection to the primary's pod was refused after the stream had ended: its
// process is dead. Now is read after that. Too late it says nothing, since the primary may have
// gone on alone before.
func (a *Acks) Refused(now time.Time) {
	if a.ended && a.open(now) {
		a.cause = Dead
	}
}

// open says whether the primary can't have gone on alone yet.
func (a *Acks) open(now time.Time) bool {
	return a.number > 1 && now.Before(a.known.Add(Window))
}

// Deadline returns when rooms are due unless a Beat comes; there is none before the second Ack.
// Due is called then.
func (a *Acks) Deadline() (deadline time.Time, some bool) {
	return a.sent.Add(Silence), a.number > 1
}

// Over says that no further room of the link can be taken over: it was silent for too long, or
// ended too early. Rooms that have no owner then are left; the caller closes the stream and follows
// them anew.
func (a *Acks) Over(now time.Time) bool {
	switch {
	case a.cause == Dead:
		return false
	case a.number < 2:
		return a.ended
	default:
		return !a.open(now) && (a.ended || !now.Before(a.sent.Add(Silence)))
	}
}

// silent claims what is due, from when on no Beat is acknowledged. It says whether the standby is
// to nominate itself now.
func (a *Acks) silent(now time.Time) bool {
	if a.number < 2 || now.Before(a.sent.Add(Silence)) || !a.open(now.Add(Answer)) {
		return false
	}
	if a.cause == None {
		a.cause = Silent
	}
	return true
}

// Standby is a room on the pod that follows it. The zero value is one that is not complete.
type Standby struct {
	link  *Acks
	from  uint64 // the last Beat before Complete
	owner Cause
	left  bool
}

// Complete notes that everything of the room has come. The room may be taken over from the next Ack
// on.
func (s *Standby) Complete(link *Acks) {
	if s.link == nil {
		s.link, s.from = link, link.number
	}
}

func (s *Standby) ready() bool {
	return s.link != nil && !s.left && s.link.number > s.from
}

// May says whether the room's packets may be encrypted here: the standby is its owner, and will be
// for good.
func (s *Standby) May() bool { return s.owner != None }

// Due says whether the room is to be taken over now, and why. If it is Silent, the standby
// nominates itself to all clients of the room whenever this says so, and to none when it does not:
// not too often, as no answer counts that comes after Window. Otherwise it is the owner.
func (s *Standby) Due(now time.Time) (bool, Cause) {
	switch {
	case s.owner != None:
		return true, s.owner
	case !s.ready():
		return false, None
	case s.link.cause == Dead:
		s.owner = Dead
		return true, Dead
	case s.link.silent(now):
		return true, Silent
	default:
		return false, None
	}
}

// Moved notes that a client that publishes has begun to send media here. It says whether the
// standby is the owner of the room, for which it must be in time. Now is read after the packet.
// Answers to checks do not count: a client gives them that has not gone over, too.
func (s *Standby) Moved(now time.Time) bool {
	if s.owner == None && s.ready() && s.link.cause == Silent && s.link.open(now) {
		s.owner = Silent
	}
	return s.May()
}

// HandedOver notes that the primary has given the room up. It says whether the standby is the
// owner.
func (s *Standby) HandedOver() bool {
	if s.owner == None && !s.left && s.link != nil {
		s.owner = Handed
	}
	return s.May()
}

// Leave gives the room up. It says whether the primary may be told so: an owner keeps the room.
func (s *Standby) Leave() bool {
	if s.May() {
		return false
	}
	s.left = true
	return true
}
