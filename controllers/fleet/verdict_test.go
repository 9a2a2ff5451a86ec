package fleet

import (
	"testing"
	"time"
)

func TestVerdicts(t *testing.T) {
	type change func(s *signs)
	silent := func(d time.Duration) change { return func(s *signs) { s.silent, s.missed = d, d } }
	occupied := func(s *signs) { s.hosting, s.occupied = true, true }
	deaf := func(s *signs) { s.missed = 0 }
	unheard := func(s *signs) { s.heard = false }
	down := func(s *signs) { s.nodeDown = true }
	notReady := func(s *signs) { s.notReady = true }
	behind := func(d time.Duration) change { return func(s *signs) { s.unsynced = d } }
	for sentence, test := range map[string]struct {
		changes []change
		cutOff  bool
		want    Sign
	}{
		"all is well":                     {nil, false, ""},
		"others find fault, it is heard":  {[]change{occupied, down, notReady, silent(silence - 1)}, false, ""},
		"an empty one is silent":          {[]change{silent(silence)}, true, SignSilence},
		"an empty one, nobody is heard":   {[]change{silent(time.Hour), deaf}, true, ""},
		"one with users is silent":        {[]change{occupied, silent(silenceBound - 1)}, true, ""},
		"for too long":                    {[]change{occupied, silent(silenceBound)}, true, SignSilence},
		"for long, while nobody is heard": {[]change{occupied, silent(time.Hour), deaf}, true, ""},
		"it is silent, and its node":      {[]change{occupied, silent(silence), down}, true, SignNodeNotReady},
		"its node, while nobody is heard": {[]change{occupied, silent(silence), deaf, down}, true, SignNodeNotReady},
		"it is silent to its kubelet":     {[]change{occupied, silent(silence), notReady}, true, SignPodNotReady},
		"it starts":                       {[]change{unheard, notReady, silent(time.Hour)}, false, ""},
		"it starts on a node that fails":  {[]change{unheard, down, silent(time.Hour)}, false, ""},
		"a new leader hears nothing":      {[]change{unheard, occupied, silent(patience)}, true, ""},
		"nor does its kubelet":            {[]change{unheard, occupied, silent(patience), notReady}, true, SignPodNotReady},
		"a new leader, and an empty room": {[]change{unheard, func(s *signs) { s.hosting = true }, silent(patience)}, true, SignSilence},
		"it does not apply what it gets":  {[]change{behind(unsynced)}, false, SignNotSynced},
		"nor with users, for some time":   {[]change{occupied, behind(silenceBound - 1)}, false, ""},
		"nor with users, for long":        {[]change{occupied, behind(silenceBound)}, false, SignNotSynced},
	} {
		s := signs{heard: true}
		for _, change := range test.changes {
			change(&s)
		}
		sign, give := s.verdict()
		if s.cutOff() != test.cutOff || sign != test.want || give != (test.want != "") {
			t.Errorf("%s: cut off is %t, given up is %t, by %q", sentence, s.cutOff(), give, sign)
		}
		if give && sign.Because() == Sign("").Because() {
			t.Errorf("%q has no words", sign)
		}
	}
}

func TestHearing(t *testing.T) {
	start := time.Unix(1e9, 0)
	var h hearing
	at := func(seconds, stalled float64) moment {
		return h.moment(start.Add(time.Duration(seconds*1e9)), time.Duration(stalled*1e9))
	}
	h.hear(at(0, 0))
	a := at(0.9, 0)
	h.hear(a)
	b := at(1, 0)
	h.hear(b)
	check := func(m, from moment, since, heard time.Duration) {
		t.Helper()
		if m.since(from) != since || m.heardSince(from) != heard {
			t.Errorf("%s, and %s of it somebody was heard", m.since(from), m.heardSince(from))
		}
	}
	// A word a moment older than another's is no sign against it.
	check(at(61, 0), a, 60100*time.Millisecond, 100*time.Millisecond)
	check(at(61, 0), b, time.Minute, 0)
	check(at(2.9, 0), a, 2*time.Second, 2*time.Second)
	// From when somebody is heard again, time counts again.
	h.hear(at(61, 0))
	check(at(62, 0), a, 61100*time.Millisecond, 1100*time.Millisecond)
	// What the operator has slept through counts for nothing.
	check(at(72, 10), a, 61100*time.Millisecond, 1100*time.Millisecond)
	h.hear(at(72, 10))
	check(at(73, 10), a, 62100*time.Millisecond, 2100*time.Millisecond)
}
