package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"

	"mediarooms.dev/mediarooms/mediapod/sfu"
	"mediarooms.dev/mediarooms/test/cost"
)

// sink takes what is sent to a subscriber.
type sink struct{}

func (sink) WriteRTP(packets []sfu.Outgoing) int { return len(packets) }
func (sink) WriteRTCP([]rtcp.Packet) error       { return nil }

const streamSSRC = 0x1111

// subscribed makes a connection whose RTCP goes to a subscriber that has got 300 packets.
func subscribed(t testing.TB, c *Conn) {
	t.Helper()
	now := time.Now()
	stream := sfu.NewPublisher(&sfu.Counters{}, 0)
	t.Cleanup(stream.Close)
	layer, err := stream.Track(sfu.Video).NewFeed().Publish(sfu.LayerConfig{
		PayloadType: 96, Codec: sfu.Codec{Name: "VP8", ClockRate: 90_000}, Feedback: sink{},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	subscriber, err := stream.Subscribe(sink{})
	if err != nil {
		t.Fatal(err)
	}
	err = subscriber.Forward(sfu.Video, sfu.ForwarderConfig{
		SSRC: streamSSRC, RTXSSRC: 0x2222, ClockRate: 90_000, TransportCC: 1, Writer: sink{},
		Codecs: map[string]sfu.PayloadTypes{"VP8": {Media: 96, RTX: 97}},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint16(300) {
		body := append([]byte{0x10, byte(min(i, 1))}, make([]byte, 100)...)
		raw, err := (&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: i}, Payload: body}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		layer.WriteBurst([][]byte{raw}, now)
	}
	c.events.Control = func(packets []rtcp.Packet) { subscriber.HandleRTCP(packets, time.Now()) }
	c.events.Feedback = func(raw []byte) { subscriber.HandleFeedback(raw, time.Now()) }
}

// hostileCompounds are packets of RTCP of the largest size that goes over UDP.
func hostileCompounds() map[string][]byte {
	const most = 1400
	fill := func(part []byte) []byte { return slices.Repeat(part, most/len(part)) }
	one := func(kind, count byte, start, element []byte) []byte {
		part := append([]byte{0x80 | count, kind, 0, 0}, start...)
		for len(part)+len(element) <= most {
			part = append(part, element...)
		}
		part = append(part, make([]byte, -len(part)&3)...)
		binary.BigEndian.PutUint16(part[2:], uint16(len(part)/4-1))
		return part
	}
	sender, media := []byte{0, 0, 0, 1}, []byte{0, 0, 0x11, 0x11}
	feedback := func(symbol byte) []byte {
		part := []byte{0x8f, 205, 0, 8, 0, 0, 0, 1, 0, 0, 0x11, 0x11, 0, 0, 0xff, 0xf8, 0, 0, 0, 0}
		for range 8 {
			part = append(part, symbol<<5|0x1f, 0xff)
		}
		return part
	}
	both := slices.Concat(sender, media)
	return map[string][]byte{
		"reports that packets were lost":  fill(feedback(0)),
		"reports that packets came":       fill(feedback(1)),
		"reports without times":           fill(feedback(3)),
		"the least parts":                 fill([]byte{0x80, 201, 0, 0}),
		"parts of no kind":                fill([]byte{0x80, 222, 0, 1, 0, 0, 0, 1}),
		"requests of packets":             one(205, 1, both, []byte{0, 17, 0xff, 0xff}),
		"many requests of packets":        fill(slices.Concat([]byte{0x81, 205, 0, 3}, both, []byte{0, 17, 0xff, 0xff})),
		"requests of keyframes":           fill(slices.Concat([]byte{0x81, 206, 0, 2}, both)),
		"full intra requests":             one(206, 4, slices.Concat(sender, []byte{0, 0, 0, 0}), slices.Concat([]byte{0, 0, 0x11, 0x11}, []byte{0, 0, 0, 0})),
		"a bitrate limit":                 one(206, 15, slices.Concat(sender, []byte{0, 0, 0, 0}, []byte("REMB"), []byte{255, 0, 1, 0}), media),
		"extended reports":                one(207, 0, sender, []byte{4, 0, 0, 0}),
		"descriptions":                    one(202, 31, nil, []byte{0, 0, 0, 1, 1, 0, 0, 0}),
		"feedback of RFC 8888":            one(205, 11, both, []byte{0xff, 0xff, 0xff, 0xff}),
		"a report whose size is too much": {0x8f, 205, 0xff, 0xff, 0, 0, 0, 1},
	}
}

// hostileChecks are STUN messages of the largest size.
func hostileChecks(t testing.TB, name, password string) map[string][]byte {
	t.Helper()
	attributes := func(kind stun.AttrType, bytes, n int) stun.Setter { return repeated{kind, bytes, n} }
	long := attributes(0x7fff, 1200, 1)
	return map[string][]byte{
		"many attributes":            request(t, name, password, attributes(0x7fff, 0, 300)),
		"many user names":            request(t, name, password, attributes(stun.AttrUsername, 0, 300)),
		"a long attribute":           request(t, name, password, long),
		"a wrong password":           request(t, name, "wrong", long),
		"many integrities":           request(t, name, password, attributes(stun.AttrMessageIntegrity, 20, 50)),
		"an attribute that is cut":   append(request(t, name, password), 0, 6, 0xff, 0xff),
		"attributes before the name": request(t, "x", password, attributes(0x7fff, 0, 250), stun.NewUsername(name)),
	}
}

// repeated adds an attribute many times.
type repeated struct {
	kind     stun.AttrType
	bytes, n int
}

// AddTo implements stun.Setter.
func (r repeated) AddTo(m *stun.Message) error {
	for range r.n {
		m.Add(r.kind, make([]byte, r.bytes))
	}
	return nil
}

// hostileRecords are packets of DTLS of the largest size.
func hostileRecords() map[string][]byte {
	record := func(kind byte, epoch uint16, bytes int) []byte {
		b := append([]byte{kind, 0xfe, 0xfd, byte(epoch >> 8), byte(epoch)}, make([]byte, 6)...)
		b = binary.BigEndian.AppendUint16(b, uint16(bytes))
		return append(b, make([]byte, bytes)...)
	}
	return map[string][]byte{
		"empty records in the clear":     slices.Repeat(record(21, 0, 0), maxReceived/13),
		"empty records":                  slices.Repeat(record(23, 1, 0), maxReceived/13),
		"records of both kinds, in turn": slices.Repeat(slices.Concat(record(22, 0, 1), record(22, 1, 1)), maxReceived/28),
		"one record":                     record(22, 1, maxReceived-13),
		"a record that is cut off":       append(record(22, 1, 10), record(22, 1, 2000)[:1000]...),
	}
}

func TestWorkIsBoundedBySize(t *testing.T) {
	bounded := func(what string, bytes int, read func()) {
		t.Helper()
		if ratio := cost.Ratio(bytes, read); ratio > cost.Most {
			t.Errorf("%s: %d bytes cost %.0f times a copy of them", what, bytes, ratio)
		}
	}
	s := newSockets(t, "127.0.0.1")
	c := newConn(t, s)
	subscribed(t, c)
	c.events.Media = func([]byte, time.Time) {}
	sender := Events{Media: c.events.Media, Control: func([]rtcp.Packet) {}}
	for name, packet := range hostileCompounds() {
		bounded("RTCP with "+name, len(packet), func() { c.events.control(packet) })
		bounded("RTCP of who only sends, with "+name, len(packet), func() { sender.control(packet) })
	}
	from := netip.MustParseAddrPort("127.0.0.1:9")
	for name, packet := range hostileChecks(t, c.name+":them", c.password) {
		bounded("a check with "+name, len(packet), func() { s.take(packet, from) })
	}
	for name, packet := range hostileRecords() {
		copied := make([]byte, len(packet))
		bounded("DTLS with "+name, len(packet), func() {
			copy(copied, packet)
			protected(copied)
		})
	}
	for name, stream := range map[string][]byte{
		"empty frames":     make([]byte, 64<<10),
		"frames of a byte": slices.Repeat([]byte{0, 1, 7}, 20<<10),
		"the largest":      slices.Repeat(append([]byte{maxFrame >> 8, 0}, make([]byte, maxFrame)...), 8),
	} {
		source := bytes.NewReader(stream)
		bounded("TCP with "+name, len(stream), func() {
			source.Reset(stream)
			for frames := newFrameReader(source); ; {
				if _, err := frames.next(); err != nil {
					if !errors.Is(err, io.EOF) {
						t.Fatal(err)
					}
					return
				}
			}
		})
	}
}

func FuzzSTUN(f *testing.F) {
	s := newSockets(f, "127.0.0.1")
	c := newConn(f, s)
	from := netip.MustParseAddrPort("127.0.0.1:9")
	for _, packet := range hostileChecks(f, c.name+":them", c.password) {
		if len(packet) < 400 {
			f.Add(packet)
		}
	}
	f.Add(request(f, c.name+":them", c.password, flag(stun.AttrUseCandidate)))
	f.Fuzz(func(t *testing.T, packet []byte) {
		// The credentials are others in each process.
		packet = bytes.ReplaceAll(packet, []byte("NAME"), []byte(c.name))
		if !stun.IsMessage(packet) {
			return
		}
		if name := checkedName(packet); len(name) > len(packet) {
			t.Errorf("the name has %d bytes", len(name))
		}
		m := authentic(packet, c.password)
		if m != nil && !bytes.Contains(packet, []byte(c.name)) && s.take(packet, from) {
			t.Error("a check for somebody else was taken")
		}
		s.take(packet, from)
	})
}

// FuzzFrames takes a stream apart in two ways: by as much as there is, and byte by byte.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 1, 7, 0, 0, 0, 2, 8, 9}, uint8(1))
	f.Add([]byte{0xff, 0xff, 7}, uint8(3))
	f.Add(append([]byte{maxFrame >> 8, 1}, make([]byte, maxFrame+1)...), uint8(200))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		frames := newFrameReader(&slowly{stream, int(step)%100 + 1})
		rest := stream
		for {
			frame, err := frames.next()
			if err != nil {
				if len(rest) >= 2 {
					if size := int(binary.BigEndian.Uint16(rest)); size <= maxFrame && size+2 <= len(rest) {
						t.Fatalf("a frame of %d bytes: %v", size, err)
					}
				}
				return
			}
			if want := rest[2 : 2+int(binary.BigEndian.Uint16(rest))]; !bytes.Equal(frame, want) {
				t.Fatalf("a frame is %x, want %x", frame, want)
			}
			rest = rest[2+len(frame):]
		}
	})
}

// slowly reads a few bytes at a time.
type slowly struct {
	rest []byte
	step int
}

func (s *slowly) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.rest[:min(s.step, len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}

func FuzzRecords(f *testing.F) {
	for _, packet := range hostileRecords() {
		f.Add(packet[:min(len(packet), 100)])
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		clone := bytes.Clone(packet)
		kept := protected(packet)
		if len(kept) > len(clone) {
			t.Fatal("there is more than before")
		}
		for rest := kept; len(rest) > 0; {
			size := 13 + int(binary.BigEndian.Uint16(rest[11:]))
			if binary.BigEndian.Uint16(rest[3:]) != 1 {
				t.Fatalf("a record of epoch %x is kept", rest[3:5])
			}
			if !bytes.Contains(clone, rest[:size]) {
				t.Fatal("a record was changed")
			}
			rest = rest[size:]
		}
	})
}

// FuzzControl gives a connection RTCP as its peer sends it, decrypted.
func FuzzControl(f *testing.F) {
	c := newConn(f, newSockets(f, "127.0.0.1"))
	subscribed(f, c)
	for _, packet := range hostileCompounds() {
		f.Add(packet[:min(len(packet), 200)&^3])
	}
	f.Fuzz(func(_ *testing.T, packet []byte) { c.events.control(packet) })
}

// FuzzSRTP gives a connection packets as they come from the network, some of them sealed by its
// peer.
func FuzzSRTP(f *testing.F) {
	c, remote, _, _ := newControlled(f)
	for _, packet := range hostileCompounds() {
		f.Add(packet[:min(len(packet), 200)&^3], true)
	}
	f.Add(feedbackPackets(f, remote, 1)[0], false)
	f.Add([]byte{0x80, 200, 0, 1, 0, 0, 0, 1, 0x80, 0, 0, 1}, false)
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}, false)
	f.Fuzz(func(t *testing.T, packet []byte, sealed bool) {
		k, peer := testKeys(t, srtp.ProtectionProfileAeadAes128Gcm)
		c.keys.Store(k)
		if sealed {
			raw, err := peer.EncryptRTCP(nil, packet, nil)
			if err != nil {
				return
			}
			packet = raw
		}
		c.receive(append(make([]byte, 0, maxReceived), packet...), route{})
		if known := len(k.senders) == 1; sealed && known != isRTCP(packet) {
			t.Errorf("%d senders by %x", len(k.senders), packet)
		}
	})
}
