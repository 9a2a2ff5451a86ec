// Package rpc is the single authority on the OpenVidu client protocol on the wire: JSON-RPC 2.0 over a WebSocket, the methods that clients
// call, the notifications that they get, error codes and texts, and the limits of what a client may do. What the methods
// mean for a room is package room's.
package rpc

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// Observer counts. Its methods are called concurrently and must not block. A code is 0 for success, else that of the error.
type Observer interface {
	// Joined counts a joinRoom and how long it took since the socket was opened.
	Joined(code int, took time.Duration)
	// WrongSecret counts a secret in joinRoom that is not one of the tenant's.
	WrongSecret()
	// Request counts any request and how long its answer took.
	Request(method string, code int, took time.Duration)
}

// Config is what a Server is made of.
type Config struct {
	Rooms    *room.Registry
	Log      logr.Logger
	Observer Observer
	Limits   Limits
}

// Server lets clients in over WebSockets, and gateways send the server's signals. It is an http.Handler.
type Server struct {
	rooms     *room.Registry
	log       logr.Logger
	observer  Observer
	limits    Limits
	addresses *addresses
	lobby     *lobby
	routes    *http.ServeMux
	// life is when the server began, in milliseconds since 1970: no two servers that a room is on after each other have the same.
	life     int64
	expended atomic.Uint64 // notifications that clients can do without and that there was no space for

	// Every socket ends with this context.
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards what follows
	sockets int
	stopped bool
	idle    *sync.Cond // sockets has become 0
}

// NewServer returns a server. Close ends what it starts.
func NewServer(config Config) *Server {
	s := &Server{
		rooms:     config.Rooms,
		log:       config.Log,
		observer:  config.Observer,
		limits:    config.Limits,
		addresses: newAddresses(config.Limits.Address),
		lobby:     newLobby(config.Limits.Unjoined, config.Limits.UnjoinedPerAddress),
		life:      time.Now().UnixMilli(),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.idle = sync.NewCond(&s.mu)
	s.routes = http.NewServeMux()
	s.routes.HandleFunc("GET "+podhttp.OpenViduPath, s.serveClient)
	s.routes.HandleFunc("POST "+podhttp.SignalPattern, s.serveSignal)
	return s
}

// ServeHTTP implements http.Handler: clients' WebSockets and the server's signals, as package podhttp says.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.routes.ServeHTTP(w, r)
}

// serveClient upgrades to a WebSocket and serves that to its end.
func (s *Server) serveClient(w http.ResponseWriter, r *http.Request) {
	sockets, admitted := s.enter()
	if !admitted {
		http.Error(w, "this media pod takes no more connections", http.StatusServiceUnavailable)
		return
	}
	defer s.leave()

	// Any origin may connect, as with the reference: what lets a client in is its token.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		s.log.V(1).Info("Refused a handshake", "reason", err.Error())
		return
	}
	ws.SetReadLimit(oversizeFactor * s.limits.MessageBytes)
	told := podhttp.ReadClient(r)
	client := &socket{
		server: s,
		ws:     ws,
		log:    s.log,
		handshake: handshake{
			address: told.Address, opened: time.Now(), key: r.URL.Query().Get("sessionId"),
			secrets: podhttp.ParseSecretDigests(told.SecretDigests),
		},
		allowance: allowance{own: newBudget("connection", s.limits.Socket)},
		calls:     newBacklog(),
	}
	client.allowance.shared = s.addresses.enter(client.handshake.address, client.handshake.opened)
	defer s.addresses.leave(client.allowance.shared)
	if told.SharedAddress {
		client.allowance.shared = client.allowance.shared.alone()
	}
	if sockets > s.limits.Sockets || told.SessionWaiting {
		client.handshake.refusal = noMediaNode
	}
	client.out = newOutbox(client)
	err = client.serve(s.ctx)
	s.log.V(1).Info("Socket closed", "address", client.handshake.address.String(), "reason", err.Error())
}

// Sockets returns how many clients are connected.
func (s *Server) Sockets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sockets
}

// UnjoinedSockets returns how many clients are connected and have not joined a room.
func (s *Server) UnjoinedSockets() int { return s.lobby.waitingSockets() }

// Expended returns how many notifications were dropped since the start that clients can do without (room.Expendable), since they read too slowly.
func (s *Server) Expended() uint64 { return s.expended.Load() }

// Shutdown lets nobody connect any more, waits for the clients to go until the context ends, and then ends their sockets.
// It returns when all are closed.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()

	stop := context.AfterFunc(ctx, func() { s.cancel(errShutdown) })
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.sockets > 0 {
		s.idle.Wait()
	}
}

// enter counts a socket, unless there are far too many.
func (s *Server) enter() (sockets int, admitted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.sockets >= s.limits.Sockets+s.limits.Sockets/4+1 {
		return 0, false
	}
	s.sockets++
	return s.sockets, true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets--
	if s.sockets == 0 {
		s.idle.Broadcast()
	}
}

func noMediaNode(sessionID string) *Error {
	return refuse(codeNoMediaNode, "There is no available Media Node where to initialize session '%s'", sessionID)
}
