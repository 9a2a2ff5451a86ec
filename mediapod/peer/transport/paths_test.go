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
}

func newTrip(t *testing.T) *trip {
	return &trip{T: t, now: time.Unix(1e9, 0), deaf: map[route]bool{}}
}

func udpRoute(port uint16) route {
	return route{address: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port)}
}

func tcpRoute(port uint16) route {
	return route{address: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port), tcp: &tcpFlow{}}
}

// sends lets something come by a route, and the peer answer what it is asked after the round-trip time.
func (p *trip) sends(via route, nominates bool) {
	asked := p.paths.hear(via, nominates, true, p.now)
	p.after(20 * time.Millisecond)
	for _, q := range asked {
		if !p.deaf[q.via] {
			p.paths.answer(q.via, q.id, p.now)
		}
	}
}

func (p *trip) after(d time.Duration) { p.now = p.now.Add(d) }

func (p *trip) uses(want route, when string) {
	p.Helper()
	if got := p.paths.now.route; got != want {
		p.Errorf("%s: %v (over TCP: %v) is used, want %v", when, got.address, got.tcp != nil, want.address)
	}
}

func TestTheFirstRouteIsUsedAtOnce(t *testing.T) {
	p := newTrip(t)
	p.deaf[udpRoute(1)] = true
	p.sends(udpRoute(1), false)
	p.uses(udpRoute(1), "after the first check")
}

// Browsers that nominate as they go do so on each transport, in any order.
func TestUDPIsUsedWhenBothTransportsAreNominated(t *testing.T) {
	udp, tcp := udpRoute(1), tcpRoute(2)
	for name, order := range map[string][]route{"UDP first": {udp, tcp}, "TCP first": {tcp, udp}} {
		p := newTrip(t)
		for range 5 {
			for _, via := range order {
				p.sends(via, true)
				p.after(100 * time.Millisecond)
			}
		}
		p.uses(udp, name)
		for range 20 { // and from then on only UDP is
			p.sends(udp, true)
			p.sends(tcp, false)
			p.after(time.Second)
		}
		p.uses(udp, name+", later")
	}
}

// UDP gets out of some networks, and nothing back in.
func TestTCPIsUsedWhereUDPGoesOneWayOnly(t *testing.T) {
	p := newTrip(t)
	udp, tcp := udpRoute(1), tcpRoute(2)
	p.deaf[udp] = true
	took := time.Duration(0)
	for p.sends(udp, true); took < time.Second; took += 100 * time.Millisecond {
		p.sends(udp, true)
		p.sends(tcp, true)
		p.after(60 * time.Millisecond)
	}
	p.uses(tcp, "after a second")
	for range 100 {
		p.sends(udp, true)
		p.sends(tcp, true)
		p.after(time.Second)
		p.uses(tcp, "later")
	}
}

func TestTCPTakesOverWhenTheAnswersOverUDPCease(t *testing.T) {
	p := newTrip(t)
	udp, tcp := udpRoute(1), tcpRoute(2)
	for range 10 {
		p.sends(udp, true)
		p.sends(tcp, false)
		p.after(time.Second)
	}
	p.uses(udp, "while it works")
	p.deaf[udp] = true
	for range 3 { // the peer nominates TCP, and checks UDP on
		p.sends(udp, false)
		p.sends(tcp, true)
		p.after(480 * time.Millisecond)
	}
	p.uses(tcp, "after 1.5 s")
	p.deaf[udp] = false
	for range 3 {
		p.sends(tcp, false)
		p.sends(udp, true)
		p.after(480 * time.Millisecond)
	}
	p.uses(udp, "when it works again and is nominated")
}

// A NAT may give the peer another address at any time. Some browsers nominate nothing after the beginning.
func TestAnotherAddressIsUsedWhenTheFirstFallsSilent(t *testing.T) {
	for _, nominates := range []bool{true, false} {
		p := newTrip(t)
		p.sends(udpRoute(1), true)
		p.deaf[udpRoute(1)] = true
		begin := p.now
		for p.now.Sub(begin) < 2*time.Second {
			p.sends(udpRoute(2), nominates)
			p.after(200 * time.Millisecond)
		}
		p.uses(udpRoute(2), "after 2 s")
	}
}

// Who can send from an address that is not its own can't read what is asked there.
func TestAnAddressThatDoesNotAnswerIsNeverUsed(t *testing.T) {
	p := newTrip(t)
	victim := udpRoute(9)
	p.deaf[victim] = true
	p.sends(udpRoute(1), true)
	for range 50 {
		p.sends(victim, true)
		p.after(time.Second)
		p.uses(udpRoute(1), "whatever comes from there")
	}
	if asked := p.paths.hear(victim, true, true, p.now); len(asked) == 0 {
		t.Error("it is not asked any more")
	}
}

func TestPathsAreBoundedAndTheOneInUseStays(t *testing.T) {
	p := newTrip(t)
	p.sends(udpRoute(1), true)
	for port := range uint16(100) {
		p.deaf[udpRoute(100+port)] = true
		p.sends(udpRoute(100+port), true)
	}
	if n := len(p.paths.all); n != maxAddresses {
		t.Errorf("%d are kept", n)
	}
	p.uses(udpRoute(1), "after a hundred others")
}
