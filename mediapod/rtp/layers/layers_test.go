package layers

import (
	"testing"
	"time"
)

func TestTheBestLayerThatFits(t *testing.T) {
	usual := []Layer{{Kbps: 150, Alive: true}, {Kbps: 500, Alive: true}, {Kbps: 1700, Alive: true}}
	with := func(i int, l Layer) []Layer {
		all := []Layer{usual[0], usual[1], usual[2]}
		all[i] = l
		return all
	}
	for name, c := range map[string]struct {
		all            []Layer
		current        int
		path           Path
		max            int
		choice, wanted int
	}{
		"nothing is known of the path":   {usual, -1, Path{}, 0, 2, 0},
		"nothing is known of the layers": {[]Layer{{Alive: true}, {Alive: true}}, -1, Path{}, 0, 1, 0},
		"one layer":                      {usual[:1], -1, Path{Kbps: 20}, 10, 0, 0},
		"a limit":                        {usual, -1, Path{}, 600, 1, 0},
		"a limit below all layers":       {usual, -1, Path{}, 100, 0, 0},
		"a limit that the current layer exceeds a little": {usual, 1, Path{}, 460, 1, 0},
		"a limit that the current layer exceeds by far":   {usual, 1, Path{}, 400, 0, 0},
		"a limit, and a layer that is not measured yet":   {with(2, Layer{Alive: true}), 1, Path{}, 2000, 1, 0},
		"congestion": {usual, 2, Path{Kbps: 750, Congested: true}, 0, 1, 0},
		"congestion, and a layer without room for a keyframe":  {usual, 2, Path{Kbps: 740, Congested: true}, 0, 0, 0},
		"congestion below all layers":                          {usual, 2, Path{Kbps: 50, Congested: true}, 0, 0, 0},
		"congestion on the way up":                             {usual, 0, Path{Kbps: 600, Congested: true}, 0, 0, 0},
		"congestion that the current layer is not guilty of":   {usual, 1, Path{Kbps: 600, Congested: true}, 0, 1, 0},
		"no congestion any more":                               {usual, 1, Path{Kbps: 600}, 0, 1, 2295},
		"no congestion, and the estimate is lower":             {usual, 1, Path{Kbps: 300}, 0, 1, 2295},
		"what was wanted is shown":                             {usual, 1, Path{Kbps: 2295}, 0, 2, 0},
		"a little less than what is enough is shown":           {usual, 1, Path{Kbps: 2200}, 0, 1, 2295},
		"two steps at once":                                    {usual, 0, Path{Kbps: 3000}, 0, 2, 0},
		"the next step only":                                   {usual, 0, Path{Kbps: 200}, 0, 0, 675},
		"a better layer exceeds the limit":                     {usual, 1, Path{Kbps: 600}, 1000, 1, 0},
		"a better layer is not measured yet":                   {with(2, Layer{Alive: true}), 1, Path{Kbps: 600}, 0, 1, 0},
		"the best layer has stopped":                           {with(2, Layer{}), 2, Path{}, 0, 1, 0},
		"the lowest layer has stopped":                         {with(0, Layer{}), 2, Path{Kbps: 20, Congested: true}, 0, 1, 0},
		"the best layer has resumed":                           {usual, 1, Path{}, 0, 2, 0},
		"all have stopped":                                     {[]Layer{{}, {}}, 1, Path{}, 0, 1, 0},
		"all have stopped, and there is no current one":        {[]Layer{{}, {}}, -1, Path{}, 0, 0, 0},
		"a receiver of none on a path that was seen to be bad": {usual, -1, Path{Kbps: 800, Congested: true}, 0, 1, 0},
	} {
		choice, wanted := Choose(c.all, c.current, c.path, c.max)
		if choice != c.choice || wanted != c.wanted {
			t.Errorf("%s: layer %d, wanted %d; want layer %d, wanted %d", name, choice, wanted, c.choice, c.wanted)
		}
	}
}

// frames plays layers of the given frame rates, and returns the liveness after the given time.
func play(l *Liveness, counts []uint64, fps []int, from, duration time.Duration) {
	epoch := time.Unix(1_000_000, 0)
	for at := from; at < from+duration; at += 20 * time.Millisecond {
		for i, f := range fps {
			if f > 0 && (at*time.Duration(f)/time.Second) != ((at-20*time.Millisecond)*time.Duration(f)/time.Second) {
				counts[i]++
			}
		}
		l.Update(counts, epoch.Add(at))
	}
}

func TestALayerThatStopsIsMissedWithinASecond(t *testing.T) {
	for stopped := range 3 {
		var l Liveness
		counts := make([]uint64, 3)
		fps := []int{7, 15, 30}
		play(&l, counts, fps, time.Second, 5*time.Second)
		for i := range 3 {
			if !l.Alive(i) {
				t.Fatalf("layer %d has stopped", i)
			}
		}
		fps[stopped] = 0
		play(&l, counts, fps, 6*time.Second, time.Second)
		for i := range 3 {
			if l.Alive(i) == (i == stopped) {
				t.Errorf("layer %d of which %d has stopped: alive %v", i, stopped, l.Alive(i))
			}
		}
		fps[stopped] = 30
		play(&l, counts, fps, 7*time.Second, 100*time.Millisecond)
		if !l.Alive(stopped) {
			t.Errorf("layer %d has not resumed", stopped)
		}
	}
}

func TestAPictureThatDoesNotMoveHasNotStopped(t *testing.T) {
	var l Liveness
	counts := make([]uint64, 3)
	play(&l, counts, []int{1, 1, 1}, time.Second, 20*time.Second)
	play(&l, counts, []int{0, 0, 0}, 21*time.Second, 20*time.Second)
	for i := range 3 {
		if !l.Alive(i) {
			t.Errorf("layer %d has stopped", i)
		}
	}
}
