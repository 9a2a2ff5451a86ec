package peer

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

// newPair makes two engines, of which peers are told that the second is to take over from the
// first.
func newPair(t testing.TB) (first, second *Engine) {
	first, second = newEngine(t), newEngine(t)
	local := netip.MustParseAddr("127.0.0.1")
	first.SetAdvertisedAddresses([]Address{
		{IP: local, UDPPort: first.UDPPort()}, {IP: local, UDPPort: second.UDPPort(), Rank: 1},
	})
	return first, second
}

// Firefox may never check what comes after the address that is nominated.
func TestTheAddressOfTheNextProcessComesFirst(t *testing.T) {
	address := func(last byte, rank transport.Rank) Address {
		return Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, last}), UDPPort: 5, TCPPort: 6, Rank: rank}
	}
	got := candidates([]Address{address(1, 0), address(2, 0), address(3, 1)})
	want := []string{
		"1 1 udp 1004000000 192.0.2.3 5 typ host",
		"2 1 udp 999999999 192.0.2.1 5 typ host",
		"3 1 udp 999999998 192.0.2.2 5 typ host",
		"4 1 tcp 1002000000 192.0.2.3 6 typ host tcptype passive",
		"5 1 tcp 997999999 192.0.2.1 6 typ host tcptype passive",
		"6 1 tcp 997999998 192.0.2.2 6 typ host tcptype passive",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the candidates are %q, want %q", got, want)
	}
}

// sent returns a value as another process gets it.
func sent[T any](t testing.TB, value T) (got T) {
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
	standby, err := q.(*Publication).ImportSubscription(sent(t, s.Export()), media.SubscriptionOptions{}, nil)
	viewer.must(err)
	viewer.must(s.Answer(t.Context(), viewer.answer(offer)))
	viewer.must(standby.Follow(sent(t, s.Export())))
	viewer.waitConnected()
	// A viewer that is connected checks no more ways. The standby is told again of the one that is.
	viewer.must(standby.Follow(sent(t, s.Export())))
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

// What a subscriber does not want is not sent by the next engine, until it wants it there.
func TestWhatIsWithheldIsWithheldByAnotherEngine(t *testing.T) {
	first, second := newPair(t)
	p, q := first.NewPublication(both), second.NewPublication(both)
	source := newSource(t, 65_500, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	source.publish(p)
	viewer := newClient(t, clientOptions{})
	subscription, offer, err := first.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	viewer.must(err)
	s := subscription.(*Subscription)
	s.Deliver(media.Delivery{NoAudio: true, NoVideo: true})
	standby, err := q.(*Publication).ImportSubscription(sent(t, s.Export()), media.SubscriptionOptions{}, nil)
	viewer.must(err)
	if state := standby.Export(); !state.NoAudio || !state.NoVideo {
		t.Errorf("the standby is to send audio: %v, video: %v", !state.NoAudio, !state.NoVideo)
	}
	s.Deliver(media.Delivery{NoVideo: true})
	viewer.must(s.Answer(t.Context(), viewer.answer(offer)))
	viewer.waitConnected()
	viewer.must(standby.Follow(sent(t, s.Export())))
	source.sendUntil("sound", func() bool { return len(viewer.got(webrtc.RTPCodecTypeAudio)) > 20 })
	source.sendUntil("the way to the standby", func() bool { return standby.Transport() == media.UDP })
	s.Freeze()
	viewer.must(standby.Follow(sent(t, s.Export())))
	viewer.must(standby.TakeOver(0))
	viewer.must(p.Close())
	before := len(viewer.got(webrtc.RTPCodecTypeAudio))
	next := newSource(t, 65_500, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	next.publish(q)
	next.sendUntil("sound of the other engine", func() bool { return len(viewer.got(webrtc.RTPCodecTypeAudio)) > before+20 })
	if n := len(viewer.got(webrtc.RTPCodecTypeVideo)); n != 0 {
		t.Errorf("%d packets of video came, which is not wanted", n)
	}
	standby.Deliver(media.Delivery{})
	next.sendUntil("video, which is wanted now", func() bool { return len(viewer.got(webrtc.RTPCodecTypeVideo)) > 20 })
}

// A state of the version before lacks something, and one of the next version has something more.
func TestAStateOfAnotherVersionIsRead(t *testing.T) {
	first, second := newPair(t)
	p, q := first.NewPublication(both), second.NewPublication(both)
	subscription, _, err := first.Subscribe(t.Context(), p, media.SubscriptionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(subscription.(*Subscription).Export())
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"NoAudio", "NoVideo"} {
		if _, there := fields[name]; there {
			t.Errorf("%s is there, and says nothing", name)
		}
	}
	fields["Later"] = map[string]any{"Video": true}
	if raw, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	var state SubscriptionState
	if err := json.Unmarshal(raw, &state); err != nil {
		t.Fatal(err)
	}
	standby, err := q.(*Publication).ImportSubscription(state, media.SubscriptionOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := standby.Export(); got.NoAudio || got.NoVideo {
		t.Errorf("the standby is to send audio: %v, video: %v", !got.NoAudio, !got.NoVideo)
	}
}

// What a standby costs: one state of a connection, exported, sent and taken in, and the memory for
// a connection that is followed.
func BenchmarkFollow(b *testing.B) {
	first, second := newPair(b)
	p, q := first.NewPublication(both), second.NewPublication(both)
	source := newSource(b, 65_500, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeOpus, webrtc.MimeTypeVP8)
	source.publish(p)
	viewer := newClient(b, clientOptions{})
	subscription, offer, err := first.Subscribe(b.Context(), p, media.SubscriptionOptions{})
	viewer.must(err)
	s := subscription.(*Subscription)
	viewer.must(s.Answer(b.Context(), viewer.answer(offer)))
	viewer.waitConnected()
	source.sendUntil("media", func() bool { return len(viewer.got(webrtc.RTPCodecTypeVideo)) > 20 })
	var followed []*Subscription
	const connections = 200
	before := inUse()
	for i := range connections {
		state := sent(b, s.Export())
		state.Connection.Name = fmt.Sprintf("name-%011d", i)
		one, err := q.(*Publication).ImportSubscription(state, media.SubscriptionOptions{}, nil)
		viewer.must(err)
		followed = append(followed, one)
	}
	memory := inUse() - before
	for n := 0; b.Loop(); n++ {
		state := sent(b, s.Export())
		state.Connection.Name = followed[n%connections].conn.Export().Name
		viewer.must(followed[n%connections].Follow(state))
	}
	b.ReportMetric(float64(memory)/connections, "B/connection")
}

// inUse is the memory that is in use.
func inUse() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers have freed
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
