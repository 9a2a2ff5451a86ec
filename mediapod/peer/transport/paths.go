package transport

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v4"
)

const (
	// askInterval is how often a path is asked the same at most.
	askInterval = 100 * time.Millisecond
	// slowAskInterval is how often a path is asked that has not answered for longer than freshness.
	slowAskInterval = time.Second
	// answerTime is how long a path may take to answer before another one takes over.
	answerTime = 500 * time.Millisecond
	// freshness is how long an answer shows that a path leads to the peer.
	freshness = 5 * time.Second
	// consentInterval is how often the path in use is asked (RFC 7675, section 5.1).
	consentInterval = 5 * time.Second
	// feedbackTime is how long a receiver that gives feedback may give none before it is asked
	// whether it is still reached.
	feedbackTime = 500 * time.Millisecond
	// oneWayTime is how long the peer may be heard on the path in use, with neither an answer nor
	// feedback, until that is taken to go one way only.
	oneWayTime = time.Second
	// noteInterval is how exact it is known when something came by a path.
	noteInterval = 200 * time.Millisecond
)

// paths are the routes by which a peer's authentic packets come, and the one of them that is
// nominated, by us: we are the controlling agent (RFC 8445, section 8.1.1). Media moves to another
// route only once the peer has answered a check of ours there (RFC 8445, section 7.2.5.2.1):
// whoever can send by a route that is not its own can't receive what is asked there.
//
// The first route is in use before it has answered, and nothing goes there: the DTLS handshake
// begins with the first answer, or it would bring whoever is there several times the bytes of what
// has come.
type paths struct {
	all []*path // the oldest first
	now *path   // the one in use; nil before the first
	// nomination is the number of the last nomination; peers follow a higher one.
	nomination uint32
	standby    bool // nothing is nominated
	proven     bool // also the first route needs an answer: there is no handshake
	checkBytes int  // of a check that does not nominate; 0 as long as it is not known how to ask
}

// transaction is the id of a STUN transaction.
type transaction = [stun.TransactionIDSize]byte

// question is a check of ours that is to be sent.
type question struct {
	via route
	id  transaction
	// nomination is the number of the nomination that the check makes; 0 for none.
	nomination uint32
}

// path is one route.
type path struct {
	route
	heard      time.Time // when something authentic came last
	asked      time.Time // when it was asked first without an answer since; zero when there is an answer to each
	askedLast  time.Time
	answered   time.Time
	id         transaction // of what was asked last
	nomination uint32      // of what was asked last
	// credit is how many bytes of checks may go there before the path has answered.
	credit int
}

// unprovenFactor bounds what goes to an address that has not answered, our responses included: so
// many times the bytes that have come from there (RFC 9000, section 8.1).
const unprovenFactor = 3

// leads tells that the peer was reached by the path just now.
func (p *path) leads(now time.Time) bool {
	return !p.answered.IsZero() && now.Sub(p.answered) < freshness && !p.fails(now)
}

// fails tells that the path does not lead to the peer, as far as is known.
func (p *path) fails(now time.Time) bool {
	return p.gone() || !p.asked.IsZero() && now.Sub(p.asked) >= answerTime
}

// find returns the path of a route, a new one when there is none. A peer has as many as it may have
// addresses; the one that was silent for longest goes for the next, but for the one in use.
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

// hear notes that something authentic came by a route, which allows so many bytes to go back. It
// returns what is to be asked, if anything may: a path that is not in use, and then the one in use
// as well, so that the two can be compared.
func (p *paths) hear(via route, allowance int, now time.Time) []question {
	from := p.find(via)
	from.heard = now
	from.credit += allowance
	if p.now == nil && !p.proven {
		p.now = from
	}
	if p.checkBytes == 0 {
		return nil
	}
	if p.now == nil {
		return p.ask(nil, from, now)
	}
	questions := p.prefer(nil, now)
	if from != p.now || from.answered.IsZero() {
		questions = p.ask(questions, from, now)
	}
	if from != p.now {
		questions = p.ask(questions, p.now, now)
	}
	return questions
}

// answer notes that the peer has answered what was asked on a route, and returns what is to be
// asked then; false when nothing like it was asked there.
func (p *paths) answer(via route, id transaction, now time.Time) ([]question, bool) {
	for _, from := range p.all {
		if from.route == via && from.id == id && !from.asked.IsZero() {
			from.heard, from.answered, from.asked = now, now, time.Time{}
			if p.now == nil {
				p.now = from
			}
			return p.prefer(nil, now), true
		}
	}
	return nil, false
}

// meet returns what is to be asked when it becomes known how, which takes so many bytes: by which
// paths the peer has come so far.
func (p *paths) meet(checkBytes int, now time.Time) (questions []question) {
	p.checkBytes = checkBytes
	for _, from := range p.all {
		questions = p.ask(questions, from, now)
	}
	return questions
}

// seek returns what is to be asked where another process reaches the peer, as long as that has
// answered nothing here. Some peers do not check an address that they are told of late.
func (p *paths) seek(via route, now time.Time) []question {
	if p.checkBytes == 0 || slices.ContainsFunc(p.all, func(known *path) bool { return !known.answered.IsZero() }) {
		return nil
	}
	to := p.find(via)
	to.heard = now // which has it be asked again for a while
	to.credit = max(to.credit, seekChecks*p.checkBytes)
	return p.ask(nil, to, now)
}

// seekChecks is how many checks go where another process reaches the peer, each time that one says
// so.
const seekChecks = 3

// tick returns what is to be asked since time has passed, and when to look again. It is told when
// the peer has given feedback last, as receivers do; zero for never.
func (p *paths) tick(feedback, now time.Time) (questions []question, next time.Time) {
	questions = p.prefer(nil, now)
	failing := p.now != nil && p.now.fails(now)
	next = now.Add(consentInterval)
	for _, to := range p.all {
		if p.due(to, failing, now) || to == p.now && p.quiet(feedback, now) {
			questions = p.ask(questions, to, now)
		}
		if !to.asked.IsZero() && (to == p.now || to.answered.IsZero()) {
			next = now.Add(askInterval)
		}
	}
	if p.now != nil && p.now.asked.IsZero() {
		next = earlier(next, p.now.answered.Add(consentInterval))
		if feedback.After(p.now.answered) {
			next = earlier(next, feedback.Add(feedbackTime))
		}
	}
	return questions, next
}

// quiet tells that the peer has ceased to give feedback since it has answered on the path in use.
func (p *paths) quiet(feedback, now time.Time) bool {
	return feedback.After(p.now.answered) && now.Sub(feedback) >= feedbackTime
}

// oneWay tells that the peer, which has given feedback last then, is heard on the path in use and
// not reached any more. Only over UDP, since TCP does not go one way.
func (p *paths) oneWay(feedback time.Time) bool {
	on := p.now
	if on == nil || on.tcp != nil || p.standby || on.answered.IsZero() || on.asked.IsZero() {
		return false
	}
	since := on.asked
	if feedback.After(since) {
		since = feedback
	}
	return on.heard.Sub(since) >= oneWayTime
}

// due tells whether a path is to be asked since time has passed. One that has never answered is not
// for long: else who sends one check could have many sent to anybody.
func (p *paths) due(to *path, failing bool, now time.Time) bool {
	switch {
	case to.gone():
		return false
	case to.answered.IsZero():
		return !to.asked.IsZero() && now.Sub(to.heard) < answerTime
	case to == p.now:
		return !to.asked.IsZero() || now.Sub(to.answered) >= consentInterval
	}
	return failing
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// prefer moves to a path that leads to the peer if that is better than the one in use: it is UDP
// instead of TCP, or the one in use fails, or has never answered. It appends the nomination of the
// path in use, when that has not been made.
func (p *paths) prefer(questions []question, now time.Time) []question {
	if p.now == nil {
		return questions
	}
	for _, to := range p.all {
		if to == p.now || !to.leads(now) {
			continue
		}
		if p.now.fails(now) || p.now.answered.IsZero() || to.tcp == nil && p.now.tcp != nil {
			p.now = to
			p.nomination++
		}
	}
	if p.nominates(p.now) && p.now.nomination != p.nomination {
		questions = p.ask(questions, p.now, now)
	}
	return questions
}

// nominates tells that checks on a path nominate it.
func (p *paths) nominates(on *path) bool {
	return on == p.now && !p.standby && !on.answered.IsZero()
}

// takeOver nominates, by a number, the path in use and whatever is in use after it.
func (p *paths) takeOver(nomination uint32, now time.Time) []question {
	p.nomination, p.standby = nomination, false
	return p.prefer(nil, now)
}

// ask appends what is to be asked on a path now, if anything. The same is asked again until there
// is an answer (RFC 8489, section 6.2.1).
func (p *paths) ask(questions []question, on *path, now time.Time) []question {
	nomination := uint32(0)
	if p.nominates(on) {
		nomination = p.nomination
	}
	interval := askInterval
	if !on.asked.IsZero() && now.Sub(on.asked) > freshness {
		interval = slowAskInterval
	}
	if on.nomination == nomination && now.Sub(on.askedLast) < interval {
		return questions
	}
	if on.answered.IsZero() {
		if on.credit < p.checkBytes {
			return questions
		}
		on.credit -= p.checkBytes
	}
	if on.asked.IsZero() || on.nomination != nomination {
		on.id = stun.NewTransactionID()
	}
	if on.asked.IsZero() {
		on.asked = now
	}
	on.askedLast, on.nomination = now, nomination
	return append(questions, question{on.route, on.id, nomination})
}

// reached notes that something authentic came by a route that may be new, and allows so many bytes
// to go back.
func (c *Conn) reached(via route, allowance int, now time.Time) {
	c.heard.Store(now.UnixNano())
	if via.tcp == nil {
		c.sockets.learn(c, via.address)
	}
	c.hear(via, allowance, now)
}

// hear notes that something authentic came by a route, and asks where an answer is wanted.
func (c *Conn) hear(via route, allowance int, now time.Time) {
	c.choose(func(p *paths) []question { return p.hear(via, allowance, now) })
}

// meet asks the peer where it has come from, now that its password is known.
func (c *Conn) meet() {
	bytes := len(c.request(question{}, c.remoteEnd()))
	c.choose(func(p *paths) []question { return p.meet(bytes, time.Now()) })
}

// seek asks the peer where another process reaches it; nowhere when the address is the zero value.
func (c *Conn) seek(at netip.AddrPort) {
	if !at.IsValid() {
		return
	}
	c.sockets.learn(c, at)
	via := route{address: at, socket: c.sockets.UDP}
	c.choose(func(p *paths) []question { return p.seek(via, time.Now()) })
}

// tick asks the peer what time brings: for its consent, and again for what it has not answered.
func (c *Conn) tick(now time.Time) {
	if now.UnixNano() < c.due.Load() {
		return
	}
	c.dtls.rest(now)
	feedback, oneWay := time.Time{}, false
	if at := c.acknowledged.Load(); at != 0 {
		feedback = time.Unix(0, at)
	}
	c.choose(func(p *paths) []question {
		questions, next := p.tick(feedback, now)
		c.due.Store(next.UnixNano())
		oneWay = p.oneWay(feedback)
		return questions
	})
	if oneWay && c.events.Unreached != nil && !c.unreached.Swap(true) {
		c.events.Unreached()
	}
}

// request makes a check (RFC 8445, section 7.2.4); nil when it is too large.
func (c *Conn) request(q question, remote Remote) []byte {
	setters := []stun.Setter{
		stun.NewTransactionIDSetter(q.id), stun.BindingRequest, stun.NewUsername(remote.Name + ":" + c.name),
		uintAttribute(stun.AttrPriority, c.rank.priority(q.via.tcp != nil)), controlling,
	}
	if q.nomination != 0 {
		setters = append(setters, attribute{kind: stun.AttrUseCandidate}, uintAttribute(attrNomination, q.nomination))
	}
	request, err := stun.Build(append(setters, stun.NewShortTermIntegrity(remote.Password), stun.Fingerprint)...)
	if err != nil {
		return nil
	}
	return request.Raw
}

// heardMedia notes that so many bytes of authentic RTP or RTCP came by a route, now and then.
func (c *Conn) heardMedia(via route, bytes int, now time.Time) {
	c.heard.Store(now.UnixNano())
	if now.UnixNano()-c.noted.Load() > int64(noteInterval) && c.route.Load() != nil {
		c.noted.Store(now.UnixNano())
		c.sounded.Store(int64(now.Sub(began)))
		c.hear(via, unprovenFactor*bytes, now)
	}
}

// heardKeys tells that the peer has shown that it has the keys of the media.
func (c *Conn) heardKeys() bool { return c.noted.Load() != 0 }

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
	c.choose(func(p *paths) (questions []question) {
		questions, asked = p.answer(via, response.TransactionID, now)
		return questions
	})
	if asked {
		c.heard.Store(now.UnixNano())
	}
	return asked
}

// choose changes what is known of the paths, lets what is sent go by the one that is to be used
// then, and asks what is to be asked.
func (c *Conn) choose(change func(*paths) []question) {
	c.pathsMu.Lock()
	before := c.paths.now
	questions := change(&c.paths)
	now := c.paths.now
	if now != before {
		c.route.Store(&now.route)
	}
	first := now != nil && !now.answered.IsZero() && !c.arrived
	c.arrived = c.arrived || first
	c.pathsMu.Unlock()
	if first {
		close(c.arrival)
	}
	if len(questions) > 0 {
		c.due.Store(0)
		remote := c.remoteEnd()
		permitted := c.permit.Load().nominates()
		for _, q := range questions {
			if q.nomination != 0 && !permitted {
				continue // another process may have nominated by now
			}
			if request := c.request(q, remote); request != nil {
				q.via.write(request)
			}
		}
	}
	if now != before {
		c.routed(now.route)
	}
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

func uintAttribute(kind stun.AttrType, value uint32) attribute {
	return attribute{kind, binary.BigEndian.AppendUint32(nil, value)}
}

// attrNomination numbers a nomination (draft-thatcher-ice-renomination, section 3): a higher one
// counts, whatever the priorities are.
const attrNomination stun.AttrType = 0xc001

// controlling is our role, with the highest tie-breaker there is: every peer gives way to it
// (RFC 8445, section 7.3.1.1).
var controlling = attribute{stun.AttrICEControlling, []byte{255, 255, 255, 255, 255, 255, 255, 255}}
