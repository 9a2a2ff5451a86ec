// Package opentok is the single authority on the client protocol for applications that were written
// for the OpenTok.js v2 API: JSON-RPC 2.0 over a WebSocket, the methods that this project's browser
// library calls, the notifications that it gets, and the names, reasons, codes and ids in them
// (docs/spec/opentok-rpc.md). A participant may send several streams, and receive one of them
// several times. What the methods mean for a room is package room's.
//
// The protocol is this project's own. The project has nothing to do with the vendor of OpenTok.
package opentok

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
	// Joined counts a connect and how long it took since the socket was opened.
	Joined(code int, took time.Duration)
	// Request counts any request and how long its answer took.
	Request(method string, code int, took time.Duration)
}

// Config is what a FrontEnd is made of.
type Config struct {
	Rooms    *room.Registry
	Log      logr.Logger
	Observer Observer
}

// FrontEnd lets clients into rooms. It is a signalling.Protocol.
type FrontEnd struct {
	config Config
}

// New returns a front end.
func New(config Config) *FrontEnd { return &FrontEnd{config} }

// Handler serves clients' WebSockets at podhttp.OpenTokPath, and the server's wishes for mute at
// podhttp.MutePattern, as package podhttp says.
func (f *FrontEnd) Handler(server *signalling.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+podhttp.OpenTokPath, server.RoomHandler(f.config.Rooms, f))
	mux.HandleFunc("POST "+podhttp.MutePattern, f.serveMute)
	return mux
}

// Open implements signalling.Protocol.
func (f *FrontEnd) Open(client signalling.Client, r *http.Request) signalling.Conversation {
	return &conversation{Config: f.config, client: client, key: r.URL.Query().Get("sessionId")}
}
