package transport

import (
	"net/netip"
	"testing"
	"time"
)

// trip is a peer that sends by several routes, in time that the test makes.
type trip struct {
	*testing.T
	paths paths
	now   time.Time
	// deaf are routes by which the peer gets nothing.
	deaf map[route]bool
	// agreed and nominated are what the peer follows: the highest nomination that it got.
	agreed    uint32
	nominated route

	feedback time.Time // when the peer has given it last

	due    time.Time // of the next tick
	checks int       // that were sent by ticks
}

// forCheck is how many bytes a check allows to go back, when it has been answered.
const forCheck = 3*100 - 64

func newTrip(t *testing.T) *trip {
	return &trip{T: t, now: time.Unix(1e9, 0), deaf: map[route]bool{}, paths: paths{nomination: 1, checkBytes: 100}}
}

func udpRoute(port uint16) route {
	return route{address: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port)}
}

func tcpRoute(port uint16) route {
	return route{address: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port), tcp: &tcpFlow{}}
}

// sends lets something come by a route, and the peer answer what it is asked after the round-trip
// time.
func (p *trip) sends(via route) {
	p.answers(p.paths.hear(via, forCheck, p.now))
}

// answers lets the peer answer, and what it is asked then.
func (p *trip) answers(asked []question) {
	for len(asked) > 0 {
		p.now = p.now.Add(20 * time.Millisecond)
		var next []question
		for _, q := range asked {
			if p.deaf[q.via] {
				continue
			}
			if q.nomination > p.agreed {
				p.agreed, p.nominated = q.nomination, q.via
			}
			more, known := p.paths.answer(q.via, q.id, p.now)
			if !known {
				p.Errorf("the answer of %v is not taken", q.via.address)
			}
			next = append(next, more...)
		}
		asked = next
	}
}

// acknowledges lets the peer give feedback.
func (p *trip) acknowledges() {
	if p.now.Sub(p.feedback) > feedbackTime {
		p.due = time.Time{}
	}
	p.feedback = p.now
}

// after lets time pass, in which the agent does what that brings.
func (p *trip) after(d time.Duration) {
	for end := p.now.Add(d); p.now.Before(end); {
		p.now = p.now.Add(min(SweepInterval, end.Sub(p.now)))
		if !p.now.Before(p.due) {
			var asked []question
			asked, p.due = p.paths.tick(p.feedback, p.now)
			p.checks += len(asked)
			p.answers(asked)
		}
	}
}

func (p *trip) uses(want route, when string) {
	p.Helper()
	if got := p.paths.now.route; got != want {
		p.Errorf("%s: %v (over TCP: %v) is used, want %v", when, got.address, got.tcp != nil, want.address)
	}
	if !p.paths.now.answered.IsZero() && !p.deaf[want] && p.nominated != want {
		p.Errorf("%s: %v is used, and %v nominated", when, want.address, p.nominated.address)
	}
}

func TestTheFirstRouteIsUsedAtOnce(t *testing.T) {
	p := newTrip(t)
	p.deaf[udpRoute(1)] = true
	p.sends(udpRoute(1))
	p.uses(udpRoute(1), "after the first check")
	if p.agreed != 0 {
		t.Error("a path that has not answered is nominated")
	}
}

func TestUDPIsNominatedWhenBothTransportsAnswer(t *testing.T) {
	udp, tcp := udpRoute(1), tcpRoute(2)
	for name, order := range map[string][]route{"UDP first": {udp, tcp}, "TCP first": {tcp, udp}} {
		p := newTrip(t)
		for range 20 {
			for _, via := range order {
				p.sends(via)
				p.after(100 * time.Millisecond)
			}
			p.uses(udp, name)
		}
	}
}

// UDP gets out of some networks, and nothing back in.
func TestTCPIsUsedWhereUDPGoesOneWayOnly(t *testing.T) {
	p := newTrip(t)
	udp, tcp := udpRoute(1), tcpRoute(2)
	p.deaf[udp] = true
	begin := p.now
	for p.sends(udp); p.now.Sub(begin) < time.Second; {
		p.sends(udp)
		p.sends(tcp)
		p.after(60 * time.Millisecond)
	}
	p.uses(tcp, "after a second")
	for range 100 {
		p.sends(udp)
		p.sends(tcp)
		p.after(time.Second)
		p.uses(tcp, "later")
	}
}

// The handshake begins on the first route, which need not lead to the peer.
func TestTheFirstPathThatAnswersIsUsed(t *testing.T) {
	p := newTrip(t)
	p.deaf[udpRoute(1)] = true
	p.sends(udpRoute(1))
	p.sends(tcpRoute(2))
	if got := p.paths.now; got.tcp == nil {
		t.Errorf("%v is used, which has not answered", got.address)
	}
}

func TestTCPTakesOverWhenTheAnswersOverUDPCease(t *testing.T) {
	p := newTrip(t)
	udp, tcp := udpRoute(1), tcpRoute(2)
	for range 10 {
		p.sends(udp)
		p.sends(tcp)
		p.after(time.Second)
	}
	p.uses(udp, "while it works")
	p.deaf[udp] = true
	for range 3 { // the peer sends on both on
		p.sends(udp)
		p.sends(tcp)
		p.after(480 * time.Millisecond)
	}
	p.uses(tcp, "after 1.5 s")
	p.deaf[udp] = false
	for range 3 {
		p.sends(tcp)
		p.sends(udp)
		p.after(480 * time.Millisecond)
	}
	p.uses(udp, "when it works again")
}

// Receivers of still sound send next to nothing, and check other paths now and then.
func TestAQuietPathThatAnswersStaysInUse(t *testing.T) {
	for _, other := range []route{udpRoute(2), tcpRoute(2)} {
		p := newTrip(t)
		p.sends(udpRoute(1))
		for range 20 {
			p.after(2600 * time.Millisecond)
			p.sends(other)
			p.uses(udpRoute(1), "while it answers")
		}
	}
}

// A NAT may give the peer another address at any time.
func TestAnotherAddressIsUsedWhenTheFirstFails(t *testing.T) {
	p := newTrip(t)
	p.sends(udpRoute(1))
	p.deaf[udpRoute(1)] = true
	begin := p.now
	for p.now.Sub(begin) < time.Second {
		p.sends(udpRoute(2))
		p.after(200 * time.Millisecond)
	}
	p.uses(udpRoute(2), "after a second")
	if p.agreed != 2 {
		t.Errorf("the nomination is number %d", p.agreed)
	}
}

// The peer checks its other path so seldom that no check of it may fall into the time.
func TestAPathThatFailsIsFoundWithoutTheOthers(t *testing.T) {
	p, tcp := newTrip(t), tcpRoute(2)
	p.sends(udpRoute(1))
	p.sends(tcp)
	p.deaf[udpRoute(1)] = true
	p.after(consentInterval + time.Second)
	p.uses(tcp, "after the next check for consent")
}

// Receivers say every moment what they get, so that it is soon known when they get nothing.
func TestAReceiverThatCeasesToGiveFeedbackIsAsked(t *testing.T) {
	p := newTrip(t)
	p.sends(udpRoute(1))
	for range 25 {
		p.after(100 * time.Millisecond)
		p.acknowledges()
	}
	if p.checks != 0 {
		t.Errorf("%d checks were sent while it gave feedback", p.checks)
	}
	p.after(feedbackTime + 2*SweepInterval)
	if p.checks != 1 {
		t.Errorf("%d checks were sent after it gave none", p.checks)
	}
	p.after(consentInterval - time.Second)
	if p.checks != 1 {
		t.Errorf("%d checks were sent since nothing is sent to it", p.checks)
	}
}

func TestAPathThatGoesOneWayIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		via                                  route
		deaf, mute, feedback, late, takeOver bool
		want                                 bool
	}{
		"one that works":           {via: udpRoute(1)},
		"one way":                  {via: udpRoute(1), deaf: true, want: true},
		"one way after a check":    {via: udpRoute(1), deaf: true, late: true, want: true},
		"no way":                   {via: udpRoute(1), deaf: true, mute: true},
		"checks alone are lost":    {via: udpRoute(1), deaf: true, feedback: true},
		"TCP":                      {via: tcpRoute(1), deaf: true},
		"that of a standby's peer": {via: udpRoute(1), deaf: true, takeOver: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newTrip(t)
			p.paths.standby = c.takeOver
			p.sends(c.via)
			p.after(100 * time.Millisecond)
			p.acknowledges()
			p.deaf[c.via] = c.deaf
			if c.late { // what the peer has sent before
				p.after(feedbackTime + 2*SweepInterval)
				p.acknowledges()
			}
			for range 5 {
				p.after(500 * time.Millisecond)
				if !c.mute {
					p.sends(c.via)
				}
				if c.feedback {
					p.acknowledges()
				}
			}
			if got := p.paths.oneWay(p.feedback); got != c.want {
				t.Errorf("it is taken to go one way: %v", got)
			}
		})
	}
	p := newTrip(t)
	p.deaf[udpRoute(1)] = true
	for range 20 {
		p.sends(udpRoute(1))
		p.after(200 * time.Millisecond)
	}
	if p.paths.oneWay(p.feedback) {
		t.Error("so is one that has never worked, and that a new connection would not help")
	}
}

// Who can send from an address that is not its own can't read what is asked there.
func TestAnAddressThatDoesNotAnswerIsNeverUsed(t *testing.T) {
	p := newTrip(t)
	victim := udpRoute(9)
	p.deaf[victim] = true
	p.sends(udpRoute(1))
	for range 50 {
		p.sends(victim)
		p.uses(udpRoute(1), "when something comes from there")
		p.after(time.Second)
		p.uses(udpRoute(1), "whatever comes from there")
	}
	if asked := p.paths.hear(victim, forCheck, p.now); len(asked) == 0 {
		t.Error("it is not asked any more")
	}
	p.deaf[udpRoute(1)] = true
	p.after(time.Minute)
	p.uses(udpRoute(1), "when nothing else is left")
}

// One check costs a few, wherever it came from.
func TestWhatHasNeverAnsweredIsNotAskedForLong(t *testing.T) {
	p := newTrip(t)
	p.deaf[udpRoute(1)] = true
	p.sends(udpRoute(1))
	p.after(time.Minute)
	if p.checks == 0 || p.checks > 5 {
		t.Errorf("%d checks more were sent to an address that never answered", p.checks)
	}
	if n := len(p.paths.hear(udpRoute(1), forCheck, p.now)) + len(p.paths.hear(udpRoute(1), forCheck, p.now)); n != 1 {
		t.Errorf("two packets at once are answered by %d checks", n)
	}
	p.checks = 0
	p.paths.hear(udpRoute(1), 1<<20, p.now)
	if p.after(time.Minute); p.checks > 5 {
		t.Errorf("%d checks more were sent to where much had come from", p.checks)
	}
}

// Whatever comes from an address that never answers, at most three times the bytes go there.
func TestWhatHasNeverAnsweredGetsLittle(t *testing.T) {
	for _, size := range []int{28, 33, 34, 60, 100, 101, 1200} {
		p, via := newTrip(t), udpRoute(1)
		p.deaf[via] = true
		received, sent := 0, 0
		for range 200 {
			received += size
			sent += p.paths.checkBytes * len(p.paths.hear(via, unprovenFactor*size, p.now))
			p.checks = 0
			p.after(40 * time.Millisecond)
			sent += p.paths.checkBytes * p.checks
			if sent > 3*received {
				t.Fatalf("%d bytes went there for %d in packets of %d", sent, received, size)
			}
		}
		if sent == 0 {
			t.Errorf("an address from which packets of %d bytes come is never asked", size)
		}
	}
}

func TestThePeerIsAskedForItsConsent(t *testing.T) {
	p := newTrip(t)
	p.sends(udpRoute(1))
	p.after(time.Minute)
	if p.checks < 11 || p.checks > 13 {
		t.Errorf("%d checks in a minute", p.checks)
	}
	p.checks, p.deaf[udpRoute(1)] = 0, true
	p.after(time.Minute)
	if p.checks < 50 || p.checks > 150 {
		t.Errorf("%d checks in a minute without an answer", p.checks)
	}
}

func TestAStandbyNominatesWhenItTakesOver(t *testing.T) {
	p := newTrip(t)
	p.paths.standby = true
	p.sends(tcpRoute(2))
	p.sends(udpRoute(1))
	p.after(time.Minute)
	if p.agreed != 0 || p.checks < 11 {
		t.Errorf("%d is nominated after %d checks", p.agreed, p.checks)
	}
	p.answers(p.paths.takeOver(5, p.now))
	if p.agreed != 5 || p.nominated != udpRoute(1) {
		t.Errorf("%v is nominated by number %d", p.nominated.address, p.agreed)
	}
	p.after(time.Minute)
	p.uses(udpRoute(1), "later")
}

func TestPathsAreBoundedAndTheOneInUseStays(t *testing.T) {
	p := newTrip(t)
	p.sends(udpRoute(1))
	for port := range uint16(100) {
		p.deaf[udpRoute(100+port)] = true
		p.sends(udpRoute(100 + port))
	}
	if n := len(p.paths.all); n != maxAddresses {
		t.Errorf("%d are kept", n)
	}
	p.uses(udpRoute(1), "after a hundred others")
}
