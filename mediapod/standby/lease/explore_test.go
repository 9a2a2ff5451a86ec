package lease

import (
	"strings"
	"testing"
	"time"
)

// key is what of a world decides about its future. Times are ages in ticks, up to the age from
// which on older is the same: so there are finitely many.
type key [24]int8

func (w *world) key(tick time.Duration) key {
	now := epoch.Add(w.now)
	age := func(t time.Time, most time.Duration) int8 {
		return int8(max(min(now.Sub(t), most+tick), -most) / tick)
	}
	k := key{
		0: bits(w.primary.dead, w.standby.dead, w.cut, w.followed, w.handed, w.alone, w.nominated),
		1: bits(w.moved, w.missed, w.came, w.taken, w.unread, w.looking, w.beats.waiting),
		2: bits(w.beats.ended, w.room.link != nil, w.room.lost, w.acks.ended, w.copy.link != nil,
			w.copy.left, w.copy.ready()),
		3: int8(w.acks.cause)<<4 | int8(w.copy.owner),
	}
	for i := range w.toStandby.length {
		k[4] = k[4]*5 + int8(w.toStandby.messages[i].kind)
	}
	for i := range w.toPrimary.length {
		k[5] = k[5]*6 + int8(w.toPrimary.messages[i].kind)
		if w.toPrimary.messages[i].number == w.beats.number {
			k[6] |= 1 << i
		}
	}
	if !w.primary.dead && !w.alone {
		if w.beats.waiting && !w.beats.ended {
			k[7] = age(later(w.room.began, w.beats.sent), Term)
		}
		if w.room.link != nil {
			k[8] = age(later(w.room.began, w.beats.acknowledged), Term)
			if w.beats.waiting && w.room.began.After(w.beats.sent) {
				k[9] = age(w.room.began, Term)
			}
			k[10] = age(later(w.room.began, w.beats.read), Patience+Watch)
			if !w.prompt {
				w.listening(&k, age)
			}
		}
	}
	if !w.standby.dead && !w.copy.May() && !w.copy.left {
		k[17] = int8(min(w.acks.number, 2))
		k[18] = age(w.acks.sent, Silence)
		k[19] = age(w.acks.known, Window)
	}
	if w.came {
		k[20] = age(epoch.Add(w.cameAt), skew+Lag)
	}
	return k
}

func bits(flags ...bool) (n int8) {
	for i, flag := range flags {
		if flag {
			n |= 1 << i
		}
	}
	return n
}

// listening adds what a primary knows of its client.
func (w *world) listening(k *key, age func(time.Time, time.Duration) int8) {
	from := later(w.room.began, w.beats.read).Add(Patience)
	if w.room.lapsing {
		k[11] = age(w.room.looked, Stall)
		k[21] = int8(w.room.stall / (10 * time.Millisecond))
		from = later(from.Add(w.room.stall), w.room.awake.Add(2*(w.room.stall+Lag)))
		k[12] = age(from, Watch)
	}
	k[13] = bits(w.room.lapsing)
	if ahead := w.heard.Sub(from); ahead > 0 { // as far as what is asked for may grow
		k[23] = int8(min(ahead, 2*(Stall-w.room.stall)+1)/(10*time.Millisecond)) + 1
	}
	if w.looking {
		k[14] = age(w.look, Patience+Watch)
	}
	if w.unread {
		k[15] = age(epoch.Add(w.since), Stall+Lag)
	}
	k[16] = age(epoch.Add(w.looked), Stall)
	k[22] = int8(w.stall / (10 * time.Millisecond))
	if w.looked == 0 {
		k[16] = -1
	}
}

// explore tries all orders of everything, with all delays that are multiples of a tick, and calls
// visit with each world once. It returns the actions that lead to the first violation.
func explore(start world, tick time.Duration, visit func(*world)) (trace []string) {
	type step struct {
		world world
		next  int
		name  string
	}
	start.link()
	seen := map[key]struct{}{start.key(tick): {}}
	stack := []step{{world: start}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.next > len(actions) {
			stack = stack[:len(stack)-1]
			continue
		}
		w, name := top.world, "time passes"
		w.link()
		if start.settled {
			top.next = max(top.next, len(podActions))
		}
		for top.next < len(actions) && !actions[top.next].do(&w) {
			top.next++ // what is not possible changes nothing
		}
		if top.next < len(actions) {
			name = actions[top.next].name
		} else {
			w.now += tick
		}
		top.next++
		if v := w.violation(); v != "" {
			for _, s := range stack[1:] {
				trace = append(trace, s.name)
			}
			return append(trace, name, v)
		}
		k := w.key(tick)
		if _, known := seen[k]; known {
			continue
		}
		seen[k] = struct{}{}
		if visit != nil {
			visit(&w)
		}
		if !w.decided() {
			stack = append(stack, step{world: w, name: name})
		}
	}
	return nil
}

// anything is the beginning of all that can happen, when the primary asks its client without being
// frozen meanwhile.
func anything(broken string) (world, time.Duration) {
	w := newWorld(broken)
	w.prompt = true
	return w, 100 * time.Millisecond
}

// silence is a link that has gone, when the primary may be frozen at any time while it listens.
func silence(broken string) (world, time.Duration) {
	w := following(broken)
	w.cut, w.beats.ended, w.acks.ended, w.settled, w.few = true, true, true, true, true
	w.now += Term - BeatInterval
	return w, 50 * time.Millisecond
}

// Never may both encrypt. And whatever has happened, one pod is the owner in the end if all that
// happens from then on is in time, and nothing was lost before that can't be made up for.
func TestOnePodIsTheOwnerWhateverHappens(t *testing.T) {
	const share = 97 // of the worlds is followed to the end
	worlds, ends := 0, map[string]int{}
	w, tick := anything("")
	trace := explore(w, tick, func(w *world) {
		if worlds++; worlds%share != 0 {
			return
		}
		for _, nodeLost := range []bool{false, true} {
			owner := w.owner(nodeLost)
			if owner == "" {
				t.Fatalf("nobody is the owner in the end (node lost: %v)\n%+v", nodeLost, *w)
			}
			ends[owner]++
		}
	})
	if trace != nil {
		t.Fatal(strings.Join(trace, "\n"))
	}
	if worlds < 50_000 {
		t.Errorf("%d worlds are not all", worlds)
	}
	t.Log(worlds, "worlds")
	for owner, n := range ends {
		t.Log(n, owner)
	}
}

// owner says who it is in the end, or why it is nobody.
func (w *world) owner(nodeLost bool) string {
	end := *w
	end.link()
	reason := end.hopeless()
	end.recover(nodeLost)
	primary := !end.primary.dead && end.room.May(end.at(end.primary))
	standby := !end.standby.dead && end.copy.May()
	switch {
	case end.violation() != "":
		return ""
	case primary:
		return "the primary goes on"
	case standby:
		return "the standby goes on"
	case end.missed:
		return "a client went over too late for the standby, too early for the primary"
	default:
		return reason
	}
}

func TestAPrimaryIsNotMisledByPacketsThatWaited(t *testing.T) {
	worlds := 0
	w, tick := silence("")
	if trace := explore(w, tick, func(*world) { worlds++ }); trace != nil {
		t.Fatal(strings.Join(trace, "\n"))
	}
	if worlds < 50_000 {
		t.Errorf("%d worlds are not all", worlds)
	}
	t.Log(worlds, "worlds")
}

// Each rule is needed: without it, the model finds an order in which both may encrypt.
func TestTheModelFindsWhatEachRuleIsFor(t *testing.T) {
	for broken, start := range map[string]func(string) (world, time.Duration){
		"term":            anything, // a lease of 900 ms
		"patience":        anything, // 1200 ms after the last Beat that was acknowledged
		"window":          anything, // Acks count that the primary may not have read
		"end":             anything, // the primary goes on alone at the end of the stream
		"refused primary": anything, // it does so without a lease, too
		"refused standby": anything, // the primary's death counts however late it is seen
		"claimed":         anything, // the standby acknowledges Beats after it has claimed
		"link goes on":    anything, // the primary beats when a room has gone on alone
		"no client":       anything, // the standby encrypts before a client has gone over
		"frozen":          silence,  // packets count that waited while the primary was frozen
		"stalled":         silence,  // and for longer than Lag, while it was slow
	} {
		t.Run(broken, func(t *testing.T) {
			if trace := explore(first(start(broken))); trace == nil {
				t.Error("no order breaks a promise")
			}
		})
	}
}

func first(w world, tick time.Duration) (world, time.Duration, func(*world)) { return w, tick, nil }
