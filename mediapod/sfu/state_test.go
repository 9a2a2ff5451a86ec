package sfu

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// moved makes a room that goes on with another one's subscriber, with its state as JSON.
func moved(t *testing.T, s *Subscriber, margin uint16, now time.Time) (*room, *Subscriber, *wire) {
	t.Helper()
	state := s.Export()
	raw, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	var read SubscriberState
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	r, w := &room{t: t}, &wire{}
	r.publisher = NewPublisher(&r.counters, 0)
	next, err := r.publisher.Subscribe(w)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Resume(read, w, margin, now); err != nil {
		t.Fatal(err)
	}
	if got := next.Export(); margin == 0 && !equal(got, state) {
		t.Errorf("the state is %+v, want %+v", got, state)
	}
	r.upstream = &wire{}
	r.layer, err = r.publisher.Track(Video).NewFeed().Publish(LayerConfig{
		SSRC: 7, PayloadType: publisherPT, Codec: vp8, Feedback: r.upstream, Resumed: true,
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	return r, next, w
}

// equal compares states; times that were written as JSON are of no process.
func equal(a, b SubscriberState) bool {
	for i := range a.Streams {
		if i >= len(b.Streams) || !a.Streams[i].Rewritten.SentAt.Equal(b.Streams[i].Rewritten.SentAt) {
			return false
		}
		b.Streams[i].Rewritten.SentAt = a.Streams[i].Rewritten.SentAt
	}
	return reflect.DeepEqual(a, b)
}

func TestASubscriberGoesOnInAnotherProcess(t *testing.T) {
	for _, margin := range []uint16{0, 1024} {
		r := newRoom(t, 0)
		s, w := r.subscribe(epoch, func(c *ForwarderConfig) { c.TransportCC = 3 })
		now := epoch
		for i := range uint16(20) {
			body := delta(byte(i))
			if i == 0 {
				body = key(0)
			}
			r.write(raw(t, 600+i, uint32(i)*3000, body...), now)
			now = now.Add(33 * time.Millisecond)
		}
		got, _ := w.take()
		s.HandleRTCP(nackOf(got[5].SequenceNumber), now)
		repaired, _ := w.take()
		last := got[19]

		r, s, w = moved(t, s, margin, now)
		if n, _ := count[*rtcp.PictureLossIndication](taken(r.upstream)); n != 1 {
			t.Errorf("%d keyframes are asked for at the first packet", n)
		}
		for passed := TickInterval; passed <= time.Second; passed += TickInterval {
			r.publisher.Tick(now.Add(passed))
		}
		if n, _ := count[*rtcp.PictureLossIndication](taken(r.upstream)); n != 5 {
			t.Errorf("%d keyframes are asked for in a second without one", n)
		}
		r.write(raw(t, 620, 20*3000, delta(20)...), now)
		if sent, _ := w.take(); len(sent) != 0 {
			t.Error("something is sent that can't be decoded")
		}
		r.write(raw(t, 621, 21*3000, key(21)...), now.Add(33*time.Millisecond))
		r.write(raw(t, 622, 22*3000, delta(22)...), now.Add(66*time.Millisecond))
		got, _ = w.take()
		if len(got) != 2 {
			t.Fatalf("%d packets are sent", len(got))
		}
		first := got[0]
		if first.SSRC != last.SSRC || first.PayloadType != last.PayloadType || first.SequenceNumber != last.SequenceNumber+1+margin {
			t.Errorf("goes on with %v after %v", first.Header, last.Header)
		}
		if passed := int32(first.Timestamp - last.Timestamp); passed < 5000 || passed > 7000 {
			t.Errorf("the timestamp goes on by %d", passed)
		}
		s.HandleRTCP(nackOf(got[1].SequenceNumber), now.Add(time.Second))
		again, _ := w.take()
		if len(again) != 1 || again[0].SSRC != repaired[0].SSRC || again[0].SequenceNumber != repaired[0].SequenceNumber+1+margin {
			t.Errorf("sent again: %v after %v", again, repaired)
		}
	}
}

// The publisher may be there already: then it is asked at once, and soon again.
func TestASubscriberThatGoesOnDoesNotWaitLongForAKeyframe(t *testing.T) {
	r := newRoom(t, 0)
	r.write(raw(t, 0, 0, key(0)...), epoch)
	old, _ := newRoom(t, 0).subscribe(epoch)
	s, err := r.publisher.Subscribe(&wire{})
	if err != nil {
		t.Fatal(err)
	}
	now := epoch.Add(time.Second)
	if err := s.Resume(old.Export(), &wire{}, 0, now); err != nil {
		t.Fatal(err)
	}
	for passed := TickInterval; passed <= time.Second; passed += TickInterval {
		r.publisher.Tick(now.Add(passed))
	}
	if n, _ := count[*rtcp.PictureLossIndication](taken(r.upstream)); n != 6 {
		t.Errorf("%d keyframes are asked for in a second without one", n)
	}
}

func taken(w *wire) []rtcp.Packet {
	_, control := w.take()
	return control
}

func TestAStateOfNoKindIsRefused(t *testing.T) {
	r := newRoom(t, 0)
	s, _ := r.publisher.Subscribe(&wire{})
	if err := s.Resume(SubscriberState{Streams: []StreamState{{Kind: 9}}}, &wire{}, 0, epoch); err == nil {
		t.Error("it is taken")
	}
}
