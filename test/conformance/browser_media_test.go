//go:build e2e

package conformance

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// on is for what is asked for.
var on = true

func TestSubscribersGetTheSimulcastLayerThatSuitsThem(t *testing.T) {
	t.Parallel()
	covers(t, "4.4-simulcast", "4.10-bandwidth", "9-35")
	reserve(t, 3)
	r := newRoom(t, nil)
	own, site := ownChromium(t)
	a := r.openIn(t, own, site, "publisher", nil)
	a.join(browser.JoinOptions{})
	rich := r.enter(t, "rich", v1alpha1.RoleSubscriber)
	const limit = 150 // kbps
	poor := r.open(t, "poor", func(spec *v1alpha1.ConnectionSpec) {
		spec.Role = v1alpha1.RoleSubscriber
		spec.Bandwidth.VideoMaxRecvKbps = ptr.To[int32](limit)
	})
	poor.join(browser.JoinOptions{AutoSubscribe: true})
	a.publish(browser.Publication{Resolution: "1280x720", Simulcast: &on})
	request, response := a.answer("publishVideo")
	for _, rid := range []string{"rdiv4", "rdiv2", "rdiv1"} {
		wantText(t, "the offer", string(request.Params), "a=rid:"+rid+" send")
		wantText(t, "the answer", string(response.Result), "a=rid:"+rid+" recv")
	}
	wantText(t, "the answer", string(response.Result), "a=simulcast:recv rdiv4;rdiv2;rdiv1")
	for _, g := range []*guest{rich, poor} {
		g.receives(a)
		// One stream of one layer: the subscriber's offer knows nothing of simulcast.
		_, offer := g.answer("prepareReceiveVideoFrom")
		if regexp.MustCompile("a=(simulcast|rid)").Match(offer.Result) {
			t.Errorf("%s was offered simulcast", g.Name)
		}
	}
	wait.For(t, 30*time.Second, "the rich one to get the best layer, and the poor one the least", func() error {
		sent, err := a.Sent()
		if err != nil {
			return err
		}
		narrowest, widest := 1<<16, 0
		for _, layer := range sent.Layers {
			if layer.Width > 0 {
				narrowest, widest = min(narrowest, layer.Width), max(widest, layer.Width)
			}
		}
		if len(sent.Layers) != 3 || narrowest >= widest {
			return fmt.Errorf("sent are %+v", sent.Layers)
		}
		for g, want := range map[*guest]int{rich: widest, poor: narrowest} {
			media, err := g.Received(a.id())
			if err != nil {
				return err
			}
			if media.Video.Width != want {
				return fmt.Errorf("%s gets a width of %d, want %d of %+v", g.Name, media.Video.Width, want, sent.Layers)
			}
		}
		return nil
	})
	for _, g := range []*guest{rich, poor} {
		g.receives(a)
		g.undisturbed()
	}
	if rate := rateOf(t, poor, a, 3*time.Second); rate > 1.2*limit {
		t.Errorf("the poor one gets %.0f kbps, want at most %d", rate, limit)
	}
}

// rateOf measures the video that comes from another, in kbps.
func rateOf(t *testing.T, g, from *guest, during time.Duration) float64 {
	t.Helper()
	start, err := g.Received(from.id())
	g.must(err)
	began := time.Now()
	<-time.After(during)
	end, err := g.Received(from.id())
	g.must(err)
	return float64(end.Video.Bytes-start.Video.Bytes) * 8 / 1000 / time.Since(began).Seconds()
}

func TestAForcedCodecIsWhatIsSent(t *testing.T) {
	t.Parallel()
	covers(t, "4.9-forced-codec", "6-800", "2.3-errors", "2.3-rollback", "9-37")
	for name, codec := range map[string]v1alpha1.ForcedVideoCodec{
		"VP8": v1alpha1.ForcedVideoCodecVP8, "VP9": v1alpha1.ForcedVideoCodecVP9, "H264": v1alpha1.ForcedVideoCodecH264,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reserve(t, 2)
			r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.ForcedVideoCodec = codec })
			a := r.enter(t, "publisher", v1alpha1.RolePublisher)
			b := r.enter(t, "subscriber", v1alpha1.RoleSubscriber)
			// A browser without the codec is told so, and nobody hears of it.
			a.must(a.MissCodecs(name))
			_, err := a.PublishWith(browser.Publication{})
			failure := a.failure(err)
			wantText(t, "the error", failure.Message, `"code":800`)
			wantText(t, "the error", failure.Message,
				fmt.Sprintf("Error forcing codec: '%s', for PARTICIPANT: '%s' in Session: '%s'. Is publishing: 'true'.", name, a.id(), r.name))
			// With it the next try works.
			a.must(a.MissCodecs())
			a.publish(browser.Publication{})
			b.gets("streamCreated", func(e browser.Event) bool { return e.StreamID == a.stream.StreamID })
			b.receives(a)
			if n := b.count("streamCreated"); n != 1 {
				t.Errorf("%s saw %d streams, want 1", b.Name, n)
			}
			wantCodec(t, a, b, "video/"+name)
			b.undisturbed()
		})
	}
}

// wantCodec checks the codec that is sent and received.
func wantCodec(t *testing.T, from, to *guest, codec string) {
	t.Helper()
	sent, err := from.Sent()
	from.must(err)
	received, err := to.Received(from.id())
	to.must(err)
	if sent.Video.Codec != codec || received.Video.Codec != codec {
		t.Errorf("%s is sent and %s is received, want %s", sent.Video.Codec, received.Video.Codec, codec)
	}
}

func TestWithTranscodingAllowedAPublisherWithoutTheForcedCodecSendsItsOwn(t *testing.T) {
	t.Parallel()
	covers(t, "4.9-transcoding")
	reserve(t, 2)
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) {
		spec.ForcedVideoCodec, spec.AllowTranscoding = v1alpha1.ForcedVideoCodecVP9, true
	})
	a := r.enter(t, "publisher", v1alpha1.RolePublisher)
	b := r.enter(t, "subscriber", v1alpha1.RoleSubscriber)
	a.must(a.MissCodecs("VP9"))
	a.publish(browser.Publication{})
	b.receives(a)
	wantCodec(t, a, b, "video/VP8")
	// Who has it sends it.
	a.must(a.Unpublish())
	a.must(a.MissCodecs())
	a.publish(browser.Publication{})
	b.gets("streamCreated", func(e browser.Event) bool { return e.StreamID == a.stream.StreamID })
	b.receives(a)
	wantCodec(t, a, b, "video/VP9")
}

func TestASubscriberThatCannotDecodeTheVideoHearsTheSound(t *testing.T) {
	t.Parallel()
	covers(t, "2.6-errors", "4.9-forced-codec")
	reserve(t, 3)
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.ForcedVideoCodec = v1alpha1.ForcedVideoCodecVP9 })
	a := r.enter(t, "publisher", v1alpha1.RolePublisher)
	b := r.enter(t, "able", v1alpha1.RoleSubscriber)
	c := r.open(t, "unable", nil)
	c.must(c.MissCodecs("VP9"))
	c.join(browser.JoinOptions{})
	a.publish(browser.Publication{})
	c.gets("streamCreated", about(a))
	c.must(c.Subscribe(a.id()))
	c.hears(a)
	b.receives(a)
	for _, g := range []*guest{a, b, c} {
		g.undisturbed()
	}

	// Of what it can decode nothing of it is told.
	a.must(a.Unpublish())
	c.gets("streamDestroyed", about(a))
	a.publish(browser.Publication{AudioSource: false})
	c.gets("streamCreated", func(e browser.Event) bool { return e.StreamID == a.stream.StreamID })
	failure := c.failure(c.Subscribe(a.id()))
	t.Logf("the subscriber without the codec was told: %s", failure.Message)
	wantText(t, "the error", failure.Message, "Error on receiveVideoFrom")
	wantText(t, "the error", failure.Message, `"code":800`)
	wantText(t, "the error", failure.Message, "codec rejected by the subscriber: video")
	b.receives(a)
	// It may still be in the room, and get what it can decode.
	c.must(c.MissCodecs())
	c.must(c.Subscribe(a.id()))
	c.receives(a)
	for _, g := range []*guest{a, b, c} {
		g.never("exception", "reconnecting", "connectionDestroyed", "sessionDisconnected")
	}
}

// hears makes sure that the sound of another comes, and no picture.
func (g *guest) hears(other *guest) {
	g.t.Helper()
	g.receivesKinds(other, true, false)
	received, err := g.Received(other.id())
	g.must(err)
	if n := received.Video.FramesDecoded; n != 0 {
		g.t.Errorf("%s has decoded %d frames of what it can't decode", g.Name, n)
	}
}

func TestWhatAPublisherPrefersKeepsNobodyFromHearingAndSeeing(t *testing.T) {
	t.Parallel()
	covers(t, "4.9-any-codec")
	reserve(t, 3)
	r := newRoom(t, nil)
	a := r.enter(t, "publisher", v1alpha1.RolePublisher)
	b := r.enter(t, "able", v1alpha1.RoleSubscriber)
	c := r.open(t, "without H264", nil)
	c.must(c.MissCodecs("H264"))
	c.join(browser.JoinOptions{})
	a.must(a.PreferCodec("H264"))
	a.publish(browser.Publication{})
	for _, g := range []*guest{b, c} {
		g.gets("streamCreated", about(a))
		if g == c {
			g.must(g.Subscribe(a.id()))
		}
		g.receives(a)
		wantCodec(t, a, g, "video/VP8")
		g.undisturbed()
	}

	// Who has nothing else sends it, and is heard.
	a.must(a.Unpublish())
	c.gets("streamDestroyed", about(a))
	a.must(a.MissCodecs("VP8", "VP9", "AV1"))
	a.publish(browser.Publication{})
	b.gets("streamCreated", func(e browser.Event) bool { return e.StreamID == a.stream.StreamID })
	b.receives(a)
	wantCodec(t, a, b, "video/H264")
	c.gets("streamCreated", func(e browser.Event) bool { return e.StreamID == a.stream.StreamID })
	c.must(c.Subscribe(a.id()))
	c.hears(a)
	for _, g := range []*guest{a, b, c} {
		g.never("exception", "reconnecting", "connectionDestroyed", "sessionDisconnected")
	}
}

func TestBandwidthLimitsOfAConnectionHold(t *testing.T) {
	t.Parallel()
	covers(t, "4.10-bandwidth")
	reserve(t, 2)
	r := newRoom(t, nil)
	const limit = 150 // kbps
	own, site := ownChromium(t)
	a := r.openIn(t, own, site, "limited", func(spec *v1alpha1.ConnectionSpec) {
		spec.Bandwidth.VideoMaxSendKbps = ptr.To[int32](limit)
	})
	a.join(browser.JoinOptions{})
	b := r.enter(t, "subscriber", v1alpha1.RoleSubscriber)
	a.publish(browser.Publication{Resolution: "640x480", FrameRate: 30})
	_, response := a.answer("publishVideo")
	wantText(t, "the answer", string(response.Result), fmt.Sprintf("b=TIAS:%d", limit*1000))
	b.receives(a)
	sent, err := a.Sent()
	a.must(err)
	if sent.Video.TargetBitrate > limit*1000 {
		t.Errorf("the encoder aims at %.0f bit/s", sent.Video.TargetBitrate)
	}
	// Encoders meet a bitrate on average.
	if rate := rateOf(t, b, a, 4*time.Second); rate > 1.3*limit {
		t.Errorf("%.0f kbps are sent, want at most %d", rate, limit)
	}
}

func TestVideoFarAboveAReceiversOwnLimitPauses(t *testing.T) {
	t.Parallel()
	covers(t, "4.10-receive-limit")
	reserve(t, 3)
	r := newRoom(t, nil)
	a := r.enter(t, "publisher", v1alpha1.RolePublisher)
	b := r.enter(t, "without a limit", v1alpha1.RoleSubscriber)
	c := r.open(t, "with a limit", func(spec *v1alpha1.ConnectionSpec) { spec.Bandwidth.VideoMaxRecvKbps = ptr.To[int32](100) })
	c.join(browser.JoinOptions{AutoSubscribe: true})
	a.publish(browser.Publication{Resolution: "640x480", FrameRate: 30, Simulcast: ptr.To(false)})
	told := func() (values []string) {
		for _, e := range c.events() {
			if e.On == "session" && e.Name == "streamPropertyChanged" && e.Property == "videoActive" && e.Reason == "videoMaxRecvBandwidth" {
				values = append(values, e.NewValue)
			}
		}
		return values
	}
	becomes := func(what string, values ...string) {
		t.Helper()
		wait.For(t, patience, what, func() error {
			if got := told(); !slices.Equal(got, values) {
				return fmt.Errorf("it was told %v", got)
			}
			return nil
		})
	}
	becomes("the video to pause", "false")
	b.receives(a)
	before, err := c.Received(a.id())
	c.must(err)
	c.receivesKinds(a, true, false)
	b.receives(a)
	after, err := c.Received(a.id())
	c.must(err)
	if n := after.Video.FramesDecoded - before.Video.FramesDecoded; n > 1 { // one that was on its way
		t.Errorf("%s has got %d frames", c.Name, n)
	}

	// What a muted camera sends is next to nothing, and no video.
	a.must(a.MuteVideo(true))
	becomes("the pause to end", "false", "false")
	b.gets("streamPropertyChanged", about(a))
	if n := b.count("streamPropertyChanged"); n != 1 {
		t.Errorf("%s was told of %d changes, want that of the publisher", b.Name, n)
	}
	for _, g := range []*guest{a, b, c} {
		g.undisturbed()
	}
}

func TestSubscribersFollowAPublisherThatComesBackWithAnotherCodec(t *testing.T) {
	t.Parallel()
	covers(t, "3.10-forciblyReconnectSubscriber", "2.18-forced", "2.18-publisher", "9-30")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "publisher", v1alpha1.RolePublisher)
	b := r.enter(t, "subscriber", v1alpha1.RoleSubscriber)
	a.must(a.MissCodecs("VP9", "H264", "AV1"))
	a.publish(browser.Publication{})
	b.receives(a)
	wantCodec(t, a, b, "video/VP8")
	a.must(a.MissCodecs("VP8", "H264", "AV1"))
	a.must(a.ReconnectStream(a.id()))
	request, response := b.answer("reconnectStream")
	var answer struct {
		Stream string `json:"stream"`
		SDP    string `json:"sdpString"`
		Forced bool   `json:"forciblyReconnect"`
	}
	if err := json.Unmarshal(request.Params, &answer); err != nil || answer.Stream != a.stream.StreamID || answer.SDP == "" || !answer.Forced {
		t.Errorf("the subscriber sent %s", request.Params)
	}
	if response.Error != nil {
		t.Errorf("it was answered with %v", response.Error)
	}
	var told struct {
		ConnectionID string `json:"connectionId"`
		StreamID     string `json:"streamId"`
		SDPOffer     string `json:"sdpOffer"`
	}
	for _, f := range b.page.Frames() {
		if f.Method != "forciblyReconnectSubscriber" {
			continue
		}
		if err := json.Unmarshal(f.Params, &told); err != nil {
			t.Fatal(err)
		}
	}
	if told.ConnectionID != a.id() || told.StreamID != a.stream.StreamID {
		t.Errorf("the subscriber was told of stream %s of %s", told.StreamID, told.ConnectionID)
	}
	wantText(t, "the offer", told.SDPOffer, "a=candidate:")
	b.receives(a)
	wantCodec(t, a, b, "video/VP9")
	for _, g := range []*guest{a, b} {
		g.undisturbed()
	}
}
