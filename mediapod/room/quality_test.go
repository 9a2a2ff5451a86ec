package room

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

const qualityInterval = 5 * time.Second

// receive sets what the engine observes of a stream from now on, and lets so many intervals pass.
func (s *scene) observe(stream string, reception *media.Reception, intervals int) {
	s.t.Helper()
	if reception != nil {
		s.write("%.0f %% of %s are lost, %d times", 100*reception.Lost, stream, intervals)
	} else {
		s.write("nothing is observed of %s, %d times", stream, intervals)
	}
	for _, publication := range s.engine.Publications() {
		if publication.Options.StreamID == stream {
			publication.SetReception(reception)
		}
	}
	time.Sleep(time.Duration(intervals) * qualityInterval)
	synctest.Wait()
}

func TestNetworkQualityIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "A", "B", "C")
		s.registry.SetNetworkQualityInterval(qualityInterval)
		s.join("A")
		s.join("B")
		stream := s.publish("A")
		s.observe(stream, nil, 3)
		s.observe(stream, &media.Reception{}, 1)
		s.observe(stream, &media.Reception{Lost: 0.1}, 1)
		s.join("C")
		s.observe(stream, &media.Reception{Lost: 0.1}, 1)
		s.observe(stream, &media.Reception{}, 5)
		s.observe(stream, nil, 2)
		s.write("A unpublishes")
		s.must(s.users["A"].Unpublish())
		stream = s.publish("A")
		s.observe(stream, nil, 2)
		s.observe(stream, &media.Reception{Lost: 0.1}, 1)
		s.write("A leaves")
		s.must(s.users["A"].Leave())
		time.Sleep(3 * qualityInterval)
		s.golden("network quality is told")
	})
}

func TestWhatSaysNothingOfTheNetworkDoesNotCount(t *testing.T) {
	quiet := media.Reception{VideoKbps: 10, TargetKbps: 1000}
	for name, c := range map[string]struct {
		options  StreamOptions
		observed *media.Reception
		muted    bool
		want     string
	}{
		"a camera that sends too little":      {camera, &quiet, false, "5, 3"},
		"a screen where nothing moves":        {StreamOptions{HasVideo: true, VideoActive: true, TypeOfVideo: "SCREEN"}, &quiet, false, "5"},
		"a camera that is muted":              {camera, &quiet, true, "5"},
		"a camera of which nothing comes":     {StreamOptions{HasVideo: true, VideoActive: true, TypeOfVideo: "CAMERA"}, nil, false, "5, 0"},
		"a muted camera of which none comes":  {StreamOptions{HasVideo: true, VideoActive: true, TypeOfVideo: "CAMERA"}, nil, true, "5"},
		"audio only, without a video bitrate": {StreamOptions{HasAudio: true, AudioActive: true}, &media.Reception{}, false, "5"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, "A")
				s.registry.SetNetworkQualityInterval(qualityInterval)
				s.join("A")
				id := ""
				s.must(s.users["A"].Publish(context.Background(), c.options, "offer", func(published Stream, _ string) { id = published.ID }))
				s.observe(id, &media.Reception{}, 1)
				if c.muted {
					off := false
					s.must(s.users["A"].ChangeStream(StreamChange{VideoActive: &off}))
				}
				s.observe(id, c.observed, 10)
				var levels []string
				for _, line := range strings.Split(s.text(), "\n") {
					if _, level, found := strings.Cut(line, "networkQualityLevelChanged A: "); found {
						levels = append(levels, level[:1])
					}
				}
				if got := strings.Join(levels, ", "); got != c.want {
					t.Errorf("levels %s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestNetworkQualityIsMeasuredWhileWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "A")
		s.join("A")
		s.publish("A")
		publication := s.engine.Publications()[0]
		for _, step := range []struct {
			interval time.Duration
			want     int // measurements in a minute
		}{{0, 0}, {5 * time.Second, 12}, {20 * time.Second, 3}, {20 * time.Second, 3}, {0, 0}, {30 * time.Second, 2}} {
			before := publication.Measured()
			s.registry.SetNetworkQualityInterval(step.interval)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := publication.Measured() - before; got != step.want {
				t.Errorf("every %v: %d times, want %d", step.interval, got, step.want)
			}
		}
		s.registry.Stop()
		s.registry.Wait()
		s.registry.SetNetworkQualityInterval(time.Second) // too late: it would never end
	})
}
