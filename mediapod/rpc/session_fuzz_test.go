package rpc

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"

	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// session plays what clients send to a server with one room, without a network: each message is handled before the next one comes.
type session struct {
	t       *testing.T
	server  *Server
	rooms   *room.Registry
	sockets map[string]*socket
	faults  []string
}

// nowhere is the transport of sockets that nobody reads.
type nowhere struct{}

func (nowhere) writeText(context.Context, []byte) error { return nil }
func (nowhere) confirm(context.Context) error           { return nil }
func (nowhere) drop(error)                              {}
func (nowhere) expended(int)                            {}
func (nowhere) linger(time.Duration)                    {}

func newSession(t *testing.T) *session {
	s := &session{t: t, sockets: make(map[string]*socket)}
	log := funcr.New(func(_, args string) {
		if strings.Contains(args, "Request panicked") {
			s.faults = append(s.faults, args)
		}
	}, funcr.Options{})
	s.rooms = room.NewRegistry(&mediatest.Engine{}, log)
	s.rooms.Apply(desired("A", "B", "M:moderator"))
	s.server = NewServer(Config{
		Rooms: s.rooms, Log: log, Observer: &counts{}, Limits: DefaultLimits(),
	})
	for _, name := range []string{"A", "B", "M"} {
		s.connect(name)
	}
	return s
}

// connect gives a client another socket.
func (s *session) connect(name string) {
	if before := s.sockets[name]; before != nil {
		if before.participant != nil {
			before.participant.Suspend(before.out)
		}
		s.server.addresses.leave(before.allowance.shared)
	}
	c := &socket{
		server: s.server, log: s.server.log, calls: newBacklog(), allowance: allowance{own: newBudget("connection", s.server.limits.Socket)},
		handshake: handshake{
			address: netip.MustParseAddr("192.0.2.1"), opened: time.Now(), key: "team.room",
			secrets: secretDigests(map[string][]string{HeaderSecretDigests: {digestHeader("secret")}}),
		},
	}
	c.allowance.shared = s.server.addresses.enter(c.handshake.address, c.handshake.opened)
	c.watchdog.start(func() {})
	c.watchdog.stop()
	c.out = newOutbox(nowhere{})
	s.sockets[name] = c
}

// play handles one line: a client's letter and a message, in which {A} stands for the stream of A; or "A lost" when a socket breaks. It is false when the
// client is thrown out.
func (s *session) play(line string) bool {
	name, message, _ := strings.Cut(line, " ")
	c, known := s.sockets[name]
	if !known {
		name, message, c = "A", line, s.sockets["A"]
	}
	if message == "lost" {
		s.connect(name)
		return true
	}
	message = s.withStreams(message)
	want := ""
	incoming, refused := decode([]byte(message))
	switch {
	case incoming.ID != nil:
		want = string(incoming.ID)
	case refused != nil && incoming.Method == "":
		want = "null"
	}
	if err := c.take([]byte(message), len(message)); err != nil {
		return false
	}
	s.work(c)
	var answers []string
	for _, out := range s.drain(c) {
		if id, answer := s.check(out); answer {
			answers = append(answers, id)
		}
	}
	if got := strings.Join(answers, " "); got != want {
		s.t.Fatalf("%s was answered %q, want %q", message, got, want)
	}
	return true
}

// work handles what waits.
func (s *session) work(c *socket) {
	for len(c.calls.waiting) > 0 { // nobody else has it
		incoming, _ := c.calls.next()
		c.handle(s.t.Context(), incoming)
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

// drain takes what is queued for a client.
func (s *session) drain(c *socket) []outgoing {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	queue := c.out.queue
	c.out.queue, c.out.queuedBytes = nil, 0
	return queue
}

// check looks at what a client gets, and returns the id of an answer.
func (s *session) check(out outgoing) (id string, answer bool) {
	data := out.answer
	if out.notification != nil {
		var err error
		if data, err = encodeNotification(out.notification); err != nil {
			s.t.Fatalf("%#v: %v", out.notification, err)
		}
	}
	var message map[string]json.RawMessage
	if err := json.Unmarshal(data, &message); err != nil || string(message["jsonrpc"]) != `"2.0"` {
		s.t.Fatalf("%q is no message: %v", data, err)
	}
	_, result := message["result"]
	_, failed := message["error"]
	if out.notification != nil {
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
	s.rooms.Stop(room.ReasonServerStopped)
	s.rooms.Wait()
	for _, c := range s.sockets {
		for _, out := range s.drain(c) {
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

// FuzzSession checks that whatever clients send, and in which order, nothing panics, each request that has an id is answered exactly once,
// and all that clients get is a message that they understand.
func FuzzSession(f *testing.F) {
	for _, seed := range sessions {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script string) {
		s := newSession(t)
		for line := range strings.Lines(script) {
			if !s.play(strings.TrimRight(line, "\n")) {
				break
			}
		}
		s.end()
		// The engine of tests panics when it is asked to.
		if len(s.faults) > 0 && !strings.Contains(script, mediatest.Panics) {
			t.Fatalf("panic: %s", s.faults)
		}
	})
}
