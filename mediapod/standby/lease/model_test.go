package lease

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// epoch is the beginning of both pods' clocks.
var epoch = time.Unix(1_000_000, 0)

// skew is by how much later a packet may come that a client sent to the primary before it went over
// than the first one that it sent to the standby.
const skew = 50 * time.Millisecond

// message is one of the stream between the pods, in either direction.
type message struct {
	kind   kind
	number uint64 // of a beat, or its acknowledgement
	index  int    // with a beat: the first index that the primary had not used
}

type kind int8

const (
	complete kind = iota + 1
	beat
	handedOver
	acknowledgement
	leave
)

// queue is one direction of the stream. Stop and wait keeps it short.
type queue struct {
	messages [4]message
	length   int
}

func (q *queue) push(m message) {
	q.messages[q.length] = m
	q.length++
}

func (q *queue) pop() message {
	m := q.messages[0]
	copy(q.messages[:], q.messages[1:])
	q.length--
	q.messages[q.length] = message{}
	return m
}

// world is two pods, the stream between them, and a client. Everything that can happen next is an
// action; who chooses them is the network, the scheduler and fate. What never happens is frozen,
// lost or late.
type world struct {
	now       time.Duration
	primary   pod // the times of its clock pass so fast
	standby   pod
	beats     Beats
	room      Primary
	acks      Acks
	copy      Standby
	toStandby queue
	toPrimary queue
	cut       bool // what was sent before may still be read
	followed  bool
	handed    bool
	alone     bool // the primary went on by the word of its client

	nominated bool // a nomination is on its way to the client, and may come at any time
	moved     bool // the client has gone over
	missed    bool // it did, but the standby heard it too late
	came      bool // its first packet is at the standby's socket, or was read
	cameAt    time.Duration
	taken     bool // the standby has read it

	unread  bool          // the client's packets wait in the socket of the primary
	since   time.Duration // as long as the primary is not frozen
	heard   time.Time
	looking bool // between reading the clock and looking at the client
	look    time.Time
	looked  time.Duration // 0: not since the lease ended
	stall   time.Duration // the longest between two looks since it was frozen, if above Lag

	next     int // index of the primary's next packet
	released int // the first it may not use
	sent     int // index that went with the Beat that is not acknowledged yet
	known    int // index that the standby knows

	broken  string // the rule that is broken on purpose
	prompt  bool   // the primary is never frozen while it looks at the client
	settled bool   // nothing happens any more but to clients
	few     bool   // a primary that is slow is it by the least or the most that counts
}

type pod struct {
	dead bool
	rate float64
}

func newWorld(broken string) world {
	return world{primary: pod{rate: 1}, standby: pod{rate: 1}, broken: broken}
}

// following returns a world in which the standby could take over if the primary were lost.
func following(broken string) world {
	w := newWorld(broken)
	w.do("primary follows")
	for range 2 {
		w.do("primary beats")
		w.do("standby reads")
		w.do("standby reads")
		w.do("primary reads")
		w.now += BeatInterval
	}
	return w
}

// at returns the time of a pod's clock.
func (w *world) at(p pod) time.Time {
	if p.rate == 1 {
		return epoch.Add(w.now)
	}
	return epoch.Add(time.Duration(float64(w.now) * p.rate))
}

// violation says which promise is broken, if any.
func (w *world) violation() string {
	switch {
	case !w.copy.May():
		return ""
	case w.alone:
		return "the standby is the owner of what the primary went on with alone"
	case !w.primary.dead && w.room.May(w.at(w.primary)):
		return "both may encrypt"
	case w.first() < w.next:
		return fmt.Sprintf("the standby begins at %d, the primary was at %d", w.first(), w.next)
	default:
		return ""
	}
}

// first returns the index that the standby begins at.
func (w *world) first() int {
	if w.copy.owner == Handed {
		return w.known
	}
	return w.known + Block
}

// stalled returns the longest time between two looks since the primary was frozen, that until the
// next one included, if it is above Lag.
func (w *world) stalled() time.Duration {
	if passed := w.now - w.looked; passed > Lag {
		return max(w.stall, passed)
	}
	return w.stall
}

// mayWait says whether packets can be unread that are: they have not waited for longer than the
// primary is slow, or it is frozen.
func (w *world) mayWait() bool {
	frozen := w.looked == 0 || w.now-w.looked > Stall
	return !w.unread || frozen || w.now-w.since <= w.stalled()+Lag
}

// ask has the primary decide by what it heard of the client. It is not possible that it does not
// hear a client that did not go over.
func (w *world) ask(heard, now time.Time) bool {
	ended, before := w.beats.ended, w.room
	state, skip := w.room.Witness(heard, now)
	if state == Lost && !w.moved && before.State(now) == Lapsed {
		w.room = before
		return false
	}
	w.alone = w.alone || skip > 0
	if skip > 0 && w.broken == "link goes on" {
		w.beats.ended, w.alone = ended, false
	}
	return true
}

// decided says that no promise can be broken any more.
func (w *world) decided() bool {
	lost := w.primary.dead || w.room.lost
	if w.copy.May() {
		return lost
	}
	return w.standby.dead || w.copy.left
}

// action is a step that is possible or not.
type action struct {
	name string
	do   func(*world) bool
}

// link returns the room with its pointers to this world: worlds are copied.
func (w *world) link() {
	if w.room.link != nil {
		w.room.link = &w.beats
	}
	if w.copy.link != nil {
		w.copy.link = &w.acks
	}
}

var actions = append(slices.Clip(podActions), clientActions...)

var podActions = []action{
	{name: "primary follows", do: func(w *world) bool {
		if w.primary.dead || w.followed || w.cut || !w.room.Follow(&w.beats, w.at(w.primary)) {
			return false
		}
		w.followed = true
		w.released = w.next + Block
		w.sent = max(w.sent, w.next)
		w.toStandby.push(message{kind: complete, index: w.next})
		return true
	}},
	{name: "primary beats", do: func(w *world) bool {
		if w.primary.dead || w.cut {
			return false
		}
		number, send := w.beats.Beat(w.at(w.primary))
		if !send {
			return false
		}
		if w.broken == "term" {
			w.beats.sent = w.beats.sent.Add(900*time.Millisecond - Term)
		}
		w.sent = w.next
		w.toStandby.push(message{kind: beat, number: number, index: w.next})
		return true
	}},
	{name: "primary reads", do: func(w *world) bool {
		if w.primary.dead || w.toPrimary.length == 0 || w.beats.ended && w.toPrimary.messages[0].kind != leave {
			return false
		}
		switch m := w.toPrimary.pop(); m.kind {
		case leave:
			w.room.Leave()
		case acknowledgement:
			if w.beats.Acknowledge(m.number, w.at(w.primary)) {
				w.released = w.sent + Block
			}
			if w.broken == "patience" {
				w.beats.read = w.beats.acknowledged.Add(2*Term - Patience)
			}
		}
		return true
	}},
	{name: "primary sees the end", do: func(w *world) bool {
		if w.primary.dead || !w.cut || w.beats.ended {
			return false
		}
		w.beats.End()
		if w.broken == "end" {
			w.room.Leave()
		}
		return true
	}},
	{name: "primary is refused", do: func(w *world) bool {
		if w.primary.dead || !w.standby.dead || !w.beats.ended || w.room.link == nil {
			return false
		}
		if w.broken == "refused primary" {
			w.room.Leave()
		}
		w.room.Refused(w.at(w.primary))
		return true
	}},
	{name: "primary hands over", do: func(w *world) bool {
		if w.primary.dead || w.cut || w.toStandby.length > 2 || !w.room.HandOver() {
			return false
		}
		w.handed = true
		w.toStandby.push(message{kind: handedOver, index: w.next})
		return true
	}},
	{name: "standby reads", do: func(w *world) bool {
		if w.standby.dead || w.acks.ended || w.toStandby.length == 0 {
			return false
		}
		m := w.toStandby.pop()
		if !w.copy.May() {
			w.known = m.index
		}
		switch m.kind {
		case complete:
			w.copy.Complete(&w.acks)
		case handedOver:
			w.copy.HandedOver()
		case beat:
			cause := w.acks.cause
			if w.broken == "claimed" {
				w.acks.cause = None
			}
			if w.acks.Heard(m.number, w.at(w.standby)) {
				w.toPrimary.push(message{kind: acknowledgement, number: m.number})
			}
			w.acks.cause = cause
			if w.broken == "window" {
				w.acks.known = w.acks.sent
			}
		}
		return true
	}},
	{name: "standby sees the end", do: func(w *world) bool {
		if w.standby.dead || !w.cut || w.acks.ended {
			return false
		}
		w.acks.End()
		return true
	}},
	{name: "standby is refused", do: func(w *world) bool {
		if w.standby.dead || !w.primary.dead || !w.acks.ended || w.acks.cause == Dead {
			return false
		}
		if w.broken == "refused standby" {
			w.acks.known = w.at(w.standby)
		}
		if w.acks.Refused(w.at(w.standby)); w.acks.cause != Dead {
			return false
		}
		w.copy.Due(w.at(w.standby))
		return true
	}},
	{name: "standby leaves", do: func(w *world) bool {
		if w.standby.dead || w.copy.left || w.toPrimary.length > 2 || !w.copy.Leave() {
			return false
		}
		w.toPrimary.push(message{kind: leave}) // by this stream, or by the next one
		return true
	}},
	{name: "connection ends", do: func(w *world) bool {
		if w.cut {
			return false
		}
		w.cut = true
		return true
	}},
	{name: "primary dies", do: func(w *world) bool {
		if w.primary.dead {
			return false
		}
		w.primary.dead, w.cut = true, true
		return true
	}},
	{name: "standby dies", do: func(w *world) bool {
		if w.standby.dead {
			return false
		}
		w.standby.dead, w.cut = true, true
		return true
	}},
}

var clientActions = []action{
	{name: "primary looks at the clock", do: func(w *world) bool {
		passed := w.now - w.looked
		again := w.looked != 0 && passed <= Stall
		if w.primary.dead || w.looking || w.prompt || again && passed == 0 || w.room.State(w.at(w.primary)) != Lapsed {
			return false
		}
		switch {
		case !again:
			w.stall, w.since = 0, w.now
		case !w.mayWait() || w.few && passed > Lag && passed != 2*Lag && passed != Stall:
			return false
		default:
			w.stall = w.stalled()
		}
		w.looking, w.look, w.looked = true, w.at(w.primary), w.now
		return true
	}},
	{name: "primary looks at the client", do: func(w *world) bool {
		if w.primary.dead || !w.looking {
			return false
		}
		if w.broken == "frozen" {
			w.room.lapsing, w.room.looked, w.room.awake = true, w.look, w.look.Add(-time.Hour)
		}
		if w.broken == "stalled" && w.room.lapsing && w.look.Sub(w.room.looked) <= Stall {
			w.room.looked = w.look
		}
		if !w.ask(w.heard, w.look) {
			return false
		}
		w.looking = false
		return true
	}},
	{name: "primary asks the client", do: func(w *world) bool {
		now := w.at(w.primary)
		if !w.prompt || w.primary.dead || w.room.State(now) != Lapsed {
			return false
		}
		heard := now.Add(1)
		if w.came && w.now-w.cameAt > skew+Lag {
			heard = time.Time{}
		}
		w.room.lapsing, w.room.looked, w.room.awake = true, now, now.Add(-time.Hour)
		return w.ask(heard, now) && w.room.State(now) != Lapsed
	}},
	{name: "primary reads the client", do: func(w *world) bool {
		if w.primary.dead || !w.unread || !w.mayWait() {
			return false
		}
		w.unread, w.heard = false, w.at(w.primary)
		return true
	}},
	{name: "standby is due", do: func(w *world) bool {
		if w.standby.dead || w.copy.May() {
			return false
		}
		due, _ := w.copy.Due(w.at(w.standby))
		if due && w.broken == "no client" {
			w.copy.owner = Silent
		}
		fresh := due && !w.nominated
		w.nominated = w.nominated || due
		return fresh
	}},
	{name: "standby reads the client", do: func(w *world) bool {
		if w.standby.dead || !w.came || w.taken {
			return false
		}
		w.taken = true
		w.missed = !w.copy.Moved(w.at(w.standby))
		return true
	}},
	{name: "client goes over", do: func(w *world) bool {
		if !w.nominated || w.moved {
			return false
		}
		w.moved = true
		return true
	}},
	{name: "client reaches the standby", do: func(w *world) bool {
		if !w.moved || w.came {
			return false
		}
		w.came, w.cameAt = true, w.now
		return true
	}},
	{name: "client reaches the primary", do: func(w *world) bool {
		if w.prompt || w.unread || w.came && w.now-w.cameAt > skew || w.room.State(w.at(w.primary)) != Lapsed {
			return false
		}
		w.unread, w.since = true, w.now
		return true
	}},
}

// do takes the action with a name, as far as it is possible.
func (w *world) do(name string) bool {
	for _, a := range actions {
		if a.name == name {
			return a.do(w)
		}
	}
	panic("no action " + name)
}

// recover lets everything happen in time from now on that can happen, other than faults. When a
// node is lost nothing says that a process on it is dead.
func (w *world) recover(nodeLost bool) {
	const step = 25 * time.Millisecond
	w.prompt = false
	for range 5 * time.Second / step {
		for _, name := range recovery {
			ends := strings.HasSuffix(name, "the end") || strings.HasSuffix(name, "is refused")
			if nodeLost && ends || w.moved && name == "client reaches the primary" {
				continue
			}
			for w.do(name) && strings.HasSuffix(name, "reads") {
			}
		}
		w.now += step
	}
}

var recovery = []string{
	"primary reads", "standby reads", "standby is refused", "standby is due", "primary is refused",
	"client goes over", "client reaches the standby", "standby reads the client",
	"client reaches the primary", "primary reads the client",
	"primary looks at the clock", "primary looks at the client",
	"primary beats", "standby sees the end", "primary sees the end",
}

// inTime says whether the standby will be able to claim the room if nothing comes any more but what
// was sent.
func (w world) inTime() bool {
	const reaction = 100 * time.Millisecond
	w.link()
	for w.do("standby reads") {
	}
	now := w.at(w.standby)
	return w.copy.ready() && !w.acks.Over(now) &&
		w.acks.open(later(now, w.acks.sent.Add(Silence)).Add(Answer+reaction))
}

// hopeless says why nobody may be the owner in the end, though a pod lives.
func (w *world) hopeless() string {
	switch {
	case w.primary.dead && w.standby.dead:
		return "both are dead"
	case w.standby.dead && (w.copy.May() || w.nominated):
		return "the standby died when it had nominated itself"
	case w.standby.dead && w.handed:
		return "the standby died when it had been given the room"
	case (w.primary.dead || w.handed) && w.copy.left:
		return "the standby had left when the room was given up"
	case (w.primary.dead || w.handed && w.cut) && !w.inTime():
		return "the primary was lost when the standby had not heard of it in time"
	default:
		return ""
	}
}
