package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// secret is what must never be seen outside of the page's memory.
const secret = "tok_Ssecret0secret0secret0se"

// private is the connection's other secret.
const private = "privateprivateprivateprivate"

// signalling is a gateway with the real page and, in place of a media pod, a room that does what a
// test says. It carries no media.
type signalling struct {
	server *httptest.Server

	mu      sync.Mutex // guards what follows
	refuse  bool       // refuse WebSockets
	refused int        // WebSockets
	silent  bool       // never answer joinRoom
	refusal *refusal   // answer joinRoom with it
	gone    bool       // answer connect with 40007
	role    string
	others  []string // names of others that are in the room
	publish *refusal // answer publishVideo with it
	mute    *refusal // answer sendMessage with it
	header  http.Header
	sockets map[*websocket.Conn]struct{}
	joins   []string // tokens of joinRoom
	written []string // messages of sendMessage
	asked   []string // what the page was asked for with
}

type refusal struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func newSignalling(t *testing.T) *signalling {
	t.Helper()
	s := &signalling{role: "PUBLISHER", header: http.Header{}, sockets: map[*websocket.Conn]struct{}{}}
	page := builtHandler(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/openvidu", s.accept)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.set(func(s *signalling) { s.asked = append(s.asked, r.RequestURI+" "+r.Referer()) })
		page.ServeHTTP(&overriding{ResponseWriter: w, header: s.header}, r)
	})
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	t.Cleanup(s.drop)
	return s
}

// overriding replaces headers of an answer.
type overriding struct {
	http.ResponseWriter
	header http.Header
}

func (o *overriding) WriteHeader(status int) {
	for name := range o.header {
		o.Header().Set(name, o.header.Get(name))
	}
	o.ResponseWriter.WriteHeader(status)
}

// url is the page's address. The name localhost makes it a secure context.
func (s *signalling) url(query string) string {
	return strings.Replace(s.server.URL, "127.0.0.1", "localhost", 1) + "/" + query
}

func (s *signalling) host() string {
	return strings.TrimPrefix(strings.TrimSuffix(s.url(""), "/"), "http://")
}

// invitation is the page's address with a token.
func (s *signalling) invitation() string { return s.url("#" + s.parameter()) }

// oldInvitation is what such an address was before: what is in it is told to everybody on the way.
func (s *signalling) oldInvitation() string { return s.url("?" + s.parameter()) }

func (s *signalling) parameter() string {
	return "token=ws%3A%2F%2F" + strings.ReplaceAll(s.host(), ":", "%3A") + "%3FsessionId%3Ddemo%26token%3D" + secret
}

// set changes what the room does.
func (s *signalling) set(change func(*signalling)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *signalling) accept(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	refuse := s.refuse
	if refuse {
		s.refused++
	}
	s.mu.Unlock()
	if refuse {
		http.Error(w, "no pod", http.StatusServiceUnavailable)
		return
	}
	socket, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	socket.SetReadLimit(1 << 20)
	s.set(func(s *signalling) { s.sockets[socket] = struct{}{} })
	for {
		_, message, err := socket.Read(r.Context())
		if err != nil {
			s.set(func(s *signalling) { delete(s.sockets, socket) })
			return
		}
		if answer := s.answer(message); answer != nil {
			if err := socket.Write(r.Context(), websocket.MessageText, answer); err != nil {
				return
			}
		}
	}
}

// answer is what a room answers, nil for nothing.
func (s *signalling) answer(message []byte) []byte {
	var request struct {
		ID     int             `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(message, &request); err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var refused *refusal
	var result any = struct{}{}
	switch request.Method {
	case "ping":
		result = map[string]string{"value": "pong"}
	case "joinRoom":
		var params struct {
			Token string `json:"token"`
		}
		if err := json.Unmarshal(request.Params, &params); err != nil {
			return nil
		}
		s.joins = append(s.joins, params.Token)
		if s.silent {
			return nil
		}
		refused = s.refusal
		if refused != nil {
			refused = &refusal{Code: refused.Code, Message: strings.ReplaceAll(refused.Message, "TOKEN", params.Token)}
		}
		result = s.joined()
	case "connect":
		if s.gone {
			refused = &refusal{Code: 40007, Message: "reconnection error"}
		}
		result = map[string]string{"value": "reconnection successful", "sessionId": private}
	case "sendMessage":
		var params struct {
			Message string `json:"message"`
		}
		if err := json.Unmarshal(request.Params, &params); err != nil {
			return nil
		}
		s.written = append(s.written, params.Message)
		refused = s.mute
	case "publishVideo":
		var params struct {
			Offer string `json:"sdpOffer"`
		}
		if err := json.Unmarshal(request.Params, &params); err != nil {
			return nil
		}
		refused = s.publish
		result = map[string]any{"sdpAnswer": mirror(params.Offer), "id": "str_CAM_self", "createdAt": 1}
	}
	reply := map[string]any{"jsonrpc": "2.0", "id": request.ID, "result": result}
	if refused != nil {
		delete(reply, "result")
		reply["error"] = refused
	}
	encoded, err := json.Marshal(reply)
	if err != nil {
		return nil
	}
	return encoded
}

func (s *signalling) joined() any {
	others := []any{}
	for i, name := range s.others {
		metadata, err := json.Marshal(map[string]string{"clientData": name})
		if err != nil {
			return nil
		}
		others = append(others, map[string]any{"id": fmt.Sprintf("con_other%d", i), "createdAt": 1, "metadata": string(metadata)})
	}
	return map[string]any{
		"id": "con_self", "createdAt": 1, "metadata": `{"clientData":"Ada Lovelace"}`, "value": others, "session": "demo",
		"sessionId": private, "role": s.role, "record": true, "version": "2.32.0", "mediaServer": "mediasoup",
		"videoSimulcast": false, "finalUserId": "A", "customIceServers": []any{map[string]string{"url": "stun:stun.invalid"}},
	}
}

var notMirrored = regexp.MustCompile(`(?m)^a=(ssrc|ssrc-group|msid|candidate|simulcast|rid|extmap-allow-mixed)\b.*\r\n`)

// mirror makes an answer of an offer that a browser accepts. No media will flow.
func mirror(offer string) string {
	answer := notMirrored.ReplaceAllString(offer, "")
	return strings.NewReplacer("a=setup:actpass", "a=setup:passive", "a=sendonly", "a=recvonly", "a=sendrecv", "a=recvonly").Replace(answer)
}

// refusals is how many WebSockets were refused.
func (s *signalling) refusals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// tell sends a notification to everybody.
func (s *signalling) tell(t *testing.T, method string, params any) {
	t.Helper()
	message, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for socket := range s.sockets {
		if err := socket.Write(context.Background(), websocket.MessageText, message); err != nil {
			t.Error(err)
		}
	}
}

// drop breaks all sockets.
func (s *signalling) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for socket := range s.sockets {
		// It is to look like a broken connection.
		_ = socket.CloseNow()
	}
}
