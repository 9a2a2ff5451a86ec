package signalling_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// words is a client protocol of words on a line. A participant has several streams, whose ids are
// like camera@1, and names its subscriptions itself.
type words struct {
	rooms *room.Registry
}

// Open implements signalling.Protocol.
func (p words) Open(client signalling.Client, r *http.Request) signalling.Conversation {
	return &talk{words: p, client: client, key: r.URL.Query().Get("room")}
}

type talk struct {
	words
	client signalling.Client
	key    string
	self   *room.Participant
}

// Decode implements signalling.Conversation.
func (*talk) Decode(message []byte, _ bool) (signalling.Request, error) {
	said := strings.Fields(string(message))
	if len(said) == 0 {
		return signalling.Request{}, errors.New("nothing said")
	}
	return signalling.Request{Content: said, Ping: said[0] == "beat"}, nil
}

// Pong implements signalling.Conversation.
func (*talk) Pong(signalling.Request) []byte { return []byte("beat") }

// Refuse implements signalling.Conversation.
func (*talk) Refuse(_ signalling.Request, err error) []byte { return fmt.Append(nil, "refused: ", err) }

// Resume implements signalling.Conversation.
func (t *talk) Resume(privateID string) error {
	return t.rooms.ResumeUnnoticed(t.key, privateID, t.client, func(p *room.Participant) {
		t.self = p
		t.client.Joined(p)
	})
}

// Handle implements signalling.Conversation.
func (t *talk) Handle(ctx context.Context, incoming signalling.Request) {
	said, _ := incoming.Content.([]string)
	if err := t.do(ctx, append(said, "", "")); err != nil {
		t.client.Reply(t.Refuse(incoming, err))
	}
}

func (t *talk) do(ctx context.Context, said []string) error {
	done := func() { t.client.Reply([]byte("done")) }
	switch said[0] {
	case "join":
		where, _ := t.rooms.Lookup(t.key)
		return where.Join(room.JoinRequest{Token: said[1]}, t.client, func(joined room.Joined) {
			t.self = joined.Participant
			t.client.Joined(joined.Participant)
			done()
		})
	case "publish":
		request := room.PublishRequest{
			StreamID: said[1] + "@" + t.self.ConnectionID(), Options: room.StreamOptions{HasAudio: true}, SDPOffer: "offer", MaxStreams: 2,
		}
		return t.self.Publish(ctx, request, func(room.Stream, string) { done() })
	case "subscribe":
		if _, err := t.self.Subscribe(ctx, said[1], said[2]); err != nil {
			return err
		}
		return t.self.Answer(ctx, said[1], "answer", false, done)
	case "unsubscribe":
		defer done()
		return t.self.Unsubscribe(said[1])
	case "unpublish":
		defer done()
		return t.self.Unpublish(said[1])
	}
	return fmt.Errorf("no word %q", said[0])
}

// Encode implements signalling.Conversation.
func (*talk) Encode(notification room.Notification) ([][]byte, error) {
	switch n := notification.(type) {
	case room.ParticipantJoined:
		return [][]byte{fmt.Append(nil, "came ", n.Participant.ConnectionID)}, nil
	case room.ParticipantPublished:
		return [][]byte{fmt.Append(nil, "sends ", n.Stream.ID)}, nil
	case room.ParticipantUnpublished:
		return [][]byte{fmt.Append(nil, "ended ", n.StreamID)}, nil
	}
	return [][]byte{[]byte("something")}, nil
}

// talker is a client of the protocol.
type talker struct {
	t  *testing.T
	ws *websocket.Conn
}

// says sends a line and reads what comes, which must be as wanted.
func (c talker) says(line string, want ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	if line != "" {
		if err := c.ws.Write(ctx, websocket.MessageText, []byte(line)); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, expected := range want {
		_, got, err := c.ws.Read(ctx)
		if err != nil || string(got) != expected {
			c.t.Fatalf("after %q: got %q, %v, want %q", line, got, err, expected)
		}
	}
}

// A second protocol needs nothing of the first, and its participants do what those of the first
// can't: they send several streams, and receive one of them twice.
func TestASecondProtocolStandsBesideTheFirst(t *testing.T) {
	rooms := room.NewRegistry(&mediatest.Engine{}, logr.Discard())
	desired := room.Desired{UID: "uid", Key: "room"}
	for _, id := range []string{"1", "2"} {
		desired.Connections = append(desired.Connections, room.Connection{
			UID: id, ID: id, PrivateID: "private " + id, Token: sha256.Sum256([]byte("token" + id)), Role: room.Publisher,
		})
	}
	rooms.Apply(desired)
	server := signalling.NewServer(signalling.Config{Log: logr.Discard(), Limits: signalling.DefaultLimits()})
	listener := httptest.NewServer(server.Handler(words{rooms}))
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		server.Shutdown(ended)
		listener.Close()
		rooms.Stop()
		rooms.Wait()
	})
	connect := func() talker {
		ws, _, err := websocket.Dial(t.Context(), listener.URL+"?room=room", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws.CloseNow() })
		return talker{t, ws}
	}

	a, b := connect(), connect()
	a.says("beat", "beat")
	a.says("join token1", "done")
	a.says("join token1", "refused: token not valid")
	a.says("publish camera", "done")
	a.says("publish camera", `refused: there is a stream "camera@1" already`)
	b.says("join token2", "done")
	a.says("publish screen", "came 2", "done")
	a.says("publish third", "refused: participant sends as many streams as it may")
	b.says("subscribe small camera@1", "sends screen@1", "done")
	b.says("subscribe large camera@1", "done")
	b.says("subscribe board screen@1", "done")
	expect := func(published, received []string) {
		t.Helper()
		snapshot, _ := rooms.Snapshot("uid")
		var sent, got []string
		for _, s := range snapshot.Connections[0].Published {
			sent = append(sent, s.ID)
		}
		for _, r := range snapshot.Connections[1].Received {
			got = append(got, r.SubscriptionID+" "+r.StreamID)
		}
		if !slices.Equal(sent, published) || !slices.Equal(got, received) {
			t.Errorf("1 sends %q, 2 receives %q", sent, got)
		}
	}
	expect([]string{"camera@1", "screen@1"}, []string{"small camera@1", "large camera@1", "board screen@1"})
	b.says("unsubscribe small", "done")
	a.says("unpublish screen@1", "done")
	b.says("", "ended screen@1")
	expect([]string{"camera@1"}, []string{"large camera@1"})
}
