package peer

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

// logbook collects what an engine logs by default.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logbook) config(c *Config) {
	c.Logger = funcr.New(func(_, line string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, line)
	}, funcr.Options{})
}

func (l *logbook) about(what string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	return found
}

// rawTrack gives access to the stream of a client's sender.
type rawTrack struct {
	*webrtc.TrackLocalStaticRTP
	stream  webrtc.TrackLocalWriter
	payload uint8
}

// Bind implements webrtc.TrackLocal.
func (r *rawTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	parameters, err := r.TrackLocalStaticRTP.Bind(c)
	r.stream, r.payload = c.WriteStream(), uint8(parameters.PayloadType)
	return parameters, err
}

// newRawSource makes a publishing client that can send whatever it likes.
func newRawSource(t *testing.T, o clientOptions) (*source, *rawTrack) {
	t.Helper()
	s := &source{client: newClient(t, o), plis: make(chan struct{}, 10), tracks: map[webrtc.RTPCodecType]*webrtc.TrackLocalStaticRTP{}}
	static, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90_000}, "video", "local")
	s.must(err)
	track := &rawTrack{TrackLocalStaticRTP: static}
	_, err = s.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	s.must(err)
	return s, track
}

// send sends a packet, unless the connection is over.
func (r *rawTrack) send(ssrc uint32) {
	_, _ = r.stream.WriteRTP(&rtp.Header{Version: 2, PayloadType: r.payload, SSRC: ssrc, SequenceNumber: 1, Timestamp: 1}, []byte{0x10, 1})
}

func TestAPublisherOverALimitIsClosed(t *testing.T) {
	for name, c := range map[string]struct {
		attack func(s *source, track *rawTrack, i uint32)
		tcp    bool
		reason string // as the log tells it
	}{
		"SSRCs in RTP":  {manySSRCs, false, "more than 64 SSRCs"},
		"SSRCs by TCP":  {manySSRCs, true, "more than 64 SSRCs"},
		"SSRCs in RTCP": {manyReporters, false, "more than 64 SSRCs"},
		"RTCP":          {manyReports, false, "20 packets or 65536 bytes of RTCP per second"},
		"RTCP by TCP":   {manyReports, true, "20 packets or 65536 bytes of RTCP per second"},
	} {
		t.Run(name, func(t *testing.T) {
			log := &logbook{}
			e := newEngine(t, log.config)
			e.SetAdvertisedAddresses([]Address{{IP: netip.MustParseAddr("127.0.0.1"), UDPPort: e.UDPPort(), TCPPort: e.TCPPort()}})
			p := e.NewPublication(both)
			s, track := newRawSource(t, clientOptions{tcp: c.tcp})
			s.publish(p)
			demux := p.(*Publication).conn.demux
			sent := uint32(0)
			eventually(t, "the connection is closed", func() bool {
				c.attack(s, track, sent)
				sent++
				return e.Stats().PublishingConnections == 0
			})
			demux.mu.Lock()
			streams := len(demux.streams)
			demux.mu.Unlock()
			if streams > maxStreams {
				t.Errorf("%d streams were kept", streams)
			}
			if lines := log.about("Media connection is closed"); len(lines) != 1 || !strings.Contains(lines[0], c.reason) {
				t.Errorf("the log tells of it by %q, want %q", lines, c.reason)
			}
		})
	}
}

func manySSRCs(_ *source, track *rawTrack, i uint32) {
	for ssrc := range uint32(20) {
		track.send(1000*(i+1) + ssrc)
	}
}

func manyReporters(s *source, _ *rawTrack, i uint32) {
	_ = s.pc.WriteRTCP([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: 1000 + i}}) // the connection may be over
}

// manyReports sends feedback on packets that all came, by the library of which it takes megabytes.
func manyReports(s *source, _ *rawTrack, _ uint32) {
	report := make(rtcp.RawPacket, 36)
	copy(report, []byte{0x8f, 205, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0xff, 0xf8})
	for at := 20; at < len(report); at += 2 {
		binary.BigEndian.PutUint16(report[at:], 0x3fff)
	}
	for range 200 {
		_ = s.pc.WriteRTCP([]rtcp.Packet{&report})
	}
}

// fromSocket has a client use one UDP socket, so that others can write from its address.
func fromSocket(t *testing.T) (*net.UDPConn, clientOptions) {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	mux := webrtc.NewICEUDPMux(nil, socket)
	t.Cleanup(func() { _ = mux.Close() }) // it closes the socket
	return socket, clientOptions{settings: func(s *webrtc.SettingEngine) { s.SetICEUDPMux(mux) }}
}

func TestAnAlertInTheClearEndsNothing(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	publisher, o := fromSocket(t)
	s := newSource(t, 100, o, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	s.publish(p)
	subscriber, o := fromSocket(t)
	c, _ := subscribe(t, e, p, o)
	s.sendUntil("the subscriber gets media", func() bool { return len(c.got(video)) > 20 })
	engine := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), e.UDPPort())
	for _, body := range [][]byte{{21, 2, 40}, {21, 1, 0}, {23, 1, 2, 3}, {99, 1, 2, 3}} {
		record := append([]byte{body[0], 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0xff, byte(len(body)), 0, byte(len(body) - 1)}, body[1:]...)
		for _, socket := range []*net.UDPConn{publisher, subscriber} {
			if _, err := socket.WriteToUDPAddrPort(record, engine); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := len(c.got(video))
	s.sendUntil("media goes on", func() bool { return len(c.got(video)) > n+200 })
	if stats := e.Stats(); stats.PublishingConnections != 1 || stats.SubscribingConnections != 1 {
		t.Errorf("%d connections of publishers and %d of subscribers are left", stats.PublishingConnections, stats.SubscribingConnections)
	}
}

func TestTheExtendedMasterSecretIsRequired(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	old := clientOptions{settings: func(s *webrtc.SettingEngine) { s.SetDTLSExtendedMasterSecret(dtls.DisableExtendedMasterSecret) }}
	s := newSource(t, 100, old, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	offer, err := s.pc.CreateOffer(nil)
	s.must(err)
	s.must(s.pc.SetLocalDescription(offer))
	answer, err := p.Answer(t.Context(), offer.SDP)
	s.must(err)
	s.must(s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	c := newClient(t, old)
	subscription, text, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	c.must(err)
	c.must(subscription.Answer(t.Context(), c.answer(text)))
	eventually(t, "both are refused", func() bool {
		stats := e.Stats()
		return stats.PublishingConnections == 0 && stats.SubscribingConnections == 0
	})
	if s.connected.Load() || c.connected.Load() {
		t.Error("one was connected")
	}
}

func TestTheReportsOfAPublisherAreRead(t *testing.T) {
	for name, set := range map[string]func(s *webrtc.SettingEngine){
		"AES-GCM": func(s *webrtc.SettingEngine) { s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM) },
		"AES-CM":  func(s *webrtc.SettingEngine) { s.SetSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80) },
		"SHA-384": func(s *webrtc.SettingEngine) { s.SetDTLSCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384) },
		"ChaCha": func(s *webrtc.SettingEngine) {
			s.SetDTLSCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)
		},
		"CBC": func(s *webrtc.SettingEngine) { s.SetDTLSCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			p := e.NewPublication(both)
			s := newSource(t, 100, clientOptions{settings: set}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
			s.publish(p)
			c, _ := subscribe(t, e, p, clientOptions{})
			// A subscriber is told the time only after the publisher has told us.
			s.sendUntil("the time is told", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return slices.ContainsFunc(c.control, func(p rtcp.Packet) bool { _, ok := p.(*rtcp.SenderReport); return ok })
			})
		})
	}
}

// connectivityCheck makes one that nominates, of a connection's peer or of who has its names.
func connectivityCheck(t *testing.T, c *transport.Conn, peer *webrtc.PeerConnection, password string) []byte {
	t.Helper()
	ours, _ := c.Credentials()
	d := &sdp.SessionDescription{}
	if err := d.UnmarshalString(peer.LocalDescription().SDP); err != nil {
		t.Fatal(err)
	}
	theirs, ok := d.MediaDescriptions[0].Attribute("ice-ufrag")
	if !ok {
		theirs, _ = d.Attribute("ice-ufrag")
	}
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(ours+":"+theirs),
		stun.RawAttribute{Type: stun.AttrUseCandidate}, stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// A participant that forges a publisher's address in a check of its own connection takes nothing
// away.
func TestAForgedAddressTakesNoPublishersMediaAway(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	socket, o := fromSocket(t)
	s := newSource(t, 100, o, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	s.publish(p)
	c, subscription := subscribe(t, e, p, clientOptions{})
	s.sendUntil("the subscriber gets media", func() bool { return len(c.got(video)) > 20 })
	attacked := subscription.(*Subscription).conn
	_, password := attacked.Credentials()
	engine := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), e.UDPPort())
	for range 3 {
		if _, err := socket.WriteToUDPAddrPort(connectivityCheck(t, attacked, c.pc, password), engine); err != nil {
			t.Fatal(err)
		}
		n := len(c.got(video))
		s.sendUntil("media goes on", func() bool { return len(c.got(video)) > n+100 })
	}
	if stats := e.Stats(); stats.PublishingConnections != 1 || stats.SubscribingConnections != 1 {
		t.Errorf("%d connections of publishers and %d of subscribers are left", stats.PublishingConnections, stats.SubscribingConnections)
	}
}

// A publisher can't have the media that it gets back sent to somebody who does not answer.
func TestMediaOfAPublisherGoesToNobodyElse(t *testing.T) {
	e := newEngine(t)
	options := both
	options.Loopback = true
	p := e.NewPublication(options)
	s := newSource(t, 100, clientOptions{}, webrtc.RTPTransceiverDirectionSendrecv, webrtc.MimeTypeVP8)
	s.publish(p)
	s.sendUntil("the publisher gets its media back", func() bool { return len(s.got(video)) > 20 })
	conn := p.(*Publication).conn.conn
	_, password := conn.Credentials()
	engine := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), e.UDPPort())
	for name, c := range map[string]struct {
		password string
		most     int // how many times what came from there goes there
	}{
		"of who knows the names":    {"a wrong password", 0},
		"of who knows the password": {password, 3},
	} {
		victim, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		check := connectivityCheck(t, conn, s.pc, c.password)
		if _, err := victim.WriteToUDPAddrPort(check, engine); err != nil {
			t.Fatal(err)
		}
		n := len(s.got(video))
		s.sendUntil("media goes on", func() bool { return len(s.got(video)) > n+200 })
		if err := victim.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil { // what was sent is there
			t.Fatal(err)
		}
		bytes, b := 0, make([]byte, packetBytes)
		for {
			read, err := victim.Read(b)
			if err != nil {
				break
			}
			if bytes += read; !stun.IsMessage(b[:read]) {
				t.Errorf("%s: %d bytes that are no check", name, read)
			}
		}
		if bytes > c.most*len(check) || c.most > 0 && bytes == 0 {
			t.Errorf("%s: %d bytes for a check of %d", name, bytes, len(check))
		}
		_ = victim.Close()
	}
}
