package layers

import (
	"testing"
	"time"
)

func TestASelectionFollowsThePath(t *testing.T) {
	plain := func(kbps int) Layer {
		return Layer{Kbps: kbps, Alive: true, UpTo: [Temporal]int{kbps, kbps, kbps, kbps}}
	}
	layered := func(kbps int) Layer {
		return Layer{Kbps: kbps, Alive: true, UpTo: [Temporal]int{kbps / 4, kbps / 2, kbps, kbps}}
	}
	const all = Temporal - 1
	type step struct {
		path             Path
		layer, temporal  int
		paused, over     bool
		wanted           int
		wait             time.Duration // before the step
		max, unpauseable int
	}
	for name, c := range map[string]struct {
		all   []Layer
		steps []step
	}{
		"nothing known": {[]Layer{plain(150), plain(500)}, []step{{path: Path{}, layer: 1, temporal: all}}},
		"temporal layers of the lowest layer only": {[]Layer{layered(400), layered(1600)}, []step{
			{path: Path{600, true, true}, layer: 0, temporal: 2},
			{path: Path{250, true, true}, layer: 0, temporal: 1},
			{path: Path{250, false, false}, layer: 0, temporal: 1, wanted: 460},
			{path: Path{450, false, false}, layer: 0, temporal: 2, wanted: 2160},
			{path: Path{2160, false, false}, layer: 1, temporal: all},
		}},
		"what is carried without congestion goes on": {[]Layer{layered(400)}, []step{
			{path: Path{}, layer: 0, temporal: all},
			{path: Path{100, false, false}, layer: 0, temporal: all},
			{path: Path{100, true, true}, layer: 0, temporal: 0},
			{path: Path{90, false, false}, layer: 0, temporal: 0, wanted: 230},
		}},
		"a pause and its end": {[]Layer{plain(400), plain(1600)}, []step{
			{path: Path{230, true, true}, layer: 0, temporal: 0},
			{path: Path{230, true, true}, wait: despair, layer: 0, temporal: 0, paused: true, wanted: 460},
			{path: Path{230, false, false}, wait: time.Minute, layer: 0, temporal: 0, paused: true, wanted: 460},
			{path: Path{410, false, false}, layer: 0, temporal: all, wanted: 2160},
		}},
		"no pause while there is hope": {[]Layer{plain(400)}, []step{
			{path: Path{250, true, true}, layer: 0, temporal: 0},
			{path: Path{250, true, true}, wait: time.Minute, layer: 0, temporal: 0},
		}},
		"no pause for a moment": {[]Layer{plain(400)}, []step{
			{path: Path{100, true, true}, layer: 0, temporal: 0},
			{path: Path{100, false, false}, wait: despair, layer: 0, temporal: 0},
			{path: Path{100, true, true}, wait: time.Millisecond, layer: 0, temporal: 0},
			{path: Path{100, true, true}, wait: despair - 1, layer: 0, temporal: 0},
		}},
		"no pause for a computer that is busy": {[]Layer{plain(400)}, []step{
			{path: Path{100, true, false}, layer: 0, temporal: 0},
			{path: Path{100, true, false}, wait: time.Minute, layer: 0, temporal: 0},
			{path: Path{100, true, true}, layer: 0, temporal: 0},
			{path: Path{100, true, false}, wait: despair, layer: 0, temporal: 0},
		}},
		"no pause without a way to find its end": {[]Layer{plain(400)}, []step{
			{path: Path{100, true, true}, layer: 0, temporal: 0, unpauseable: 1},
			{path: Path{100, true, true}, wait: time.Minute, layer: 0, temporal: 0, unpauseable: 1},
		}},
		"a stream that has stopped is not hopeless": {[]Layer{{Alive: true}}, []step{
			{path: Path{30, true, true}, layer: 0, temporal: all},
			{path: Path{30, true, true}, wait: time.Minute, layer: 0, temporal: all},
		}},
		"a limit leaves temporal layers out": {[]Layer{layered(400), layered(1600)}, []step{
			{path: Path{}, layer: 0, temporal: 2, max: 400},
			{path: Path{}, wait: time.Minute, layer: 0, temporal: 2, max: 380}, // by a little for a while
			{path: Path{}, layer: 0, temporal: 1, max: 350},
			{path: Path{}, layer: 0, temporal: 1, max: 390},
			{path: Path{}, layer: 0, temporal: 2, max: 400},
			{path: Path{Kbps: 150, Congested: true}, layer: 0, temporal: 0, max: 400},
			{path: Path{Kbps: 300}, layer: 0, temporal: 1, max: 400, wanted: 460},
			{path: Path{}, layer: 1, temporal: all},
		}},
		"a limit far below what there is": {[]Layer{plain(400)}, []step{
			{path: Path{}, layer: 0, temporal: 0, max: 300},
			{path: Path{}, wait: time.Minute, layer: 0, temporal: 0, max: 300},
			{path: Path{}, layer: 0, temporal: 0, max: 200},
			{path: Path{}, wait: patience - 1, layer: 0, temporal: 0, max: 200},
			{path: Path{}, wait: 1, layer: 0, temporal: 0, over: true, max: 200},
			{path: Path{}, wait: time.Minute, layer: 0, temporal: 0, over: true, max: 300},
			{path: Path{}, layer: 0, temporal: all, max: 400},
			{path: Path{}, layer: 0, temporal: 0, max: 200},
			{path: Path{}, wait: time.Minute, layer: 0, temporal: 0, over: true, max: 200},
			{path: Path{}, layer: 0, temporal: all},
		}},
		"a limit that is exceeded for a moment": {[]Layer{plain(400)}, []step{
			{path: Path{}, layer: 0, temporal: 0, max: 200},
			{path: Path{}, wait: patience - 1, layer: 0, temporal: 0, max: 300},
			{path: Path{}, wait: patience - 1, layer: 0, temporal: 0, max: 200},
			{path: Path{}, wait: patience - 1, layer: 0, temporal: 0, max: 200},
		}},
		"a limit and a path": {[]Layer{plain(400)}, []step{
			{path: Path{100, true, true}, layer: 0, temporal: 0, max: 200},
			{path: Path{100, true, true}, wait: despair, layer: 0, temporal: 0, paused: true, max: 200, wanted: 460},
			{path: Path{100, true, true}, wait: patience, layer: 0, temporal: 0, paused: true, over: true, max: 200},
			{path: Path{100, false, false}, layer: 0, temporal: 0, paused: true, wanted: 460},
		}},
	} {
		var s Selection
		s.Temporal = all
		now, current := time.Unix(1_000_000, 0), -1
		for i, step := range c.steps {
			now = now.Add(step.wait)
			wanted := s.Update(c.all, current, step.path, Limits{Kbps: step.max}, step.unpauseable == 0, now)
			temporal := s.Temporal
			if c.all[s.Layer].UpTo[temporal] == c.all[s.Layer].UpTo[step.temporal] {
				temporal = step.temporal // it makes no difference
			}
			if s.Layer != step.layer || temporal != step.temporal || s.Paused != step.paused || s.Over != step.over || wanted != step.wanted {
				t.Errorf("%s: step %d: %+v, wanted %d; want %+v", name, i, s, wanted, step)
			}
			if current = s.Layer; s.Pause() != NoPause {
				current = -1
			}
		}
	}
}
