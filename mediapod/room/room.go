package room

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// Room is one room. Its methods are safe for concurrent use.
//
// The mutex guards the seats, the participants and everything that they hold. It is never held across negotiation or closing of
// media. Links are called with it held, which is what keeps the order of notifications the same for all.
type Room struct {
	registry  *Registry
	uid       string
	sessionID string

	mu              sync.Mutex
	generation      int64
	forcedCodec     string
	anyCodec        bool // a publisher without the forced codec is let in
	seats           []*seat
	byToken         map[TokenDigest]*seat
	byRPC           map[[sha256.Size]byte]*seat // digest of the private id -> seat
	participants    []*Participant              // in the order in which they joined
	live            map[string]*stream          // stream id -> stream that was announced
	subscriptionSeq int
	closed          bool
	diary           diary

	// What participants, and what the server may still have told.
	participantsBudget, serversBudget budget
}

// JoinRequest is what a client brings to get in.
type JoinRequest struct {
	// Token is the secret part of the token, for who comes by one.
	Token  string
	Client Client
	// Admission other than ByToken is for who has shown the server's secret.
	Admission Admission
}

// Announcement is what participants are told of each other. Stream is nil for one that does not publish.
type Announcement struct {
	ConnectionID string
	Created      time.Time
	Metadata     string
	Stream       *Stream
}

// Joined is what a client is told that got in.
type Joined struct {
	// Participant acts for the client from now on.
	Participant *Participant
	Self        Announcement
	// Others are who was there before, in the order in which they joined.
	Others       []Announcement
	SessionID    string
	RPCSessionID string
	Role         Role
	Record       bool
	ICEServers   []ICEServer
}

func newRoom(registry *Registry, desired Desired) *Room {
	r := &Room{
		registry:  registry,
		uid:       desired.UID,
		sessionID: desired.SessionID,
		byToken:   make(map[TokenDigest]*seat),
		byRPC:     make(map[[sha256.Size]byte]*seat),
		live:      make(map[string]*stream),
		diary:     diary{journal: registry.journal, uid: desired.UID},

		participantsBudget: newRoomBudget("session's participants"),
		serversBudget:      newRoomBudget("session's server"),
	}
	r.diary.begin(desired)
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
	r.diary.endsWhenEmpty = desired.EndsWhenEmpty
	r.diary.journal.Prove(r.uid, desired.Proof)

	before := make(map[string]*seat, len(r.seats))
	for _, s := range r.seats {
		before[s.desired.UID] = s
	}
	after := make([]*seat, 0, len(desired.Connections))
	for _, connection := range desired.Connections {
		s, known := before[connection.UID]
		if !known {
			s = &seat{}
		}
		delete(before, connection.UID)
		s.update(connection)
		after = append(after, s)
	}
	for _, s := range r.seats {
		if _, undesired := before[s.desired.UID]; undesired && s.participant != nil {
			r.evict(s.participant, ReasonForceDisconnectByServer)
		}
	}

	r.seats = after
	clear(r.byToken)
	clear(r.byRPC)
	for _, s := range r.seats {
		if s.state == Pending && s.desired.Token != (TokenDigest{}) {
			r.byToken[s.desired.Token] = s
		}
		r.byRPC[sha256.Sum256([]byte(s.desired.RPCSessionID))] = s
	}
	for _, p := range r.participants {
		r.byRPC[sha256.Sum256([]byte(p.seat.desired.RPCSessionID))] = p.seat // also those that no desired state has
	}
	r.endForbiddenStreams()
	r.registry.changed.mark(r.uid)
}

// tell notifies everybody in the room. The room is locked.
func (r *Room) tell(notification Notification) {
	for _, p := range r.participants {
		p.notify(notification)
	}
}

// endForbiddenStreams ends what participants send and may not send any more; everybody is told, the owner too. What is not announced yet
// is looked at when it is (announceStream). The room is locked.
func (r *Room) endForbiddenStreams() {
	for _, p := range r.participants {
		if p.stream == nil || !p.stream.live || p.seat.mayPublish(p.stream.info) {
			continue
		}
		r.tell(ParticipantUnpublished{ConnectionID: p.id, Reason: ReasonForceUnpublishByServer})
		r.endStream(p, ReasonForceUnpublishByServer)
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
			s.participant.notify(ConnectionPropertyChanged{Property: "role", NewValue: string(desired.Role)})
		}
		if before.Record != desired.Record {
			value := "false"
			if desired.Record {
				value = "true"
			}
			s.participant.notify(ConnectionPropertyChanged{Property: "record", NewValue: value})
		}
	case Disconnected:
		// A new token is a new admission.
		if desired.Token != before.Token && !desired.Spent {
			*s = seat{desired: desired}
		}
	}
}

// Join lets a client in whose token is good, and uses the token up: it works once, whoever comes at the same time. The reply is
// called at the place in the order of what the client is told where its answer belongs: before any notification. It only queues.
// ErrToken, ErrClosed and ErrMetadata mean that the client is not let in, and its token is as good as before.
func (r *Room) Join(request JoinRequest, link Link, reply func(Joined)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.admit(request)
	if err != nil {
		return err
	}
	s.state, s.activated, s.client = Active, time.Now(), request.Client
	p := &Participant{
		room:          r,
		id:            s.desired.ID,
		seat:          s,
		link:          link,
		subscriptions: make(map[string]*subscription),
		budget:        newParticipantBudget(),
		publishing:    rate.NewLimiter(streamsPerSecond, streamsAtOnce),
	}
	s.participant = p
	joined := Joined{
		Participant:  p,
		Self:         p.announcement(),
		Others:       make([]Announcement, 0, len(r.participants)),
		SessionID:    r.sessionID,
		RPCSessionID: s.desired.RPCSessionID,
		Role:         s.desired.Role,
		Record:       s.desired.Record,
		ICEServers:   s.desired.ICEServers,
	}
	for _, other := range r.participants {
		if !other.hidden() {
			joined.Others = append(joined.Others, other.announcement())
		}
		if !p.hidden() {
			other.notify(ParticipantJoined{Participant: joined.Self})
		}
	}
	r.participants = append(r.participants, p)
	r.diary.joined(p)
	reply(joined)
	r.registry.changed.mark(r.uid)
	r.registry.log.Info("Participant joined", "room", r.uid, "connection", p.id)
	return nil
}

// admit finds the seat that a client may take. The room is locked.
func (r *Room) admit(request JoinRequest) (*seat, error) {
	if request.Admission != ByToken {
		switch {
		case r.closed:
			return nil, ErrClosed
		case !r.metadataFits(request.Client):
			return nil, ErrMetadata
		}
		return r.newInsider(request.Admission), nil
	}
	digest := TokenDigest(sha256.Sum256([]byte(request.Token)))
	s, found := r.byToken[digest]
	switch {
	case !found || subtle.ConstantTimeCompare(digest[:], s.desired.Token[:]) != 1:
		return nil, ErrToken
	case r.closed:
		return nil, ErrClosed
	case !r.metadataFits(request.Client):
		return nil, ErrMetadata
	}
	delete(r.byToken, digest)
	return s, nil
}

// reattach gives the participant with the private id another link. It reports whether there is one.
func (r *Room) reattach(rpcSessionID string, link Link, reply func(*Participant)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	digest := sha256.Sum256([]byte(rpcSessionID))
	s, found := r.byRPC[digest]
	if !found || rpcSessionID == "" || s.participant == nil {
		return false
	}
	p := s.participant
	if p.link != nil {
		p.keep(p.link.Release())
	}
	if p.missed.tooMuch {
		p.link = nil
		r.evict(p, ReasonNetworkDisconnect)
		return false
	}
	p.stopWaiting()
	p.link = link
	reply(p)
	for _, notification := range p.missed.notifications {
		if !p.stale(notification) {
			link.Notify(notification)
		}
	}
	p.missed = missed{}
	p.renewAll()
	return true
}

// end closes the room, since there is to be none any more. Unless it is silent, the Session's end is written down, after everything else of it.
func (r *Room) end(reason string, silent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	conclusion := r.diary.conclusion(reason)
	r.shut(reason)
	r.diary.end(conclusion, silent)
}

// close evicts everybody, one after the other, and lets nobody in any more.
func (r *Room) close(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut(reason)
}

// shut is close; the room is locked.
func (r *Room) shut(reason string) {
	if r.closed {
		return
	}
	r.closed = true
	for len(r.participants) > 0 {
		r.evict(r.participants[0], reason)
	}
}

// evict throws a participant out: the others are told that it has left, then it that it must go. The room is locked.
func (r *Room) evict(p *Participant, reason string) {
	r.remove(p, reason)
	p.dismiss(reason)
}

// remove takes a participant out of the room and tells those who stay (openvidu-rpc 3.4: no participantUnpublished
// before it). The room is locked.
func (r *Room) remove(p *Participant, reason string) {
	p.stopWaiting()
	p.gone = true
	s := p.seat
	s.state, s.left, s.reason, s.participant = Disconnected, time.Now(), reason, nil
	r.participants = slices.DeleteFunc(r.participants, func(other *Participant) bool { return other == p })
	if !p.hidden() {
		r.tell(ParticipantLeft{ConnectionID: p.id, Reason: reason})
	}
	for _, other := range r.participants {
		delete(other.heardLevels, p.id)
	}
	if s.admission == ByToken {
		r.registry.departed.count(reason)
	} else {
		delete(r.byRPC, sha256.Sum256([]byte(s.desired.RPCSessionID)))
	}
	// The order of events is that of openvidu-rest 5.4.
	closers := r.endReceptions(p, reason)
	closers = append(closers, p.endSubscriptions(reason)...)
	closers = append(closers, r.endSending(p, reason)...)
	r.registry.release(closers...)
	r.diary.left(p)
	r.forgetMetadata()
	r.registry.changed.mark(r.uid)
	r.registry.log.Info("Participant left", "room", r.uid, "connection", p.id, "reason", reason)
	if !p.hidden() && !r.closed {
		r.evictHidden(ReasonSessionClosedByServer)
	}
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
	snapshot := Snapshot{UID: r.uid, Generation: r.generation, Connections: make([]ConnectionSnapshot, 0, len(r.seats))}
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
		if p.stream != nil {
			all = append(all, p.stream.publication.Transport())
		}
		for _, s := range p.subscriptions {
			if s.media != nil {
				all = append(all, s.media.Transport())
			}
		}
	}
	return all
}

// rerouted notes that the packets of a peer connection go over another transport. The engine calls it, and must not wait for the room.
func (r *Room) rerouted() {
	r.registry.changed.mark(r.uid)
}

func (r *Room) count(totals *Totals) {
	r.mu.Lock()
	defer r.mu.Unlock()
	totals.Rooms++
	totals.Publishers += len(r.live)
	for _, p := range r.participants {
		if p.seat.admission == ByToken {
			totals.ActiveConnections++
		}
		for _, s := range p.subscriptions {
			if s.received() {
				totals.Subscriptions++
			}
		}
	}
}

func (r *Room) engine() media.Engine {
	return r.registry.engine
}
