package standby

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	standbyv1 "mediarooms.dev/mediarooms/internal/standby/v1"
	"mediarooms.dev/mediarooms/mediapod/standby/lease"
)

const (
	// redial is the pause between two attempts to follow a pod.
	redial = 100 * time.Millisecond
	// lookTime is how long it may take to see whether another pod's process still listens.
	lookTime = 250 * time.Millisecond
	// maxRelayed is how many packets may wait for their turn on a stream.
	maxRelayed = 256
	// maxMessage bounds a message of another pod, in bytes.
	maxMessage = 4 << 20
)

// Primary is the pod that serves a room.
type Primary struct {
	// PodUID is its Kubernetes UID, Address that of its control port, HOST:PORT.
	PodUID, Address string
	// Secret is what it wants to see.
	Secret []byte
}

// follower follows the rooms of one other pod. Its goroutine (run) opens one stream after the
// other, and is the only one that uses them, and acks.
type follower struct {
	engine  *Engine
	primary Primary // without the secret
	cancel  context.CancelFunc
	done    chan struct{}
	wake    chan struct{} // holds one element when there is something to ask for
	// askedFor are rooms that are to be handed over.
	askedFor chan *followed
	// relayed are packets for the pod.
	relayed chan *standbyv1.Relay

	mu    sync.Mutex // guards rooms
	rooms map[string]*followed
}

// Follow has this pod be the standby of a room that another one serves.
func (e *Engine) Follow(uid string, primary Primary) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.rooms[uid] != nil {
		return // it serves the room: who says so has not heard yet
	}
	if known := e.followed[uid]; known != nil {
		if known.owned() || known.from.primary.PodUID == primary.PodUID && subtle.ConstantTimeCompare(known.secret, primary.Secret) == 1 {
			return
		}
		e.drop(known)
	}
	delete(e.lost, uid)
	f := e.followers[primary.PodUID]
	if f == nil {
		f = &follower{
			engine: e, primary: Primary{PodUID: primary.PodUID, Address: primary.Address},
			done: make(chan struct{}), wake: make(chan struct{}, 1), askedFor: make(chan *followed),
			relayed: make(chan *standbyv1.Relay, maxRelayed), rooms: map[string]*followed{},
		}
		ctx, cancel := context.WithCancel(context.Background())
		f.cancel = cancel
		e.followers[primary.PodUID] = f
		go f.run(ctx)
	}
	r := newFollowed(uid, f, primary.Secret)
	e.followed[uid] = r
	f.mu.Lock()
	f.rooms[uid] = r
	f.mu.Unlock()
	f.rouse()
	e.changes.Mark(uid)
}

// Unfollow has this pod be the standby of a room no longer, also of one that it has taken over and
// nobody has resumed.
func (e *Engine) Unfollow(uid string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.followed[uid]; known != nil {
		e.drop(known)
	}
}

// Keep drops the rooms that are not named and not taken over.
func (e *Engine) Keep(named map[string]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for uid, known := range e.followed {
		if !named[uid] && !known.owned() {
			e.drop(known)
		}
	}
}

// drop forgets a room that is followed, and its pod when it was the last one. The engine is locked.
func (e *Engine) drop(r *followed) {
	delete(e.followed, r.uid)
	r.leave()
	e.changes.Mark(r.uid)
}

// rouse has the follower look at what there is to ask for.
func (f *follower) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// end has the follower follow nothing any more.
func (f *follower) end() {
	f.cancel()
	<-f.done
}

// run follows the rooms until there are none, or the context ends.
func (f *follower) run(ctx context.Context) {
	defer close(f.done)
	acks := &lease.Acks{}
	for ctx.Err() == nil {
		var err error
		acks, err = f.follow(ctx, acks)
		if ctx.Err() != nil {
			break
		}
		f.engine.config.Log.V(1).Info("The stream to the pod that is followed has ended", "pod", f.primary.PodUID, "reason", fmt.Sprint(err))
		f.ended(ctx, acks)
		if f.isIdle() {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(redial):
		}
	}
	for _, r := range f.all() {
		r.leave()
	}
}

var (
	errSilent = errors.New("the other pod is not heard, or not as agreed")
	errIdle   = errors.New("nothing is followed any more")
)

// isEmpty says whether there is nothing to follow.
func (f *follower) isEmpty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rooms) == 0
}

// remove has a room be followed no longer.
func (f *follower) remove(r *followed) {
	f.mu.Lock()
	if f.rooms[r.uid] == r {
		delete(f.rooms, r.uid)
	}
	f.mu.Unlock()
	f.rouse()
}

// isIdle says whether there is nothing to follow, and forgets the follower then.
func (f *follower) isIdle() bool {
	f.engine.mu.Lock()
	defer f.engine.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rooms) > 0 {
		return false
	}
	if f.engine.followers[f.primary.PodUID] == f {
		delete(f.engine.followers, f.primary.PodUID)
	}
	f.cancel()
	return true
}

// all returns the rooms.
func (f *follower) all() []*followed {
	f.mu.Lock()
	defer f.mu.Unlock()
	rooms := make([]*followed, 0, len(f.rooms))
	for _, r := range f.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}

// follow is the life of one stream. It returns its acks, those of the one before when it could not
// be opened, and why it ended. What the rooms are known to be counts until the other pod can be
// asked for them anew.
func (f *follower) follow(ctx context.Context, before *lease.Acks) (*lease.Acks, error) {
	connection, err := grpc.NewClient("passthrough:///"+f.primary.Address,
		grpc.WithTransportCredentials(f.engine.config.Credentials), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return before, fmt.Errorf("dialling: %w", err)
	}
	defer connection.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := standbyv1.NewStandbyClient(connection).Follow(ctx)
	if err != nil {
		return before, fmt.Errorf("opening the stream: %w", err)
	}
	for _, r := range f.all() {
		r.restart()
	}
	s := &session{follower: f, stream: stream, acks: &lease.Acks{}, wanted: map[string]*followed{}, refused: map[string]time.Time{}}
	return s.acks, s.run(ctx)
}

// ended decides about the rooms when the stream has ended. The other pod's process may have.
func (f *follower) ended(ctx context.Context, acks *lease.Acks) {
	acks.End()
	claiming := time.NewTicker(claimInterval)
	defer claiming.Stop()
	for ctx.Err() == nil {
		listens, refused := look(f.primary.Address)
		switch {
		case refused:
			acks.Refused(time.Now())
		case listens:
			return
		}
		f.decide(time.Now())
		if refused || acks.Over(time.Now()) {
			break
		}
		select {
		case <-ctx.Done():
		case <-claiming.C:
		}
	}
	if acks.Over(time.Now()) {
		for _, r := range f.all() {
			r.restart()
		}
	}
}

// decide takes over the rooms that are due.
func (f *follower) decide(now time.Time) {
	for _, r := range f.all() {
		r.decide(now)
	}
}

// claimInterval is how often a standby that claims rooms nominates itself.
const claimInterval = 20 * time.Millisecond
