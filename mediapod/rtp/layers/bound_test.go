package layers

import (
	"testing"
	"time"
)

// sized is a layer of a camera that sends 30 pictures a second in three temporal layers.
func sized(width, height, kbps int) Layer {
	return Layer{
		Kbps: kbps, Alive: true, Pixels: width * height, UpTo: [Temporal]int{kbps / 2, kbps * 3 / 4, kbps, kbps}, FPS: [Temporal]int{8, 15, 30, 30},
	}
}

func TestAReceiverGetsNoMoreThanItWants(t *testing.T) {
	usual := []Layer{sized(320, 180, 150), sized(640, 360, 500), sized(1280, 720, 1700)}
	unknown := []Layer{usual[0], usual[1], {Kbps: 1700, Alive: true, UpTo: [Temporal]int{1700, 1700, 1700, 1700}}}
	stopped := []Layer{{Pixels: 320 * 180}, usual[1], usual[2]}
	const all = Temporal - 1
	for name, c := range map[string]struct {
		all             []Layer
		path            Path
		kbps            int
		bound           Bound
		layer, temporal int
		wanted          int
	}{
		"without a bound":                          {usual, Path{}, 0, Bound{}, 2, all, 0},
		"a size":                                   {usual, Path{}, 0, Bound{Pixels: 640 * 480}, 1, all, 0},
		"the very size of a layer":                 {usual, Path{}, 0, Bound{Pixels: 320 * 180}, 0, all, 0},
		"a size below all layers":                  {usual, Path{}, 0, Bound{Pixels: 1}, 0, all, 0},
		"a size below all layers that are sent":    {stopped, Path{}, 0, Bound{Pixels: 1}, 1, all, 0},
		"a layer whose size is not known":          {unknown, Path{}, 0, Bound{Pixels: 640 * 480}, 2, all, 0},
		"all have stopped":                         {[]Layer{{}, {}}, Path{}, 0, Bound{Pixels: 1}, 0, all, 0},
		"a frame rate":                             {usual, Path{}, 0, Bound{FPS: 15}, 2, 1, 0},
		"a frame rate between those of two layers": {usual, Path{}, 0, Bound{FPS: 14}, 2, 1, 0},
		"a frame rate below all":                   {usual, Path{}, 0, Bound{FPS: 1}, 2, 0, 0},
		"a frame rate above all":                   {usual, Path{}, 0, Bound{FPS: 30}, 2, all, 0},
		"a frame rate without temporal layers":     {unknown[2:], Path{}, 0, Bound{FPS: 1}, 0, all, 0},
		"both":                                     {usual, Path{}, 0, Bound{640 * 360, 7}, 1, 0, 0},
		"a frame rate with which more fits":        {usual, Path{}, 400, Bound{FPS: 15}, 1, 1, 0},
		"a path that carries less":                 {usual, Path{Kbps: 300}, 0, Bound{Pixels: 640 * 360}, 0, all, 675},
		"a path that carries what is wanted":       {usual, Path{Kbps: 700}, 0, Bound{Pixels: 640 * 360}, 1, all, 0},
		"a path, and nothing more that is wanted":  {usual[:1], Path{Kbps: 200}, 0, Bound{FPS: 7}, 0, 0, 0},
	} {
		var s Selection
		now := time.Unix(1_000_000, 0)
		wanted := 0
		current := -1
		for range 3 {
			wanted = s.Update(c.all, current, c.path, Limits{c.kbps, c.bound}, true, now)
			current = s.Layer
		}
		temporal := s.Temporal
		if c.all[s.Layer].UpTo[temporal] == c.all[s.Layer].UpTo[c.temporal] {
			temporal = c.temporal // it makes no difference
		}
		if s.Layer != c.layer || temporal != c.temporal || wanted != c.wanted {
			t.Errorf("%s: layer %d up to %d, wanted %d; want %+v", name, s.Layer, s.Temporal, wanted, c)
		}
	}
}

// What is measured of a frame rate varies, and a receiver does not get now more and now less for
// that.
func TestABoundIsNotLeftForALittle(t *testing.T) {
	var s Selection
	l := sized(640, 360, 500)
	for i, c := range []struct{ fps, temporal int }{{15, 1}, {19, 1}, {13, 1}, {20, 0}, {17, 0}, {16, 1}} {
		l.FPS[1] = c.fps
		if s.Update([]Layer{l}, 0, Path{}, Limits{Bound: Bound{FPS: 15}}, true, time.Unix(1_000_000, 0)); s.Temporal != c.temporal {
			t.Errorf("step %d, %d pictures a second: up to %d, want %d", i, c.fps, s.Temporal, c.temporal)
		}
	}
}
