package tap

import (
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
	"mediarooms.dev/mediarooms/mediapod/sfu"
)

// BenchmarkTap measures one packet of 1200 bytes on its way through a tap, in bursts of three, with
// the encoding of the messages, and without the connection.
func BenchmarkTap(b *testing.B) {
	const burst, batch = 3, 20
	var lost atomic.Uint64
	s := &Service{budget: NewBudget(1 << 30)}
	t := &tap{service: s, history: newHistory(s.budget, time.Hour, &lost)}
	in := &sink{tap: t, video: 1}
	packets := make([]sfu.Outgoing, burst)
	for i := range packets {
		packets[i].Payload = make([]byte, 1200)
	}
	var at cursor
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		in.WriteRTP(sfu.Video, "VP8", packets)
		if n%batch > 0 {
			continue
		}
		records, _ := t.history.read(&at, 1<<20)
		if _, err := proto.Marshal(&tapv1.Records{Records: records}); err != nil {
			b.Fatal(err)
		}
		t.history.acknowledge(at.position)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/packet")
}
