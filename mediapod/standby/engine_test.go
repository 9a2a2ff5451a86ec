package standby

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	standbyv1 "mediarooms.dev/mediarooms/internal/standby/v1"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer"
	"mediarooms.dev/mediarooms/mediapod/standby/lease"
	"mediarooms.dev/mediarooms/test/network"
	"mediarooms.dev/mediarooms/test/wait"
)

// pod is an engine that others can follow.
type pod struct {
	*Engine

	t       *testing.T
	address string
	server  *grpc.Server
	wire    *network.Wire // to the server
	gone    chan string   // rooms that it was to let go
}

func startPod(t *testing.T, ca *mtlstest.Authority) *pod {
	t.Helper()
	server, err := mtls.Server(ca.Directory(t, mtls.MediaPod), mtls.MediaPod)
	if err != nil {
		t.Fatal(err)
	}
	client, err := mtls.Client(ca.Directory(t, mtls.MediaPod), mtls.MediaPod)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := peer.NewEngine(peer.Config{Logger: logr.Discard(), ListenIP: netip.MustParseAddr("127.0.0.1"), TCPPort: -1})
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{t: t, address: listener.Addr().String(), wire: network.NewWire(), gone: make(chan string, 8)}
	p.Engine = NewEngine(inner, Config{
		Log: logr.Discard(), Credentials: credentials.NewTLS(client),
		ControlPort: func() int { return listener.Addr().(*net.TCPAddr).Port },
		LetGo:       func(room string) { p.gone <- room },
	})
	p.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(server)))
	standbyv1.RegisterStandbyServer(p.server, &Service{Engine: p.Engine})
	serving := make(chan struct{})
	go func() {
		defer close(serving)
		_ = p.server.Serve(p.wire.Listener(listener))
	}()
	t.Cleanup(func() {
		p.wire.Cut(false)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		p.server.Stop()
		<-serving
	})
	return p
}

// becomes waits until a pod says how it stands as the standby of a room.
func (p *pod) becomes(room string, want State) {
	p.t.Helper()
	deadline := time.After(20 * time.Second)
	for p.Status(room).State != want {
		select {
		case <-p.Changed():
			p.TakeChanged()
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			p.t.Fatalf("the standby is %v, want %v", p.Status(room), want)
		}
	}
}

func secret(of byte) []byte { return slices.Repeat([]byte{of}, 32) }

// protected gives a room of one pod a standby, and both the secrets that are said.
func protected(first, second *pod, own, shown byte) {
	first.Protect("room", &Standby{PodUID: "second", Addresses: []peer.Address{{IP: netip.MustParseAddr("127.0.0.1"), UDPPort: second.UDPPort()}}, Secret: secret(own)})
	second.Follow("room", Primary{PodUID: "first", Address: first.address, Secret: secret(shown)})
}

func TestOnlyWhoKnowsTheSecretFollows(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second := startPod(t, ca), startPod(t, ca)
	protected(first, second, 1, 2)
	second.becomes("room", Behind)
	refused := func() bool {
		first.mu.Lock()
		defer first.mu.Unlock()
		return first.rooms["room"].guard.link == nil
	}
	// The next secret is the right one: the first was refused, or it would follow by that.
	first.Protect("room", &Standby{PodUID: "second", Secret: secret(3)})
	if !refused() {
		t.Error("a wrong secret is as good as the right one")
	}
	second.Follow("room", Primary{PodUID: "first", Address: first.address, Secret: secret(3)})
	second.becomes("room", Ready)
}

// The operator may have told the standby before it has told the pod that serves the room.
func TestAStandbyAsksAgain(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second := startPod(t, ca), startPod(t, ca)
	second.Follow("room", Primary{PodUID: "first", Address: first.address, Secret: secret(1)})
	second.becomes("room", Behind)
	first.Protect("room", &Standby{PodUID: "second", Secret: secret(1)})
	second.becomes("room", Ready)
}

func TestARoomWithoutAStandbyIsFree(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second := startPod(t, ca), startPod(t, ca)
	protected(first, second, 1, 1)
	second.becomes("room", Ready)
	first.Protect("room", nil)
	second.becomes("room", Behind)
	deadline := time.After(20 * time.Second)
	for {
		first.mu.Lock()
		known := first.rooms["room"]
		first.mu.Unlock()
		if known == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the former standby counts for ever")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if len(first.gone) > 0 {
		t.Error("the room was let go")
	}
}

func TestARoomIsUnfollowed(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second := startPod(t, ca), startPod(t, ca)
	protected(first, second, 1, 1)
	second.becomes("room", Ready)
	second.Unfollow("room")
	if state := second.Status("room").State; state != None {
		t.Errorf("it is %v", state)
	}
	protected(first, second, 1, 1)
	second.becomes("room", Ready)
	second.Keep(map[string]bool{"room": true})
	if state := second.Status("room").State; state != Ready {
		t.Errorf("what is named is %v", state)
	}
	second.Keep(map[string]bool{"another": true})
	if state := second.Status("room").State; state != None {
		t.Errorf("what is not named is %v", state)
	}
}

// A pod hands a room over that it is to serve no longer, and knows so.
func TestARoomIsHandedOver(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second := startPod(t, ca), startPod(t, ca)
	protected(first, second, 1, 1)
	publication := first.NewPublication(media.PublicationOptions{Room: "room", StreamID: "stream", HasAudio: true})
	second.becomes("room", Ready)
	first.HandOver(t.Context())
	second.becomes("room", Serving)
	if cause := second.Status("room").Cause; cause != CauseMoved {
		t.Errorf("the cause is %q", cause)
	}
	if got := <-first.gone; got != "room" {
		t.Errorf("%q was let go", got)
	}
	if !first.IsLostTo("room", "second") || first.IsLostTo("room", "third") {
		t.Error("the pod does not know whom the room was lost to")
	}
	if err := publication.Close(); err != nil {
		t.Error(err)
	}
	// Nobody was connected: there is nothing to go on with.
	if _, resumed := second.Resume(media.PublicationOptions{Room: "room", StreamID: "stream"}); resumed {
		t.Error("a stream without a connection goes on")
	}
	second.Served("room")
	if state := second.Status("room").State; state != None {
		t.Errorf("what is served is %v", state)
	}
}

// What is remembered of a room is known to the standby as it is at last, also what has come before
// there was one.
func TestWhatIsRememberedComesAlong(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second := startPod(t, ca), startPod(t, ca)
	first.Remember("room", "before", []byte("1"))
	first.Remember("another", "name", []byte("1"))
	protected(first, second, 1, 1)
	second.becomes("room", Ready)
	first.Remember("room", "changed", []byte("1"))
	first.Remember("room", "changed", []byte("2"))
	first.Remember("room", "forgotten", []byte("1"))
	first.Remember("room", "forgotten", nil)
	first.Remember("room", "never known", nil)
	if got := second.Remembered("room"); got != nil {
		t.Errorf("before it was taken over it is %q", got)
	}
	first.HandOver(t.Context())
	second.becomes("room", Serving)
	want := map[string]media.Memory{"before": media.Memory("1"), "changed": media.Memory("2")}
	if got := second.Remembered("room"); !reflect.DeepEqual(got, want) {
		t.Errorf("it is %q, want %q", got, want)
	}
	second.Served("room")
	if got := second.Remembered("room"); got != nil {
		t.Errorf("once it is served it is %q", got)
	}

	// The room may not know yet that it was lost; it may come back.
	first.Remember("room", "late", []byte("1"))
	if !first.IsLostTo("room", "second") {
		t.Error("by what a lost room does it counts as served")
	}
	first.Serve(t.Context(), "room")
	first.Remember("room", "late", []byte("1"))
	if first.IsLostTo("room", "second") || len(first.rooms["room"].items) != 1 {
		t.Error("a room that is back is not served")
	}
}

// What the next stream does not say is not remembered any more.
func TestWhatIsRememberedIsSaidAnew(t *testing.T) {
	f := newFollowed("room", &follower{}, secret(1))
	f.take(&standbyv1.Media{Uid: "room", Memory: "stays", State: []byte("1")})
	f.take(&standbyv1.Media{Uid: "room", Memory: "ends", State: []byte("1")})
	f.complete(&lease.Acks{})
	f.restart()
	if len(f.memories) != 2 {
		t.Errorf("the break left %v", f.memories)
	}
	f.take(&standbyv1.Media{Uid: "room", Memory: "stays", State: []byte("2")})
	f.complete(&lease.Acks{})
	if len(f.memories) != 1 || string(f.memories["stays"].value) != "2" {
		t.Errorf("the next stream made it %v", f.memories)
	}
	f.take(&standbyv1.Media{Uid: "room", Memory: "stays", Gone: true})
	if len(f.memories) != 0 {
		t.Errorf("what is gone left %v", f.memories)
	}
}

// offer is what a browser offers that publishes sound and a picture.
var offer = strings.ReplaceAll(`v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 `+strings.TrimSuffix(strings.Repeat("00:", 32), ":")+`
a=setup:actpass
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=sendonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
`, "\n", "\r\n")

// The standby knows what a client does not want: it sends that neither, before it is told of the
// room.
func TestWhatIsWithheldIsKnownToTheStandby(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second := startPod(t, ca), startPod(t, ca)
	first.SetAdvertisedAddresses([]peer.Address{{IP: netip.MustParseAddr("127.0.0.1"), UDPPort: first.UDPPort()}})
	protected(first, second, 1, 1)
	p := first.NewPublication(media.PublicationOptions{Room: "room", StreamID: "stream", HasAudio: true, HasVideo: true})
	if _, err := p.Answer(t.Context(), offer); err != nil {
		t.Fatal(err)
	}
	s, _, err := first.Subscribe(t.Context(), p, media.SubscriptionOptions{Participant: "B", ID: "A"})
	if err != nil {
		t.Fatal(err)
	}
	second.becomes("room", Ready)
	for _, wanted := range []media.Delivery{{NoVideo: true}, {NoAudio: true, MaxSize: media.Dimensions{Width: 320, Height: 180}, MaxFrameRate: 7}, {}} {
		s.Deliver(wanted)
		wait.For(t, 20*time.Second, "the standby knows", func() error {
			second.mu.Lock()
			f := second.followed["room"]
			second.mu.Unlock()
			f.mu.Lock()
			defer f.mu.Unlock()
			known := f.subscriptions[key{stream: "stream", participant: "B", subscription: "A"}]
			if known == nil {
				return errUnknown
			}
			if got := known.Export().Delivery; got != wanted {
				return fmt.Errorf("it is to deliver %+v, want %+v", got, wanted)
			}
			return nil
		})
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// The process of the other pod has ended when nobody listens there any more.
func TestTheEndOfAProcessIsSeen(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second := startPod(t, ca), startPod(t, ca)
	protected(first, second, 1, 1)
	second.becomes("room", Ready)
	first.server.Stop()
	second.becomes("room", Serving)
	if cause := second.Status("room").Cause; cause != CauseEnded {
		t.Errorf("the cause is %q", cause)
	}
}

// addressed is an item that notes what a client has sent to the standby.
type addressed struct {
	shareable
	got chan string
}

func (a *addressed) TakeRelayed(name string, packet []byte) { a.got <- name + " " + string(packet) }

func TestWhatAClientSendsToTheStandbyReachesItsPod(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second := startPod(t, ca), startPod(t, ca)
	protected(first, second, 1, 1)
	got := make(chan string, 8)
	at := key{stream: "stream"}
	for _, room := range []string{"room", "of another standby"} {
		p := first.NewPublication(media.PublicationOptions{Room: room, StreamID: at.stream, HasAudio: true})
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		first.mu.Lock()
		first.rooms[room].items[at] = &addressed{first.rooms[room].items[at], got}
		first.mu.Unlock()
	}
	second.becomes("room", Ready)
	second.mu.Lock()
	f := second.followed["room"]
	second.mu.Unlock()
	(&followed{uid: "of another standby", from: f.from}).relay(at)("foreign", []byte("packet"))
	f.relay(key{stream: "unknown"})("foreign", []byte("packet"))
	packet := []byte("packet")
	f.relay(at)("its own", packet)
	packet[0] = '-' // it is not kept
	select {
	case what := <-got:
		if what != "its own packet" {
			t.Errorf("%q came", what)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing came")
	}
}

// What is known of a client's way is not forgotten when the stream breaks: some clients tell it
// only once.
func TestConnectionsStayWhenTheStreamBreaks(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	p := startPod(t, ca)
	f := newFollowed("room", &follower{engine: p.Engine, rooms: map[string]*followed{}, wake: make(chan struct{}, 1)}, secret(1))
	say := func(stream string) {
		t.Helper()
		raw, err := json.Marshal(publicationState{Options: media.PublicationOptions{Room: "room", StreamID: stream, HasAudio: true}})
		if err != nil {
			t.Fatal(err)
		}
		f.take(&standbyv1.Media{Uid: "room", StreamId: stream, State: raw})
	}
	say("stays")
	say("ends")
	f.complete(&lease.Acks{})
	stays := f.publications["stays"]
	f.restart()
	if f.publications["stays"] != stays || f.publications["ends"] == nil {
		t.Errorf("the break left %v", f.publications)
	}
	say("stays")
	say("new")
	f.complete(&lease.Acks{})
	if f.publications["stays"] != stays || f.publications["ends"] != nil || f.publications["new"] == nil {
		t.Errorf("the next stream made it %v", f.publications)
	}
	f.leave()
	if len(f.publications) != 0 {
		t.Errorf("%d publications are left", len(f.publications))
	}
}
