// Package openvidu is the single authority on the OpenVidu client protocol: JSON-RPC 2.0 over a
// WebSocket, the methods that clients call, the notifications that they get, the ids, codes and
// texts that they know, and its rule that a participant has one stream and receives one of each
// other. What the methods mean for a room is package room's.
package openvidu

import (
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
	mux.Handle("GET "+podhttp.OpenViduPath, server.RoomHandler(f.rooms, f))
	mux.HandleFunc("POST "+podhttp.SignalPattern, f.serveSignal)
	return mux
}

// Open implements signalling.Protocol.
func (f *FrontEnd) Open(client signalling.Client, r *http.Request) signalling.Conversation {
	told := podhttp.ReadClient(r)
	return &conversation{
		frontEnd: f, client: client, key: r.URL.Query().Get("sessionId"), secrets: podhttp.ParseSecretDigests(told.SecretDigests), held: told.Held,
	}
}
