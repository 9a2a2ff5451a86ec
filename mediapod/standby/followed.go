package standby

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	standbyv1 "mediarooms.dev/mediarooms/internal/standby/v1"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
	"mediarooms.dev/mediarooms/mediapod/standby/lease"
)

// The indices that a lease lets be used are those that a connection bounds.
var _ = [1]struct{}{}[lease.Block-transport.Block]

var (
	errForeign  = errors.New("publication of another engine")
	errUnknown  = errors.New("there is a subscription to a stream that there is not")
	errMisnamed = errors.New("the state is of another stream")
)

// followed is a room that another pod serves, or served, as that has told of it.
//
//	behind --Complete, a Beat--> ready --lease--> owned --Resume--> (served here)
//	   ^------- stream ended ------'
type followed struct {
	uid    string
	from   *follower
	secret []byte
	owner  chan struct{} // closed when it is owned

	mu            sync.Mutex // guards the fields below
	publications  map[string]*followedPublication
	subscriptions map[key]*followedSubscription
	memories      map[string]followedMemory
	lease         lease.Standby
	completed     bool // everything was said by the present stream
	beats         int  // that were acknowledged since
	ready         bool // it could be taken over now
	// permit is that of its connections from when it is claimed on; nil before.
	permit *transport.Permit
	cause  string // of the takeover; "" before
	at     time.Time
	left   bool // nobody wants it any more
}

// followedPublication is a publication on standby. What the room asks for when it resumes it is
// bound then.
type followedPublication struct {
	*peer.Publication
	options  media.PublicationOptions
	said     bool // by the present stream
	resumed  bool
	rerouted atomic.Pointer[func()]
	trickle  atomic.Pointer[func(media.ICECandidate)]
}

// followedSubscription is a subscription on standby.
type followedSubscription struct {
	*peer.Subscription
	options            media.SubscriptionOptions
	connection         string // by its ICE user name fragment
	said               bool   // by the present stream
	resumed            bool
	rerouted, outdated atomic.Pointer[func()]
	paused             atomic.Pointer[func()]
	trickle            atomic.Pointer[func(media.ICECandidate)]
	late               atomic.Bool // it was outdated before the room asked
}

func newFollowed(uid string, from *follower, secret []byte) *followed {
	return &followed{
		uid: uid, from: from, secret: secret, owner: make(chan struct{}),
		publications: map[string]*followedPublication{}, subscriptions: map[key]*followedSubscription{}, memories: map[string]followedMemory{},
	}
}

// call calls what is bound, if anything is.
func call(bound *atomic.Pointer[func()]) {
	if f := bound.Load(); f != nil && *f != nil {
		(*f)()
	}
}

// trickle gives a candidate to whom it is bound to, if anybody is.
func trickle(bound *atomic.Pointer[func(media.ICECandidate)], candidate media.ICECandidate) {
	if f := bound.Load(); f != nil && *f != nil {
		(*f)(candidate)
	}
}

// take takes in what the other pod says of a publication or subscription.
func (f *followed) take(said *standbyv1.Media) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause != "" || f.permit != nil || f.left {
		return
	}
	at := key{stream: said.GetStreamId(), participant: said.GetParticipant(), subscription: said.GetSubscription()}
	var err error
	switch memory := said.GetMemory(); {
	case memory != "" && said.GetGone():
		delete(f.memories, memory)
	case memory != "":
		f.memories[memory] = followedMemory{said.GetState(), true}
	case said.GetGone() && at.participant == "":
		f.endPublication(at.stream)
	case said.GetGone():
		f.endSubscription(at)
	case at.participant == "":
		err = f.takePublication(f.from.engine.Engine, at.stream, said.GetState())
	default:
		err = f.takeSubscription(at, said.GetState())
	}
	if err != nil {
		// It is not protected then; everything else is.
		f.from.engine.config.Log.V(1).Info("Not following", "room", f.uid, "stream", at.stream, "reason", err.Error())
	}
}

// complete takes in that everything of the room was said. What was not has ended meanwhile.
func (f *followed) complete(acks *lease.Acks) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at, s := range f.subscriptions {
		if !s.said {
			f.endSubscription(at)
		}
	}
	for stream, p := range f.publications {
		if !p.said {
			f.endPublication(stream)
		}
	}
	maps.DeleteFunc(f.memories, func(_ string, m followedMemory) bool { return !m.said })
	f.lease.Complete(acks)
	f.completed = true
}

// acknowledged notes that all that was said is acknowledged. The second time it is known that the
// other pod has read that.
func (f *followed) acknowledged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.completed || f.cause != "" {
		return
	}
	if f.beats++; f.beats > 1 {
		f.tell(true)
	}
}

// takePublication takes in what is said of a publication.
func (f *followed) takePublication(engine *peer.Engine, stream string, raw []byte) error {
	var said publicationState
	if err := json.Unmarshal(raw, &said); err != nil {
		return fmt.Errorf("reading publication: %w", err)
	}
	if said.Options.StreamID != stream || said.Options.Room != f.uid {
		return errMisnamed
	}
	if known := f.publications[stream]; known != nil {
		if known.options.ForcedVideoCodec == said.Options.ForcedVideoCodec {
			known.said = true
			return known.Follow(said.State)
		}
		f.endPublication(stream) // it was made anew
	}
	p := &followedPublication{options: said.Options, said: true}
	options := said.Options
	options.Rerouted = func() { call(&p.rerouted) }
	options.Trickle = func(candidate media.ICECandidate) { trickle(&p.trickle, candidate) }
	var err error
	if p.Publication, err = engine.ImportPublication(said.State, options, f.relay(key{stream: stream})); err != nil {
		return err
	}
	f.publications[stream] = p
	return nil
}

// takeSubscription takes in what is said of a subscription.
func (f *followed) takeSubscription(at key, raw []byte) error {
	var said subscriptionState
	if err := json.Unmarshal(raw, &said); err != nil {
		return fmt.Errorf("reading subscription: %w", err)
	}
	p := f.publications[at.stream]
	switch {
	case p == nil:
		return errUnknown
	case said.Options.Participant != at.participant || said.Options.ID != at.subscription:
		return errMisnamed
	}
	if known := f.subscriptions[at]; known != nil {
		if known.connection == said.State.Connection.Name {
			known.said = true
			return known.Follow(said.State)
		}
		f.endSubscription(at) // it was renewed
	}
	s := &followedSubscription{options: said.Options, connection: said.State.Connection.Name, said: true}
	options := said.Options
	options.Rerouted = func() { call(&s.rerouted) }
	options.PauseChanged = func() { call(&s.paused) }
	options.Trickle = func(candidate media.ICECandidate) { trickle(&s.trickle, candidate) }
	options.Outdated = func() {
		s.late.Store(true)
		call(&s.outdated)
	}
	var err error
	if s.Subscription, err = p.ImportSubscription(said.State, options, f.relay(at)); err != nil {
		return err
	}
	f.subscriptions[at] = s
	return nil
}

// relay returns what passes on to the pod that serves the room what the client of a publication or
// subscription has sent here. What the stream has no room for is lost, as it would be on the way.
func (f *followed) relay(at key) func(name string, packet []byte) {
	return func(name string, packet []byte) {
		relayed := &standbyv1.Relay{
			Uid: f.uid, StreamId: at.stream, Participant: at.participant, Subscription: at.subscription,
			Connection: name, Packet: slices.Clone(packet),
		}
		select {
		case f.from.relayed <- relayed:
		default:
		}
	}
}

// endPublication ends what is known of a publication, and of the subscriptions to it.
func (f *followed) endPublication(stream string) {
	p := f.publications[stream]
	if p == nil {
		return
	}
	for at := range f.subscriptions {
		if at.stream == stream {
			delete(f.subscriptions, at) // it ends with the publication
		}
	}
	delete(f.publications, stream)
	_ = p.Close()
}

// endSubscription ends what is known of a subscription.
func (f *followed) endSubscription(at key) {
	if s := f.subscriptions[at]; s != nil {
		delete(f.subscriptions, at)
		_ = s.Close()
	}
}

// end ends everything that is known of the room. It is locked.
func (f *followed) end() {
	for stream := range f.publications {
		f.endPublication(stream)
	}
	clear(f.memories)
}

// restart has everything be said anew, by another stream, unless the room is owned. The connections
// stay until then: where their clients are is known by checks that some make at their beginning
// only.
func (f *followed) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause != "" {
		return
	}
	if f.permit != nil { // they were claimed, and can't follow any more
		f.end()
	}
	for _, p := range f.publications {
		p.said = false
	}
	for _, s := range f.subscriptions {
		s.said = false
	}
	for name, m := range f.memories {
		f.memories[name] = followedMemory{value: m.value}
	}
	f.lease, f.permit, f.completed, f.beats = lease.Standby{}, nil, false, 0
	f.tell(false)
}

// tell notes whether the room could be taken over now. It is locked.
func (f *followed) tell(ready bool) {
	if f.ready != ready {
		f.ready = ready
		f.from.engine.changes.Mark(f.uid)
	}
}

// leave gives the room up.
func (f *followed) leave() {
	f.mu.Lock()
	f.left = true
	if f.lease.Leave() || f.cause != "" {
		f.end()
	}
	f.mu.Unlock()
	f.from.remove(f)
}

// owned says whether the room was taken over.
func (f *followed) owned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cause != ""
}

// decide takes the room over if that is due.
func (f *followed) decide(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause != "" || f.left {
		return
	}
	due, cause := f.lease.Due(now)
	switch {
	case !due && f.permit != nil: // it was claimed in vain
		f.end()
	case !due:
	case cause == lease.Silent:
		f.claim()
		if f.isMoved() && f.lease.Moved(time.Now()) {
			f.own(CauseSilent)
		}
	case cause == lease.Dead:
		f.own(CauseEnded)
	}
}

// claim has clients come here, if they still can: nothing is sent to them yet. It is locked.
func (f *followed) claim() {
	if f.permit != nil {
		return
	}
	f.permit = transport.NewPermit()
	f.permit.Claim()
	f.takeOver(lease.Block)
	f.from.engine.config.Log.Info("The pod that serves a room is not heard: claiming it", "room", f.uid, "pod", f.from.primary.PodUID)
}

// isMoved says whether a client that publishes has begun to send here. The room is locked.
func (f *followed) isMoved() bool {
	for _, p := range f.publications {
		if !p.MediaHeard().IsZero() {
			return true
		}
	}
	return false
}

// own goes on with the room's media. It is locked.
func (f *followed) own(cause string) {
	switch {
	case f.permit != nil:
		f.permit.ForEver()
	case cause == CauseMoved:
		f.takeOver(0)
	default:
		f.takeOver(lease.Block)
	}
	f.cause, f.at = cause, time.Now()
	close(f.owner)
	f.from.remove(f)
	f.from.engine.changes.Mark(f.uid)
	f.from.engine.config.Log.Info("Taken over", "room", f.uid, "pod", f.from.primary.PodUID, "cause", cause,
		"publications", len(f.publications), "subscriptions", len(f.subscriptions))
}

// handedOver takes in that the other pod sends nothing any more.
func (f *followed) handedOver() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause == "" && f.lease.HandedOver() {
		f.own(CauseMoved)
	}
}

// takeOver goes on with the room's connections. The other pod has sent at most margin packets of
// any stream since what it said last. What can't go on ends: its client was not connected yet. The
// room is locked.
func (f *followed) takeOver(margin uint16) {
	for stream, p := range f.publications {
		if f.permit != nil {
			p.Guard(f.permit)
		}
		if err := p.TakeOver(margin); err != nil {
			f.from.engine.config.Log.V(1).Info("Not going on with a stream", "room", f.uid, "stream", stream, "reason", err.Error())
			f.endPublication(stream)
		}
	}
	for at, s := range f.subscriptions {
		if f.permit != nil {
			s.Guard(f.permit)
		}
		if err := s.TakeOver(margin); err != nil {
			f.from.engine.config.Log.V(1).Info("Not going on with a subscription", "room", f.uid, "stream", at.stream, "reason", err.Error())
			f.endSubscription(at)
		}
	}
}

// Resume implements media.Engine.
func (e *Engine) Resume(options media.PublicationOptions) (media.Publication, bool) {
	f := e.takenOver(options.Room)
	if f == nil {
		return nil, false
	}
	f.mu.Lock()
	p := f.publications[options.StreamID]
	if p == nil || !p.IsConnected() {
		f.mu.Unlock()
		return nil, false
	}
	p.resumed = true
	f.mu.Unlock()
	p.rerouted.Store(&options.Rerouted)
	p.trickle.Store(&options.Trickle)
	resumed := &publication{Publication: p.Publication, engine: e, options: options}
	e.keep(options.Room, resumed.key(), resumed)
	return resumed, true
}

// ResumeSubscription implements media.Engine.
func (e *Engine) ResumeSubscription(to media.Publication, options media.SubscriptionOptions) (media.Subscription, bool) {
	p, ok := to.(*publication)
	if !ok {
		return nil, false
	}
	f := e.takenOver(p.options.Room)
	if f == nil {
		return nil, false
	}
	at := key{stream: p.options.StreamID, participant: options.Participant, subscription: options.ID}
	f.mu.Lock()
	s := f.subscriptions[at]
	if s == nil {
		f.mu.Unlock()
		return nil, false
	}
	s.resumed = true
	f.mu.Unlock()
	s.rerouted.Store(&options.Rerouted)
	s.paused.Store(&options.PauseChanged)
	s.trickle.Store(&options.Trickle)
	s.outdated.Store(&options.Outdated)
	if s.late.Load() {
		call(&s.outdated)
	}
	resumed := &subscription{s.Subscription, e, p.options.Room, p.options.StreamID, options}
	e.keep(resumed.room, at, resumed)
	return resumed, true
}

// takenOver returns a room that was taken over and nobody has resumed; nil when there is none.
func (e *Engine) takenOver(uid string) *followed {
	e.mu.Lock()
	f := e.followed[uid]
	e.mu.Unlock()
	if f == nil || !f.owned() {
		return nil
	}
	return f
}

// Serve has this pod take a room over that it follows, since it is to serve it, in agreement with
// the other pod if that lives. It returns when it has, or can't, or the context ends.
func (e *Engine) Serve(ctx context.Context, uid string) {
	e.mu.Lock()
	f := e.followed[uid]
	delete(e.lost, uid) // it is back
	e.mu.Unlock()
	if f == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	select {
	case f.from.askedFor <- f:
	case <-f.owner:
	case <-ctx.Done():
	}
	select {
	case <-f.owner:
	case <-ctx.Done():
	}
}

// Served forgets what was taken over of a room and not resumed: who it was is not in the room.
func (e *Engine) Served(uid string) {
	e.mu.Lock()
	f := e.followed[uid]
	delete(e.followed, uid)
	e.mu.Unlock()
	if f == nil {
		return
	}
	f.mu.Lock()
	for at, s := range f.subscriptions {
		if !s.resumed {
			f.endSubscription(at)
		}
	}
	for stream, p := range f.publications {
		if !p.resumed {
			f.endPublication(stream)
		}
	}
	f.publications, f.subscriptions, f.memories = nil, nil, nil
	f.mu.Unlock()
	f.leave()
}
