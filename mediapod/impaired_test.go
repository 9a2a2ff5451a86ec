package mediapod

import (
	"fmt"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// browserMedia returns peer connections on the loopback interface with a browser's feedback.
func browserMedia(t *testing.T, path *roomclient.Path) *roomclient.Media {
	t.Helper()
	media, err := roomclient.NewMediaWith(roomclient.MediaOptions{
		Interfaces: func(name string) bool { return name == "lo" }, Feedback: 100 * time.Millisecond, Path: path,
	})
	if err != nil {
		t.Fatal(err)
	}
	return media
}

// receives waits until what a subscriber has seen is as a condition says.
func receives(t *testing.T, s *roomclient.Subscriber, what string, condition func(roomclient.Reception) bool) roomclient.Reception {
	t.Helper()
	var seen roomclient.Reception
	wait.For(t, 20*time.Second, what, func() error {
		if seen = s.Video(); !condition(seen) {
			return fmt.Errorf("so far: %+v", seen)
		}
		return nil
	})
	return seen
}

func TestOneBadPathIsRepairedAndTheOtherSubscriberSeesNothingOfIt(t *testing.T) {
	w := newWorld(t)
	w.operate("A", "B", "C")
	good := browserMedia(t, nil)
	bad := browserMedia(t, roomclient.NewPath(roomclient.Conditions{Loss: 0.05, Delay: 25 * time.Millisecond}))
	a, _ := w.join("A")
	published, err := a.Publish(t.Context(), good, roomclient.Stream{VideoFrameRate: 30, Video: []roomclient.Layer{{Kbps: 1000}}, AudioPacketBytes: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer published.Close()
	var subscribers []*roomclient.Subscriber
	for i, media := range []*roomclient.Media{good, bad} {
		client, _ := w.join([]string{"B", "C"}[i])
		s, err := client.Subscribe(t.Context(), media, published.StreamID)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		subscribers = append(subscribers, s)
	}
	seen := receives(t, subscribers[1], "losses are repaired", func(r roomclient.Reception) bool { return r.Repaired > 20 && r.Frames > 100 })
	t.Logf("the bad path: %+v", summary(seen))
	other := subscribers[0].Video()
	t.Logf("the good path: %+v", summary(other))
	if other.Repaired > 0 {
		t.Errorf("the other subscriber has lost %d packets", other.Repaired)
	}
	if audio := subscribers[0].Audio(); audio.Packets == 0 || audio.Delay.Count() == 0 {
		t.Errorf("audio: %+v", summary(audio))
	}
}

func TestALowerLayerComesWhenThePathGetsNarrow(t *testing.T) {
	w := newWorld(t)
	w.operate("A", "B")
	path := roomclient.NewPath(roomclient.Conditions{})
	a, _ := w.join("A")
	published, err := a.Publish(t.Context(), browserMedia(t, nil), roomclient.Stream{VideoFrameRate: 30, Video: []roomclient.Layer{
		{RID: "rdiv4", Width: 160, Height: 120, Kbps: 100}, {RID: "rdiv2", Width: 320, Height: 240, Kbps: 300}, {RID: "rdiv1", Kbps: 1500},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer published.Close()
	b, _ := w.join("B")
	s, err := b.Subscribe(t.Context(), browserMedia(t, path), published.StreamID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	receives(t, s, "the best layer is received", func(r roomclient.Reception) bool { return r.Layer == 2 && r.Frames > 30 })
	path.Set(roomclient.Conditions{Kbps: 500, Queue: 300 * time.Millisecond})
	seen := receives(t, s, "a lower layer is received", func(r roomclient.Reception) bool { return r.Layer < 2 })
	t.Logf("%+v", summary(seen))
}

func summary(r roomclient.Reception) map[string]any {
	return map[string]any{
		"packets": r.Packets, "expected": r.Expected, "missed": r.Missed, "repaired": r.Repaired, "nacks": r.NACKs, "frames": r.Frames,
		"longest": r.Longest, "freezes": r.Freezes, "layer": r.Layer, "p50": r.Delay.Quantile(0.5), "p99": r.Delay.Quantile(0.99),
		"changes": r.Changes, "keyframes": r.KeyframeRequests,
	}
}

func TestEveryFormOfVideoIsForwarded(t *testing.T) {
	for name, c := range map[string]struct {
		h264   bool
		stream roomclient.Stream
	}{
		"H264":                   {true, roomclient.Stream{Video: []roomclient.Layer{{Kbps: 800}}}},
		"VP8 in temporal layers": {false, roomclient.Stream{Video: []roomclient.Layer{{Kbps: 800}}, TemporalLayers: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.operate("A", "B", "C")
			options := roomclient.MediaOptions{
				Interfaces: func(name string) bool { return name == "lo" }, Feedback: 100 * time.Millisecond, Sample: 7,
			}
			if c.h264 {
				options.Video = append(options.Video, roomclient.H264)
			}
			media, err := roomclient.NewMediaWith(options)
			if err != nil {
				t.Fatal(err)
			}
			c.stream.VideoFrameRate = 30
			a, _ := w.join("A")
			published, err := a.Publish(t.Context(), media, c.stream)
			if err != nil {
				t.Fatal(err)
			}
			defer published.Close()
			// The first subscriber may be there before the first frame, which is a key frame
			// anyway. Who comes later needs one.
			for _, name := range []string{"B", "C"} {
				client, _ := w.join(name)
				s, err := client.Subscribe(t.Context(), media, published.StreamID)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if seen := receives(t, s, "frames come", func(r roomclient.Reception) bool { return r.Frames > 45 }); seen.Delay.Count() == 0 {
					t.Errorf("no delay was measured: %+v", summary(seen))
				}
			}
			if published.KeyframeRequests() == 0 {
				t.Error("no key frame was asked for")
			}
		})
	}
}
