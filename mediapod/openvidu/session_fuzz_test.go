package openvidu

import (
	"encoding/json"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// session plays what clients send to a server with one room, without a network: each message is
// handled before the next one comes.
type session struct {
	t        *testing.T
	frontEnd *FrontEnd
	rooms    *room.Registry
	players  map[string]*player
	faults   []string
}

// player is a client without limits, and the conversation with it.
type player struct {
	*conversation
	participant *room.Participant

	mu    sync.Mutex
	queue []queued // what it gets, notifications of renewals beside answers
}

// queued is an answer or a notification.
type queued struct {
	answer       []byte
	notification room.Notification
}

func (p *player) Notify(n room.Notification) { p.put(queued{notification: n}) }

func (p *player) Reply(answer []byte) {
	if answer != nil {
		p.put(queued{answer: answer})
	}
}

func (p *player) put(q queued) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, q)
}

// drain takes what is queued.
func (p *player) drain() []queued {
	p.mu.Lock()
	defer p.mu.Unlock()
	queue := p.queue
	p.queue = nil
	return queue
}

func (p *player) ReplyInParts(answer signalling.LongAnswer) {
	var whole []byte
	for part, err := range answer.Parts {
		if err != nil {
			panic(err) // nothing of an answer can't be encoded
		}
		whole = append(whole, part...)
	}
	p.Reply(whole)
}

func (p *player) Release() []room.Notification {
	var missed []room.Notification
	for _, q := range p.drain() {
		if q.notification != nil {
			missed = append(missed, q.notification)
		}
	}
	return missed
}

func (p *player) Finish()                              {}
func (p *player) Move()                                { p.queue = nil }
func (p *player) Resumable(string, []byte)             {}
func (p *player) Address() netip.Addr                  { return netip.MustParseAddr("192.0.2.1") }
func (p *player) Name() string                         { return "" }
func (p *player) Opened() time.Time                    { return time.Now() }
func (p *player) Unwelcome() bool                      { return false }
func (p *player) Joined(participant *room.Participant) { p.participant = participant }
func (p *player) SpendJoin(int) error                  { return nil }
func (p *player) SpendSecret() (func(), error)         { return func() {}, nil }
func (p *player) Expel(error)                          {}

func newSession(t *testing.T) *session {
	s := &session{t: t, players: make(map[string]*player)}
	log := funcr.New(func(_, args string) {
		if strings.Contains(args, "Request panicked") {
			s.faults = append(s.faults, args)
		}
	}, funcr.Options{})
	s.rooms = room.NewRegistry(&mediatest.Engine{}, log)
	s.rooms.Apply(desired("A", "B", "M:moderator"))
	s.frontEnd = New(Config{Rooms: s.rooms, Log: log, Observer: &counts{}})
	for _, name := range []string{"A", "B", "M"} {
		s.connect(name)
	}
	return s
}

// connect gives a client another socket.
func (s *session) connect(name string) {
	if before := s.players[name]; before != nil && before.participant != nil {
		before.participant.Suspend(before)
	}
	c := &player{}
	c.conversation = &conversation{
		frontEnd: s.frontEnd, client: c, key: "team.room",
		secrets: podhttp.ParseSecretDigests(digestHeader("secret")),
	}
	s.players[name] = c
}

// play handles one line: a client's letter and a message, in which {A} stands for the stream of A;
// or "A lost" when a socket breaks.
func (s *session) play(line string) {
	name, message, _ := strings.Cut(line, " ")
	c, known := s.players[name]
	if !known {
		name, message, c = "A", line, s.players["A"]
	}
	if message == "lost" {
		s.connect(name)
		return
	}
	message = s.withStreams(message)
	want := ""
	decoded, refused := jsonrpc.Decode([]byte(message))
	switch {
	case decoded.ID != nil:
		want = string(decoded.ID)
	case refused != nil && decoded.Method == "":
		want = "null"
	}
	s.take(c, message)
	var answers []string
	for _, out := range c.drain() {
		if id, answer := s.check(out); answer {
			answers = append(answers, id)
		}
	}
	if got := strings.Join(answers, " "); got != want {
		s.t.Fatalf("%s was answered %q, want %q", message, got, want)
	}
}

// take does with a message what a socket does.
func (s *session) take(c *player, message string) {
	const limit = 1 << 20
	incoming, err := c.Decode([]byte(message), len(message) <= limit)
	if len(message) > limit {
		err = signalling.TooLargeError{Limit: limit}
	}
	incoming.Received = time.Now()
	switch {
	case err != nil:
		c.Reply(c.Refuse(incoming, err))
	case incoming.Ping:
		c.Reply(c.Pong(incoming))
	default:
		c.Handle(s.t.Context(), incoming)
	}
}

func (s *session) withStreams(message string) string {
	snapshot, _ := s.rooms.Snapshot("uid")
	for _, connection := range snapshot.Connections {
		for _, stream := range connection.Published {
			message = strings.ReplaceAll(message, "{"+strings.TrimPrefix(connection.UID, "uid-")+"}", stream.ID)
		}
	}
	return message
}

// check looks at what a client gets, and returns the id of an answer.
func (s *session) check(out queued) (id string, answer bool) {
	if out.notification == nil {
		return s.checkMessage(out.answer, false)
	}
	told, err := encodeNotification(out.notification)
	if err != nil {
		s.t.Fatalf("%#v: %v", out.notification, err)
	}
	for _, data := range told {
		s.checkMessage(data, true)
	}
	return "", false
}

// checkMessage is check for one message, a notification or an answer.
func (s *session) checkMessage(data []byte, isNotification bool) (id string, answer bool) {
	var message map[string]json.RawMessage
	if err := json.Unmarshal(data, &message); err != nil || string(message["jsonrpc"]) != `"2.0"` {
		s.t.Fatalf("%q is no message: %v", data, err)
	}
	_, result := message["result"]
	_, failed := message["error"]
	if isNotification {
		if message["method"] == nil || message["params"] == nil || message["id"] != nil {
			s.t.Fatalf("%q is no notification", data)
		}
		return "", false
	}
	if result == failed || message["id"] == nil {
		s.t.Fatalf("%q is no answer", data)
	}
	return string(message["id"]), true
}

// end closes everything.
func (s *session) end() {
	s.rooms.Stop()
	s.rooms.Wait()
	for _, c := range s.players {
		for _, out := range c.drain() {
			s.check(out)
		}
	}
}

const (
	joinA       = `{"jsonrpc":"2.0","method":"joinRoom","params":{"token":"wss://h?sessionId=team.room&token=tok_A","session":"team.room","platform":"x","metadata":"a","secret":"","recorder":false,"stt":false},"id":1}`
	joinB       = `{"jsonrpc":"2.0","method":"joinRoom","params":{"token":"wss://h?sessionId=team.room&token=tok_B","session":"team.room","metadata":"{\"clientData\":1}"},"id":1}`
	joinM       = `{"jsonrpc":"2.0","method":"joinRoom","params":{"token":"wss://h?sessionId=team.room&token=tok_M","session":"team.room"},"id":1}`
	recorder    = `{"jsonrpc":"2.0","method":"joinRoom","params":{"token":"x","session":"team.room","secret":"secret","recorder":true},"id":1}`
	publishing  = `{"jsonrpc":"2.0","method":"publishVideo","params":{"sdpOffer":"offer","doLoopback":false,"hasAudio":true,"hasVideo":true,"audioActive":true,"videoActive":true,"typeOfVideo":"CAMERA","frameRate":30,"videoDimensions":"{\"width\":640}"},"id":2}`
	candidateOf = `{"jsonrpc":"2.0","method":"onIceCandidate","params":{"endpointName":"con_A","candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0},"id":3}`
)

// sessions are what the fuzzer begins with: something of every method, alone and with others.
var sessions = []string{
	"A " + `{"jsonrpc":"2.0","method":"ping","params":{"interval":5000},"id":0}` + "\nA " + joinA + "\nA " + `{"jsonrpc":"2.0","method":"leaveRoom","params":{},"id":2}`,
	"A " + joinA + "\nB " + joinB + "\nA " + publishing + "\nA " + candidateOf +
		"\nB " + `{"jsonrpc":"2.0","method":"prepareReceiveVideoFrom","params":{"sender":"{A}","reconnect":false},"id":4}` +
		"\nB " + `{"jsonrpc":"2.0","method":"receiveVideoFrom","params":{"sender":"{A}","sdpAnswer":"answer"},"id":5}` +
		"\nB " + candidateOf +
		"\nB " + `{"jsonrpc":"2.0","method":"reconnectStream","params":{"stream":"{A}","sdpString":"answer","forciblyReconnect":true},"id":6}` +
		"\nA " + `{"jsonrpc":"2.0","method":"reconnectStream","params":{"stream":"{A}","sdpString":"offer"},"id":6}` +
		"\nB " + `{"jsonrpc":"2.0","method":"unsubscribeFromVideo","params":{"sender":"con_A"},"id":7}` +
		"\nA " + `{"jsonrpc":"2.0","method":"unpublishVideo","params":{},"id":8}`,
	"A " + joinA + "\nM " + joinM + "\nA " + publishing +
		"\nA " + `{"jsonrpc":"2.0","method":"streamPropertyChanged","params":{"streamId":"{A}","property":"videoDimensions","newValue":"{\"width\":1}","reason":"deviceRotated"},"id":3}` +
		"\nA " + `{"jsonrpc":"2.0","method":"streamPropertyChanged","params":{"streamId":"{A}","property":"audioActive","newValue":false,"reason":"publishAudio"},"id":4}` +
		"\nM " + `{"jsonrpc":"2.0","method":"forceUnpublish","params":{"streamId":"{A}"},"id":5}` +
		"\nM " + `{"jsonrpc":"2.0","method":"forceDisconnect","params":{"connectionId":"con_A"},"id":6}`,
	"A " + joinA + "\nB " + recorder + "\nA " + `{"jsonrpc":"2.0","method":"sendMessage","params":{"message":"{\"to\":[\"RECORDER\"],\"data\":\"x\",\"type\":\"signal:x\"}"},"id":3}` +
		"\nA lost\nB lost\nA " + `{"jsonrpc":"2.0","method":"connect","params":{"sessionId":"rpc-A","reconnect":true},"id":4}` +
		"\nA " + `{"jsonrpc":"2.0","method":"echo","params":{},"id":5}` +
		"\nA " + `{"jsonrpc":"2.0","method":"videoData","params":{"height":1,"width":2,"videoActive":true,"audioActive":true},"id":6}` +
		"\nA " + `{"jsonrpc":"2.0","method":"closeSession","id":7}`,
	"A " + joinA + "\nA " + `{"jsonrpc":"2.0","method":"applyFilter","params":{"streamId":"x","type":"y","options":"{}"},"id":"f"}` +
		"\nA " + `{"jsonrpc":"2.0","method":"removeFilter","params":{},"id":-1}` + "\nA " + `{"jsonrpc":"2.0","method":"execFilterMethod","id":1.5}` +
		"\nA " + `{"jsonrpc":"2.0","method":"addFilterEventListener","id":3}` + "\nA " + `{"jsonrpc":"2.0","method":"removeFilterEventListener","id":4}` +
		"\nA " + `{"jsonrpc":"2.0","method":"subscribeToSpeechToText","id":5}` + "\nA " + `{"jsonrpc":"2.0","method":"unsubscribeFromSpeechToText","id":6}`,
	"A []\nA {\nA null\nB " + `{"jsonrpc":"1.0","method":"echo","id":1}` + "\nB " + `{"jsonrpc":"2.0","method":"nothing","params":[],"id":1}`,
}

// FuzzSession checks that whatever clients send, and in which order, nothing panics, each request
// that has an id is answered exactly once, and all that clients get is a message that they
// understand.
func FuzzSession(f *testing.F) {
	for _, seed := range sessions {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script string) {
		s := newSession(t)
		for line := range strings.Lines(script) {
			s.play(strings.TrimRight(line, "\n"))
		}
		s.end()
		// The engine of tests panics when it is asked to.
		if len(s.faults) > 0 && !strings.Contains(script, mediatest.Panics) {
			t.Fatalf("panic: %s", s.faults)
		}
	})
}
