package peer

import (
	"testing"

	"mediarooms.dev/mediarooms/mediapod/media"
)

func TestWhatAPublisherShouldSend(t *testing.T) {
	for name, c := range map[string]struct {
		dimensions string
		limit      int
		want       int
	}{
		"an unknown size":        {"", 0, 450},
		"no JSON":                {"big", 0, 450},
		"a size of nothing":      {`{"width":0,"height":0}`, 0, 450},
		"a negative size":        {`{"width":-640,"height":-480}`, 0, 450},
		"tiny":                   {`{"width":32,"height":24}`, 0, 100},
		"VGA":                    {`{"width":640,"height":480}`, 0, 450},
		"VGA upright":            {`{"width":480,"height":640}`, 0, 450},
		"HD":                     {`{"width":1280,"height":720}`, 0, 1250},
		"HD with a low limit":    {`{"width":1280,"height":720}`, 300, 300},
		"HD with a high limit":   {`{"width":1280,"height":720}`, 3000, 1250},
		"fractions":              {`{"width":1279.8,"height":720.4}`, 0, 1250},
		"more than there can be": {`{"width":1e300,"height":1e300}`, 0, 2000},
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
