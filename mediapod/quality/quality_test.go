package quality

import (
	"fmt"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

func TestLevel(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		reception media.Reception
		want      int
	}{
		"nothing wrong":              {media.Reception{}, 5},
		"all known and good":         {media.Reception{Lost: 0.01, Jitter: 30 * ms, RoundTrip: 150 * ms, VideoKbps: 600, TargetKbps: 1000}, 5},
		"a little loss":              {media.Reception{Lost: 0.011}, 4},
		"some loss":                  {media.Reception{Lost: 0.05}, 3},
		"much loss":                  {media.Reception{Lost: 0.1}, 2},
		"hardly intelligible":        {media.Reception{Lost: 0.5}, 1},
		"more lost than arrives":     {media.Reception{Lost: 0.51}, 0},
		"everything lost":            {media.Reception{Lost: 1}, 0},
		"a little jitter":            {media.Reception{Jitter: 31 * ms}, 4},
		"some jitter":                {media.Reception{Jitter: 61 * ms}, 3},
		"much jitter":                {media.Reception{Jitter: 101 * ms}, 2},
		"endless jitter":             {media.Reception{Jitter: time.Hour}, 1},
		"far away":                   {media.Reception{RoundTrip: 151 * ms}, 4},
		"farther away":               {media.Reception{RoundTrip: 301 * ms}, 3},
		"on a satellite":             {media.Reception{RoundTrip: 501 * ms}, 2},
		"on the moon":                {media.Reception{RoundTrip: 2600 * ms}, 1},
		"fewer bits than wanted":     {media.Reception{VideoKbps: 599, TargetKbps: 1000}, 4},
		"far fewer bits than wanted": {media.Reception{VideoKbps: 299, TargetKbps: 1000}, 3},
		"no video":                   {media.Reception{VideoKbps: 0, TargetKbps: 1000}, 3},
		"no target is known":         {media.Reception{VideoKbps: 10}, 5},
		"the worst decides":          {media.Reception{Lost: 0.02, Jitter: 150 * ms, RoundTrip: 200 * ms, VideoKbps: 100, TargetKbps: 1000}, 2},
		"few bits do not hide what else is wrong": {media.Reception{Lost: 0.9, VideoKbps: 100, TargetKbps: 1000}, 0},
	} {
		if got := Level(c.reception); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// lossOf is a reception of each level.
var lossOf = []float64{1, 0.4, 0.12, 0.05, 0.02, 0}

func TestMeter(t *testing.T) {
	for name, c := range map[string]struct {
		measured []int // levels; -1 is a miss
		want     []int // levels that hold after each; -1 is none
	}{
		"the first holds at once":                  {[]int{3}, []int{3}},
		"a miss before anything is no measurement": {[]int{-1, -1, 4}, []int{-1, -1, 4}},
		"one that is worse does not count":         {[]int{5, 1, 5, 1, 5, 1}, []int{5, 5, 5, 5, 5, 5}},
		"two that are worse do":                    {[]int{5, 3, 3}, []int{5, 5, 3}},
		"the nearer of two counts":                 {[]int{5, 1, 4, 4, 1, 2}, []int{5, 5, 4, 4, 4, 2}},
		"two that are better do not count":         {[]int{3, 5, 5, 3, 5, 5, 3}, []int{3, 3, 3, 3, 3, 3, 3}},
		"three that are better do":                 {[]int{3, 5, 4, 5}, []int{3, 3, 3, 4}},
		"up and down":                              {[]int{3, 5, 5, 2, 2}, []int{3, 3, 3, 3, 2}},
		"two misses are broken":                    {[]int{5, -1, -1, -1, 5, 5, 5}, []int{5, 5, 0, 0, 0, 0, 5}},
	} {
		var m Meter
		var got []int
		for _, level := range c.measured {
			if level < 0 {
				m.Miss()
			} else {
				m.Measure(media.Reception{Lost: lossOf[level]})
			}
			holds, known := m.Level()
			if !known {
				holds = -1
			}
			got = append(got, holds)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
