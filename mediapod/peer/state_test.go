package peer

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// newPair makes two engines, of which peers are told that the second is to take over from the first.
func newPair(t *testing.T) (first, second *Engine) {
	first, second = newEngine(t), newEngine(t)
	local := netip.MustParseAddr("127.0.0.1")
	first.SetAdvertisedAddresses([]Address{
		{IP: local, UDPPort: first.UDPPort()}, {IP: local, UDPPort: second.UDPPort(), Rank: 1},
	})
	return first, second
}

// sent returns a value as another process gets it.
func sent[T any](t *testing.T, value T) (got T) {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestASubscriberGoesOverToAnotherEngine(t *testing.T) {
	first, second := newPair(t)
	p, q := first.NewPublication(both), second.NewPublication(both)
	source := newSource(t, 65_500, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	source.publish(p)
	viewer := newClient(t, clientOptions{})
	subscription, offer, err := first.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	viewer.must(err)
	s := subscription.(*Subscription)
	standby, err := q.(*Publication).ImportSubscription(sent(t, s.Export()), 1, media.SubscriptionOptions{})
	viewer.must(err)
	viewer.must(s.Answer(t.Context(), viewer.answer(offer)))
	viewer.must(standby.Follow(sent(t, s.Export())))
	viewer.waitConnected()
	source.sendUntil("media", func() bool { return len(viewer.got(webrtc.RTPCodecTypeVideo)) > 20 })
	source.sendUntil("the way to the standby", func() bool { return standby.Transport() == media.UDP })
	if second.Stats().ForwardedPackets != 0 {
		t.Error("a standby sends")
	}
	s.Freeze()
	viewer.must(standby.Follow(sent(t, s.Export())))
	viewer.must(standby.TakeOver(0))
	viewer.must(p.Close())
	before := len(viewer.got(webrtc.RTPCodecTypeVideo))
	next := newSource(t, 65_500, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	next.publish(q)
	next.sendUntil("media of the other engine", func() bool { return len(viewer.got(webrtc.RTPCodecTypeVideo)) > before+20 })
	viewer.continuous(webrtc.RTPCodecTypeVideo)
	viewer.continuous(webrtc.RTPCodecTypeAudio)
	if state := viewer.pc.ConnectionState(); state != webrtc.PeerConnectionStateConnected {
		t.Errorf("the subscriber is %v", state)
	}
}
