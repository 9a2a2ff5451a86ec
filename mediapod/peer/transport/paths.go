package transport

import (
	"slices"
	"time"

	"github.com/pion/stun/v4"
)

const (
	// askInterval is how often a path is asked at most.
	askInterval = 100 * time.Millisecond
	// answerTime is how long the path in use may take to answer before another transport that the peer has nominated takes over.
	answerTime = 500 * time.Millisecond
	// nominationLife is how long a nomination counts against one of a worse transport: browsers that nominate as they go (RFC 5245, section 8.1.1.2) do so
	// on every path within moments.
	nominationLife = 5 * time.Second
	// pathSilence is how long nothing comes by the path in use before another one by which something comes takes its place, as when a NAT has given the
	// peer another address. Receivers report every second at least.
	pathSilence = 1200 * time.Millisecond
	// noteInterval is how exact it is known when something came by a path.
	noteInterval = 200 * time.Millisecond
)

// paths are the routes by which a peer's authentic packets come, and which of them are known to lead to it. Media moves to another route only once the peer
// has answered a check of ours there (RFC 8445, section 7.2.5.2.1): whoever can send by a route that is not its own can't receive what is asked there.
//
// The first route needs no check: nothing but the DTLS handshake goes there, and only the peer can bring that to an end.
type paths struct {
	all []*path // the oldest first
	now *path   // the one in use; nil before the first
}

// transaction is the id of a STUN transaction.
type transaction = [stun.TransactionIDSize]byte

// question is a check of ours that is to be sent.
type question struct {
	via route
	id  transaction
}

// path is one route.
type path struct {
	route
	heard     time.Time // when something authentic came last
	nominated time.Time // when the peer said last that it uses it; zero when it has not
	asked     time.Time // when it was asked first without an answer since; zero when there is an answer to each
	askedLast time.Time
	answered  time.Time
	id        transaction // of what was asked last
}

// find returns the path of a route, a new one when there is none. A peer has as many as it may have addresses; the one that was silent for longest goes for
// the next, but for the one in use.
func (p *paths) find(via route) *path {
	for _, known := range p.all {
		if known.route == via {
			return known
		}
	}
	if len(p.all) == maxAddresses {
		oldest := -1
		for i, known := range p.all {
			if known != p.now && (oldest < 0 || known.heard.Before(p.all[oldest].heard)) {
				oldest = i
			}
		}
		p.all = slices.Delete(p.all, oldest, oldest+1)
	}
	found := &path{route: via}
	p.all = append(p.all, found)
	return found
}

// hear notes that something authentic came by a route, and whether the peer has nominated it with that (RFC 8445, section 7.3.1.5). It returns what is to be
// asked, if anything may.
func (p *paths) hear(via route, nominates, mayAsk bool, now time.Time) []question {
	from := p.find(via)
	from.heard = now
	if nominates {
		from.nominated = now
	}
	if p.now == nil {
		p.now = from
	}
	if p.now == from {
		return nil
	}
	p.prefer(from, now)
	if p.now == from || !mayAsk {
		return nil
	}
	return append(from.ask(now), p.now.ask(now)...)
}

// answer notes that the peer has answered what was asked on a route; false when nothing like it was asked there.
func (p *paths) answer(via route, id transaction, now time.Time) bool {
	for _, from := range p.all {
		if from.route == via && from.id == id && !from.asked.IsZero() {
			from.heard, from.answered, from.asked = now, now, time.Time{}
			if from != p.now {
				p.prefer(from, now)
			}
			return true
		}
	}
	return false
}

// prefer moves to a path that leads to the peer if that is better than the one in use.
func (p *paths) prefer(to *path, now time.Time) {
	if to.answered.IsZero() || to.gone() {
		return // it was not shown to lead to the peer
	}
	from := p.now
	better := false
	switch {
	case from.gone(), now.Sub(from.heard) > pathSilence:
		better = true
	case to.nominated.IsZero():
	case to.tcp == nil && from.tcp != nil: // UDP wherever the peer agrees
		better = now.Sub(to.nominated) < nominationLife && now.Sub(to.answered) < nominationLife
	case to.tcp != nil && from.tcp == nil: // TCP when UDP is silent to what is asked there
		better = to.nominated.After(from.nominated) && !from.asked.IsZero() && now.Sub(from.asked) >= answerTime
	default:
		better = to.nominated.After(from.nominated)
	}
	if better {
		p.now = to
	}
}

// ask returns what is to be asked on a path now, if anything. The same is asked again until there is an answer (RFC 8489, section 6.2.1).
func (p *path) ask(now time.Time) []question {
	if now.Sub(p.askedLast) < askInterval {
		return nil
	}
	p.askedLast = now
	if p.asked.IsZero() {
		p.asked, p.id = now, stun.NewTransactionID()
	}
	return []question{{p.route, p.id}}
}

// reached notes that a check of the peer's came by a route.
func (c *Conn) reached(via route, nominates bool, now time.Time) {
	c.heard.Store(now.UnixNano())
	if via.tcp == nil {
		c.sockets.learn(c, via.address)
	}
	c.hear(via, nominates, now)
}

// hear notes that something authentic came by a route, and asks where an answer is wanted.
func (c *Conn) hear(via route, nominates bool, now time.Time) {
	remote := c.remoteEnd()
	var questions []question
	c.choose(func(p *paths) { questions = p.hear(via, nominates, remote.Password != "", now) })
	for _, q := range questions {
		request, err := stun.Build(stun.NewTransactionIDSetter(q.id), stun.BindingRequest, stun.NewUsername(remote.Name+":"+c.name),
			priority, c.controlled, stun.NewShortTermIntegrity(remote.Password), stun.Fingerprint)
		if err == nil {
			q.via.write(request.Raw)
		}
	}
}

// heardMedia notes that authentic RTCP came by a route, now and then.
func (c *Conn) heardMedia(via route, now time.Time) {
	c.heard.Store(now.UnixNano())
	if now.UnixNano()-c.noted.Load() > int64(noteInterval) && c.route.Load() != nil {
		c.noted.Store(now.UnixNano())
		c.hear(via, false, now)
	}
}

// answers takes what may be the peer's answer to a check of ours, and reports whether it is one.
func (c *Conn) answers(packet []byte, via route) bool {
	password := c.remoteEnd().Password
	response := &stun.Message{Raw: append([]byte(nil), packet...)}
	if password == "" || response.Decode() != nil || response.Type != stun.BindingSuccess ||
		stun.NewShortTermIntegrity(password).Check(response) != nil {
		return false
	}
	asked := false
	now := time.Now()
	c.choose(func(p *paths) { asked = p.answer(via, response.TransactionID, now) })
	if asked {
		c.heard.Store(now.UnixNano())
	}
	return asked
}

// choose changes what is known of the paths, and lets what is sent go by the one that is to be used then.
func (c *Conn) choose(change func(*paths)) {
	c.pathsMu.Lock()
	before := c.paths.now
	change(&c.paths)
	now := c.paths.now
	if now != before {
		c.route.Store(&now.route)
	}
	c.pathsMu.Unlock()
	if now == before {
		return
	}
	if before == nil {
		close(c.arrival)
	}
	c.routed(now.route)
}

// attribute is a STUN attribute with a fixed value.
type attribute struct {
	kind  stun.AttrType
	value []byte
}

// AddTo implements stun.Setter.
func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

// priority is that of the peer-reflexive candidate that a check of ours could make (RFC 8445, section 7.1.1), which it never does: the peer knows all of ours.
var priority = attribute{stun.AttrPriority, []byte{0, 0, 0, 1}}
