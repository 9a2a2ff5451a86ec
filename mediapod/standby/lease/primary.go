package lease

import "time"

// Beats is the primary's end of a link. The zero value is one that has just begun.
type Beats struct {
	number       uint64
	waiting      bool      // for the Ack of number
	ended        bool      // no Beat is sent any more, and no Ack counts
	sent         time.Time // number
	acknowledged time.Time // when the last Beat was sent that is acknowledged
	read         time.Time // when the Ack of that was read
}

// Beat notes that a Beat is sent and returns its number. There is none to send while the one before
// is not acknowledged, nor after the end. Now is read before it is sent. It is called every
// BeatInterval, whatever the states of the rooms are.
func (b *Beats) Beat(now time.Time) (number uint64, send bool) {
	if b.waiting || b.ended {
		return 0, false
	}
	b.number++
	b.waiting, b.sent = true, now
	return b.number, true
}

// Acknowledge notes an Ack. It says whether that was the one expected: then the standby has all
// that was sent before the Beat, and the leases of the rooms run from when that was sent. Now is
// read after the Ack.
func (b *Beats) Acknowledge(number uint64, now time.Time) bool {
	if b.ended || !b.waiting || number != b.number {
		return false
	}
	b.waiting, b.acknowledged, b.read = false, b.sent, now
	return true
}

// End notes that the stream has ended, or is to be. The leases run out; the standby may be dead or
// may take over. It is also called by a room that goes on alone, so that nothing can be taken over
// by a later Beat; then the caller closes the stream.
func (b *Beats) End() { b.ended = true }

// Ended says whether the link is of no use any more.
func (b *Beats) Ended() bool { return b.ended }

// State is that of a room on its primary.
type State int

const (
	// Alone is a room that nobody follows: the primary may always encrypt.
	Alone State = iota
	// Leased is a room that a standby follows: the primary may encrypt until the lease ends.
	Leased
	// Lapsed is one whose lease has run out. The primary waits for an Ack, or for what the clients
	// say. It neither encrypts nor nominates: a client that went over must not come back.
	Lapsed
	// Lost is one that belongs to the standby: the primary never encrypts again. It may tell the
	// standby at any time that the room is handed over.
	Lost
)

// Primary is a room on the pod that serves it. The zero value is one that is alone.
type Primary struct {
	link    *Beats // nil when nobody follows
	began   time.Time
	lost    bool
	looked  time.Time     // when Witness was called last in this lapse
	awake   time.Time     // since when there were no longer times than Stall between two calls
	stall   time.Duration // the longest between two calls since then, if above Lag
	lapsing bool
}

// Follow begins the lease of a room: Complete may be sent if it returns true. Now is read before. A
// standby takes over only after an Ack that it has sent after Complete, so there is a Term to wait
// for the first one. A room has one standby at a time.
func (p *Primary) Follow(link *Beats, now time.Time) bool {
	if p.lost || p.link != nil || link.ended {
		return false
	}
	*p = Primary{link: link, began: now}
	return true
}

// State returns the state at a time.
func (p *Primary) State(now time.Time) State {
	switch {
	case p.lost:
		return Lost
	case p.link == nil:
		return Alone
	case now.Before(p.end()):
		return Leased
	default:
		return Lapsed
	}
}

// May says whether the room's packets may be encrypted. A caller that keeps Until elsewhere reads
// the clock before each burst.
func (p *Primary) May(now time.Time) bool {
	state := p.State(now)
	return state == Alone || state == Leased
}

// Until returns when May ends unless an Ack comes. It ends never for a room that is Alone, and has
// for one that is Lost: then there is no time.
func (p *Primary) Until() (end time.Time, limited bool) {
	if p.lost || p.link == nil {
		return time.Time{}, false
	}
	return p.end(), true
}

func (p *Primary) end() time.Time { return later(p.began, p.link.acknowledged).Add(Term) }

// Leave notes that the standby has promised not to take over: it dropped the room, or wants it anew
// by another stream. The room is alone at once.
func (p *Primary) Leave() {
	if !p.lost {
		*p = Primary{}
	}
}

// Refused notes that the pod of the standby has refused a connection, after the end of the stream:
// its process is dead. While the lease runs it can't have taken over before: the room is alone at
// once. Otherwise nothing changes, as the standby may have used indices. Now is read after the
// refusal.
func (p *Primary) Refused(now time.Time) {
	if p.link != nil && p.link.ended && p.State(now) == Leased {
		*p = Primary{}
	}
}

// HandOver gives the room up, at once and for good. It says whether the standby can be told so:
// nobody follows a room that is alone, and it keeps that.
func (p *Primary) HandOver() bool {
	if p.lost || p.link == nil {
		return false
	}
	*p = Primary{lost: true}
	return true
}

// Witness says what becomes of a room that has lapsed. Heard is when the client was read from that
// was not for the longest time, of those that sent media when the pod last saw the lease run: it
// may have been frozen since then. It is now if there are none; clients whose session has ended do
// not count. Now is read before the clients are looked at, and both times are of the same monotonic
// clock. Witness is called at intervals below Lag while the room is Lapsed, as far as the machine
// allows that: it takes longer by the longest of them that is above, and begins anew after one that
// is above Stall.
//
// All clients that are heard after Patience have not gone over, and nobody can take the room over
// any more: it is Alone, skip indices are left out, and the link is ended. When a client is not
// heard within Watch it has gone over, and the room is Lost.
func (p *Primary) Witness(heard, now time.Time) (state State, skip int) {
	if state = p.State(now); state != Lapsed {
		p.lapsing = false
		return state, 0
	}
	switch passed := now.Sub(p.looked); {
	case !p.lapsing || passed > Stall:
		p.awake, p.stall = now, 0 // what is read next may have come long ago
	case passed > Lag:
		p.stall = max(p.stall, passed)
	}
	p.lapsing, p.looked = true, now
	waited := p.stall + Lag // the longest that packets may have waited for being read
	from := later(later(p.began, p.link.read).Add(Patience+p.stall), p.awake.Add(2*waited))
	switch {
	case now.Before(from):
		return Lapsed, 0
	case heard.After(from):
		p.link.End()
		*p = Primary{}
		return Alone, Skip
	case !now.Before(from.Add(Watch)):
		*p = Primary{lost: true}
		return Lost, 0
	default:
		return Lapsed, 0
	}
}
