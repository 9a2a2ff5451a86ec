package peer

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// bottleneck is a network path between clients and an engine, for the packets to all clients
// together: what exceeds its capacity waits, and what would wait too long is lost.
type bottleneck struct {
	outside *net.UDPConn // where clients send to
	engine  netip.AddrPort
	kbps    atomic.Int64 // towards clients; 0 is no limit
	buffer  time.Duration
	dropUp  func(packet []byte) bool // loses packets from clients; nil: none

	// Set before anybody connects.
	dropDown func(packet []byte) bool // loses packets to clients; nil: none. It is called by one goroutine per client.
	delay    time.Duration            // of packets to clients

	mu      sync.Mutex // guards the fields below
	flows   map[netip.AddrPort]*net.UDPConn
	freeAt  time.Time
	running sync.WaitGroup
	closed  bool
}

// newBottleneck puts a path in front of an engine: peers are told its address from now on.
func newBottleneck(t testing.TB, e *Engine, dropUp func(packet []byte) bool) *bottleneck {
	t.Helper()
	at := (*e.addresses.Load())[0].IP
	outside, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
	if err != nil {
		t.Fatal(err)
	}
	b := &bottleneck{
		outside: outside, buffer: 300 * time.Millisecond, dropUp: dropUp,
		engine: netip.AddrPortFrom(at, e.UDPPort()),
		flows:  map[netip.AddrPort]*net.UDPConn{},
	}
	e.SetAdvertisedAddresses([]Address{{IP: b.engine.Addr(), UDPPort: uint16(outside.LocalAddr().(*net.UDPAddr).Port)}})
	b.running.Go(b.up)
	t.Cleanup(func() {
		b.mu.Lock()
		b.closed = true
		for _, flow := range b.flows {
			_ = flow.Close()
		}
		b.mu.Unlock()
		_ = outside.Close()
		b.running.Wait()
	})
	return b
}

// up passes packets of clients to the engine, those of each client from a socket of its own.
func (b *bottleneck) up() {
	buffer := make([]byte, 2000)
	for {
		n, from, err := b.outside.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		flow := b.flow(from)
		if flow == nil || b.dropUp != nil && b.dropUp(buffer[:n]) {
			continue
		}
		_, _ = flow.Write(buffer[:n])
	}
}

func (b *bottleneck) flow(client netip.AddrPort) *net.UDPConn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if flow := b.flows[client]; flow != nil || b.closed {
		return flow
	}
	flow, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(b.engine))
	if err != nil {
		return nil
	}
	b.flows[client] = flow
	b.running.Go(func() { b.down(flow, client) })
	return flow
}

// down passes packets of the engine to one client.
func (b *bottleneck) down(flow *net.UDPConn, client netip.AddrPort) {
	for {
		packet := make([]byte, 2000)
		n, err := flow.Read(packet)
		if err != nil {
			return
		}
		now := time.Now()
		wait, lost := b.wait(n, now)
		wait += b.delay
		switch {
		case lost, b.dropDown != nil && b.dropDown(packet[:n]):
		case wait <= 0:
			_, _ = b.outside.WriteToUDPAddrPort(packet[:n], client)
		default:
			time.AfterFunc(wait, func() { _, _ = b.outside.WriteToUDPAddrPort(packet[:n], client) })
		}
	}
}

// wait returns how long a packet is under way.
func (b *bottleneck) wait(bytes int, now time.Time) (time.Duration, bool) {
	kbps := b.kbps.Load()
	if kbps == 0 {
		return 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.freeAt.Before(now) {
		b.freeAt = now
	}
	if b.freeAt.Sub(now) > b.buffer {
		return 0, true
	}
	b.freeAt = b.freeAt.Add(time.Duration(bytes*8) * time.Millisecond / time.Duration(kbps))
	return b.freeAt.Sub(now), false
}
