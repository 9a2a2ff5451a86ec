// Package lease is the single authority on which of two media pods encrypts for a room that one of
// them follows on standby: never both (decision 54). It has no clock. Each pod gives the times of
// its own; nothing is assumed of the two but that their rates differ by less than 1 %.
//
// A link is one stream between two pods. [Beats] is the primary's end of it and [Acks] the
// standby's; a [Primary] and a [Standby] are one room there. The goroutine of the link owns its end
// and the rooms of it. A new stream begins with new Beats and Acks.
//
//	Primary          Follow            lease ran out             clients went over,
//	         Alone ---------> Leased ------------------> Lapsed   or HandOver
//	           ^                | ^       an Ack           | | -----------------> Lost
//	           |    Leave,      | '------------------------' |
//	           |    Refused     |                            |
//	           '----------------+----------------------------'
//	                                 Leave, clients are here
//
//	Standby            Ack of a Beat         800 ms silence             a client came
//	         Unready ---------------> Ready ----------------> Claiming ---------------> Owner
//	                                    |      Refused, HandedOver        |               ^
//	                                    |---------------------------------+---------------'
//	                                    |      Leave, too late            |
//	                                    '---------------------------------'-----------> Gone
//
// A Beat is sent only when the one before is acknowledged. So it tells the standby of an Ack that
// the primary has read, and the standby may claim a room for [Window] after that one only. The
// primary asks its clients after that, and then either one of them has gone over or nobody ever
// will.
package lease

import "time"

const (
	// BeatInterval is the time between two Beats, while they are acknowledged.
	BeatInterval = 100 * time.Millisecond
	// Term is for how long the primary may encrypt after it has sent a Beat that is acknowledged.
	Term = 600 * time.Millisecond
	// Silence is how long after its last Ack a standby claims the rooms, if no Beat comes. It is
	// above Term: the primary sent the Beat before the Ack of it was sent.
	Silence = 800 * time.Millisecond
	// Window is how long after the last Ack that the primary is known to have read a standby may
	// become the owner of a room, unless the primary is known to be dead.
	Window = 1250 * time.Millisecond
	// Answer is how long before the end of Window the standby nominates the last time: a client
	// that goes over is to be heard within it.
	Answer = 150 * time.Millisecond
	// Patience is how long after it has read an Ack a primary begins to listen which clients are
	// still here: Window, and what a packet is late that a client sent before it went over.
	Patience = 1400 * time.Millisecond
	// Lag is how long packets may have waited in the socket of a primary that looks as often. When
	// more time is between two looks they may have waited for that time more.
	Lag = 50 * time.Millisecond
	// Stall is the longest time between two looks of a primary that is only slow. Above it was
	// frozen, and listens anew.
	Stall = 300 * time.Millisecond
	// Watch is for how long a primary listens until it holds that a client has gone over.
	Watch = 600 * time.Millisecond
	// Block is how many packet indices the primary may use beyond those that the standby has
	// acknowledged. The standby begins so far beyond those that it knows.
	Block = 4096
	// Skip is how many packet indices a primary leaves out that goes on alone by the word of its
	// clients. It needs none if the rules are kept, and is for witnesses that were wrong.
	Skip = 2 * Block
)

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
