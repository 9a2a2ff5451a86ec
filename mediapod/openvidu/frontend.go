// Package openvidu is the single authority on the OpenVidu client protocol: JSON-RPC 2.0 over a
// WebSocket, the methods that clients call, the notifications that they get, the ids, codes and
// texts that they know, and its rule that a participant has one stream and receives one of each
// other. What the methods mean for a room is package room's.
package openvidu

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// Observer counts. Its methods are called concurrently and must not block. A code is 0 for success,
// else that of the error.
type Observer interface {
	// Joined counts a joinRoom and how long it took since the socket was opened.
	Joined(code int, took time.Duration)
	// WrongSecret counts a secret in joinRoom that is not one of the tenant's.
	WrongSecret()
	// Request counts any request and how long its answer took.
	Request(method string, code int, took time.Duration)
}

// Config is what a FrontEnd is made of.
type Config struct {
	Rooms    *room.Registry
	Log      logr.Logger
	Observer Observer
}

// FrontEnd lets clients of OpenVidu into rooms, and gateways send the server's signals. It is a
// signalling.Protocol.
type FrontEnd struct {
	rooms    *room.Registry
	log      logr.Logger
	observer Observer
	// life is when the front end began, in milliseconds since 1970: no two pods that a room is on
	// after each other have the same.
	life int64
}

// New returns a front end.
func New(config Config) *FrontEnd {
	return &FrontEnd{rooms: config.Rooms, log: config.Log, observer: config.Observer, life: time.Now().UnixMilli()}
}

// Handler serves clients' WebSockets and the server's signals, as package podhttp says.
func (f *FrontEnd) Handler(server *signalling.Server) http.Handler {
	mux := http.NewServeMux()
	sockets := server.Handler(f)
	mux.HandleFunc("GET "+podhttp.OpenViduPath, func(w http.ResponseWriter, r *http.Request) {
		if f.rooms.Moved(r.URL.Query().Get("sessionId")) {
			http.Error(w, "the session is on another media pod", http.StatusServiceUnavailable)
			return
		}
		if status := f.resumable(r); status != http.StatusOK {
			http.Error(w, "the client can't be resumed", status)
			return
		}
		sockets.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST "+podhttp.SignalPattern, f.serveSignal)
	return mux
}

// resumable returns with which status to refuse a handshake by which a gateway resumes a client, or
// OK. Of a conflict the client must know, so it has to lose its socket; an unavailable room may
// come here.
func (f *FrontEnd) resumable(r *http.Request) int {
	text := podhttp.ReadClient(r).Resume
	if text == "" {
		return http.StatusOK
	}
	resumption, valid := podhttp.ParseResumption(text)
	if !valid {
		return http.StatusConflict
	}
	switch err := f.rooms.Unnoticed(r.URL.Query().Get("sessionId"), resumption.PrivateID); {
	case errors.Is(err, room.ErrNotYet):
		return http.StatusServiceUnavailable
	case err != nil:
		return http.StatusConflict
	}
	return http.StatusOK
}

// Open implements signalling.Protocol.
func (f *FrontEnd) Open(client signalling.Client, r *http.Request) signalling.Conversation {
	told := podhttp.ReadClient(r)
	return &conversation{
		frontEnd: f, client: client, key: r.URL.Query().Get("sessionId"), secrets: podhttp.ParseSecretDigests(told.SecretDigests), held: told.Held,
	}
}
