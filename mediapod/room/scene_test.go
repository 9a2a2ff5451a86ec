package room

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
)

// scene is a room with users named by a letter, and a transcript of what each does and is told.
type scene struct {
	t        *testing.T
	engine   *mediatest.Engine
	registry *Registry
	desired  Desired
	users    map[string]*user
	made     atomic.Int64 // streams

	mu         sync.Mutex // guards transcript
	transcript strings.Builder
}

// user is a client of a protocol with one stream per participant: what it receives of somebody has
// that one's id. It acts through its participant and is told through its link.
type user struct {
	*Participant
	link *recorder
}

// Publish publishes under an id like str_CAM_0001_con_A.
func (u *user) Publish(ctx context.Context, options StreamOptions, offer string, reply func(Stream, string)) error {
	kind := "MIC"
	if options.HasVideo {
		kind = string(options.TypeOfVideo)[:3]
	}
	id := fmt.Sprintf("str_%s_%04d_%s", kind, u.link.scene.made.Add(1), u.id)
	return u.Participant.Publish(ctx, PublishRequest{StreamID: id, Options: options, SDPOffer: offer}, reply)
}

// stream is the id of what the user publishes, or "".
func (u *user) stream() string {
	streams, err := u.Streams()
	if err != nil || len(streams) == 0 {
		return ""
	}
	return streams[0].ID
}

func (u *user) Unpublish() error { return u.Participant.Unpublish(u.stream()) }

func (u *user) ChangeStream(change StreamChange) error {
	return u.Participant.ChangeStream(u.stream(), change)
}

func (u *user) PrepareReceive(ctx context.Context, streamID string) (string, error) {
	return u.Subscribe(ctx, publisherOf(streamID), streamID)
}

func (u *user) Receive(ctx context.Context, streamID, answer string, reply func()) error {
	return u.Answer(ctx, publisherOf(streamID), answer, false, reply)
}

func publisherOf(streamID string) string {
	return streamID[max(0, strings.LastIndex(streamID, "con_")):]
}

// Reconnection is the answer to ReconnectStream for a publisher.
type Reconnection struct {
	Stream    Stream
	SDPAnswer string
}

func (u *user) ReconnectStream(ctx context.Context, streamID, sdp string, forced bool, reply func()) (*Reconnection, error) {
	if streamID == "" || streamID == u.stream() {
		stream, answer, err := u.Reconnect(ctx, u.stream(), sdp)
		return &Reconnection{stream, answer}, err
	}
	publisher, err := u.Room().Publisher(streamID)
	if err != nil {
		return nil, err
	}
	return nil, u.Answer(ctx, publisher, sdp, forced, reply)
}

func (u *user) AddICECandidate(ownerID string, candidate media.ICECandidate) error {
	if ownerID == u.id {
		return u.AddPublisherCandidate(u.stream(), candidate)
	}
	return u.AddSubscriberCandidate(ownerID, candidate)
}

// recorder is a Sink that writes down what comes.
type recorder struct {
	scene *scene
	name  string

	mu       sync.Mutex // guards what follows
	unread   []Notification
	reading  bool // what comes is written down and received; else it stays on its way
	released bool
	finished bool
}

// newScene makes a room with a connection per name: "A" is a publisher, "A:moderator" has that
// role.
func newScene(t *testing.T, names ...string) *scene {
	t.Helper()
	s := &scene{t: t, engine: &mediatest.Engine{}, users: make(map[string]*user)}
	s.registry = NewRegistry(s.engine, logr.Discard())
	s.desired = Desired{
		UID: "room-uid", Key: "room", SessionID: "room", Generation: 1, Tenant: "tenant", Name: "room-object", Created: time.UnixMilli(1700000000123),
	}
	for _, name := range names {
		s.desired.Connections = append(s.desired.Connections, desiredConnection(name))
	}
	s.registry.Apply(s.desired)
	t.Cleanup(func() {
		s.registry.Stop()
		s.registry.Wait()
		if publications, subscriptions := s.engine.Open(); publications+subscriptions != 0 {
			t.Errorf("%d publications and %d subscriptions were never closed", publications, subscriptions)
		}
	})
	return s
}

func desiredConnection(spec string) Connection {
	name, role, _ := strings.Cut(spec, ":")
	return Connection{
		UID:        "uid-" + name,
		ID:         "con_" + name,
		Token:      digest("tok_" + name),
		PrivateID:  "rpc-" + name,
		Role:       map[string]Role{"": Publisher, "moderator": Moderator, "subscriber": Subscriber, "publisher only": PublisherOnly}[role],
		ServerData: "server " + name,
	}
}

func digest(token string) TokenDigest {
	return sha256.Sum256([]byte(token))
}

func (s *scene) write(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.transcript, format+"\n", args...)
}

var (
	streamPattern = regexp.MustCompile(`str_([A-Z]{3})_[0-9A-Za-z]{4}_con_([A-Z])`)
	memberPattern = regexp.MustCompile(`con_([A-Z])`)
)

// text returns the transcript with short names.
func (s *scene) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return memberPattern.ReplaceAllString(streamPattern.ReplaceAllString(s.transcript.String(), "stream($2,$1)"), "$1")
}

func (s *scene) join(name string) *user {
	s.t.Helper()
	s.write("%s joins", name)
	room, found := s.registry.Lookup(s.desired.Key)
	if !found {
		s.t.Fatal("no such room")
	}
	link := &recorder{scene: s, name: name, reading: true}
	u := &user{link: link}
	err := room.Join(JoinRequest{Token: "tok_" + name, Client: Client{Metadata: "client " + name}}, link, func(joined Joined) {
		u.Participant = joined.Participant
		var others []string
		for _, other := range joined.Others {
			others = append(others, describe(other))
		}
		s.write("  %s <- joined as %s; there: %s", name, roleNames[joined.Role], strings.Join(others, ", "))
	})
	if err != nil {
		s.t.Fatalf("%s joining: %v", name, err)
	}
	s.users[name] = u
	return u
}

// intrude joins by the server's secret, under a name that starts with I.
func (s *scene) intrude(name string, claims Claims) *user {
	s.t.Helper()
	s.write("%s joins by the secret", name)
	room, found := s.registry.Lookup(s.desired.Key)
	if !found {
		s.t.Fatal("no such room")
	}
	u := &user{link: &recorder{scene: s, name: name, reading: true}}
	s.must(room.Join(JoinRequest{Claims: &claims, Client: Client{Metadata: "client " + name}}, u.link, func(joined Joined) {
		u.Participant = joined.Participant
		var others []string
		for _, other := range joined.Others {
			others = append(others, describe(other))
		}
		id := joined.Self.ConnectionID
		if !claims.Hidden {
			id = "a new connection"
		}
		s.write("  %s <- joined as %s %s; there: %s", name, id, roleNames[joined.Role], strings.Join(others, ", "))
	}))
	s.users[name] = u
	return u
}

// What somebody claims to be that has shown the server's secret.
var (
	asPrivileged   = Claims{ConnectionID: "con_Insider123", Privileged: true, Record: true}
	asRecorder     = Claims{ConnectionID: "RECORDER", Privileged: true, Hidden: true, Record: true}
	asSpeechToText = Claims{ConnectionID: "SPEECH_TO_TEXT", Privileged: true, Hidden: true, Record: true}
)

var roleNames = map[Role]string{Subscriber: "SUBSCRIBER", Publisher: "PUBLISHER", Moderator: "MODERATOR", PublisherOnly: "PUBLISHER_ONLY"}

func describe(a Announcement) string {
	text := a.ConnectionID
	for i, s := range a.Streams {
		with := "with"
		if i > 0 {
			with = "and"
		}
		text += fmt.Sprintf(" %s %s audio=%v video=%v %s", with, s.ID, s.AudioActive, s.VideoActive, size(s.VideoDimensions))
	}
	return text
}

func size(d media.Dimensions) string {
	return fmt.Sprintf(`{"width":%d,"height":%d}`, d.Width, d.Height)
}

// camera is what a user with camera and microphone announces.
var camera = StreamOptions{HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "CAMERA", FrameRate: 30, VideoDimensions: media.Dimensions{Width: 640, Height: 480}}

// publish starts a stream and returns its id.
func (s *scene) publish(name string) string {
	s.t.Helper()
	s.write("%s publishes", name)
	id := ""
	err := s.users[name].Publish(context.Background(), camera, "offer", func(published Stream, answer string) {
		id = published.ID
		s.write("  %s <- %s: %s", name, published.ID, answer)
	})
	s.must(err)
	return id
}

// streamOf is the id of what a user publishes.
func (s *scene) streamOf(name string) string { return s.users[name].stream() }

// receive subscribes a user to a stream.
func (s *scene) receive(name, streamID string) {
	s.t.Helper()
	s.write("%s receives %s", name, streamID)
	offer, err := s.users[name].PrepareReceive(context.Background(), streamID)
	s.must(err)
	s.write("  %s <- %s", name, offer)
	s.must(s.users[name].Receive(context.Background(), streamID, "answer", func() {}))
}

// answered returns a reply that is written down.
func (s *scene) answered(name string) func() {
	return func() { s.write("  %s <- answer", name) }
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) apply() {
	s.desired.Generation++
	s.registry.Apply(s.desired)
}

// state returns what is observed of a user.
func (s *scene) state(name string) ConnectionSnapshot {
	s.t.Helper()
	snapshot, _ := s.registry.Snapshot(s.desired.UID)
	for _, connection := range snapshot.Connections {
		if connection.UID == "uid-"+name {
			return connection
		}
	}
	s.t.Fatalf("%s is not in the snapshot", name)
	return ConnectionSnapshot{}
}

// Notify implements Sink.
func (r *recorder) Notify(notification Notification) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released {
		r.scene.write("  %s <- %s on a released link", r.name, show(notification))
		return
	}
	if r.reading {
		r.scene.write("  %s <- %s", r.name, show(notification))
		return
	}
	r.unread = append(r.unread, notification)
}

// Release implements Sink.
func (r *recorder) Release() []Notification {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.released = true
	return r.unread
}

// Move implements Sink.
func (r *recorder) Move() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.released = true
}

// Finish implements Sink.
func (r *recorder) Finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finished = true
}

func show(notification Notification) string {
	switch n := notification.(type) {
	case ParticipantJoined:
		return "participantJoined " + describe(n.Participant)
	case ParticipantPublished:
		return fmt.Sprintf("participantPublished %s %s", n.ConnectionID, n.Stream.ID)
	case ParticipantUnpublished:
		return fmt.Sprintf("participantUnpublished %s %s", n.ConnectionID, n.Reason)
	case ParticipantLeft:
		return fmt.Sprintf("participantLeft %s %s", n.ConnectionID, n.Reason)
	case ParticipantEvicted:
		return fmt.Sprintf("participantEvicted %s %s", n.ConnectionID, n.Reason)
	case SignalReceived:
		return fmt.Sprintf("sendMessage from %s: %s %s", n.From, shown(n.Type), shown(n.Data))
	case StreamChanged:
		property, value := n.Change.Property, n.Change.Value
		switch change := n.Change; {
		case change.AudioActive != nil:
			property, value = "audioActive", strconv.FormatBool(*change.AudioActive)
		case change.VideoActive != nil:
			property, value = "videoActive", strconv.FormatBool(*change.VideoActive)
		case change.VideoDimensions != nil:
			property, value = "videoDimensions", strconv.Quote(size(*change.VideoDimensions))
		}
		return fmt.Sprintf("streamPropertyChanged %s %s %s=%s %s", n.ConnectionID, n.StreamID, property, value, n.Change.Reason)
	case NetworkQualityLevelChanged:
		old := "nothing"
		if n.OldValue != nil {
			old = strconv.Itoa(*n.OldValue)
		}
		return fmt.Sprintf("networkQualityLevelChanged %s: %d, was %s", n.ConnectionID, n.NewValue, old)
	case StreamRenewed:
		return fmt.Sprintf("forciblyReconnectSubscriber %s %s: %s", n.ConnectionID, n.StreamID, n.SDPOffer)
	case RoleChanged:
		return "connectionPropertyChanged role=" + roleNames[n.Role]
	case RecordChanged:
		return fmt.Sprintf("connectionPropertyChanged record=%v", n.Record)
	case RecordingStarted:
		return fmt.Sprintf("recordingStarted %s %s", n.ID, n.Name)
	case RecordingStopped:
		return fmt.Sprintf("recordingStopped %s %s %s", n.ID, n.Name, n.Reason)
	case VideoPaused:
		return fmt.Sprintf("videoPaused %s %s %s: %d, was %d, sent %v", n.ConnectionID, n.StreamID, n.SubscriptionID, n.Pause, n.Before, n.VideoActive)
	case StreamMuteForced:
		return "streamMuteForced " + n.StreamID
	case ForceMuteChanged:
		return fmt.Sprintf("forceMuteChanged %v", n.Active)
	}
	return fmt.Sprintf("%T", notification)
}

// shown returns a text that may not have been given.
func shown(text *string) string {
	if text == nil {
		return "null"
	}
	return *text
}

// refusal is why something is refused, in short.
type refusal string

const (
	forbidden      refusal = "forbidden"
	left           refusal = "left"
	closed         refusal = "closed"
	noParticipant  refusal = "no participant"
	noStream       refusal = "no stream"
	noSubscription refusal = "no subscription"
	noOffer        refusal = "no offer"
	tooManyStreams refusal = "too many streams"
	taken          refusal = "taken"
	overTheLimit   refusal = "over the limit"
	badSDP         refusal = "bad SDP"
	badCodec       refusal = "bad codec"
	badCandidate   refusal = "bad candidate"
)

func refusalOf(err error) refusal {
	var (
		missing   NotFoundError
		forbidsIt ForbiddenError
		conflict  ConflictError
		limit     LimitError
	)
	switch {
	case errors.As(err, &missing):
		return refusal("no " + missing.Kind.String())
	case errors.As(err, &forbidsIt):
		return forbidden
	case errors.As(err, &conflict):
		return taken
	case errors.As(err, &limit):
		return overTheLimit
	}
	for target, refused := range map[error]refusal{
		ErrLeft: left, ErrClosed: closed, ErrNoOffer: noOffer, ErrTooManyStreams: tooManyStreams, media.ErrSDP: badSDP,
		media.ErrForcedCodec: badCodec, media.ErrCodecRejected: badCodec, media.ErrCandidate: badCandidate,
	} {
		if errors.Is(err, target) {
			return refused
		}
	}
	return refusal(fmt.Sprint(err))
}

func wantRefusal(t *testing.T, err error, want refusal) {
	t.Helper()
	if got := refusalOf(err); got != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
}
