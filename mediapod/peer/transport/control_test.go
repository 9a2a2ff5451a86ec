package transport

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"

	"mediarooms.dev/mediarooms/mediapod/rtp/compound"
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
	c.receive(append(plain, packet...), route{})
	c.receive(append(plain, packet...), route{}) // again
	packet[20] ^= 1
	c.receive(append(plain, packet...), route{}) // forged
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
			packets = feedbackPackets(b, remote, 500)
			c.keys.Load().budget = compound.NewBudget(compound.ReceiverPacketsPerSecond)
			b.StartTimer()
		}
		c.receive(packets[0], route{})
		packets = packets[1:]
	}
}

// reportOf seals a bitrate limit that a peer sends by the given SSRC.
func reportOf(t testing.TB, remote *srtp.Context, ssrc uint32) []byte {
	t.Helper()
	raw, err := (&rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: ssrc, Bitrate: 1e6}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := remote.EncryptRTCP(nil, raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	return append(make([]byte, 0, 2000), sealed...)
}

func TestAPeerWithTooManySSRCsIsClosed(t *testing.T) {
	c, remote, _, others := newControlled(t)
	var reasons []error
	c.events.Ended = func(reason error) { reasons = append(reasons, reason) }
	forged := reportOf(t, remote, 999)
	forged[len(forged)-6] ^= 1
	for i := range uint32(MaxSSRCs) {
		c.receive(reportOf(t, remote, i), route{})
		c.receive(append([]byte(nil), forged...), route{})
	}
	if *others != MaxSSRCs || len(reasons) != 0 {
		t.Errorf("%d of %d reports count, and it ended by %v", *others, MaxSSRCs, reasons)
	}
	for i := range uint32(1000) {
		c.receive(reportOf(t, remote, MaxSSRCs+i), route{})
	}
	if len(reasons) != 1 || !errors.Is(reasons[0], ErrSSRCs) {
		t.Errorf("it ended by %v", reasons)
	}
	if n := len(c.keys.Load().senders); n != MaxSSRCs || *others != MaxSSRCs {
		t.Errorf("%d SSRCs are kept, %d reports count", n, *others)
	}
}

func TestAPeerThatFloodsIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, remote := testKeys(t, srtp.ProtectionProfileAeadAes128Gcm)
		counted := 0
		var reasons []error
		c := &Conn{cancel: func() {}, events: Events{
			Control: func([]rtcp.Packet) { counted++ }, Feedback: func([]byte) {}, Ended: func(reason error) { reasons = append(reasons, reason) },
		}}
		c.keys.Store(k)
		for range 60 * compound.ReceiverPacketsPerSecond { // all that is allowed, for a minute
			c.receive(reportOf(t, remote, 1), route{})
			time.Sleep(time.Second / compound.ReceiverPacketsPerSecond)
		}
		if counted != 60*compound.ReceiverPacketsPerSecond || len(reasons) != 0 {
			t.Errorf("%d packets count, and it ended by %v", counted, reasons)
		}
		counted = 0
		const most = compound.Saved * compound.ReceiverPacketsPerSecond
		for range most + 1000 {
			c.receive(reportOf(t, remote, 1), route{})
		}
		if counted > most || len(reasons) != 0 {
			t.Errorf("%d packets at once count, and it ended by %v", counted, reasons)
		}
		for range compound.MaxDropped {
			c.receive(reportOf(t, remote, 1), route{})
		}
		if counted > most || len(reasons) != 1 || !errors.Is(reasons[0], ErrLimit) {
			t.Errorf("%d packets count, and it ended by %v", counted, reasons)
		}
	})
}

func TestOneReportOfAPacketCounts(t *testing.T) {
	c, _, feedback, _ := newControlled(t)
	part := []byte{0x8f, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	c.events.control(slices.Repeat(part, 70))
	if *feedback != 1 {
		t.Errorf("%d reports of one packet are read", *feedback)
	}
}

// record makes a DTLS record.
func record(kind byte, epoch byte, body ...byte) []byte {
	return append([]byte{kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0xff, 0xff, 0, byte(len(body))}, body...)
}

func TestOnceThereAreKeysNothingInTheClearCounts(t *testing.T) {
	alert := record(21, 0, 2, 40)
	both := slices.Concat(record(22, 0, 1, 2, 3), record(20, 0, 1), record(22, 1, 4, 5), alert)
	c, _, _, _ := newControlled(t)
	k := c.keys.Load()
	got := func(packet []byte) []byte {
		t.Helper()
		c.receive(bytes.Clone(packet), route{})
		b, n := make([]byte, maxReceived), 0
		if c.dtls.endpoint.received.Count() > 0 {
			n, _ = c.dtls.endpoint.received.Read(b)
		}
		return b[:n]
	}
	c.keys.Store(nil)
	for _, packet := range [][]byte{alert, both} {
		if g := got(packet); !bytes.Equal(g, packet) {
			t.Errorf("before: %x of %x", g, packet)
		}
	}
	c.keys.Store(k)
	for _, test := range []struct{ packet, want []byte }{
		{alert, nil},
		{both, record(22, 1, 4, 5)},
		{record(21, 1, 9, 9), record(21, 1, 9, 9)},
		{record(21, 2, 9, 9), nil},
		{record(23, 1, 1, 2, 3)[:15], nil},
	} {
		if g := got(test.packet); !bytes.Equal(g, test.want) {
			t.Errorf("%x of %x, want %x", g, test.packet, test.want)
		}
	}
}
