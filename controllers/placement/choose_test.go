package placement

import (
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestChoose(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	pod := func(name string, sessions, connections int32) Candidate {
		return Candidate{Pod: name, MaxSessions: 10, MaxConnections: 100, Sessions: sessions, Connections: connections}
	}
	failed := func(c Candidate, ago time.Duration) Candidate {
		c.Failed = now.Add(-ago)
		return c
	}
	for sentence, test := range map[string]struct {
		candidates  []Candidate
		connections int32
		policy      v1alpha1.Placement
		want        string // "" is none
	}{
		"there is no pod": {want: ""},
		"packed takes the fullest pod with room": {
			candidates: []Candidate{pod("a", 1, 0), pod("b", 9, 0), pod("c", 10, 0)}, policy: v1alpha1.PlacementPacked, want: "b",
		},
		"spread takes the emptiest pod": {
			candidates: []Candidate{pod("a", 1, 0), pod("b", 0, 0), pod("c", 5, 0)}, policy: v1alpha1.PlacementSpread, want: "b",
		},
		"connections count as well as sessions": {
			candidates: []Candidate{pod("a", 2, 0), pod("b", 1, 90)}, policy: v1alpha1.PlacementPacked, want: "b",
		},
		"equal pods are taken by name, so that the choice does not depend on an order": {
			candidates: []Candidate{pod("b", 1, 0), pod("a", 1, 0)}, policy: v1alpha1.PlacementPacked, want: "a",
		},
		"a pod whose sessions are all taken is full": {
			candidates: []Candidate{pod("a", 10, 0)}, policy: v1alpha1.PlacementPacked, want: "",
		},
		"a pod whose connections are all taken is full": {
			candidates: []Candidate{pod("a", 1, 100)}, policy: v1alpha1.PlacementPacked, want: "",
		},
		"a session that moves needs room for its connections": {
			candidates: []Candidate{pod("a", 5, 95), pod("b", 1, 94)}, connections: 6, policy: v1alpha1.PlacementPacked, want: "b",
		},
		"a pod that just failed is not preferred although it is the emptiest": {
			candidates: []Candidate{failed(pod("a", 0, 0), time.Minute), pod("b", 9, 0)}, policy: v1alpha1.PlacementSpread, want: "b",
		},
		"a pod that just failed is taken when there is no other": {
			candidates: []Candidate{failed(pod("a", 0, 0), time.Second), pod("b", 10, 0)}, policy: v1alpha1.PlacementSpread, want: "a",
		},
		"a failure is forgotten": {
			candidates: []Candidate{failed(pod("a", 0, 0), FailureMemory), pod("b", 9, 0)}, policy: v1alpha1.PlacementSpread, want: "a",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, ok := Choose(test.candidates, test.connections, test.policy, now)
			if got != test.want || ok != (test.want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, test.want)
			}
		})
	}
}
