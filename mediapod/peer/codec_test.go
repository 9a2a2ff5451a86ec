package peer

import (
	"errors"
	"testing"

	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// videoSource makes a publishing client that has one video codec only.
func videoSource(t *testing.T, mime string, number uint32) *source {
	t.Helper()
	s := newSource(t, 1000, clientOptions{video: []string{mime}}, webrtc.RTPTransceiverDirectionSendonly, mime)
	s.number = number
	s.plis <- struct{}{} // a new encoder starts with a keyframe
	return s
}

func TestAPublisherThatComesBackWithAnotherCodecOutdatesItsSubscriptions(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasVideo: true})
	outdated := make(chan string, 10)
	options := func(name string) media.SubscriptionOptions {
		return media.SubscriptionOptions{Outdated: func() { outdated <- name }}
	}
	subscribe := func(name string, o clientOptions) (*client, media.Subscription, string) {
		c := newClient(t, o)
		s, offer, err := e.Subscribe(t.Context(), p, options(name))
		c.must(err)
		return c, s, c.answer(offer)
	}
	early, s, answer := subscribe("early", clientOptions{}) // was offered all codecs
	early.must(s.Answer(t.Context(), answer))
	first := videoSource(t, webrtc.MimeTypeVP8, 0)
	first.publish(p)
	late, s, answer := subscribe("late", clientOptions{})
	late.must(s.Answer(t.Context(), answer))
	pending, unanswered, pendingAnswer := subscribe("pending", clientOptions{})
	first.sendUntil("media flows", func() bool { return len(early.got(video)) > 10 && len(late.got(video)) > 10 })

	second := videoSource(t, webrtc.MimeTypeH264, 1_000_000)
	second.publish(p)
	if got := <-outdated; got != "late" {
		t.Fatalf("%s is outdated", got)
	}
	pending.must(unanswered.Answer(t.Context(), pendingAnswer)) // it is not to blame
	if got := <-outdated; got != "pending" {
		t.Fatalf("%s is outdated", got)
	}
	renewed, s, answer := subscribe("renewed", clientOptions{})
	renewed.must(s.Answer(t.Context(), answer))
	second.sendUntil("media flows in the new codec", func() bool {
		return renewed.codec(video) == webrtc.MimeTypeH264 && len(renewed.got(video)) > 10 && early.numbers(video)[len(early.numbers(video))-1] > 1_000_000
	})
	for _, number := range late.numbers(video) {
		if number >= 1_000_000 {
			t.Fatal("a subscriber got what it was not offered")
		}
	}
	_, s, answer = subscribe("VP8 only", clientOptions{video: []string{webrtc.MimeTypeVP8}})
	if err := s.Answer(t.Context(), answer); !errors.Is(err, media.ErrCodecRejected) {
		t.Errorf("a subscriber that can decode nothing: %v", err)
	}

	third := videoSource(t, webrtc.MimeTypeVP9, 2_000_000)
	third.publish(p)
	if got := <-outdated; got != "renewed" { // each but once
		t.Errorf("%s is outdated", got)
	}
	third.send(20)
	select {
	case got := <-outdated:
		t.Errorf("%s is outdated", got)
	default:
	}
}

func TestTheForcedCodecHoldsWhenThePublisherReconnects(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasVideo: true, ForcedVideoCodec: "VP8"})
	first := videoSource(t, webrtc.MimeTypeVP8, 0)
	first.publish(p)
	wrong := videoSource(t, webrtc.MimeTypeH264, 0)
	offer, err := wrong.pc.CreateOffer(nil)
	wrong.must(err)
	if _, err := p.Answer(t.Context(), offer.SDP); !errors.Is(err, media.ErrForcedCodec) {
		t.Errorf("reconnecting without the forced codec: %v", err)
	}
	c, _ := subscribe(t, e, p, clientOptions{})
	first.sendUntil("the stream goes on as before", func() bool { return len(c.got(video)) > 10 })
}
