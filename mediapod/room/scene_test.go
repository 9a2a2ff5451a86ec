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
	"testing"
	"time"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
)

// scene is a room with users named by a letter, and a transcript of what each does and is told.
type scene struct {
	t        *testing.T
	engine   *mediatest.Engine
	registry *Registry
	desired  Desired
	users    map[string]*user

	mu         sync.Mutex // guards transcript
	transcript strings.Builder
}

// user is a client: it acts through its participant and is told through its link.
type user struct {
	*Participant
	link *recorder
}

// recorder is a Link that writes down what comes.
type recorder struct {
	scene *scene
	name  string

	mu       sync.Mutex // guards what follows
	unread   []Notification
	reading  bool // what comes is written down and received; else it stays on its way
	released bool
	finished bool
}

// newScene makes a room with a connection per name: "A" is a publisher, "A:moderator" has that role.
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
		s.registry.Stop(ReasonServerStopped)
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
		UID:          "uid-" + name,
		ID:           "con_" + name,
		Token:        digest("tok_" + name),
		RPCSessionID: "rpc-" + name,
		Role:         map[string]Role{"": Publisher, "moderator": Moderator, "subscriber": Subscriber}[role],
		ServerData:   "server " + name,
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
		s.write("  %s <- joined as %s; there: %s", name, joined.Role, strings.Join(others, ", "))
	})
	if err != nil {
		s.t.Fatalf("%s joining: %v", name, err)
	}
	s.users[name] = u
	return u
}

// intrude joins by the server's secret, under a name that starts with I.
func (s *scene) intrude(name string, admission Admission) *user {
	s.t.Helper()
	s.write("%s joins by the secret", name)
	room, found := s.registry.Lookup(s.desired.Key)
	if !found {
		s.t.Fatal("no such room")
	}
	u := &user{link: &recorder{scene: s, name: name, reading: true}}
	s.must(room.Join(JoinRequest{Admission: admission, Client: Client{Metadata: "client " + name}}, u.link, func(joined Joined) {
		u.Participant = joined.Participant
		var others []string
		for _, other := range joined.Others {
			others = append(others, describe(other))
		}
		id := joined.Self.ConnectionID
		if admission == BySecret {
			id = "a new connection"
		}
		s.write("  %s <- joined as %s %s; there: %s", name, id, joined.Role, strings.Join(others, ", "))
	}))
	s.users[name] = u
	return u
}

func describe(a Announcement) string {
	if a.Stream == nil {
		return a.ConnectionID
	}
	return fmt.Sprintf("%s with %s audio=%v video=%v %s", a.ConnectionID, a.Stream.ID, a.Stream.AudioActive, a.Stream.VideoActive, a.Stream.VideoDimensions)
}

// camera is what a user with camera and microphone announces.
var camera = StreamOptions{HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "CAMERA", FrameRate: 30, VideoDimensions: `{"width":640,"height":480}`}

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

// Notify implements Link.
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

// Release implements Link.
func (r *recorder) Release() []Notification {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.released = true
	return r.unread
}

// Finish implements Link.
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
	case StreamPropertyChanged:
		return fmt.Sprintf("streamPropertyChanged %s %s %s=%s %s", n.ConnectionID, n.StreamID, n.Change.Property, n.Change.NewValue, n.Change.Reason)
	case NetworkQualityLevelChanged:
		old := "nothing"
		if n.OldValue != nil {
			old = strconv.Itoa(*n.OldValue)
		}
		return fmt.Sprintf("networkQualityLevelChanged %s: %d, was %s", n.ConnectionID, n.NewValue, old)
	case ForciblyReconnectSubscriber:
		return fmt.Sprintf("forciblyReconnectSubscriber %s %s: %s", n.ConnectionID, n.StreamID, n.SDPOffer)
	case ConnectionPropertyChanged:
		return fmt.Sprintf("connectionPropertyChanged %s=%s", n.Property, n.NewValue)
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

func wantCode(t *testing.T, err error, code Code) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != code {
		t.Errorf("got %v, want code %d", err, code)
	}
}
