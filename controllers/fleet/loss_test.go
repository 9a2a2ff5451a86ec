package fleet

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/test/podtest"
)

// calls has a room on each of some pods, with a user in it and another who may come.
type calls struct {
	*fixture
	hosts map[string]*podtest.Pod
}

func newCalls(t *testing.T, names ...string) *calls {
	t.Helper()
	c := &calls{newFixture(t), make(map[string]*podtest.Pod)}
	c.start()
	for _, name := range names {
		c.hosts[name] = c.pod(name)
		c.rooms.set("room-"+name, 1, "user-"+name, "late-"+name)
		c.room("room-"+name, name)
		c.state(name, Synced)
		c.eventually("it is programmed", func() bool { return c.Connection("room-"+name, "user-"+name).Programmed == 1 })
		c.join(c.hosts[name], "user-"+name, "")
		c.eventually("the join is seen", func() bool { return c.active("user", name) })
	}
	return c
}

// active says whether a user of a pod's room is seen in it.
func (c *calls) active(user, pod string) bool {
	return c.Connection("room-"+pod, user+"-"+pod).Seen.GetState() == active
}

// cut cuts pods off, one a moment after the other while the rest is heard, or mends that.
func (c *calls) cut(names []string, cut bool) {
	for n, name := range names {
		c.hosts[name].Cut(cut)
		if cut && n+1 < len(names) {
			c.passes(100*time.Millisecond, names[n+1:]...)
		}
	}
}

// silent lets time pass until pods that are cut off were not heard for so long: what they sent
// before the cut may come late.
func (c *calls) silent(d time.Duration, cut []string, heard ...string) {
	c.Helper()
	for {
		c.Fleet.mu.Lock()
		now, rest := c.now(), time.Duration(0)
		for _, name := range cut {
			rest = max(rest, d-now.since(c.links[name].heard))
		}
		c.Fleet.mu.Unlock()
		if rest <= 0 {
			return
		}
		if len(heard) > 0 {
			rest = min(rest, step)
		}
		c.passes(rest, heard...)
	}
}

// back waits until a pod can be reached again.
func (c *calls) back(name string) {
	c.Helper()
	c.eventually(name+" can be reached", func() bool {
		c.judge(c.Context())
		return c.Pod(name).Usable
	})
}

func TestACutEndsNoCall(t *testing.T) {
	all := []string{"a", "b", "c"}
	for _, scene := range []struct {
		what     string
		pods     []string
		cut      []string
		duration time.Duration
	}{
		{"the only pod", all[:1], all[:1], time.Minute},
		{"one of them", all, all[:1], 5 * time.Second},
		{"one of them", all, all[:1], 15 * time.Second},
		{"one of them", all, all[:1], time.Minute},
		{"most of them", all, all[:2], time.Minute},
		{"all of them", all, all, 5 * time.Second},
		{"all of them", all, all, 15 * time.Second},
		{"all of them", all, all, time.Minute},
		{"all of them", all, all, time.Hour},
	} {
		t.Run(fmt.Sprintf("%s for %s", scene.what, scene.duration), func(t *testing.T) {
			c := newCalls(t, scene.pods...)
			heard := scene.pods[len(scene.cut):]
			before := c.clock.Now()
			c.cut(scene.cut, true)
			c.silent(scene.duration, scene.cut, heard...)
			for _, name := range scene.pods {
				view, cut := c.Pod(name), slices.Contains(scene.cut, name)
				if view.State == Lost || view.Waits || cut == view.CutOff.IsZero() || cut == view.Usable {
					t.Errorf("during the cut %s is %+v", name, view)
				}
				if cut && view.CutOff.Before(before) {
					t.Errorf("%s is cut off since %s, before %s", name, view.CutOff, before)
				}
				if !c.active("user", name) {
					t.Errorf("during the cut the user on %s is not there", name)
				}
			}
			if got := c.metric("mediarooms_media_pods_unreachable"); int(got) != len(scene.cut) {
				t.Errorf("the metric says that %v are not reached", got)
			}
			c.cut(scene.cut, false)
			for name, pod := range c.hosts {
				c.back(name)
				// The room works, and what happens in it is seen.
				c.join(pod, "late-"+name, "")
				c.eventually("another user is seen", func() bool { return c.active("late", name) })
				if !c.active("user", name) || len(pod.Closed()) != 0 {
					t.Errorf("after the cut the user of %s is out, rooms closed are %v", name, pod.Closed())
				}
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			told := make(map[string]int)
			for _, name := range c.reach {
				told[name]++
			}
			for _, name := range scene.cut {
				if told[name] < 2 {
					t.Errorf("the reach of %s was told %d times", name, told[name])
				}
			}
			if len(c.lost) != 0 || len(told) != len(scene.cut) {
				t.Errorf("lost are %q, of whose reach was told %v", c.lost, told)
			}
		})
	}
}

// What happened during a cut is known after it, on both sides.
func TestBothSidesTellAllAfterACut(t *testing.T) {
	c := newCalls(t, "a", "b")
	c.cut([]string{"a"}, true)
	c.silent(silence+tick, []string{"a"}, "b")
	c.join(c.hosts["a"], "late-a", "")
	c.rooms.set("room-a", 2, "late-a")
	if c.evict("room-a", "user-a") {
		t.Error("it was out at once")
	}
	c.rooms.build(c.table, "room-a")
	c.cut([]string{"a"}, false)
	c.eventually("the join is seen", func() bool { return c.active("late", "a") })
	c.eventually("the other is out", func() bool { return c.evict("room-a", "user-a") })
	if !c.active("late", "a") {
		t.Error("who came during the cut is out")
	}
}

func TestWhoIsGivenUp(t *testing.T) {
	for sentence, test := range map[string]struct {
		meanwhile func(c *calls)
		passes    time.Duration
		want      Sign
		lost      bool
	}{
		"its kubelet does not reach it either":        {func(c *calls) { c.kubelet("a", false) }, tick, SignPodNotReady, true},
		"its node is not heard of either":             {func(c *calls) { c.seeNode("node", true) }, tick, SignNodeNotReady, true},
		"its node was not heard of for a moment":      {func(c *calls) { c.seeNode("node", true); c.seeNode("node", false) }, time.Minute, "", false},
		"another node is not heard of":                {func(c *calls) { c.seeNode("other", true) }, time.Minute, "", false},
		"there is no second sign for long":            {func(*calls) {}, silenceBound, SignSilence, true},
		"its users are out":                           {func(c *calls) { c.table.Delete("room-a") }, tick, SignSilence, true},
		"it drains, and is not ready because of it":   {func(c *calls) { c.drain("a"); c.kubelet("a", false) }, time.Minute, "", false},
		"it is being deleted, and not ready for that": {func(c *calls) { c.leaves("a") }, time.Minute, "", false},
	} {
		t.Run(sentence, func(t *testing.T) {
			c := newCalls(t, "a", "b")
			pod := c.Pod("a").Pod
			pod.Node = "node"
			c.Track(pod)
			c.cut([]string{"a"}, true)
			c.silent(silence, []string{"a"}, "b")
			if view := c.Pod("a"); view.State == Lost || view.CutOff.IsZero() {
				t.Fatalf("with one sign it is %+v", view)
			}
			test.meanwhile(c)
			c.passes(test.passes, "b")
			if view := c.Pod("a"); (view.State == Lost) != test.lost || view.LostBy != test.want {
				t.Errorf("it is %+v", view)
			}
			if view := c.Pod("b"); view.State != Synced {
				t.Errorf("the other is %+v", view)
			}
		})
	}
}

func TestASignAloneIsNone(t *testing.T) {
	c := newCalls(t, "a", "b")
	pod := c.Pod("a").Pod
	pod.Node, pod.Ready = "node", false
	c.Track(pod)
	c.seeNode("node", true)
	c.passes(2*silenceBound, "a", "b")
	if view := c.Pod("a"); view.State != Synced || !view.Usable {
		t.Errorf("a pod that is heard is %+v", view)
	}
}

// Of a pod that has just started the kubelet may not have said yet that it is ready.
func TestAPodThatWasNeverReady(t *testing.T) {
	c := newCalls(t, "a", "b")
	c.Fleet.mu.Lock()
	c.links["a"].wasReady = false
	c.Fleet.mu.Unlock()
	c.kubelet("a", false)
	c.cut([]string{"a"}, true)
	c.silent(time.Minute, []string{"a"}, "b")
	if view := c.Pod("a"); view.State == Lost || view.CutOff.IsZero() {
		t.Errorf("it is %+v", view)
	}
}

// A new leader that hears of nobody gives up nobody, but for those that others have seen die.
func TestANewLeaderThatIsCutOff(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"a", "b", "starts"} {
		f.Track(Pod{Name: name, UID: name, Pool: "pool", Node: name, Address: "127.0.2.250:1"})
	}
	for _, name := range []string{"a", "b"} {
		f.rooms.set("room-"+name, 1, "user-"+name)
		f.room("room-"+name, name)
	}
	f.start()
	f.eventually("all are dialled", func() bool { return !f.Pod("starts").Since.IsZero() })
	f.passes(patience - time.Millisecond)
	if view := f.Pod("a"); !view.CutOff.IsZero() {
		t.Errorf("before its time it is %+v", view)
	}
	f.passes(time.Hour)
	for _, name := range []string{"a", "b"} {
		if view := f.Pod(name); view.State != Connecting || !view.CutOff.Equal(view.Since) {
			t.Errorf("%s is %+v", name, view)
		}
	}
	if view := f.Pod("starts"); view.State != Connecting || !view.CutOff.IsZero() {
		t.Errorf("a pod without rooms is %+v", view)
	}
	f.seeNode("a", true)
	f.passes(tick)
	if a, b := f.Pod("a"), f.Pod("b"); a.LostBy != SignNodeNotReady || b.State != Connecting {
		t.Errorf("they are %+v and %+v", a, b)
	}
}

func TestPodsAreGivenUpOneAfterAnother(t *testing.T) {
	c := newCalls(t, "a", "b", "c", "d", "e", "heard")
	cut := []string{"a", "b", "c", "d", "e"}
	for _, name := range cut {
		c.hosts[name].Cut(true)
	}
	c.silent(silence, cut, "heard")
	for _, name := range cut {
		c.kubelet(name, false)
	}
	lost := func() (names []string) {
		for _, name := range cut {
			if c.Pod(name).State == Lost {
				names = append(names, name)
			} else if !c.Pod(name).Waits {
				t.Errorf("%s does not wait", name)
			}
		}
		return names
	}
	c.passes(tick, "heard")
	if got := lost(); len(got) != turnsAtOnce {
		t.Fatalf("lost are %q", got)
	}
	if got := c.metric("mediarooms_media_pods_waiting_to_be_given_up"); int(got) != len(cut)-turnsAtOnce {
		t.Errorf("the metric says that %v wait", got)
	}
	c.passes(turnInterval, "heard")
	if got := lost(); len(got) != turnsAtOnce+1 {
		t.Fatalf("a turn later lost are %q", got)
	}
	// Who comes back while it waits is spared.
	last := cut[slices.IndexFunc(cut, func(name string) bool { return c.Pod(name).State != Lost })]
	c.hosts[last].Cut(false)
	c.back(last)
	c.passes(2*turnInterval, "heard", last)
	if view := c.Pod(last); view.State != Synced || view.Waits || !c.active("user", last) {
		t.Errorf("who is back is %+v", view)
	}
}

// drain tells a pod to drain.
func (f *fixture) drain(name string) { f.Configure(name, &controlv1.PodConfig{Draining: true}) }

// leaves has a pod be deleted, and be not ready for that.
func (f *fixture) leaves(name string) {
	pod := f.Pod(name).Pod
	pod.Leaving, pod.Ready = true, false
	f.Track(pod)
}

// metric returns what the fleet says of its pool.
func (f *fixture) metric(name string) float64 {
	f.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(f.Fleet)
	families, err := registry.Gather()
	if err != nil {
		f.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	f.Fatalf("there is no metric %s", name)
	return 0
}
