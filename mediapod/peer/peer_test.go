package peer

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/rtp/keyframe"
)

const (
	audio = webrtc.RTPCodecTypeAudio
	video = webrtc.RTPCodecTypeVideo
)

var both = media.PublicationOptions{StreamID: "str_CAM_test", HasAudio: true, HasVideo: true}

func TestThreeSubscribersGetEverything(t *testing.T) {
	for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeVP9, webrtc.MimeTypeH264} {
		t.Run(mime, func(t *testing.T) {
			e := newEngine(t)
			p := e.NewPublication(both)
			s := newSource(t, 65_500, clientOptions{video: []string{mime}}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, mime)
			s.publish(p)
			s.send(5)
			var clients []*client
			for range 3 {
				c, _ := subscribe(t, e, p, clientOptions{})
				clients = append(clients, c)
			}
			s.sendUntil("everybody gets media", func() bool {
				for _, c := range clients {
					if len(c.got(audio)) < 50 || len(c.got(video)) < 50 {
						return false
					}
				}
				return true
			})
			for _, c := range clients {
				c.continuous(audio)
				c.continuous(video)
				if got := c.codec(video); got != mime {
					t.Errorf("video comes in %s", got)
				}
			}
		})
	}
}

func TestLossTowardsASubscriberIsRepaired(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	s := newSource(t, 100, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	s.publish(p)
	var seen atomic.Int64
	c, _ := subscribe(t, e, p, clientOptions{dropIn: func(info *interceptor.StreamInfo, _ []byte) bool {
		return info.MimeType == webrtc.MimeTypeVP8 && seen.Add(1)%10 == 5
	}})
	healthy, _ := subscribe(t, e, p, clientOptions{})
	s.sendUntil("packets are lost", func() bool { return seen.Load() > 300 })
	s.sendUntil("they are repaired", func() bool { return e.Stats().Retransmitted >= 25 })
	eventually(t, "no gap is left", func() bool {
		s.send(1)
		packets := c.got(video)
		for i := 1; i < min(len(packets), 250); i++ {
			if packets[i].SequenceNumber != packets[i-1].SequenceNumber+1 {
				return false
			}
		}
		return len(packets) >= 250
	})
	healthy.continuous(video)
}

func TestLossFromThePublisherIsRepaired(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	var sent atomic.Int64
	s := newSource(t, 65_400, clientOptions{dropOut: func(h *rtp.Header) bool {
		return h.PayloadType == 96 && sent.Add(1)%10 == 5
	}}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	s.publish(p)
	c, _ := subscribe(t, e, p, clientOptions{})
	s.sendUntil("subscriber gets media", func() bool { return len(c.got(video)) > 0 })
	first := c.numbers(video)[0]
	s.send(300)
	eventually(t, "no frame is missing", func() bool {
		s.send(1)
		numbers := c.numbers(video)
		for i := range uint32(250) {
			if int(i) >= len(numbers) || numbers[i] != first+i {
				return false
			}
		}
		return true
	})
	if n := e.Stats().NACKsSent; n < 20 {
		t.Errorf("%d packets were asked for", n)
	}
}

func TestKeyframeRequestsAreMerged(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	s.publish(p)
	s.send(10)
	c, _ := subscribe(t, e, p, clientOptions{})
	s.sendUntil("subscriber gets media", func() bool { return len(c.got(video)) > 0 })
	before := e.Stats()
	begin := time.Now()
	ssrc := uint32(c.tracks[video].SSRC())
	for range 200 {
		c.must(c.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}}))
		s.send(1)
	}
	s.sendUntil("the requests arrive", func() bool { return e.Stats().KeyframesWanted-before.KeyframesWanted >= 190 })
	s.sendUntil("one goes to the publisher", func() bool { return e.Stats().KeyframeRequests > before.KeyframeRequests })
	most := uint64(time.Since(begin)/keyframe.Interval) + 1
	if sent := e.Stats().KeyframeRequests - before.KeyframeRequests; sent > most {
		t.Errorf("%d requests went to the publisher, want at most %d", sent, most)
	}
}

func TestAPublisherThatReconnectsIsSpliced(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	s := newSource(t, 65_500, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	s.publish(p)
	c, _ := subscribe(t, e, p, clientOptions{})
	enough := func() bool { return len(c.got(audio)) > 30 && len(c.got(video)) > 30 }
	s.sendUntil("media flows", enough)
	again := newSource(t, 1000, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	again.number = 1_000_000
	again.plis <- struct{}{} // a new encoder starts with a keyframe
	again.publish(p)
	eventually(t, "the old connection is gone", func() bool { return e.Stats().PublishingConnections == 1 })
	newer := func(kind webrtc.RTPCodecType) (n int) {
		for _, number := range c.numbers(kind) {
			if number >= 1_000_000 {
				n++
			}
		}
		return n
	}
	again.sendUntil("media of the new connection flows", func() bool { return newer(audio) > 30 && newer(video) > 30 })
	c.continuous(audio)
	c.continuous(video)
}

func TestASubscriberMayComeBeforeThePublisher(t *testing.T) {
	for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeVP9, webrtc.MimeTypeH264} {
		t.Run(mime, func(t *testing.T) {
			e := newEngine(t)
			p := e.NewPublication(both)
			c, _ := subscribe(t, e, p, clientOptions{})
			s := newSource(t, 0, clientOptions{video: []string{mime}}, webrtc.RTPTransceiverDirectionSendonly, mime, webrtc.MimeTypeOpus)
			s.publish(p)
			s.sendUntil("media flows", func() bool { return len(c.got(audio)) > 20 && len(c.got(video)) > 20 })
			c.continuous(video)
			if got := c.codec(video); got != mime {
				t.Errorf("video comes in %s", got)
			}
		})
	}
}

func TestLoopback(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasAudio: true, HasVideo: true, Loopback: true})
	s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendrecv, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	s.publish(p)
	s.sendUntil("the publisher gets its own media", func() bool { return len(s.got(audio)) > 20 && len(s.got(video)) > 20 })
	s.continuous(video)
	c, _ := subscribe(t, e, p, clientOptions{})
	s.sendUntil("so does a subscriber", func() bool { return len(c.got(audio)) > 20 && len(c.got(video)) > 20 })
}

func TestAudioOnlyAndVideoOnly(t *testing.T) {
	for _, mime := range []string{webrtc.MimeTypeOpus, webrtc.MimeTypeVP8} {
		t.Run(mime, func(t *testing.T) {
			e := newEngine(t)
			kind := video
			if mime == webrtc.MimeTypeOpus {
				kind = audio
			}
			p := e.NewPublication(media.PublicationOptions{HasAudio: kind == audio, HasVideo: kind == video})
			s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, mime)
			s.publish(p)
			c, _ := subscribe(t, e, p, clientOptions{})
			if n := len(c.pc.GetTransceivers()); n != 1 {
				t.Errorf("the offer has %d m-lines", n)
			}
			s.sendUntil("media flows", func() bool { return len(c.got(kind)) > 20 })
		})
	}
}

func TestICEOverTCP(t *testing.T) {
	e := newEngine(t)
	e.SetAdvertisedAddresses([]Address{{IP: netip.MustParseAddr("127.0.0.1"), TCPPort: e.TCPPort()}})
	p := e.NewPublication(both)
	s := newSource(t, 0, clientOptions{tcp: true}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	s.publish(p)
	c, _ := subscribe(t, e, p, clientOptions{tcp: true})
	s.sendUntil("media flows", func() bool { return len(c.got(audio)) > 20 && len(c.got(video)) > 20 })
	c.continuous(video)
}

func TestForcedCodec(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasVideo: true, ForcedVideoCodec: "H264"})
	wrong := newSource(t, 0, clientOptions{video: []string{webrtc.MimeTypeVP8}}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	offer, err := wrong.pc.CreateOffer(nil)
	wrong.must(err)
	if _, err := p.Answer(t.Context(), offer.SDP); !errors.Is(err, media.ErrForcedCodec) {
		t.Fatalf("offer without the forced codec: %v", err)
	}
	if n := e.Stats().PublishingConnections; n != 0 {
		t.Errorf("%d connections are left", n)
	}
	right := newSource(t, 0, clientOptions{video: []string{webrtc.MimeTypeVP8, webrtc.MimeTypeH264}}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeH264)
	right.publish(p) // the publication is as before the error
	c, _ := subscribe(t, e, p, clientOptions{})
	right.sendUntil("media flows", func() bool { return len(c.got(video)) > 20 })
	if got := c.codec(video); got != webrtc.MimeTypeH264 {
		t.Errorf("video comes in %s", got)
	}
}

func TestASubscriberThatCannotDecodeTheVideoGetsTheSound(t *testing.T) {
	for name, early := range map[string]bool{"the video is there": false, "it comes after the offer": true} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			p := e.NewPublication(both)
			s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
			if !early {
				s.publish(p)
			}
			c := newClient(t, clientOptions{video: []string{webrtc.MimeTypeH264}})
			outdated := make(chan struct{}, 1)
			subscription, offer, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{Outdated: func() { outdated <- struct{}{} }})
			c.must(err)
			answer := c.answer(offer)
			if early {
				s.publish(p)
			}
			c.must(subscription.Answer(t.Context(), answer))
			other, _ := subscribe(t, e, p, clientOptions{})
			s.sendUntil("the sound comes, and the video at who can decode it", func() bool { return len(c.got(audio)) > 20 && len(other.got(video)) > 20 })
			if n := len(c.got(video)); n != 0 {
				t.Errorf("%d packets of video came that it can't decode", n)
			}
			if n := len(outdated); n != 0 {
				t.Error("it is to be given the same again")
			}

			// It gets what it can decode, when that comes.
			h264 := newSource(t, 5000, clientOptions{video: []string{webrtc.MimeTypeH264}}, webrtc.RTPTransceiverDirectionSendonly,
				webrtc.MimeTypeOpus, webrtc.MimeTypeH264)
			h264.publish(p)
			if !early { // then it was offered that from the start
				<-outdated
				c = newClient(t, clientOptions{video: []string{webrtc.MimeTypeH264}})
				subscription, offer, err = e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
				c.must(err)
				c.must(subscription.Answer(t.Context(), c.answer(offer)))
			}
			h264.sendUntil("the video comes", func() bool { return len(c.got(video)) > 20 })
		})
	}
}

func TestASubscriberThatCanDecodeNothingIsTold(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasVideo: true})
	s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	s.publish(p)
	c := newClient(t, clientOptions{video: []string{webrtc.MimeTypeH264}})
	subscription, offer, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	c.must(err)
	if err := subscription.Answer(t.Context(), c.answer(offer)); !errors.Is(err, media.ErrCodecRejected) {
		t.Errorf("answer without the codec: %v", err)
	}
}

func TestAWrongFingerprintDoesNotConnect(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	offer, err := s.pc.CreateOffer(nil)
	s.must(err)
	s.must(s.pc.SetLocalDescription(offer))
	at := strings.Index(offer.SDP, "a=fingerprint:sha-256 ") + len("a=fingerprint:sha-256 ")
	wrong := offer.SDP[:at] + strings.Repeat("00:", 31) + "00" + offer.SDP[at+95:]
	answer, err := p.Answer(t.Context(), wrong)
	s.must(err)
	s.must(s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	eventually(t, "the connection ends", func() bool { return e.Stats().PublishingConnections == 0 })
	if s.connected.Load() {
		t.Error("the client is connected")
	}
}

func TestMediaGoesOnWhenOneSubscriberVanishes(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	s.publish(p)
	gone, _ := subscribe(t, e, p, clientOptions{})
	c, _ := subscribe(t, e, p, clientOptions{})
	s.sendUntil("media flows", func() bool { return len(c.got(video)) > 10 && len(gone.got(video)) > 10 })
	gone.close()
	s.sendUntil("its connection ends", func() bool { return e.Stats().SubscribingConnections == 1 })
	before := len(c.got(video))
	s.sendUntil("media flows", func() bool { return len(c.got(video)) > before+50 })
	c.continuous(video)
}

func TestWhatIsClosedIsRefused(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	offer, err := s.pc.CreateOffer(nil)
	s.must(err)
	subscription, _, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	s.must(err)
	for range 2 {
		s.must(p.Close())
		s.must(subscription.Close())
	}
	if _, err := p.Answer(t.Context(), offer.SDP); !errors.Is(err, media.ErrPublicationClosed) {
		t.Errorf("answering: %v", err)
	}
	if _, _, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{}); !errors.Is(err, media.ErrPublicationClosed) {
		t.Errorf("subscribing: %v", err)
	}
	s.must(e.Close())
	if _, err := e.NewPublication(both).Answer(t.Context(), offer.SDP); !errors.Is(err, media.ErrPublicationClosed) {
		t.Errorf("publishing on a closed engine: %v", err)
	}
}

func TestWithoutAddressesNobodyConnects(t *testing.T) {
	e := newEngine(t)
	e.SetAdvertisedAddresses(nil)
	p := e.NewPublication(both)
	if _, _, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{}); !errors.Is(err, errNoAddress) {
		t.Errorf("subscribing: %v", err)
	}
	e.SetAdvertisedAddresses([]Address{{IP: netip.MustParseAddr("2001:db8::7"), UDPPort: 7, TCPPort: 8}, {IP: netip.MustParseAddr("192.0.2.7"), UDPPort: 9}})
	_, offer, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, line := range strings.Split(offer, "\r\n") {
		if strings.HasPrefix(line, "a=candidate:") {
			f := strings.Fields(line)
			found = append(found, strings.Join([]string{f[2], f[4], f[5], f[7]}, " "))
		}
	}
	if want := []string{"udp 2001:db8::7 7 host", "udp 192.0.2.7 9 host", "tcp 2001:db8::7 8 host"}; !slices.Equal(found, want) {
		t.Errorf("candidates are %q, want %q", found, want)
	}
}

// descriptors counts the open files of the process.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNothingIsLeftAfterManyRounds(t *testing.T) {
	e := newEngine(t)
	round := func() {
		p := e.NewPublication(both)
		s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
		s.publish(p)
		c, _ := subscribe(t, e, p, clientOptions{})
		s.sendUntil("media flows", func() bool { return len(c.got(video)) > 0 })
		unanswered, _, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{})
		s.must(err)
		s.must(unanswered.Close())
		s.must(p.Close())
		c.close()
		s.close()
	}
	round()
	goroutines, files := 0, 0
	eventually(t, "the first round is over", func() bool {
		before := goroutines
		goroutines, files = runtime.NumGoroutine(), descriptors(t)
		return goroutines == before
	})
	for range 50 {
		round()
	}
	eventually(t, "all is gone", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors(t) <= files
	})
	stats := e.Stats()
	if stats.PublishingConnections != 0 || stats.SubscribingConnections != 0 || stats.StuckConnections != 0 {
		t.Errorf("%+v", stats)
	}
}

// Something on the way may let UDP out, and nothing back in. The receiver needs a new connection,
// which finds a way by TCP.
func TestAReceiverThatIsHeardAndNotReachedNeedsAnotherConnection(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(both)
	s := newSource(t, 100, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	s.publish(p)
	path := newBottleneck(t, e, nil)
	var closed atomic.Bool
	path.dropDown = func([]byte) bool { return closed.Load() }
	c := newClient(t, clientOptions{})
	outdated := make(chan struct{})
	subscription, offer, err := e.Subscribe(t.Context(), p, media.SubscriptionOptions{Outdated: func() { close(outdated) }})
	c.must(err)
	c.must(subscription.Answer(t.Context(), c.answer(offer)))
	is := func() bool {
		select {
		case <-outdated:
			return true
		default:
			return false
		}
	}
	s.sendUntil("the receiver gets media", func() bool { return len(c.got(video)) > 100 })
	if is() {
		t.Error("it needs another connection before anything has happened")
	}
	closed.Store(true)
	s.sendUntil("it needs another connection", is)
}
