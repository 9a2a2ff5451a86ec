package standby

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"mediarooms.dev/mediarooms/internal/grpcstream"
	standbyv1 "mediarooms.dev/mediarooms/internal/standby/v1"
	"mediarooms.dev/mediarooms/mediapod/peer"
	"mediarooms.dev/mediarooms/mediapod/standby/lease"
)

const (
	// refresh is how often the standby is told how far a connection has come.
	refresh = 500 * time.Millisecond
	// shareTime is how long a client may have to wait until the standby knows of its connection.
	// Without the standby it goes on unprotected.
	shareTime = 300 * time.Millisecond
	// maxRequests is how many clients may wait for that at a time without a wait for their turn.
	maxRequests = 64
)

// link is the stream of one standby to this pod. Its goroutine (Follow) is the only one that uses
// the stream; what it does to rooms it does with the engine locked.
type link struct {
	engine   *Engine
	stream   standbyv1.Standby_FollowServer
	requests chan request
	refusals chan refusal
	handings chan handing
	recalled chan struct{} // holds an element when there is a memory to send
	beats    lease.Beats
	next     uint64    // the number of the next beat
	waiting  []request // the oldest first
	port     int       // of the standby's control service
	told     map[string]map[key]*telling
}

// telling is what the standby was told last of an item of a room.
type telling struct {
	media     shareable
	state     []byte
	at        time.Time
	secured   bool   // the state has keys
	releasing func() // lets be used what the state allows; nil once it was called
	beat      uint64 // that says when the standby has it
}

// request is somebody's who waits until the standby knows what this pod knows now.
type request struct {
	beat uint64 // that says when
	done chan struct{}
}

// refusal is a room that the standby is not to follow any more, by its guard; nil where it follows
// nothing.
type refusal struct {
	uid, reason string
	by          *guard
}

// Service is what standbys of rooms of an Engine talk to.
type Service struct {
	standbyv1.UnimplementedStandbyServer

	Engine *Engine
}

// Follow implements standbyv1.StandbyServer: it shares rooms of this pod with a standby.
func (s *Service) Follow(stream standbyv1.Standby_FollowServer) error {
	e := s.Engine
	l := &link{
		engine: e, stream: stream, requests: make(chan request, maxRequests), refusals: make(chan refusal, maxRequests),
		handings: make(chan handing), recalled: make(chan struct{}, 1), next: 1, told: map[string]map[key]*telling{},
	}
	defer l.end()
	messages, failed := grpcstream.Receive(l.stream.Context(), l.stream.Recv)
	ticker := time.NewTicker(lease.BeatInterval)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-e.stop:
			return nil
		case err = <-failed:
		case message := <-messages:
			err = l.take(message)
		case r := <-l.requests:
			r.beat = l.next
			l.waiting = append(l.waiting, r)
			err = l.share(time.Now())
		case r := <-l.refusals:
			err = l.refused(r)
		case h := <-l.handings:
			err = l.handOver(h.uid)
			close(h.done)
		case <-l.recalled:
			err = l.shareMemories(time.Now())
		case now := <-ticker.C:
			err = l.share(now)
		}
		if err == nil && l.over() {
			err = errOver
		}
		if err != nil {
			return err
		}
	}
}

var errOver = status.Error(codes.Aborted, "the link can't be relied on any more")

// over says whether the link is of no use any more.
func (l *link) over() bool {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	return l.beats.Ended()
}

// end notes that the standby does not follow any more, and looks whether its process has ended.
func (l *link) end() {
	e := l.engine
	e.mu.Lock()
	l.beats.End()
	e.mu.Unlock()
	for _, r := range l.waiting {
		close(r.done)
	}
	from, known := grpcpeer.FromContext(l.stream.Context())
	if !known || l.port == 0 {
		return
	}
	host, _, err := net.SplitHostPort(from.Addr.String())
	if err != nil {
		return
	}
	if _, refused := look(net.JoinHostPort(host, strconv.Itoa(l.port))); !refused {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for _, r := range e.rooms {
		for _, g := range r.guards() {
			if g.link != l {
				continue
			}
			if g.lease.Refused(now); g.lease.State(now) == lease.Alone {
				r.goOn(g, 0)
			}
		}
		e.dismiss(r)
	}
}

// take does what a message of the standby asks for.
func (l *link) take(message *standbyv1.StandbyMessage) error {
	switch m := message.GetMessage().(type) {
	case *standbyv1.StandbyMessage_Want:
		if m.Want.GetDrop() {
			l.engine.left(l, m.Want.GetUid())
			return nil
		}
		return l.begin(m.Want)
	case *standbyv1.StandbyMessage_Ack:
		return l.acknowledged(m.Ack.GetNumber(), time.Now())
	case *standbyv1.StandbyMessage_HandOver:
		return l.handOver(m.HandOver.GetUid())
	case *standbyv1.StandbyMessage_Relay:
		l.deliver(m.Relay)
	}
	return nil
}

// deliver takes what a client has sent to the standby of its room.
func (l *link) deliver(relayed *standbyv1.Relay) {
	l.engine.mu.Lock()
	var to shareable
	if r := l.engine.rooms[relayed.GetUid()]; r != nil && r.guard != nil && r.guard.link == l {
		to = r.items[key{
			stream: relayed.GetStreamId(), participant: relayed.GetParticipant(), subscription: relayed.GetSubscription(),
		}]
	}
	l.engine.mu.Unlock()
	if to != nil {
		to.TakeRelayed(relayed.GetConnection(), relayed.GetPacket())
	}
}

// begin lets the standby follow a room, when the operator has said so.
func (l *link) begin(want *standbyv1.Want) error {
	e := l.engine
	e.mu.Lock()
	r := e.rooms[want.GetUid()]
	if r == nil || r.guard == nil || subtle.ConstantTimeCompare(r.guard.standby.Secret, want.GetSecret()) != 1 {
		e.mu.Unlock()
		return l.sendRefused(refusal{uid: want.GetUid(), reason: "the pod does not serve the room, or has another standby"})
	}
	g := r.guard
	if g.lease.State(time.Now()) == lease.Lost {
		e.mu.Unlock()
		return l.sendRefused(refusal{uid: want.GetUid(), reason: "the room was taken over"})
	}
	g.lease.Leave() // it wants the room anew: it has not taken it over
	g.renew(time.Now())
	g.link, g.gone, g.complete = l, nil, false
	l.port = int(want.GetPort())
	e.mu.Unlock()
	l.told[want.GetUid()] = map[key]*telling{}
	return l.share(time.Now())
}

// share sends what has changed since it was told last, then a beat.
func (l *link) share(now time.Time) error {
	for _, r := range l.rooms() {
		if err := l.shareRoom(r, now, false); err != nil {
			return err
		}
	}
	return l.sendBeat()
}

// shareMemories sends the memories that have changed since they were told last.
func (l *link) shareMemories(now time.Time) error {
	for _, r := range l.rooms() {
		items, err := l.shareEnds(r)
		if err != nil {
			return err
		}
		for at, item := range items {
			if at.memory == "" {
				continue
			}
			if err := l.shareItem(r.uid, at, item, now, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// rooms returns those that the standby follows by the link.
func (l *link) rooms() []*room {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	var rooms []*room
	for _, r := range l.engine.rooms {
		if r.guard != nil && r.guard.link == l {
			rooms = append(rooms, r)
		}
	}
	return rooms
}

// sendBeat sends a beat, if the one before is acknowledged.
func (l *link) sendBeat() error {
	l.engine.mu.Lock()
	number, send := l.beats.Beat(time.Now())
	l.engine.mu.Unlock()
	if !send {
		return nil
	}
	l.next = number + 1
	return l.stream.Send(&standbyv1.PrimaryMessage{Message: &standbyv1.PrimaryMessage_Beat{Beat: &standbyv1.Beat{Number: number}}})
}

// guards returns those whose standby follows, or followed last, by the link. The engine is locked.
func (l *link) guards() []*guard {
	var guards []*guard
	for _, r := range l.engine.rooms {
		for _, g := range r.guards() {
			if g.link == l {
				guards = append(guards, g)
			}
		}
	}
	return guards
}

// shareRoom sends what has changed in a room; with last all that there is.
func (l *link) shareRoom(r *room, now time.Time, last bool) error {
	items, err := l.shareEnds(r)
	if items == nil || err != nil {
		return err
	}
	// A subscription comes after what it is to.
	for _, at := range slices.SortedFunc(maps.Keys(items), key.compare) {
		if err := l.shareItem(r.uid, at, items[at], now, last); err != nil {
			return err
		}
	}
	if last || !l.completes(r) {
		return nil
	}
	return l.stream.Send(&standbyv1.PrimaryMessage{Message: &standbyv1.PrimaryMessage_Complete{
		Complete: &standbyv1.Complete{Uid: r.uid},
	}})
}

// shareEnds sends what has ended in a room, and returns what there is; nil when the standby does
// not follow the room.
func (l *link) shareEnds(r *room) (map[key]shareable, error) {
	e := l.engine
	e.mu.Lock()
	g := r.guard
	if g == nil || g.link != l {
		e.mu.Unlock()
		return nil, nil
	}
	gone := g.gone
	g.gone = nil
	items := make(map[key]shareable, len(r.items))
	for at, item := range r.items {
		if item.ProtectedBy(g.protection) {
			items[at] = item
		}
	}
	e.mu.Unlock()
	for _, at := range gone {
		delete(l.told[r.uid], at)
		if err := l.send(r.uid, at, nil, true); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// completes notes that the standby was told everything of a room, and says whether that is new.
func (l *link) completes(r *room) bool {
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	g := r.guard
	if g == nil || g.link != l || g.complete {
		return false
	}
	g.complete = g.lease.Follow(&l.beats, time.Now())
	g.renew(time.Now())
	return g.complete
}

// shareItem sends the state of a publication or subscription, when it is due and has changed.
func (l *link) shareItem(uid string, at key, media shareable, now time.Time, last bool) error {
	t := l.told[uid][at]
	if t == nil || t.media != media {
		t = &telling{media: media}
		if l.told[uid] == nil { // another standby was refused by the same stream
			l.told[uid] = map[key]*telling{}
		}
		l.told[uid][at] = t
	}
	waits := t.state != nil && (t.releasing != nil || t.secured && now.Sub(t.at) < refresh)
	if waits && !last {
		return nil
	}
	said, err := media.export()
	if err != nil {
		return err
	}
	t.at = now
	if bytes.Equal(said.state, t.state) {
		return nil
	}
	said.bound()
	t.state, t.secured, t.releasing, t.beat = said.state, said.secured, said.release, l.next
	return l.send(uid, at, t.state, false)
}

func (l *link) send(uid string, at key, state []byte, gone bool) error {
	return l.stream.Send(&standbyv1.PrimaryMessage{Message: &standbyv1.PrimaryMessage_Media{Media: &standbyv1.Media{
		Uid: uid, StreamId: at.stream, Participant: at.participant, Subscription: at.subscription, Memory: at.memory,
		State: state, Gone: gone,
	}}})
}

// acknowledged takes in that the standby has everything up to a beat.
func (l *link) acknowledged(beat uint64, now time.Time) error {
	l.engine.mu.Lock()
	expected := l.beats.Acknowledge(beat, now)
	for _, g := range l.guards() {
		g.renew(now)
	}
	l.engine.mu.Unlock()
	if !expected {
		return errOver
	}
	for uid, items := range l.told {
		l.known(uid, items, beat)
	}
	for len(l.waiting) > 0 && l.waiting[0].beat <= beat {
		close(l.waiting[0].done)
		l.waiting = l.waiting[1:]
	}
	if len(l.waiting) > 0 {
		return l.sendBeat()
	}
	return nil
}

// known takes in that the standby knows what it was told of a room up to a beat. Clients that are
// connected are told of the standby then.
func (l *link) known(uid string, items map[key]*telling, beat uint64) {
	l.engine.mu.Lock()
	var by *peer.Protection
	if r := l.engine.rooms[uid]; r != nil && r.guard != nil && r.guard.link == l {
		by = r.guard.protection
	}
	l.engine.mu.Unlock()
	for _, t := range items {
		if t.releasing == nil || t.beat > beat {
			continue
		}
		t.releasing()
		t.releasing = nil
		if by != nil && t.secured {
			t.media.Announce(by)
		}
	}
}

// refused tells the standby of a refusal, unless it has given the room up by itself: it may follow
// it anew already.
func (l *link) refused(r refusal) error {
	l.engine.mu.Lock()
	left := r.by.lease.State(time.Now()) == lease.Alone
	l.engine.mu.Unlock()
	if left {
		return nil
	}
	return l.sendRefused(r)
}

func (l *link) sendRefused(r refusal) error {
	delete(l.told, r.uid)
	return l.stream.Send(&standbyv1.PrimaryMessage{Message: &standbyv1.PrimaryMessage_Refused{
		Refused: &standbyv1.Refused{Uid: r.uid, Reason: r.reason},
	}})
}

// share lets the standby of a room, if one follows, know what this pod knows now, and waits for
// that, but not longer than shareTime.
func (e *Engine) share(ctx context.Context, uid string) {
	e.mu.Lock()
	var l *link
	if r := e.rooms[uid]; r != nil && r.guard != nil {
		l = r.guard.link
	}
	e.mu.Unlock()
	if l == nil {
		return
	}
	waiting, cancel := context.WithTimeout(ctx, shareTime)
	defer cancel()
	r := request{done: make(chan struct{})}
	select {
	case l.requests <- r:
	case <-l.stream.Context().Done():
		return
	case <-waiting.Done():
		return
	}
	select {
	case <-r.done:
	case <-l.stream.Context().Done():
	case <-waiting.Done():
	}
}

// refuse has the standby follow a room no longer. It does not wait; what can't be told ends the
// link.
func (l *link) refuse(r refusal) {
	select {
	case l.refusals <- r:
	default:
		l.beats.End()
	}
}

// handOver gives a room up to the standby, in good order: what it is sent is exact.
func (l *link) handOver(uid string) error {
	e := l.engine
	e.mu.Lock()
	r := e.rooms[uid]
	if r == nil || r.guard == nil || r.guard.link != l || !r.guard.lease.HandOver() {
		e.mu.Unlock()
		return l.sendRefused(refusal{uid: uid, reason: "the room is not followed"})
	}
	g := r.guard
	g.protection.Permit.End()
	for _, media := range r.items {
		if media.ProtectedBy(g.protection) {
			media.Freeze()
		}
	}
	e.mu.Unlock()
	err := l.shareRoom(r, time.Now(), true)
	e.mu.Lock()
	e.lose(r)
	e.mu.Unlock()
	e.config.Log.Info("The standby takes over", "room", uid, "standby", g.standby.PodUID)
	if err == nil {
		err = l.stream.Send(&standbyv1.PrimaryMessage{Message: &standbyv1.PrimaryMessage_HandedOver{
			HandedOver: &standbyv1.HandedOver{Uid: uid},
		}})
	}
	e.config.LetGo(uid)
	return err
}

// handOverTime bounds how long a room may take to be handed over.
const handOverTime = time.Second

// HandOver gives all rooms that are followed up to their standbys, since the pod stops. It returns
// when that is done or the context ends.
func (e *Engine) HandOver(ctx context.Context) {
	e.mu.Lock()
	var asked []handing
	for uid, r := range e.rooms {
		if r.guard != nil && r.guard.complete {
			asked = append(asked, handing{r.guard.link, uid, make(chan struct{})})
		}
	}
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	for _, h := range asked {
		select {
		case h.link.handings <- h:
		case <-h.link.stream.Context().Done():
			close(h.done)
		case <-ctx.Done():
			return
		}
	}
	for _, h := range asked {
		select {
		case <-h.done:
		case <-h.link.stream.Context().Done():
		case <-ctx.Done():
			return
		}
	}
}

// handing is a room that is to be handed over.
type handing struct {
	link *link
	uid  string
	done chan struct{}
}

// look says whether somebody listens at an address, or whether a host answers that nobody does:
// then the process that did has ended. Neither is so when nothing answers.
func look(address string) (listens, refused bool) {
	conn, err := net.DialTimeout("tcp", address, lookTime)
	if err == nil {
		_ = conn.Close()
		return true, false
	}
	return false, errors.Is(err, syscall.ECONNREFUSED)
}
