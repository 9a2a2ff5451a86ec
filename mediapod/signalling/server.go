// Package signalling is the single authority on the sockets of clients, whatever they say on them:
// the WebSocket server, what waits in either direction, who is silent for too long, and the limits
// of what a client may do. What is said is for a Protocol, which stands beside it.
//
//	client --WebSocket--> socket --Request--> Conversation --> room
//	       <------------- outbox <--Notification, answer----------
package signalling

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/internal/podhttp"
)

// Config is what a Server is made of.
type Config struct {
	Log    logr.Logger
	Limits Limits
}

// Server lets clients in over WebSockets.
type Server struct {
	log       logr.Logger
	limits    Limits
	addresses *addresses
	lobby     *lobby
	expended  atomic.Uint64 // notifications that clients can do without and that there was no space for

	// Every socket ends with this context.
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards what follows
	sockets int
	stopped bool
	idle    *sync.Cond // sockets has become 0
}

// NewServer returns a server. Shutdown ends what it starts.
func NewServer(config Config) *Server {
	s := &Server{
		log:       config.Log,
		limits:    config.Limits,
		addresses: newAddresses(config.Limits.Address),
		lobby:     newLobby(config.Limits.Unjoined, config.Limits.UnjoinedPerAddress),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.idle = sync.NewCond(&s.mu)
	return s
}

// Handler returns where the clients of a protocol connect.
func (s *Server) Handler(protocol Protocol) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(protocol, w, r) })
}

// serve upgrades to a WebSocket and serves that to its end.
func (s *Server) serve(protocol Protocol, w http.ResponseWriter, r *http.Request) {
	sockets, admitted := s.enter()
	if !admitted {
		http.Error(w, "this media pod takes no more connections", http.StatusServiceUnavailable)
		return
	}
	defer s.leave()

	told := podhttp.ReadClient(r)
	resumption, resumes := podhttp.ParseResumption(told.Resume)
	name := resumption.Socket
	if name == "" {
		name = rand.Text()
	}
	if told.Holds {
		w.Header().Set(podhttp.HeaderResume, podhttp.Resumption{Socket: name}.Text()) // it has not joined yet
	}
	// Any origin may connect, as with the reference: what lets a client in is its token.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		s.log.V(1).Info("Refused a handshake", "reason", err.Error())
		return
	}
	ws.SetReadLimit(oversizeFactor * s.limits.MessageBytes)
	client := &socket{
		server:    s,
		name:      name,
		ws:        ws,
		log:       s.log,
		address:   told.Address,
		opened:    time.Now(),
		unwelcome: sockets > s.limits.Sockets || told.SessionWaiting,
		holds:     told.Holds,
		tells:     told.Tells,
		allowance: allowance{own: newBudget("connection", s.limits.Socket)},
		backlog:   newBacklog(),
	}
	client.allowance.shared = s.addresses.enter(client.address, client.opened)
	defer s.addresses.leave(client.allowance.shared)
	if told.SharedAddress {
		client.allowance.shared = client.allowance.shared.alone()
	}
	if resumes {
		client.resumption = &resumption
	}
	client.conversation = protocol.Open(client, r)
	client.outbox = newOutbox(client, client.conversation.Encode)
	err = client.serve(s.ctx)
	s.log.V(1).Info("Socket closed", "address", client.address.String(), "reason", err.Error())
}

// Sockets returns how many clients are connected.
func (s *Server) Sockets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sockets
}

// UnjoinedSockets returns how many clients are connected and have not joined a room.
func (s *Server) UnjoinedSockets() int { return s.lobby.waitingSockets() }

// Expended returns how many notifications were dropped since the start that clients can do without
// (room.Expendable), since they read too slowly.
func (s *Server) Expended() uint64 { return s.expended.Load() }

// Refuse lets nobody connect any more.
func (s *Server) Refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// Shutdown lets nobody connect any more, waits for the clients to go until the context ends, and
// then ends their sockets. It returns when all are closed.
func (s *Server) Shutdown(ctx context.Context) {
	s.Refuse()
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
