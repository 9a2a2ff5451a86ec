package sfu

import (
	"testing"

	"github.com/pion/rtcp"
)

// null is a connection that takes everything and keeps nothing.
type null struct{}

func (null) WriteRTP(packets []Outgoing) int { return len(packets) }
func (null) WriteRTCP([]rtcp.Packet) error   { return nil }

// BenchmarkForward measures one packet of 1200 bytes forwarded to 100 subscribers, without
// encryption and sockets.
func BenchmarkForward(b *testing.B) {
	const subscribers = 100
	r := newRoom(b, 0)
	for range subscribers {
		r.subscribe(epoch, func(c *ForwarderConfig) { c.Writer, c.TransportCC = null{}, 3 })
	}
	packet := raw(b, 0, 0, append(key(0), make([]byte, 1197)...)...)
	r.write(packet, epoch)
	sequence := uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		sequence++
		packet[2], packet[3] = byte(sequence>>8), byte(sequence)
		r.write(packet, epoch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*subscribers), "ns/forward")
	if got := r.counters.ForwardedPackets.Load(); got != uint64(b.N+1)*subscribers {
		b.Fatalf("%d packets forwarded", got)
	}
}

func TestForwardingDoesNotAllocate(t *testing.T) {
	r := newRoom(t, 0)
	for range 10 {
		r.subscribe(epoch, func(c *ForwarderConfig) { c.Writer, c.TransportCC = null{}, 3 })
	}
	packet := raw(t, 0, 0, append(key(0), make([]byte, 1197)...)...)
	sequence := uint16(0)
	step := func() {
		sequence++
		packet[2], packet[3] = byte(sequence>>8), byte(sequence)
		_ = r.layer.Write(packet, epoch)
	}
	for range 2 * videoRing {
		step()
	}
	// sync.Pool may be emptied by the collector at any time.
	if allocations := testing.AllocsPerRun(5000, step); allocations > 0.01 {
		t.Errorf("%v allocations per packet", allocations)
	}
}
