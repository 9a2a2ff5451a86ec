package peer

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
)

func TestSubscribersOfManyKinds(t *testing.T) {
	for name, o := range map[string]clientOptions{
		"AES in counter mode": {settings: func(s *webrtc.SettingEngine) {
			s.SetSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80)
		}},
		"waits for our handshake": {settings: func(s *webrtc.SettingEngine) {
			if err := s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
				t.Fatal(err)
			}
		}},
		"TCP": {tcp: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			e.SetAdvertisedAddresses([]Address{{IP: netip.MustParseAddr("127.0.0.1"), UDPPort: e.UDPPort(), TCPPort: e.TCPPort()}})
			p := e.NewPublication(both)
			s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
			s.publish(p)
			c, _ := subscribe(t, e, p, o)
			s.sendUntil("media flows", func() bool { return len(c.got(audio)) > 20 && len(c.got(video)) > 20 })
			c.continuous(video)
			c.mu.Lock()
			track := c.tracks[video]
			c.mu.Unlock()
			before := e.Stats().KeyframesWanted
			c.must(c.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}}))
			s.sendUntil("its RTCP comes", func() bool { return e.Stats().KeyframesWanted > before })
			c.close()
			s.sendUntil("its connection ends", func() bool {
				if o.tcp {
					// The client's farewell may be lost: pion/ice closes the TCP connection without
					// sending what is queued.
					e.sockets.Sweep(time.Now().Add(time.Minute))
				}
				return e.Stats().SubscribingConnections == 0
			})
		})
	}
}

func TestASubscriberWithAnotherCertificateDoesNotConnect(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	c := newClient(t, clientOptions{})
	s, offer, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	c.must(err)
	answer := c.answer(offer)
	at := strings.Index(answer, "a=fingerprint:sha-256 ") + len("a=fingerprint:sha-256 ")
	c.must(s.Answer(t.Context(), answer[:at]+strings.Repeat("00:", 31)+"00"+answer[at+95:]))
	eventually(t, "the connection ends", func() bool { return e.Stats().SubscribingConnections == 0 })
	if c.connected.Load() {
		t.Error("the client is connected")
	}
}

func TestASubscriberThatFallsSilentIsGivenUp(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	_, offer, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	if err != nil || strings.Contains(offer, "a=ice-lite") {
		t.Fatal(offer, err)
	}
	subscribe(t, e, p, clientOptions{})
	now := time.Now()
	e.sockets.Sweep(now)
	if n := e.Stats().SubscribingConnections; n != 2 {
		t.Fatalf("%d connections", n)
	}
	e.sockets.Sweep(now.Add(time.Minute))
	// One that has not been answered yet stays.
	eventually(t, "the connection ends", func() bool { return e.Stats().SubscribingConnections == 1 })
}
