package room

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
)

// Room is one room. Its methods are safe for concurrent use.
//
// The mutex guards the seats, the participants and everything that they hold. It is never held
// while media is made, negotiated or closed. Sinks are called with it held, which is what keeps the
// order of notifications the same for all.
type Room struct {
	registry  *Registry
	uid       string
	sessionID string

	mu           sync.Mutex
	generation   int64
	forcedCodec  string
	anyCodec     bool // a publisher without the forced codec is let in
	seats        []*seat
	byToken      map[TokenDigest]*seat
	byPrivateID  map[privateID]*seat
	participants []*Participant // in the order in which they joined
	forceMute    bool           // a moderator wants all audio muted, on whatever pod it was said
	service      service
	streams      map[string]*stream
	sequence     int // of streams and subscriptions
	closed       bool
	recorder     eventRecorder
	recordings   []Recording
	applied      bool // a desired state was

	refusedMetadata time.Time // when the log has told of it last

	// What participants, and what the server may still have others notified of.
	participantsBudget, serversBudget budget
}

// JoinRequest is what a client brings to get in.
type JoinRequest struct {
	// Token is the secret part of the token, for who comes by one.
	Token  string
	Client Client
	// Claims, when set, are by what the client comes in instead.
	Claims *Claims
	// Socket names what the client joins over, the same on each pod that it is carried to; "" for
	// nothing. Who was let in over it on a pod that is lost, and may not know, is let in again.
	Socket string
	// Opened is when the client has opened its socket; zero when that is not known.
	Opened time.Time
}

// Announcement is what participants are told of each other. Streams are those that it sends.
type Announcement struct {
	ConnectionID string
	Created      time.Time
	// ClientData is what the client says of itself, ServerData what the server says of it.
	ClientData, ServerData string
	Streams                []Stream
}

// Joined is what a client is told that got in.
type Joined struct {
	// Participant acts for the client from now on.
	Participant *Participant
	Self        Announcement
	// Others are who was there before, in the order in which they joined.
	Others     []Announcement
	SessionID  string
	PrivateID  string
	Role       Role
	Record     bool
	ICEServers []ICEServer
	// Recording is the one that runs, if the client is told of it; nil otherwise.
	Recording *Recording
	// ForceMute says that streams have to be muted (Participant.ForceMuteAll).
	ForceMute bool
}

func newRoom(registry *Registry, desired Desired) *Room {
	r := &Room{
		registry:  registry,
		uid:       desired.UID,
		sessionID: desired.SessionID,
		byToken:   make(map[TokenDigest]*seat),
		streams:   make(map[string]*stream),
		forceMute: desired.ForceMute,

		byPrivateID: make(map[privateID]*seat),
		recorder:    eventRecorder{outbox: registry.outbox, uid: desired.UID},

		participantsBudget: newRoomBudget("session's participants"),
		serversBudget:      newRoomBudget("session's server"),
	}
	r.recorder.begin(desired)
	return r
}

// apply makes the seats be as desired.
func (r *Room) apply(desired Desired) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.generation = desired.Generation
	r.forcedCodec, r.anyCodec = desired.ForcedVideoCodec, desired.AllowTranscoding
	r.recorder.endsWhenEmpty = desired.EndsWhenEmpty
	r.recorder.outbox.Prove(r.uid, desired.Proof)

	before := make(map[string]*seat, len(r.seats))
	for _, s := range r.seats {
		before[s.desired.UID] = s
	}
	after := make([]*seat, 0, len(desired.Connections))
	var restored []*seat
	connections := desired.Connections
	if !r.applied {
		connections = r.recall(connections)
		if r.forceMute {
			r.rememberMute()
		}
	}
	for _, connection := range connections {
		s, known := before[connection.UID]
		delete(before, connection.UID)
		switch {
		case known:
			s.update(connection)
		case connection.Presence != nil:
			s = &seat{desired: connection}
			restored = append(restored, s)
		default:
			s = &seat{}
			s.update(connection)
		}
		after = append(after, s)
	}
	for _, s := range r.seats {
		if _, undesired := before[s.desired.UID]; undesired && s.participant != nil {
			r.evict(s.participant, reasons.ForceDisconnectByServer)
		}
	}

	r.seats = after
	r.restore(restored)
	clear(r.byToken)
	for _, s := range r.seats {
		if s.state == Pending && s.desired.Token != (TokenDigest{}) {
			r.byToken[s.desired.Token] = s
		}
	}
	r.indexPrivateIDs()
	r.endForbiddenStreams()
	r.applyRecordings(desired.Recordings)
	r.registry.mark(r.uid)
}

// indexPrivateIDs notes who is found under which private id: also who is in no desired state. The
// room is locked.
func (r *Room) indexPrivateIDs() {
	before := r.byPrivateID
	r.byPrivateID = make(map[privateID]*seat, len(r.seats))
	for _, s := range r.seats {
		r.byPrivateID[digestOf(s.desired.PrivateID)] = s
	}
	for _, p := range r.participants {
		r.byPrivateID[digestOf(p.seat.desired.PrivateID)] = p.seat
	}
	r.registry.resumable.update(r, before, r.byPrivateID)
}

// next returns the place of a new stream or subscription in the order of all. The room is locked.
func (r *Room) next() int {
	r.sequence++
	return r.sequence
}

// notify notifies everybody in the room. The room is locked.
func (r *Room) notify(notification Notification) {
	for _, p := range r.participants {
		p.mailbox.notify(notification)
	}
}

// endForbiddenStreams ends what participants send or receive and may not any more. What is not
// announced yet is looked at when it is (announceStream). The room is locked.
func (r *Room) endForbiddenStreams() {
	for _, p := range r.participants {
		if !p.seat.mayReceive() {
			for _, s := range p.subscriptions.sorted() {
				p.dropSubscription(s)
			}
		}
		for _, s := range p.publications.sorted() {
			if s.live && !p.seat.mayPublish(s.info) {
				r.unpublish(s, reasons.ForceUnpublishByServer)
			}
		}
	}
}

// update takes the desired state of a connection over. The room is locked.
func (s *seat) update(desired Connection) {
	before := s.desired
	s.desired = desired
	switch s.state {
	case Pending:
		if desired.Spent {
			s.state = Disconnected
		}
	case Active:
		if before.Role != desired.Role {
			s.participant.mailbox.notify(RoleChanged{desired.Role})
		}
		if before.Record != desired.Record {
			s.participant.mailbox.notify(RecordChanged{desired.Record})
		}
	case Disconnected:
		// A new token is a new admission.
		if desired.Token != before.Token && !desired.Spent {
			*s = seat{desired: desired}
		}
	}
}

// Join lets a client in whose token is good, and uses the token up: it works once, whoever comes at
// the same time. The reply is called at the place in the order of what the client is told where its
// answer belongs: before any notification. It only queues. ErrToken, ErrClosed, ErrMetadata and a
// ConflictError mean that the client is not let in, and its token is as good as before.
func (r *Room) Join(request JoinRequest, sink Sink, reply func(Joined)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, before := r.unanswered(request); before {
		p.restored = false
		p.mailbox.begin(sink)
		reply(p.joined())
		r.registry.mark(r.uid)
		return nil
	}
	s, err := r.admit(request)
	r.attempted(request, err)
	if err != nil {
		return err
	}
	s.state, s.activated, s.client, s.socket = Active, time.Now(), request.Client, request.Socket
	p := r.newParticipant(s)
	p.mailbox.begin(sink)
	joined := p.joined()
	if !p.hidden() {
		r.notify(ParticipantJoined{Participant: joined.Self})
	}
	r.participants = append(r.participants, p)
	r.recorder.joined(p)
	p.remember()
	reply(joined)
	r.registry.mark(r.uid)
	r.registry.log.Info("Participant joined", "room", r.uid, "connection", p.id)
	return nil
}

// joined is what a client is told that gets in now. The room is locked.
func (p *Participant) joined() Joined {
	desired := p.seat.desired
	joined := Joined{
		Participant: p,
		Self:        p.announcement(),
		Others:      make([]Announcement, 0, len(p.room.participants)),
		SessionID:   p.room.sessionID,
		PrivateID:   desired.PrivateID,
		Role:        desired.Role,
		Record:      desired.Record,
		ICEServers:  desired.ICEServers,
		Recording:   p.room.recordingFor(p),
		ForceMute:   p.room.forceMute,
	}
	for _, other := range p.room.participants {
		if other != p && !other.hidden() {
			joined.Others = append(joined.Others, other.announcement())
		}
	}
	return joined
}

// unanswered returns who was let in over the same socket, by the same token, on another pod, which
// was lost before the client knew. The room is locked.
func (r *Room) unanswered(request JoinRequest) (*Participant, bool) {
	if request.Socket == "" || request.Claims != nil || r.closed {
		return nil, false
	}
	digest := TokenDigest(sha256.Sum256([]byte(request.Token)))
	for _, p := range r.participants {
		s := p.seat
		same := subtle.ConstantTimeCompare([]byte(request.Socket), []byte(s.socket)) & subtle.ConstantTimeCompare(digest[:], s.desired.Token[:])
		if p.restored && p.mailbox.sink == nil && same == 1 {
			return p, true
		}
	}
	return nil, false
}

// newParticipant puts somebody without a sink on a seat. The room is locked.
func (r *Room) newParticipant(s *seat) *Participant {
	s.participant = &Participant{
		room:          r,
		id:            s.desired.ID,
		seat:          s,
		mailbox:       mailbox{expended: &r.registry.expended},
		subscriptions: subscriptions{byID: make(map[string]*subscription)},
		publications: publications{
			byID: make(map[string]*stream),
			rate: rate.NewLimiter(streamsPerSecond, streamsAtOnce),
		},
		budget: newParticipantBudget(),
	}
	return s.participant
}

// admit finds the seat that a client may take. The room is locked.
func (r *Room) admit(request JoinRequest) (*seat, error) {
	if request.Claims != nil {
		switch {
		case r.closed:
			return nil, ErrClosed
		case !r.metadataFits(request.Client):
			return nil, r.refuseMetadata()
		}
		return r.newSeat(*request.Claims)
	}
	digest := TokenDigest(sha256.Sum256([]byte(request.Token)))
	s, found := r.byToken[digest]
	switch {
	case !found || subtle.ConstantTimeCompare(digest[:], s.desired.Token[:]) != 1:
		return nil, ErrToken
	case r.closed:
		return nil, ErrClosed
	case !r.metadataFits(request.Client):
		return nil, r.refuseMetadata()
	}
	delete(r.byToken, digest)
	return s, nil
}

// resume gives the participant with the private id another sink. It reports whether there is one.
func (r *Room) resume(id string, sink Sink, reply func(Resumed)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, found := r.byPrivateID[digestOf(id)]
	if !found || id == "" || s.participant == nil || r.closed {
		return false
	}
	return s.participant.resume(sink, reply)
}

// end closes the room, since there is to be none any more. Unless it is silent, the Session's end
// is written down, after everything else of it.
func (r *Room) end(reason reasons.Reason, silent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.registry.resumable.update(r, r.byPrivateID, nil)
	if r.closed {
		return // the pod stops: what is left of the room is for the operator to end
	}
	conclusion := r.recorder.conclusion(reason)
	r.shut(reason)
	r.recorder.end(conclusion, silent)
}

// letGo ends what is of the room on this pod, which stops, or gives it to another one: sockets and
// media, but no visit.
func (r *Room) letGo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	r.registry.resumable.update(r, r.byPrivateID, nil)
	r.forgetAll()
	var closers []io.Closer
	for _, p := range r.participants {
		p.stopSettling()
		p.gone = true
		p.mailbox.move()
		for _, connection := range p.peerConnections() {
			closers = append(closers, connection)
		}
	}
	r.registry.release(closers...)
}

// shut evicts everybody, one after the other, and lets nobody in any more. The room is locked.
func (r *Room) shut(reason reasons.Reason) {
	r.closed = true
	r.forget(muteMemory)
	r.forget(levelsMemory)
	for len(r.participants) > 0 {
		r.evict(r.participants[0], reason)
	}
}

// evict throws a participant out: the others are told that it has left, then it that it must go.
// The room is locked.
func (r *Room) evict(p *Participant, reason reasons.Reason) {
	r.remove(p, reason)
	p.dismiss(reason)
}

// remove takes a participant out of the room and tells those who stay, which ends its streams for
// them. The room is locked.
func (r *Room) remove(p *Participant, reason reasons.Reason) {
	p.mailbox.stopWaiting()
	p.stopSettling()
	p.gone = true
	s := p.seat
	s.state, s.left, s.reason, s.participant = Disconnected, time.Now(), reason, nil
	r.participants = slices.DeleteFunc(r.participants, func(other *Participant) bool { return other == p })
	if !p.hidden() {
		r.notify(ParticipantLeft{ConnectionID: p.id, Reason: reason, StreamIDs: p.publications.ids()})
	}
	for _, other := range r.participants {
		delete(other.heardLevels, p.id)
	}
	if s.claims == nil {
		r.registry.departed.count(reason)
	} else {
		r.forgetPrivateID(s)
	}
	r.endMedia(p, reason)
	r.recorder.left(p)
	p.forget()
	r.forgetMetadata()
	r.registry.mark(r.uid)
	r.registry.log.Info("Participant left", "room", r.uid, "connection", p.id, "reason", reason)
	if !p.hidden() && !r.closed {
		r.evictHidden(reasons.SessionClosedByServer)
	}
}

// endMedia ends what others receive of a participant that is removed, then what it receives, then
// what it sends: the order of events is that of openvidu-rest 5.4. The room is locked.
func (r *Room) endMedia(p *Participant, reason reasons.Reason) {
	streams := p.publications.sorted()
	var closers []io.Closer
	for _, s := range streams {
		closers = append(closers, r.endReceptions(s, reason)...)
	}
	closers = append(closers, p.endSubscriptions(reason)...)
	for _, s := range streams {
		closers = append(closers, r.endSending(s, reason)...)
	}
	r.registry.release(closers...)
}

// SessionID returns the name of the room that clients are told.
func (r *Room) SessionID() string { return r.sessionID }

// Has reports whether a participant is in the room.
func (r *Room) Has(connectionID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, found := r.find(connectionID)
	return found
}

// Publisher returns the connection id of the participant that sends a stream.
func (r *Room) Publisher(streamID string) (connectionID string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.liveStream(streamID)
	if err != nil {
		return "", err
	}
	return s.owner.id, nil
}

// Publishers returns the connection id of the publisher of each stream that was announced, by the
// stream's id.
func (r *Room) Publishers() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	publishers := make(map[string]string, len(r.streams))
	for id, s := range r.streams {
		if s.live {
			publishers[id] = s.owner.id
		}
	}
	return publishers
}

// find returns the participant with the connection id. The room is locked.
func (r *Room) find(connectionID string) (*Participant, bool) {
	for _, p := range r.participants {
		if p.id == connectionID {
			return p, true
		}
	}
	return nil, false
}

func (r *Room) snapshot() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	snapshot := Snapshot{
		UID: r.uid, Generation: r.generation, Connections: make([]ConnectionSnapshot, 0, len(r.seats)), ForceMute: r.forceMute,
		Levels: Levels{r.service.told, r.service.since},
	}
	for _, s := range r.seats {
		snapshot.Connections = append(snapshot.Connections, s.snapshot())
	}
	for _, transport := range r.transports() {
		switch transport {
		case media.UDP:
			snapshot.UDP++
		case media.TCP:
			snapshot.TCP++
		}
	}
	return snapshot
}

// transports is what each peer connection goes over. The room is locked.
func (r *Room) transports() []media.Transport {
	var all []media.Transport
	for _, p := range r.participants {
		for _, connection := range p.peerConnections() {
			all = append(all, connection.Transport())
		}
	}
	return all
}

// rerouted notes that the packets of a peer connection go over another transport. The engine calls
// it, and must not wait for the room.
func (r *Room) rerouted() {
	r.registry.mark(r.uid)
}

func (r *Room) count(totals *Totals) {
	r.mu.Lock()
	defer r.mu.Unlock()
	totals.Rooms++
	for _, p := range r.participants {
		if p.seat.claims == nil {
			totals.ActiveConnections++
		}
		totals.Publishers += len(p.publications.live())
		totals.Subscriptions += len(p.subscriptions.received())
	}
}

func (r *Room) engine() media.Engine {
	return r.registry.engine
}
