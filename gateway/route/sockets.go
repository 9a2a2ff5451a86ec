package route

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// sockets knows every handshake and carried WebSocket, bounds their number, and ends them when the
// gateway stops. Safe for concurrent use.
type sockets struct {
	maxTotal      int
	maxPerAddress int

	mu         sync.Mutex // guards what follows
	next       int
	open       map[int]context.CancelFunc // socket -> what ends it
	perAddress map[netip.Prefix]int       // client -> its sockets
	closing    bool
	idle       chan struct{} // closed when closing and none is open
}

func newSockets(maxTotal, maxPerAddress int) *sockets {
	return &sockets{
		maxTotal:      maxTotal,
		maxPerAddress: maxPerAddress,
		open:          map[int]context.CancelFunc{},
		perAddress:    map[netip.Prefix]int{},
		idle:          make(chan struct{}),
	}
}

// add takes in a socket. One of no client counts in the total only. It returns a context that ends
// with the socket, and what to call when the socket has ended; or the reason for a refusal.
func (s *sockets) add(ctx context.Context, client netip.Prefix) (context.Context, func(), refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return nil, nil, refusedStopping
	case s.maxTotal > 0 && len(s.open) >= s.maxTotal:
		return nil, nil, refusedTotal
	case s.maxPerAddress > 0 && client.IsValid() && s.perAddress[client] >= s.maxPerAddress:
		return nil, nil, refusedAddress
	}
	socket := s.next
	s.next++
	ctx, cancel := context.WithCancel(ctx)
	s.open[socket] = cancel
	s.perAddress[client]++
	return ctx, func() {
		cancel()
		s.remove(socket, client)
	}, ""
}

func (s *sockets) remove(socket int, client netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, socket)
	if s.perAddress[client]--; s.perAddress[client] == 0 {
		delete(s.perAddress, client)
	}
	if s.closing && len(s.open) == 0 {
		close(s.idle)
	}
}

// drain takes no more sockets and ends those that are open, evenly over a while, so that their
// clients do not all come back to the other gateways at once. It returns when none is left, or when
// the context ends, and then ends the rest.
func (s *sockets) drain(ctx context.Context, over time.Duration) {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return
	}
	s.closing = true
	ends := make([]context.CancelFunc, 0, len(s.open))
	for _, end := range s.open {
		ends = append(ends, end)
	}
	if len(s.open) == 0 {
		close(s.idle)
	}
	s.mu.Unlock()

	if len(ends) > 0 {
		ticker := time.NewTicker(max(over/time.Duration(len(ends)), time.Microsecond))
		defer ticker.Stop()
		for _, end := range ends {
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
			end()
		}
	}
	select {
	case <-s.idle:
	case <-ctx.Done():
	}
}
