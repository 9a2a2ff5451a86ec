package route

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// errMustNotice means that a pod does not go on with a client that knows nothing of the change.
var errMustNotice = errors.New("the client has to reconnect by itself")

// successor finds the pod that goes on with a client whose socket the gateway keeps. The pod is
// looked for as for a reconnection of the client.
type successor struct {
	handshake handshake
	address   atomic.Pointer[string] // of the pod that has the client, or had it last
}

func newSuccessor(h handshake, address string) *successor {
	s := &successor{handshake: h}
	s.address.Store(&address)
	return s
}

// attach returns the connection to the next pod, after its handshake.
func (s *successor) attach(ctx context.Context, resumption string) (pod io.ReadWriteCloser, err error) {
	h := s.handshake
	h.reconnect, h.resumption, h.arrived = true, resumption, time.Now()
	err = h.route(ctx, func(address string, _ bool) error {
		response, err := h.ask(ctx, address, false)
		if err != nil {
			return err
		}
		connection, accepted := response.Body.(io.ReadWriteCloser)
		if response.StatusCode != http.StatusSwitchingProtocols || !accepted {
			_ = response.Body.Close()
			return fmt.Errorf("resuming at the media pod at %s: status %d: %w", address, response.StatusCode, errMustNotice)
		}
		s.address.Store(&address)
		pod = connection
		return nil
	})
	s.handshake.handler.metrics.resumed(err)
	logr.FromContextOrDiscard(ctx).V(1).Info("Looked for the next media pod of a client", "address", *s.address.Load(), "found", err == nil, "took", time.Since(h.arrived).String())
	return pod, err
}

// moved reports whether the room is on another pod by now.
func (s *successor) moved(ctx context.Context) bool {
	room, err := s.handshake.handler.rooms.Find(ctx, s.handshake.key)
	return err == nil && room.Known && room.Programmed && room.Address != "" && room.Address != *s.address.Load()
}
