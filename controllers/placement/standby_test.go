package placement

import (
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestWantsStandby(t *testing.T) {
	const none, warm = v1alpha1.StandbyNone, v1alpha1.StandbyWarm
	for _, test := range []struct {
		session, pool v1alpha1.Standby
		maxPods       int32
		want          bool
	}{
		{"", "", 1, false}, {"", "", 2, true},
		{"", none, 2, false}, {"", warm, 1, true},
		{none, warm, 2, false}, {none, "", 2, false}, {warm, none, 2, true}, {warm, "", 1, true},
	} {
		pool := &v1alpha1.MediaPool{Spec: v1alpha1.MediaPoolSpec{MaxPods: test.maxPods, Standby: test.pool}}
		if got := WantsStandby(pool, test.session); got != test.want {
			t.Errorf("session %q, pool %q, %d pods: %v", test.session, test.pool, test.maxPods, got)
		}
	}
}

func TestStandby(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	pod := func(name, node string, sessions, standbys int32) Candidate {
		return Candidate{Pod: name, Node: node, MaxSessions: 1, MaxConnections: 1, Sessions: sessions, Standbys: standbys}
	}
	failed := pod("failed", "other", 0, 0)
	failed.Failed = now.Add(-time.Second)
	for sentence, test := range map[string]struct {
		candidates []Candidate
		want       string // "" is none
	}{
		"there is no pod":                {nil, ""},
		"the room's own pod is no other": {[]Candidate{pod("own", "here", 0, 0)}, ""},
		"a pod on another node comes first, however full it is": {
			[]Candidate{pod("a", "here", 0, 0), pod("b", "other", 9, 9)}, "b",
		},
		"a pod on the same node is better than none": {[]Candidate{pod("own", "here", 0, 0), pod("a", "here", 0, 0)}, "a"},
		"rooms that are hosted and rooms that are followed count alike": {
			[]Candidate{pod("a", "other", 2, 0), pod("b", "other", 0, 3), pod("c", "third", 1, 0)}, "c",
		},
		"equal pods are taken by name, so that the choice does not depend on an order": {
			[]Candidate{pod("b", "third", 1, 0), pod("a", "other", 0, 1)}, "a",
		},
		"a pod that just failed is not preferred although it is the emptiest": {
			[]Candidate{failed, pod("a", "other", 5, 5)}, "a",
		},
		"a pod that just failed is taken when there is no other one on another node": {
			[]Candidate{failed, pod("a", "here", 0, 0)}, "failed",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, found := Standby(test.candidates, "own", "here", now)
			if got.Pod != test.want || found != (test.want != "") {
				t.Errorf("got %q, %v, want %q", got.Pod, found, test.want)
			}
		})
	}
}
