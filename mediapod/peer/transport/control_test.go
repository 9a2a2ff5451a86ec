package transport

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

// feedbackPackets seals n packets of transport-wide feedback.
func feedbackPackets(t testing.TB, remote *srtp.Context, n int) [][]byte {
	t.Helper()
	report := rtcp.TransportLayerCC{
		Header:            rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 5},
		PacketStatusCount: 2,
		PacketChunks:      []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 2}},
		RecvDeltas: []*rtcp.RecvDelta{
			{Type: rtcp.TypeTCCPacketReceivedSmallDelta}, {Type: rtcp.TypeTCCPacketReceivedSmallDelta, Delta: 250},
		},
	}
	raw, err := report.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var sealed [][]byte
	for range n {
		packet, err := remote.EncryptRTCP(nil, raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		sealed = append(sealed, packet)
	}
	return sealed
}

func newControlled(t testing.TB) (c *Conn, remote *srtp.Context, feedback, others *int) {
	t.Helper()
	s := newSockets(t, "127.0.0.1")
	feedback, others = new(int), new(int)
	c = newConn(t, s)
	c.events.Feedback = func([]byte) { *feedback++ }
	c.events.Control = func(packets []rtcp.Packet) { *others += len(packets) }
	k, remote := testKeys(t, srtp.ProtectionProfileAeadAes128Gcm)
	c.keys.Store(k)
	return c, remote, feedback, others
}

func TestControlIsTakenApart(t *testing.T) {
	c, remote, feedback, others := newControlled(t)
	limit, err := (&rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: 7, Bitrate: 1e6}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	loss, err := (&rtcp.PictureLossIndication{SenderSSRC: 7, MediaSSRC: 8}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	plain := make([]byte, 0, 2000)
	sealed := feedbackPackets(t, remote, 1)[0]
	opened, err := c.keys.Load().open(append(plain, sealed...), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	compound := append(append(append(limit, opened...), loss...), 0x80, 200, 0, 99) // the last part is cut off
	packet, err := remote.EncryptRTCP(nil, compound, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.receive(append(plain, packet...))
	c.receive(append(plain, packet...)) // again
	packet[20] ^= 1
	c.receive(append(plain, packet...)) // forged
	if *feedback != 1 || *others != 2 {
		t.Errorf("%d packets of feedback and %d others", *feedback, *others)
	}
}

// BenchmarkFeedback measures a packet of transport-wide feedback, from the socket to the estimator.
func BenchmarkFeedback(b *testing.B) {
	c, remote, _, _ := newControlled(b)
	var packets [][]byte
	b.ReportAllocs()
	for b.Loop() {
		if len(packets) == 0 {
			b.StopTimer()
			packets = feedbackPackets(b, remote, 1000)
			b.StartTimer()
		}
		c.receive(packets[0])
		packets = packets[1:]
	}
}
