package room

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"math/big"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/quality"
)

// Bounds of ICE candidates from a client. A browser sends a dozen per peer connection.
const (
	maxEarlyCandidates = 64
	maxCandidates      = 256
)

// stream is one published stream. Owner, publication and codec never change; the rest is guarded by the room's mutex.
//
//	negotiating --publisher's offer answered--> live --unpublished, publisher left--> (forgotten)
type stream struct {
	owner       *Participant
	publication media.Publication
	codec       string // that is forced, or ""
	info        Stream
	live        bool // was announced
	began       time.Time
	candidates  int
	meter       quality.Meter
}

// Publish starts a stream: the client's SDP offer is answered, then everybody else is told. The reply gets the stream and the SDP answer.
func (p *Participant) Publish(ctx context.Context, options StreamOptions, offer string, reply func(Stream, string)) error {
	s, forced, err := p.beginStream(options)
	if err != nil {
		return err
	}
	answer, err := s.publication.Answer(ctx, offer)
	if errors.Is(err, media.ErrForcedCodec) && forced.optional {
		// No transcoding: a browser without the codec publishes what it has (openvidu-rpc 4.9).
		p.room.registry.release(s.publication)
		if s, err = p.replaceStream(s); err != nil {
			return err
		}
		answer, err = s.publication.Answer(ctx, offer)
	}
	if err != nil {
		if refused := p.abandonStream(s); refused != nil {
			return refused
		}
		return p.offerRefused(s, err)
	}
	return p.announceStream(s, answer, reply)
}

// offerRefused turns the engine's refusal of a publisher's offer into one for the client.
func (p *Participant) offerRefused(s *stream, err error) *Error {
	if errors.Is(err, media.ErrForcedCodec) {
		return refuse(CodeForcedCodecNotFound, "Error forcing codec: '%s', for PARTICIPANT: '%s' in Session: '%s'. Is publishing: 'true'. The offer does not have the codec: %v",
			s.codec, p.id, p.room.sessionID, err)
	}
	return mediaError(err, "Error generating SDP response for publishing user "+p.id)
}

// forcedCodec is the video codec that a room wants; optional when a publisher without it is let in.
type forcedCodec struct {
	codec    string
	optional bool
}

// beginStream reserves the participant's one stream.
func (p *Participant) beginStream(options StreamOptions) (*stream, forcedCodec, error) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	forced := forcedCodec{codec: r.forcedCodec, optional: r.anyCodec}
	info := Stream{ID: streamID(options, p.id), StreamOptions: options}
	switch {
	case p.gone:
		return nil, forced, p.left()
	case !p.seat.mayPublish(info):
		p.early = nil // those of an earlier attempt: browsers send them although it was refused
		return nil, forced, mayNotPublish()
	case p.stream != nil:
		return nil, forced, refuse(CodeUserAlreadyStreams, "User %s is already publishing in session %s", p.id, r.sessionID)
	case !p.publishing.Allow():
		p.early = nil
		return nil, forced, refuse(CodeGeneric, "Too many streams: at most %d per second, and %d at once, from one participant", streamsPerSecond, streamsAtOnce)
	}
	p.stream = p.newStream(info, forced.codec)
	return p.stream, forced, nil
}

func mayNotPublish() *Error {
	return refuse(CodeUnauthorized, "Unable to publish video. The user does not have a valid token")
}

// replaceStream puts a stream whose codec is not forced in the place of one that could not be negotiated.
func (p *Participant) replaceStream(before *stream) (*stream, error) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.stream != before {
		return nil, p.left()
	}
	p.stream = p.newStream(before.info, "")
	return p.stream, nil
}

// newStream prepares the media of a stream. The room is locked; the engine promises not to block here.
func (p *Participant) newStream(info Stream, codec string) *stream {
	s := &stream{owner: p, codec: codec, info: info}
	s.publication = p.room.engine().NewPublication(media.PublicationOptions{
		StreamID:         info.ID,
		HasAudio:         info.HasAudio,
		HasVideo:         info.HasVideo,
		Loopback:         info.Loopback,
		ForcedVideoCodec: codec,
		MaxVideoKbps:     p.seat.desired.MaxPublishKbps,
		VideoDimensions:  info.VideoDimensions,
		Rerouted:         p.room.rerouted,
	})
	for _, candidate := range p.early {
		// The client was told already that its candidate is taken; ICE works without it.
		if err := s.publication.AddICECandidate(candidate); err != nil {
			p.room.registry.log.V(1).Info("Dropped an early candidate", "room", p.room.uid, "connection", p.id, "reason", err.Error())
		}
	}
	s.candidates = len(p.early)
	return s
}

// abandonStream undoes beginStream, so that the client can publish again. It refuses when the participant is gone, and its stream with it.
func (p *Participant) abandonStream(s *stream) *Error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.stream != s {
		return p.left()
	}
	p.stream, p.early = nil, nil
	p.room.registry.release(s.publication)
	return nil
}

// announceStream answers the publisher and tells everybody else.
func (p *Participant) announceStream(s *stream, answer string, reply func(Stream, string)) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.gone || p.stream != s {
		// It left or was thrown out meanwhile; the publication is being closed.
		return p.left()
	}
	if !p.seat.mayPublish(s.info) {
		// That it may was taken from it meanwhile.
		p.stream, p.early = nil, nil
		r.registry.release(s.publication)
		return mayNotPublish()
	}
	p.early = nil
	s.live, s.info.Created = true, time.Now()
	r.live[s.info.ID] = s
	r.diary.sends(s)
	reply(s.info, answer)
	p.tellOthers(ParticipantPublished{ConnectionID: p.id, Stream: s.info})
	r.registry.changed.mark(r.uid)
	return nil
}

// streaming gives an error unless the participant is in the room and sends. The room is locked.
func (p *Participant) streaming() error {
	if p.gone {
		return p.left()
	}
	if p.stream == nil || !p.stream.live {
		return refuse(CodeUserNotStreaming, "Participant '%s' is not streaming media", p.id)
	}
	return nil
}

// Unpublish ends the participant's stream and tells everybody else.
func (p *Participant) Unpublish() error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.streaming(); err != nil {
		return err
	}
	p.tellOthers(ParticipantUnpublished{ConnectionID: p.id, Reason: ReasonUnpublish})
	r.endStream(p, ReasonUnpublish)
	r.registry.changed.mark(r.uid)
	return nil
}

// ForceUnpublish lets a moderator end a stream: the moderator is answered, then everybody is told.
func (p *Participant) ForceUnpublish(streamID string, reply func()) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.gone {
		return p.left()
	}
	if !p.seat.mayModerate() {
		return refuse(CodeUnauthorized, "Unable to force unpublish. The user does not have a valid token")
	}
	s, found := r.live[streamID]
	if !found {
		return r.noSuchStream(streamID)
	}
	reply()
	r.tell(ParticipantUnpublished{ConnectionID: s.owner.id, Reason: ReasonForceUnpublishByUser})
	r.endStream(s.owner, ReasonForceUnpublishByUser)
	r.registry.changed.mark(r.uid)
	return nil
}

// endStream closes the participant's stream, if any, and all that is received of it. The room is locked, and
// everybody who must know was told: a client that sees its peer connection end first takes that for a failure.
func (r *Room) endStream(p *Participant, reason string) {
	r.registry.release(append(r.endReceptions(p, reason), r.endSending(p, reason)...)...)
}

// endReceptions ends what others receive of the participant's stream, and returns what is to be closed. The room is locked.
func (r *Room) endReceptions(p *Participant, reason string) []io.Closer {
	var closers []io.Closer
	for _, other := range r.participants {
		received := other.subscriptions[p.id]
		if p.stream == nil || received == nil || received.stream != p.stream {
			continue
		}
		r.diary.received(other, received, reason)
		delete(other.subscriptions, p.id)
		if received.media != nil {
			closers = append(closers, received.media)
		}
	}
	return closers
}

// endSending ends the participant's stream itself, if any, and returns what is to be closed. The room is locked.
func (r *Room) endSending(p *Participant, reason string) []io.Closer {
	s := p.stream
	if s == nil {
		return nil
	}
	r.diary.sent(s, reason)
	p.stream, p.early = nil, nil
	delete(r.live, s.info.ID)
	return []io.Closer{s.publication}
}

// Reconnection is the outcome of ReconnectStream for a publisher.
type Reconnection struct {
	Stream    Stream
	SDPAnswer string
}

// ReconnectStream gives a stream another peer connection (openvidu-rpc 2.18). For the participant's own stream, which "" stands for too, the
// SDP is an offer; nobody else is told. For another's stream it is the answer to the offer of PrepareReceive or, when forced, to that of
// ForciblyReconnectSubscriber; then reply is called as Receive does, and the result is nil.
func (p *Participant) ReconnectStream(ctx context.Context, streamID, sdp string, forced bool, reply func()) (*Reconnection, error) {
	own, err := p.ownStream(streamID)
	if err != nil {
		return nil, err
	}
	if own == nil {
		return nil, p.receive(ctx, streamID, sdp, forced, reply)
	}
	answer, err := own.publication.Answer(ctx, sdp)
	if err != nil {
		return nil, p.offerRefused(own, err)
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	switch {
	case p.gone:
		return nil, p.left()
	case p.stream != own:
		// It was ended meanwhile; the client is told so.
		return nil, p.room.noSuchStream(streamID)
	}
	own.info.Created, own.candidates = time.Now(), 0
	return &Reconnection{Stream: own.info, SDPAnswer: answer}, nil
}

// ownStream returns the participant's own stream when that is meant, else nil.
func (p *Participant) ownStream(streamID string) (*stream, error) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone {
		return nil, p.left()
	}
	if p.stream != nil && p.stream.live && (streamID == "" || streamID == p.stream.info.ID) {
		return p.stream, nil
	}
	if _, found := p.room.live[streamID]; !found {
		return nil, p.room.noSuchStream(streamID)
	}
	return nil, nil
}

func (r *Room) noSuchStream(streamID string) *Error {
	return refuse(CodeUserNotStreaming, "Stream '%s' does not exist in Session '%s'", streamID, r.sessionID)
}

// AddICECandidate takes a candidate of the client for what it publishes, when the owner is itself, or receives of the owner. One for
// a peer connection that is gone is dropped, since clients send them late; one for a publication to come is kept.
func (p *Participant) AddICECandidate(ownerID string, candidate media.ICECandidate) error {
	endpoint, err := p.candidateEndpoint(ownerID, candidate)
	if endpoint == nil || err != nil {
		return err
	}
	if err = endpoint.AddICECandidate(candidate); errors.Is(err, media.ErrCandidate) {
		return mediaError(err, "Unable to add ICE candidate")
	}
	// Any other error means that the peer connection has just ended. The client's next notification says why; an error here would
	// become an exception event of its own.
	return nil //nolint:nilerr // as said above
}

type candidateEndpoint interface {
	AddICECandidate(media.ICECandidate) error
}

func (p *Participant) candidateEndpoint(ownerID string, candidate media.ICECandidate) (candidateEndpoint, error) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.gone {
		return nil, p.left()
	}
	tooMany := refuse(CodeMediaCandidate, "Unable to add ICE candidate: more than %d for one peer connection", maxCandidates)
	if received := p.subscriptions[ownerID]; received != nil && received.media != nil {
		if received.candidates++; received.candidates > maxCandidates {
			return nil, tooMany
		}
		return received.media, nil
	}
	if ownerID != p.id {
		return nil, nil
	}
	if p.stream != nil {
		if p.stream.candidates++; p.stream.candidates > maxCandidates {
			return nil, tooMany
		}
		return p.stream.publication, nil
	}
	if len(p.early) == maxEarlyCandidates {
		return nil, refuse(CodeMediaCandidate, "Unable to add ICE candidate: more than %d before the stream is published", maxEarlyCandidates)
	}
	p.early = append(p.early, candidate)
	return nil, nil
}

// ChangeStream records a property of the participant's stream and tells everybody else.
func (p *Participant) ChangeStream(change PropertyChange) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.streaming(); err != nil {
		return err
	}
	info := &p.stream.info
	told := StreamPropertyChanged{ConnectionID: p.id, StreamID: info.ID, Change: change}
	if over := p.spend(told, len(r.participants)-1); over != nil {
		return over
	}
	if change.AudioActive != nil {
		info.AudioActive = *change.AudioActive
	}
	if change.VideoActive != nil {
		info.VideoActive = *change.VideoActive
	}
	if change.VideoDimensions != nil {
		info.VideoDimensions = *change.VideoDimensions
	}
	p.tellOthers(told)
	r.registry.changed.mark(r.uid)
	return nil
}

const (
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// streamID makes the id of a new stream: str_CAM_Q7ab_con_... (openvidu-rpc 4.11).
func streamID(options StreamOptions, connectionID string) string {
	kind := "MIC"
	if options.HasVideo && len(options.TypeOfVideo) >= 3 {
		kind = options.TypeOfVideo[:3]
	}
	return "str_" + kind + "_" + pick(upper) + pick(alnum) + pick(alnum) + pick(alnum) + "_" + connectionID
}

func pick(alphabet string) string {
	// crypto/rand never fails (it ends the process instead).
	i, _ := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
	return alphabet[i.Int64() : i.Int64()+1]
}
