//go:build e2e

package peer

import (
	"math/rand/v2"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

func TestChromiumGetsFewerTemporalLayersOnASlowPath(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	b := openTab(t)
	b.publish(p, "publisher", 640, 480, []map[string]any{{"scalabilityMode": "L1T3", "maxBitrate": 600_000}})
	path := newBottleneck(t, e, nil)
	b.subscribe(e, p, "subscriber", media.SubscriptionOptions{})
	b.until("the picture moves", func() bool { return b.video("subscriber").FramesPerSecond >= 14 })
	b.during(3 * time.Second) // until the publisher sends all that it may
	p.Reception()
	b.during(2 * time.Second)
	r, _ := p.Reception()
	before := b.video("subscriber")
	path.kbps.Store(int64(r.VideoKbps*75/100 + 60)) // audio, and what two of three layers take
	took := b.until("fewer frames come", func() bool { return b.video("subscriber").FramesPerSecond <= before.FramesPerSecond*3/4 })
	slow := b.video("subscriber")
	b.during(4 * time.Second)
	slower := b.video("subscriber")
	t.Logf("%d kbps; after %v: %v frames a second instead of %v, %d in 4 s, frozen for %v s, %d requests for keyframes",
		r.VideoKbps, took,
		slow.FramesPerSecond, before.FramesPerSecond, slower.FramesDecoded-slow.FramesDecoded, slower.TotalFreezes-slow.TotalFreezes, slower.PLICount-before.PLICount)
	path.kbps.Store(0)
	took = b.until("all frames come again", func() bool { return b.video("subscriber").FramesPerSecond >= before.FramesPerSecond*9/10 })
	after := b.video("subscriber")
	t.Logf("all again after %v, %d requests for keyframes, %d decoded, %+v",
		took, after.PLICount-before.PLICount, after.KeyFramesDecoded-before.KeyFramesDecoded, e.Stats())
	if slower.FramesDecoded == slow.FramesDecoded || after.PLICount > before.PLICount {
		t.Errorf("%d frames in 4 s on the slow path, %d requests for keyframes", slower.FramesDecoded-slow.FramesDecoded, after.PLICount-before.PLICount)
	}
}

func TestChromiumOnAPathThatLosesPackets(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	b := openTab(t)
	b.publish(p, "publisher", 640, 480, nil)
	path := newBottleneck(t, e, nil)
	random := rand.New(rand.NewPCG(3, 4))
	path.dropDown = func([]byte) bool { return random.IntN(20) == 0 }
	path.delay = 25 * time.Millisecond
	b.subscribe(e, p, "subscriber", media.SubscriptionOptions{})
	b.until("the picture is shown", func() bool { return b.video("subscriber").FrameWidth == 640 })
	b.during(2 * time.Second) // until it is known how much is lost
	before, begin := b.video("subscriber"), e.Stats()
	b.during(8 * time.Second)
	after, end := b.video("subscriber"), e.Stats()
	t.Logf("%d frames, %d freezes of %v s, %d packets asked for, %d sent, %d lost, %d came, %d keyframes asked for", after.FramesDecoded-before.FramesDecoded,
		after.FreezeCount-before.FreezeCount, after.TotalFreezes-before.TotalFreezes, end.NACKsReceived-begin.NACKsReceived,
		end.Retransmitted-begin.Retransmitted, after.PacketsLost-before.PacketsLost, after.RetransmittedSeen-before.RetransmittedSeen,
		after.PLICount-before.PLICount)
	if after.PLICount > before.PLICount || after.FramesDecoded == before.FramesDecoded || end.NACKsReceived == begin.NACKsReceived {
		t.Errorf("%d frames, %d requests for keyframes, %d packets asked for", after.FramesDecoded-before.FramesDecoded, after.PLICount-before.PLICount,
			end.NACKsReceived-begin.NACKsReceived)
	}
}
