package roomclient

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Conditions are those of a network path. The zero value is a perfect one.
type Conditions struct {
	// Loss is the share of packets towards the client that are lost, from 0 to 1, at random.
	// Nothing that the client sends is lost.
	Loss float64
	// Delay is how long each packet takes, one way, in both directions.
	Delay time.Duration
	// Kbps bounds what comes to each client, IP and UDP headers included; 0 is no limit. What
	// exceeds it waits, at most for Queue, and is lost when it would have to wait longer.
	Kbps  int
	Queue time.Duration
}

// Path is the network path of the sockets of one Media, which it makes worse than it is: as a
// network emulator between them and the server would. Its methods are safe for concurrent use.
type Path struct {
	conditions atomic.Pointer[Conditions]
}

// NewPath returns a path.
func NewPath(conditions Conditions) *Path {
	p := &Path{}
	p.Set(conditions)
	return p
}

// Set changes the conditions for packets from now on.
func (p *Path) Set(conditions Conditions) { p.conditions.Store(&conditions) }

// ipUDP are the headers' bytes.
const ipUDP = 28

// queued are the packets that an impaired socket holds at most.
const queued = 8192

// impaired is a socket behind a Path. A goroutine takes packets from the real socket at once; they
// wait in a queue.
type impaired struct {
	socket *socket
	path   *Path
	queue  chan held
	closed chan struct{}
	once   sync.Once
	random *rand.Rand // of take
	freeAt time.Time  // of take: when the link has carried all that was queued
}

// held is a packet on its way.
type held struct {
	packet []byte
	from   netip.AddrPort
	due    time.Time
}

func newImpaired(s *socket, path *Path) *impaired {
	i := &impaired{
		socket: s, path: path, queue: make(chan held, queued), closed: make(chan struct{}),
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
	go i.take()
	return i
}

func (i *impaired) close() { i.once.Do(func() { close(i.closed) }) }

// take receives until the socket is closed.
func (i *impaired) take() {
	defer close(i.queue)
	buffer := make([]byte, largestPacket)
	for {
		n, from, at, err := i.socket.receive(buffer)
		if err != nil {
			return
		}
		due, lost := i.pass(n, at)
		if lost {
			continue
		}
		select {
		case i.queue <- held{packet: append([]byte(nil), buffer[:n]...), from: from, due: due}:
		default: // as if the link's queue were full
		}
	}
}

// pass tells when a packet that comes to the link at a time has passed it, or that it is lost.
func (i *impaired) pass(bytes int, at time.Time) (time.Time, bool) {
	c := i.path.conditions.Load()
	if c.Loss > 0 && i.random.Float64() < c.Loss {
		return time.Time{}, true
	}
	if i.freeAt.Before(at) {
		i.freeAt = at
	}
	if c.Kbps > 0 {
		if i.freeAt.Sub(at) > c.Queue {
			return time.Time{}, true
		}
		i.freeAt = i.freeAt.Add(time.Duration((bytes+ipUDP)*8) * time.Millisecond / time.Duration(c.Kbps))
	}
	return i.freeAt.Add(c.Delay), false
}

// read waits for the next packet.
func (i *impaired) read(b []byte) (int, netip.AddrPort, time.Time, error) {
	h, open := <-i.queue
	if !open {
		return 0, netip.AddrPort{}, time.Time{}, net.ErrClosed
	}
	if wait := time.Until(h.due); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-i.closed:
			return 0, netip.AddrPort{}, time.Time{}, net.ErrClosed
		}
	}
	return copy(b, h.packet), h.from, time.Now(), nil
}

// write sends a packet after the path's delay.
func (i *impaired) write(b []byte, to netip.AddrPort) (int, error) {
	delay := i.path.conditions.Load().Delay
	if delay <= 0 {
		return i.socket.WriteToUDPAddrPort(b, to)
	}
	packet := append([]byte(nil), b...)
	time.AfterFunc(delay, func() { _, _ = i.socket.WriteToUDPAddrPort(packet, to) }) // it may be closed meanwhile
	return len(b), nil
}
