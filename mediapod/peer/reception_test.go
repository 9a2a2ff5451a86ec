package peer

import (
	"math"
	"testing"

	"mediarooms.dev/mediarooms/mediapod/media"
)

func TestWhatAPublisherShouldSend(t *testing.T) {
	for name, c := range map[string]struct {
		dimensions media.Dimensions
		limit      int
		want       int
	}{
		"an unknown size":        {media.Dimensions{}, 0, 450},
		"a negative size":        {media.Dimensions{Width: -640, Height: -480}, 0, 450},
		"tiny":                   {media.Dimensions{Width: 32, Height: 24}, 0, 100},
		"VGA":                    {media.Dimensions{Width: 640, Height: 480}, 0, 450},
		"VGA upright":            {media.Dimensions{Width: 480, Height: 640}, 0, 450},
		"HD":                     {media.Dimensions{Width: 1280, Height: 720}, 0, 1250},
		"HD with a low limit":    {media.Dimensions{Width: 1280, Height: 720}, 300, 300},
		"HD with a high limit":   {media.Dimensions{Width: 1280, Height: 720}, 3000, 1250},
		"more than there can be": {media.Dimensions{Width: math.MaxInt, Height: math.MaxInt}, 0, 2000},
	} {
		got := targetKbps(media.PublicationOptions{VideoDimensions: c.dimensions, MaxVideoKbps: c.limit})
		if got != c.want {
			t.Errorf("%s: %d kbps, want %d", name, got, c.want)
		}
	}
}

func TestReceptionIsUnknownBeforeAnythingArrives(t *testing.T) {
	e := newEngine(t)
	if r, ok := e.NewPublication(both).Reception(); ok {
		t.Errorf("%+v", r)
	}
}
