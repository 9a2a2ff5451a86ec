package sfu

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/mediapod/rtp/bandwidth"
)

// heap returns how much is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemoryIsBounded has receivers that ask for everything, report nothing, are left out pictures
// of, and change layers, for many minutes.
func TestMemoryIsBounded(t *testing.T) {
	const receivers, size = 20, 1000
	before := heap()
	r := newRoom(t, 0)
	var subscribers []*Subscriber
	for i := range receivers {
		s, _ := r.subscribe(epoch, func(c *ForwarderConfig) { c.Writer, c.TransportCC = null{}, 3 })
		s.forwarders[Video].selector.Limit(uint8(i % 2))
		subscribers = append(subscribers, s)
	}
	now := epoch
	n := uint16(0)
	play := func(packets int) {
		packet := layered(t, 0, size)
		for range packets {
			n++
			copy(packet[2:], []byte{byte(n >> 8), byte(n)})
			copy(packet[12:], layered(t, n&0x7fff|2, 0)[12:]) // keyframes only at the start
			now = now.Add(5 * time.Millisecond)
			if n%1000 == 0 { // a loss
				continue
			}
			_ = r.layer.Write(packet, now)
			if n%100 != 0 {
				continue
			}
			r.publisher.Tick(now)
			r.upstream.take()
			for _, s := range subscribers {
				f := s.forwarders[Video]
				f.mu.Lock()
				newest, _ := f.rewriter.Newest()
				f.mu.Unlock()
				s.HandleRTCP(nackOf(newest, newest-1, newest-50), now)
				if n%5000 == 0 {
					s.HandleRTCP([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1000}}, now)
				}
			}
		}
	}
	if err := r.layer.Write(layered(t, 0, size), now); err != nil {
		t.Fatal(err)
	}
	play(10_000)
	filled := heap()
	play(60_000)
	grown := heap()
	runtime.KeepAlive(subscribers)
	const layer = videoRing * (size + 200)
	const perReceiver = 30_000 + int64(unsafe.Sizeof(bandwidth.Estimator{}))
	if most := layer + receivers*perReceiver; filled-before > most {
		t.Errorf("%d bytes for one layer and %d receivers, at most %d", filled-before, receivers, most)
	}
	if grown > filled+50_000 {
		t.Errorf("%d bytes more later", grown-filled)
	}
	t.Logf("%d bytes per receiver and a layer of %d", (filled-before-layer)/receivers, layer)
}
