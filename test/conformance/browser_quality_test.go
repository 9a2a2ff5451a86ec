//go:build e2e

package conformance

import (
	"fmt"
	"strconv"
	"testing"

	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	cases "mediarooms.dev/mediarooms/test/rest"
	"mediarooms.dev/mediarooms/test/wait"
)

func TestClientsAreToldOfEachOthersNetworkQuality(t *testing.T) {
	t.Parallel()
	covers(t, "3.14-networkQualityLevelChanged", "8.1-levels", "8.1-first", "4.10-bandwidth")
	cases.Shows(t, 189)
	const limit = 250 // kbps
	pool := kube.NewPool(t, func(spec *v1alpha1.MediaPoolSpec) {
		spec.NetworkQuality = &v1alpha1.NetworkQuality{IntervalSeconds: 1}
		spec.Bandwidth.VideoMaxSendKbps = ptr.To[int32](limit)
	})
	reserve(t, 2)
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool.Name })
	a := r.enter(t, "publisher", v1alpha1.RolePublisher)
	b := r.enter(t, "other", v1alpha1.RoleSubscriber)
	a.must(a.page.LosePackets(0))
	a.publish(browser.Publication{})
	// The pool's bandwidth holds for a Connection that says nothing itself.
	_, response := a.answer("publishVideo")
	wantText(t, "the answer", string(response.Result), fmt.Sprintf("b=TIAS:%d", limit*1000))
	b.receives(a)

	level := func(g *guest, what string, match func(level int) bool) {
		t.Helper()
		wait.For(t, 3*patience, g.Name+" to be told that the quality is "+what, func() error {
			levels := qualities(g, a)
			if len(levels) == 0 || !match(levels[len(levels)-1]) {
				return fmt.Errorf("it was told %v", levels)
			}
			return nil
		})
	}
	everybody := []*guest{a, b}
	for _, g := range everybody {
		level(g, "good", func(level int) bool { return level >= 4 })
	}
	a.must(a.page.LosePackets(40))
	for _, g := range everybody {
		level(g, "bad", func(level int) bool { return level <= 2 })
	}
	a.must(a.page.LosePackets(0))
	for _, g := range everybody {
		level(g, "good again", func(level int) bool { return level >= 4 })
	}
	// Who comes later is told at once, and a level is told once.
	late := b.another(r, "late", browser.JoinOptions{})
	level(late, "known", func(level int) bool { return level >= 1 })
	for _, g := range append(everybody, late) {
		before := ""
		for _, e := range g.events() {
			if e.Name != "networkQualityLevelChanged" {
				continue
			}
			if e.OldValue != before || e.NewValue == before || e.ConnectionID != a.id() {
				t.Errorf("%s was told %+v after %q", g.Name, e, before)
			}
			before = e.NewValue
		}
	}
}

// qualities are the levels of a publisher that a guest was told of.
func qualities(g, publisher *guest) []int {
	g.t.Helper()
	var levels []int
	for _, e := range g.events() {
		if e.Name != "networkQualityLevelChanged" || e.ConnectionID != publisher.id() {
			continue
		}
		level, err := strconv.Atoi(e.NewValue)
		if err != nil || level < 0 || level > 5 {
			g.t.Fatalf("%s was told the level %q", g.Name, e.NewValue)
		}
		levels = append(levels, level)
	}
	return levels
}
