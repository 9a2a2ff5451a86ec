package room

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/quality"
)

// maxCandidates bounds the ICE candidates of a client for one peer connection. A browser sends a
// dozen.
const maxCandidates = 256

// stream is one published stream. The owner never changes; the rest is guarded by the room's mutex.
//
//	reserved --offer answered--> live --unpublished, publisher left--> (forgotten)
//	on another pod -- restored --^
type stream struct {
	owner       *Participant
	order       int
	publication media.Publication // nil until it is made
	codec       string            // that is forced, or ""
	info        Stream
	live        bool // was announced
	awaited     bool // was announced on another pod, and nobody sends it here yet
	began       time.Time
	candidates  int
	meter       quality.Meter
}

// publications are the streams that a participant sends, or is about to, by id. They belong to
// their participant and are guarded by the room's mutex.
type publications struct {
	byID map[string]*stream
	rate *rate.Limiter // how often it may publish
}

// sorted returns the streams by creation.
func (p *publications) sorted() []*stream {
	return slices.SortedFunc(maps.Values(p.byID), func(a, b *stream) int { return cmp.Compare(a.order, b.order) })
}

// live returns what is known of the streams that were announced, by creation.
func (p *publications) live() []Stream {
	var live []Stream
	for _, s := range p.sorted() {
		if s.live {
			live = append(live, s.info)
		}
	}
	return live
}

// ids returns the ids of the streams that were announced, by creation.
func (p *publications) ids() []string {
	var ids []string
	for _, s := range p.live() {
		ids = append(ids, s.ID)
	}
	return ids
}

// has reports whether the stream was not ended.
func (p *publications) has(s *stream) bool { return p.byID[s.info.ID] == s }

// find returns a stream that was announced.
func (p *publications) find(streamID string) (*stream, error) {
	if s := p.byID[streamID]; s != nil && s.live {
		return s, nil
	}
	return nil, NotFoundError{KindStream, streamID}
}

// PublishRequest is what a client publishes.
type PublishRequest struct {
	// StreamID is the id of the new stream. No other stream in the room may have it.
	StreamID string
	Options  StreamOptions
	SDPOffer string
	// Candidates are those of the client that came before its offer.
	Candidates []media.ICECandidate
	// MaxStreams is how many streams the participant may then send; 0 is one.
	MaxStreams int
}

// Streams returns what the participant sends or is about to. The creation time of what is not
// announced yet is zero.
func (p *Participant) Streams() ([]Stream, error) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if err := p.alive(); err != nil {
		return nil, err
	}
	var streams []Stream
	for _, s := range p.publications.sorted() {
		streams = append(streams, s.info)
	}
	return streams, nil
}

// Publish starts a stream: the client's SDP offer is answered, then everybody else is told. The
// reply gets the stream and the SDP answer.
func (p *Participant) Publish(ctx context.Context, request PublishRequest, reply func(Stream, string)) error {
	s, limits, err := p.reserveStream(request)
	if err != nil {
		return err
	}
	answer, err := p.negotiate(ctx, s, request, limits)
	if errors.Is(err, media.ErrForcedCodec) && limits.anyCodec {
		// No transcoding: a client without the codec publishes what it has.
		limits.codec = ""
		answer, err = p.negotiate(ctx, s, request, limits)
	}
	if err != nil {
		return p.abandonStream(s, err)
	}
	return p.announceStream(s, answer, reply)
}

// streamLimits are what a stream must keep to. With anyCodec the codec is only a wish.
type streamLimits struct {
	codec    string
	anyCodec bool
	maxKbps  int
}

// reserveStream takes the place of a new stream, if the participant may publish it.
func (p *Participant) reserveStream(request PublishRequest) (*stream, streamLimits, error) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &stream{owner: p, info: Stream{ID: request.StreamID, StreamOptions: request.Options}}
	var err error
	switch {
	case p.gone:
		err = p.alive()
	case !p.seat.mayPublish(s.info):
		err = ForbiddenError{Publish}
	case len(p.publications.byID) >= max(1, request.MaxStreams):
		err = ErrTooManyStreams
	case r.streams[s.info.ID] != nil:
		err = ConflictError{KindStream, s.info.ID}
	case !p.publications.rate.Allow():
		err = overLimit("too many streams: at most %d per second, and %d at once, from one participant",
			streamsPerSecond, streamsAtOnce)
	}
	if err != nil {
		return nil, streamLimits{}, err
	}
	s.order = r.next()
	p.publications.byID[s.info.ID], r.streams[s.info.ID] = s, s
	return s, streamLimits{r.forcedCodec, r.anyCodec, p.seat.desired.MaxPublishKbps}, nil
}

// negotiate makes the media of a stream, in the place of what was tried before, and answers the
// offer.
func (p *Participant) negotiate(ctx context.Context, s *stream, request PublishRequest, limits streamLimits) (string, error) {
	publication := p.room.engine().NewPublication(p.publicationOptions(request.StreamID, request.Options, limits.codec, limits.maxKbps))
	for _, candidate := range request.Candidates {
		// The client was told already that its candidate is taken; ICE works without it.
		if err := publication.AddICECandidate(candidate); err != nil {
			p.room.registry.log.V(1).Info("Dropped an early candidate",
				"room", p.room.uid, "connection", p.id, "reason", err.Error())
		}
	}
	if err := p.attach(s, publication, limits.codec, len(request.Candidates)); err != nil {
		return "", err
	}
	answer, err := publication.Answer(ctx, request.SDPOffer)
	if err != nil {
		return "", MediaError{Err: err, ForcedCodec: limits.codec}
	}
	return answer, nil
}

// publicationOptions are what the engine is told of a stream.
func (p *Participant) publicationOptions(id string, options StreamOptions, codec string, maxKbps int) media.PublicationOptions {
	return media.PublicationOptions{
		Room:             p.room.uid,
		StreamID:         id,
		HasAudio:         options.HasAudio,
		HasVideo:         options.HasVideo,
		Loopback:         options.Loopback,
		ForcedVideoCodec: codec,
		MaxVideoKbps:     maxKbps,
		VideoDimensions:  options.VideoDimensions,
		Still:            options.HasVideo && options.TypeOfVideo != Camera,
		Rerouted:         p.room.rerouted,
		Trickle:          func(candidate media.ICECandidate) { go p.tricklePublished(id, candidate) },
	}
}

// tricklePublished tells the client of a candidate of the server for a stream that it sends.
func (p *Participant) tricklePublished(streamID string, candidate media.ICECandidate) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.publications.byID[streamID] != nil && !p.gone {
		p.mailbox.notify(CandidateAdded{p.id, streamID, "", p.id, candidate})
	}
}

// attach gives a stream its media, unless it was ended meanwhile.
func (p *Participant) attach(s *stream, publication media.Publication, codec string, candidates int) error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if !p.publications.has(s) {
		p.room.registry.release(publication)
		return p.alive()
	}
	if s.publication != nil {
		p.room.registry.release(s.publication)
	}
	s.publication, s.codec, s.candidates = publication, codec, candidates
	return nil
}

// abandonStream undoes reserveStream because of an error, so that the client can publish again,
// and returns the error; another one when the participant is gone, and its stream with it.
func (p *Participant) abandonStream(s *stream, err error) error {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if gone := p.alive(); gone != nil {
		return gone
	}
	p.room.registry.release(p.room.forgetStream(s)...)
	return err
}

// announceStream answers the publisher and tells everybody else.
func (p *Participant) announceStream(s *stream, answer string, reply func(Stream, string)) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.alive(); err != nil {
		return err // it left or was thrown out meanwhile; the publication is being closed
	}
	if !p.seat.mayPublish(s.info) {
		// That it may was taken from it meanwhile.
		r.registry.release(r.forgetStream(s)...)
		return ForbiddenError{Publish}
	}
	s.live, s.info.Created = true, time.Now()
	r.recorder.sends(s)
	s.remember()
	reply(s.info, answer)
	p.notifyOthers(p.published(s))
	r.muteNew(s)
	r.registry.mark(r.uid)
	return nil
}

// published is what others are told of a new stream. The room is locked.
func (p *Participant) published(s *stream) ParticipantPublished {
	told := ParticipantPublished{ConnectionID: p.id, Stream: s.info}
	if LastingID(s.info.ID, p.id) != p.id {
		told.ClientData, told.ServerData = p.seat.client.Metadata, p.seat.desired.ServerData
	}
	return told
}

// Unpublish ends a stream of the participant's and tells everybody else.
func (p *Participant) Unpublish(streamID string) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := p.ownStream(streamID)
	if err != nil {
		return err
	}
	p.notifyOthers(ParticipantUnpublished{ConnectionID: p.id, StreamID: streamID, Reason: reasons.Unpublish})
	r.endStream(s, reasons.Unpublish)
	return nil
}

// ownStream returns a stream of the participant's that was announced. The room is locked.
func (p *Participant) ownStream(streamID string) (*stream, error) {
	if err := p.alive(); err != nil {
		return nil, err
	}
	return p.publications.find(streamID)
}

// ForceUnpublish lets a moderator end a stream: the moderator is answered, then everybody is told.
func (p *Participant) ForceUnpublish(streamID string, reply func()) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := p.alive(); err != nil {
		return err
	}
	if !p.seat.mayModerate() {
		return ForbiddenError{ForceUnpublish}
	}
	s, err := r.liveStream(streamID)
	if err != nil {
		return err
	}
	reply()
	r.unpublish(s, reasons.ForceUnpublishByUser)
	return nil
}

// unpublish tells everybody, the owner too, that a stream ends, and ends it. The room is locked.
func (r *Room) unpublish(s *stream, reason reasons.Reason) {
	r.notify(ParticipantUnpublished{ConnectionID: s.owner.id, StreamID: s.info.ID, Reason: reason})
	r.endStream(s, reason)
}

// liveStream returns a stream that was announced. The room is locked.
func (r *Room) liveStream(streamID string) (*stream, error) {
	if s := r.streams[streamID]; s != nil && s.live {
		return s, nil
	}
	return nil, NotFoundError{KindStream, streamID}
}

// endStream closes a stream and all that is received of it. The room is locked, and everybody who
// must know was told: a client that sees its peer connection end first takes that for a failure.
func (r *Room) endStream(s *stream, reason reasons.Reason) {
	r.registry.release(append(r.endReceptions(s, reason), r.endSending(s, reason)...)...)
	r.registry.mark(r.uid)
}

// endReceptions ends what is received of a stream, and returns what is to be closed. The room is
// locked.
func (r *Room) endReceptions(s *stream, reason reasons.Reason) []io.Closer {
	var closers []io.Closer
	for _, p := range r.participants {
		for _, received := range p.subscriptions.sorted() {
			if received.stream == s {
				r.recorder.received(p, received, reason)
				closers = append(closers, p.forgetReceived(received)...)
			}
		}
	}
	return closers
}

// endSending ends a stream itself, and returns what is to be closed. The room is locked.
func (r *Room) endSending(s *stream, reason reasons.Reason) []io.Closer {
	r.recorder.sent(s, reason)
	return r.forgetStream(s)
}

// forgetStream takes a stream out, and returns what is to be closed. The room is locked.
func (r *Room) forgetStream(s *stream) []io.Closer {
	s.forget()
	delete(s.owner.publications.byID, s.info.ID)
	delete(r.streams, s.info.ID)
	if s.publication == nil {
		return nil
	}
	return []io.Closer{s.publication}
}

// Reconnect gives a stream of the participant's another peer connection and answers its SDP offer.
// Nobody else is told.
func (p *Participant) Reconnect(ctx context.Context, streamID, offer string) (Stream, string, error) {
	p.room.mu.Lock()
	s, err := p.ownStream(streamID)
	p.room.mu.Unlock()
	if err != nil {
		return Stream{}, "", err
	}
	answer, err := s.publication.Answer(ctx, offer)
	if err != nil {
		return Stream{}, "", MediaError{Err: err, ForcedCodec: s.codec}
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if err := p.alive(); err != nil {
		return Stream{}, "", err
	}
	if !p.publications.has(s) {
		// It was ended meanwhile; the client is told so.
		return Stream{}, "", NotFoundError{KindStream, streamID}
	}
	s.info.Created, s.candidates, s.awaited = time.Now(), 0, false
	s.remember()
	p.room.registry.mark(p.room.uid)
	return s.info, answer, nil
}

// AddPublisherCandidate takes a candidate of the client for a stream that it sends or is about to.
func (p *Participant) AddPublisherCandidate(streamID string, candidate media.ICECandidate) error {
	p.room.mu.Lock()
	if err := p.alive(); err != nil {
		p.room.mu.Unlock()
		return err
	}
	s := p.publications.byID[streamID]
	if s == nil || s.publication == nil {
		p.room.mu.Unlock()
		return NotFoundError{KindStream, streamID}
	}
	s.candidates++
	publication, count := s.publication, s.candidates
	p.room.mu.Unlock()
	return addCandidate(publication, candidate, count)
}

// addCandidate adds the client's candidate with that number to a peer connection.
func addCandidate(to interface {
	AddICECandidate(media.ICECandidate) error
}, candidate media.ICECandidate, number int) error {
	if number > maxCandidates {
		return overLimit("more than %d for one peer connection", maxCandidates)
	}
	if err := to.AddICECandidate(candidate); errors.Is(err, media.ErrCandidate) {
		return MediaError{Err: err}
	}
	// Any other error means that the peer connection has just ended. The client's next notification
	// says why; an error here would become an exception event of its own.
	return nil //nolint:nilerr // as said above
}

// StreamChange is a property of a stream that has changed. One of the fields but Value and Reason
// is set.
type StreamChange struct {
	AudioActive, VideoActive *bool
	VideoDimensions          *media.Dimensions
	// Property is one that rooms know nothing of, Value its new value.
	Property, Value string
	// Reason is what the publisher gives for it.
	Reason string
}

// known reports whether the change is of a property of streams that rooms know.
func (c StreamChange) known() bool {
	return c.AudioActive != nil || c.VideoActive != nil || c.VideoDimensions != nil
}

// replaces reports whether a later change makes an earlier one of the same stream superfluous.
func (c StreamChange) replaces(earlier StreamChange) bool {
	return c.AudioActive != nil && earlier.AudioActive != nil ||
		c.VideoActive != nil && earlier.VideoActive != nil ||
		c.VideoDimensions != nil && earlier.VideoDimensions != nil
}

// ChangeStream records a change of a stream of the participant's and tells everybody else.
func (p *Participant) ChangeStream(streamID string, change StreamChange) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := p.ownStream(streamID)
	if err != nil {
		return err
	}
	told := StreamChanged{ConnectionID: p.id, StreamID: streamID, Change: change}
	if err := p.spend(told, len(r.participants)-1); err != nil {
		return err
	}
	if change.AudioActive != nil {
		s.info.AudioActive = *change.AudioActive
		s.info.MuteForced = s.info.MuteForced && s.info.AudioActive
	}
	if change.VideoActive != nil {
		s.info.VideoActive = *change.VideoActive
	}
	if change.VideoDimensions != nil {
		s.info.VideoDimensions = *change.VideoDimensions
	}
	s.remember()
	p.notifyOthers(told)
	r.registry.mark(r.uid)
	return nil
}
