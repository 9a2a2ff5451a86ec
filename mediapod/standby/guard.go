package standby

import (
	"crypto/subtle"
	"maps"
	"slices"
	"time"

	"mediarooms.dev/mediarooms/mediapod/peer"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/standby/lease"
)

// Standby is the pod that is to go on with a room, as the operator says.
type Standby struct {
	// PodUID is its Kubernetes UID.
	PodUID string
	// Addresses are where clients reach it.
	Addresses []peer.Address
	// Secret is what it shows.
	Secret []byte
}

// guard is the standby of a room that this pod serves. It is guarded by Engine.mu.
type guard struct {
	standby    Standby
	protection *peer.Protection
	lease      lease.Primary
	link       *link // by which the standby follows, or followed last; nil before it does
	complete   bool  // it was told everything by that link
	gone       []key // of which it is to be told that they have ended
	// looked is when the lease was last seen to run. senders are who sent media then, once it has
	// run out.
	looked  time.Time
	senders []*publication
	lapsed  bool
}

func (s Standby) is(other *Standby) bool {
	return other != nil && s.PodUID == other.PodUID && subtle.ConstantTimeCompare(s.Secret, other.Secret) == 1
}

// Protect sets the standby of a room that this pod serves, nil for none. It counts at once for the
// connections that are made from then on; others adopt it when no former standby can take them over
// any more.
func (e *Engine) Protect(uid string, by *Standby) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if by == nil && e.rooms[uid] == nil {
		return
	}
	r := e.serve(uid)
	if r.guard != nil && r.guard.standby.is(by) {
		return
	}
	r.retire()
	if by == nil {
		e.Engine.Protect(uid, nil)
		e.clean(r)
		return
	}
	r.guard = &guard{standby: *by, protection: &peer.Protection{Addresses: by.Addresses, Permit: transport.NewPermit()}}
	e.Engine.Protect(uid, r.guard.protection)
	r.adoptAll()
}

// adopt has the standby protect what it does not yet, and no former one does. The engine is locked.
func (r *room) adopt(what shareable) {
	if r.guard != nil && len(r.retired) == 0 && !what.ProtectedBy(r.guard.protection) {
		what.Adopt(r.guard.protection)
	}
}

func (r *room) adoptAll() {
	for _, what := range r.items {
		r.adopt(what)
	}
}

// clean forgets a room of which nothing is left. The engine is locked.
func (e *Engine) clean(r *room) {
	if len(r.items) == 0 && r.guard == nil && len(r.retired) == 0 {
		delete(e.rooms, r.uid)
	}
}

// retire ends the protection by a standby. One that follows has to agree, or can't take over any
// more: until then its lease counts. The engine is locked.
func (r *room) retire() {
	g := r.guard
	r.guard = nil
	if g == nil || g.lease.State(time.Now()) == lease.Alone {
		return
	}
	g.link.refuse(refusal{r.uid, "the room has another standby, or none", g})
	r.retired = append(r.retired, g)
}

// guards are all whose lease counts. The engine is locked.
func (r *room) guards() []*guard {
	if r.guard == nil {
		return slices.Clone(r.retired)
	}
	return append([]*guard{r.guard}, r.retired...)
}

// renew has the permit be as the lease is. The engine is locked.
func (g *guard) renew(now time.Time) {
	switch g.lease.State(now) {
	case lease.Alone:
		g.protection.Permit.ForEver()
	case lease.Lost:
		g.protection.Permit.End()
	case lease.Leased, lease.Lapsed:
		if end, limited := g.lease.Until(); limited {
			g.protection.Permit.Until(end)
		}
	}
}

// watchInterval is how often leases are looked at: less than lease.Lag.
const watchInterval = 25 * time.Millisecond

// senderTime is how long before a publisher was heard that sends media.
const senderTime = 500 * time.Millisecond

// watch looks at the leases until the engine is closed.
func (e *Engine) watch() {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-ticker.C:
			for _, uid := range e.witness() {
				e.config.LetGo(uid)
			}
		}
	}
}

// witness decides about the rooms whose leases have run out, and returns those that are lost.
func (e *Engine) witness() (lost []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.rooms {
		for _, g := range r.guards() {
			if e.decide(r, g) {
				lost = append(lost, r.uid)
			}
		}
	}
	return lost
}

// decide looks at one lease, and says whether the room was lost by it just now. The engine is
// locked.
func (e *Engine) decide(r *room, g *guard) (lost bool) {
	now := time.Now()
	if g.lease.State(now) != lease.Lapsed {
		g.lapsed, g.senders, g.looked = false, nil, now
		return false
	}
	if !g.lapsed {
		// This pod may have been frozen since, so that now nobody is heard.
		g.lapsed, g.senders = true, r.senders(g, g.looked)
		e.config.Log.Info("The standby is not heard: nothing is sent", "room", r.uid, "standby", g.standby.PodUID)
	}
	heard := now
	for _, p := range g.senders {
		if at := p.MediaHeard(); at.Before(heard) && r.items[p.key()] == shareable(p) {
			heard = at
		}
	}
	state, skip := g.lease.Witness(heard, now)
	switch state {
	case lease.Lost:
		e.config.Log.Info("The standby has taken over", "room", r.uid, "standby", g.standby.PodUID)
		e.lose(r)
		return true
	case lease.Alone:
		e.config.Log.Info("Going on without the standby", "room", r.uid, "standby", g.standby.PodUID)
		r.goOn(g, uint16(skip))
		e.dismiss(r)
	}
	return false
}

// senders are the protected publications that sent media at a time. The engine is locked.
func (r *room) senders(g *guard, at time.Time) []*publication {
	var senders []*publication
	for _, media := range r.items {
		if p, is := media.(*publication); is && p.ProtectedBy(g.protection) && at.Sub(p.MediaHeard()) < senderTime {
			senders = append(senders, p)
		}
	}
	return senders
}

// goOn has a room go on without a standby that may have used some indices. The engine is locked.
func (r *room) goOn(g *guard, skip uint16) {
	for _, media := range r.items {
		if media.ProtectedBy(g.protection) {
			media.GoOn(skip)
		}
	}
	g.renew(time.Now())
}

// lose ends what this pod does for a room that its standby has: clients are not told of an end. The
// engine is locked.
func (e *Engine) lose(r *room) {
	for _, g := range r.guards() {
		g.protection.Permit.End()
		for _, media := range r.items {
			if media.ProtectedBy(g.protection) {
				media.Freeze()
			}
		}
	}
	e.Engine.Protect(r.uid, nil)
	delete(e.rooms, r.uid)
	now := time.Now()
	maps.DeleteFunc(e.lost, func(_ string, l loss) bool { return now.Sub(l.at) >= lossTime })
	if r.guard != nil {
		e.lost[r.uid] = loss{to: r.guard.standby.PodUID, at: now}
	}
}

// loss is a room that another pod has taken over.
type loss struct {
	to string // the pod's UID
	at time.Time
}

// lossTime is how long it may take until the operator knows.
const lossTime = time.Minute

// IsLostTo says whether a pod has taken a room over from this one a short while ago. Who wants this
// pod to serve it, with that one as its standby, has not heard.
func (e *Engine) IsLostTo(uid, pod string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, lost := e.lost[uid]
	return lost && l.to == pod && time.Since(l.at) < lossTime
}

// GiveUp lets a room go that its standby may serve by now, and says whether that is so: the lease
// has run out, or the room was lost a short while ago.
func (e *Engine) GiveUp(uid string) bool {
	e.mu.Lock()
	now := time.Now()
	r := e.rooms[uid]
	l, gone := e.lost[uid]
	gone = gone && now.Sub(l.at) < lossTime
	if r != nil {
		gone = slices.ContainsFunc(r.guards(), func(g *guard) bool {
			state := g.lease.State(now)
			return state == lease.Lapsed || state == lease.Lost
		})
	}
	if gone && r != nil {
		e.lose(r)
	}
	e.mu.Unlock()
	if gone {
		e.config.LetGo(uid)
	}
	return gone
}

// left takes in that a standby has promised not to take a room over.
func (e *Engine) left(l *link, uid string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.rooms[uid]
	if r == nil {
		return
	}
	for _, g := range r.guards() {
		if g.link == l {
			g.lease.Leave()
			r.goOn(g, 0)
			g.link, g.complete = nil, false
		}
	}
	e.dismiss(r)
}

// dismiss forgets former standbys that can't take over any more. The engine is locked.
func (e *Engine) dismiss(r *room) {
	now, before := time.Now(), len(r.retired)
	r.retired = slices.DeleteFunc(r.retired, func(g *guard) bool { return g.lease.State(now) == lease.Alone })
	if len(r.retired) < before {
		r.adoptAll()
	}
	e.clean(r)
}
