// Package standby is the authority on media that outlives its pod: it shares what this pod serves
// with the pods that follow it, follows what other pods serve, and takes that over when they are
// lost (decision 54). Rooms do not notice: they use an Engine as they would any other.
//
//	primary                                           standby
//	room -- Engine -- items --- link, an item a Media --> follower -- peers on standby
//	                    |  <--- Ack: lease, indices ----       |
//	                    x  lost, or hands over                 v
//	                                          taken over --Resume--> room -- Engine -- items
package standby

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/credentials"

	"mediarooms.dev/mediarooms/mediapod/changed"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer"
)

// Config is what an Engine is made of.
type Config struct {
	Log logr.Logger
	// Credentials are those towards other media pods.
	Credentials credentials.TransportCredentials
	// ControlPort returns that of this pod's control service, where others see that its process
	// lives.
	ControlPort func() int
	// LetGo is called when this pod serves a room no longer, since its standby does. It must not
	// block.
	LetGo func(room string)
}

// Engine is a media engine whose rooms may have a standby, and which may be that of others. Its
// methods are safe for concurrent use.
type Engine struct {
	*peer.Engine

	config Config

	mu        sync.Mutex           // guards the fields below, and the rooms
	rooms     map[string]*room     // that this pod serves, by uid
	followers map[string]*follower // by the uid of the pod that is followed
	followed  map[string]*followed // by the room's uid
	lost      map[string]loss      // rooms that another pod has taken over, by uid
	changes   *changed.Set         // rooms whose Status has changed
	closed    bool

	stop    chan struct{}
	running sync.WaitGroup
}

var _ media.Engine = (*Engine)(nil)

// NewEngine makes one that goes on with, and shares, what an engine serves. Close must be called;
// it closes that as well.
func NewEngine(inner *peer.Engine, config Config) *Engine {
	e := &Engine{
		Engine: inner, config: config,
		rooms: map[string]*room{}, followers: map[string]*follower{}, followed: map[string]*followed{}, lost: map[string]loss{},
		changes: changed.NewSet(), stop: make(chan struct{}),
	}
	e.running.Go(e.watch)
	return e
}

// Close ends everything. It is idempotent.
func (e *Engine) Close() error {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	followers := e.followers
	e.followers = map[string]*follower{}
	e.mu.Unlock()
	if first {
		close(e.stop)
		for _, f := range followers {
			f.end()
		}
	}
	e.running.Wait()
	return e.Engine.Close()
}

// room is what this pod serves of one room. It is guarded by Engine.mu.
type room struct {
	uid   string
	items map[key]shareable // publications, subscriptions to them, and memories
	guard *guard            // nil without a standby
	// retired are former standbys that may still take over.
	retired []*guard
}

// key names an item of a room: a publication, a subscription to one, or a memory.
type key struct {
	stream, participant, subscription string
	memory                            string
}

// compare sorts subscriptions after what they are to.
func (k key) compare(other key) int {
	return cmp.Or(
		cmp.Compare(k.participant, other.participant), cmp.Compare(k.stream, other.stream),
		cmp.Compare(k.subscription, other.subscription), cmp.Compare(k.memory, other.memory),
	)
}

// shareable is a publication or subscription of peer, or a memory.
type shareable interface {
	ProtectedBy(*peer.Protection) bool
	Adopt(*peer.Protection)
	Announce(*peer.Protection)
	// export returns the state as it is now.
	export() (exported, error)
	Freeze()
	GoOn(skip uint16)
	// TakeRelayed takes what the client has sent to the standby.
	TakeRelayed(name string, packet []byte)
}

// exported is the state of an item.
type exported struct {
	state   []byte
	secured bool // it has keys
	// bound and release have packets be sent as another pod allows that may get the state, and that
	// has it.
	bound, release func()
}

// publication is one that is served here.
type publication struct {
	*peer.Publication

	engine  *Engine
	options media.PublicationOptions
}

// publicationState is what is shared of a publication.
type publicationState struct {
	Options media.PublicationOptions
	State   peer.PublicationState
}

func (p *publication) export() (exported, error) {
	state := p.Export()
	raw, err := json.Marshal(publicationState{p.options, state})
	if err != nil {
		return exported{}, fmt.Errorf("writing publication: %w", err)
	}
	secured := len(state.Connection.Keys.LocalKey) > 0
	return exported{raw, secured, func() { p.Bound(state) }, func() { p.Release(state) }}, nil
}

func (p *publication) key() key { return key{stream: p.options.StreamID} }

// Answer implements media.Publication. The standby knows of the connection before the client does.
func (p *publication) Answer(ctx context.Context, offer string) (string, error) {
	answer, err := p.Publication.Answer(ctx, offer)
	if err == nil {
		p.engine.connected(p.options.Room, p.key(), p)
		p.engine.share(ctx, p.options.Room)
	}
	return answer, err
}

// Close implements media.Publication.
func (p *publication) Close() error {
	p.engine.forget(p.options.Room, p.key(), p)
	return p.Publication.Close()
}

// subscription is one that is served here.
type subscription struct {
	*peer.Subscription

	engine  *Engine
	room    string
	stream  string
	options media.SubscriptionOptions
}

// subscriptionState is what is shared of a subscription.
type subscriptionState struct {
	Options media.SubscriptionOptions
	State   peer.SubscriptionState
}

func (s *subscription) export() (exported, error) {
	state := s.Export()
	raw, err := json.Marshal(subscriptionState{s.options, state})
	if err != nil {
		return exported{}, fmt.Errorf("writing subscription: %w", err)
	}
	secured := len(state.Connection.Keys.LocalKey) > 0
	return exported{raw, secured, func() { s.Bound(state) }, func() { s.Release(state) }}, nil
}

func (s *subscription) key() key {
	return key{stream: s.stream, participant: s.options.Participant, subscription: s.options.ID}
}

// Close implements media.Subscription.
func (s *subscription) Close() error {
	s.engine.forget(s.room, s.key(), s)
	return s.Subscription.Close()
}

// NewPublication implements media.Engine.
func (e *Engine) NewPublication(options media.PublicationOptions) media.Publication {
	p := &publication{Publication: e.Engine.NewPublication(options).(*peer.Publication), engine: e, options: options}
	e.keep(options.Room, p.key(), p)
	return p
}

// Subscribe implements media.Engine. The standby knows of the connection before the client does.
func (e *Engine) Subscribe(
	ctx context.Context, to media.Publication, options media.SubscriptionOptions,
) (media.Subscription, string, error) {
	p, ok := to.(*publication)
	if !ok {
		return nil, "", fmt.Errorf("subscribing: %w", errForeign)
	}
	inner, offer, err := e.Engine.Subscribe(ctx, p.Publication, options)
	if err != nil {
		return nil, "", err
	}
	s := &subscription{inner.(*peer.Subscription), e, p.options.Room, p.options.StreamID, options}
	e.keep(s.room, s.key(), s)
	e.share(ctx, s.room)
	return s, offer, nil
}

// keep notes that a publication or subscription is served here.
func (e *Engine) keep(uid string, at key, what shareable) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.serve(uid)
	r.items[at] = what
	r.adopt(what)
}

// connected notes that a publication which is served here has another connection, unless it has
// ended.
func (e *Engine) connected(uid string, at key, what shareable) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.rooms[uid]; r != nil && r.items[at] == what {
		r.adopt(what)
	}
}

// serve returns what is served of a room. The engine is locked.
func (e *Engine) serve(uid string) *room {
	r := e.rooms[uid]
	if r == nil {
		r = &room{uid: uid, items: map[key]shareable{}}
		e.rooms[uid] = r
		delete(e.lost, uid)
	}
	return r
}

// forget notes that a publication or subscription has ended. Another one under its name stays.
func (e *Engine) forget(uid string, at key, what shareable) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.rooms[uid]; r != nil && r.items[at] == what {
		e.omit(uid, at)
	}
}

// omit notes that there is no such item any more. The engine is locked.
func (e *Engine) omit(uid string, at key) {
	r := e.rooms[uid]
	if r == nil || r.items[at] == nil {
		return
	}
	delete(r.items, at)
	if r.guard != nil {
		r.guard.gone = append(r.guard.gone, at)
	}
	e.clean(r)
}
