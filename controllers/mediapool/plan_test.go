package mediapool

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/exposure"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/podspec"
	"mediarooms.dev/mediarooms/controllers/rooms"
)

var update = flag.Bool("update", false, "write the golden files")

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newPool() *v1alpha1.MediaPool {
	return &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{Name: "pool", UID: "uid"},
		Spec: v1alpha1.MediaPoolSpec{
			MinPods: ptr.To(int32(1)), MaxPods: 4, WarmSessions: ptr.To(int32(1)),
			Capacity:     v1alpha1.PodCapacity{Sessions: 2, Connections: 10},
			Exposure:     v1alpha1.Exposure{Type: v1alpha1.ExposureHostPort, PortRange: &v1alpha1.PortRange{First: 31000, Last: 31999}},
			DrainSeconds: 60, ReconnectWindowSeconds: 10, Standby: v1alpha1.StandbyNone,
		},
	}
}

// simulation is a pool and its pods, to which plans are applied at once.
type simulation struct {
	pool    *v1alpha1.MediaPool
	image   podspec.Image
	pods    map[string]*podFacts
	waiting int32
	now     time.Time
	made    int
	out     strings.Builder
}

func newSimulation() *simulation {
	return &simulation{pool: newPool(), image: podspec.Image{Name: "v1"}, pods: make(map[string]*podFacts), now: start}
}

func (s *simulation) names() []string { return slices.Sorted(maps.Keys(s.pods)) }

func (s *simulation) observe() observed {
	o := observed{
		pool: s.pool, exposure: podspec.Media.Exposed(s.pool.Spec.Exposure), hash: templateHash(s.pool, s.image), usedPorts: make(map[int32]int), waiting: s.waiting,
		calm: 5 * time.Minute, now: s.now,
	}
	for _, name := range s.names() {
		facts := s.pods[name]
		facts.view.Usable = facts.view.State == fleet.Synced && facts.drainingSince.IsZero() && !facts.going()
		if facts.load.Sessions > 0 {
			facts.idleSince = time.Time{}
		} else if facts.idleSince.IsZero() {
			facts.idleSince = s.now
		}
		if port := exposure.Allocated(facts.pod); port != 0 {
			o.usedPorts[port]++
		}
		o.pods = append(o.pods, *facts)
	}
	return o
}

// step does something, and then lets passes run until one does nothing.
func (s *simulation) step(what string, change func()) {
	if change != nil {
		change()
	}
	fmt.Fprintf(&s.out, "%6s  %s\n", s.now.Sub(start), what)
	for range 10 {
		plan := makePlan(s.observe())
		if !s.apply(plan) {
			if plan.again > 0 {
				fmt.Fprintf(&s.out, "        .. looks again after %s\n", plan.again)
			}
			return
		}
	}
	fmt.Fprintln(&s.out, "        !! does not come to rest")
}

// apply carries a plan out and says whether it changed anything.
func (s *simulation) apply(p plan) bool {
	changed := false
	for _, a := range p.actions {
		switch a := a.(type) {
		case createPod:
			s.made++
			name := fmt.Sprintf("pod-%d", s.made)
			pod := podSpec(s.pool, "ns", name, a.port, s.image, a.avoid).Pod()
			pod.CreationTimestamp = metav1.Time{Time: s.now}
			pod.Status.Phase = corev1.PodPending
			s.pods[name] = &podFacts{pod: pod}
			fmt.Fprintf(&s.out, "        -> create %s on port %d: %s\n", name, a.port, a.why())
		case deletePod:
			if a.retire && s.pods[a.pod.Name].load.Sessions > 0 {
				continue
			}
			delete(s.pods, a.pod.Name)
			fmt.Fprintf(&s.out, "        -> delete %s%s: %s\n", a.pod.Name, map[bool]string{true: ", give it up"}[a.lose], a.why())
		case annotatePod:
			facts := s.pods[a.pod.Name]
			if facts == nil {
				continue
			}
			if since, err := time.Parse(time.RFC3339, a.annotations[drainingAnnotation]); err == nil {
				facts.drainingSince = since
			}
			maps.Copy(facts.pod.Annotations, a.annotations)
			fmt.Fprintf(&s.out, "        -> annotate %s %v: %s\n", a.pod.Name, a.annotations, a.why())
		default:
			continue
		}
		changed = true
	}
	return changed
}

// up has pods run and answer.
func (s *simulation) up(names ...string) func() {
	return func() {
		for _, name := range names {
			s.pods[name].pod.Status.Phase = corev1.PodRunning
			s.pods[name].view = fleet.PodView{Known: true, State: fleet.Synced, Since: s.now}
		}
	}
}

// cutOff has a pod not be heard of.
func (s *simulation) cutOff(name string) func() {
	return func() {
		view := &s.pods[name].view
		view.State, view.CutOff = fleet.Broken, s.now
	}
}

// lost has a pod be given up, with its rooms.
func (s *simulation) lost(name string, sign fleet.Sign) {
	s.pods[name].view = fleet.PodView{Known: true, State: fleet.Lost, LostBy: sign}
	s.pods[name].load.Sessions = 0
}

func (s *simulation) rooms(name string, n int32) func() {
	return func() { s.pods[name].load = rooms.Load{Sessions: n} }
}

func (s *simulation) after(d time.Duration, change func()) func() {
	return func() {
		s.now = s.now.Add(d)
		if change != nil {
			change()
		}
	}
}

func TestTranscripts(t *testing.T) {
	for name, run := range map[string]func(s *simulation){
		"grow_and_shrink": func(s *simulation) {
			s.step("the pool is made", nil)
			s.step("pod-1 is up", s.up("pod-1"))
			s.step("a room is placed: one place is left", s.rooms("pod-1", 1))
			s.step("a second room: there is no spare place", s.rooms("pod-1", 2))
			s.step("pod-2 is up", s.up("pod-2"))
			s.step("three Sessions come at once, one waits", func() { s.pods["pod-2"].load.Sessions = 2; s.waiting = 1 })
			s.step("pod-3 is up and takes it", func() { s.up("pod-3")(); s.pods["pod-3"].load.Sessions = 1; s.waiting = 0 })
			s.step("all rooms end", s.after(time.Minute, func() {
				for _, pod := range s.pods {
					pod.load.Sessions = 0
				}
			}))
			s.step("a while later", s.after(4*time.Minute, nil))
			s.step("the calm period is over", s.after(time.Minute, nil))
		},
		"standbys": func(s *simulation) {
			s.pool.Spec.Standby, s.pool.Spec.Capacity.Sessions = v1alpha1.StandbyWarm, 9
			s.step("the pool is made", nil)
			s.step("pod-1 is up", s.up("pod-1"))
			s.step("a room is placed, and is to have a standby", s.rooms("pod-1", 1))
			s.step("pod-2 is up", s.up("pod-2"))
			s.step("the calm period is over", s.after(time.Hour, nil))
			s.step("pod-1 is lost, and the room is on pod-2", func() { s.lost("pod-1", fleet.SignPodNotReady); s.rooms("pod-2", 1)() })
			s.step("pod-3 is up", s.up("pod-3"))
			s.step("the room ends", s.rooms("pod-2", 0))
			s.step("the calm period is over", s.after(time.Hour, nil))
		},
		"full": func(s *simulation) {
			s.pool.Spec.MaxPods = 1
			s.step("the pool is made, with one pod at most", nil)
			s.step("it is up and full, and Sessions wait", func() { s.up("pod-1")(); s.pods["pod-1"].load.Sessions = 2; s.waiting = 5 })
			s.step("the pool may have three pods", func() { s.pool.Spec.MaxPods = 3 })
		},
		"rollout": func(s *simulation) {
			s.pool.Spec.MinPods = ptr.To(int32(3))
			s.step("the pool is made", nil)
			s.step("all are up, two host rooms", func() {
				s.up("pod-1", "pod-2", "pod-3")()
				s.pods["pod-1"].load.Sessions, s.pods["pod-2"].load.Sessions = 1, 1
			})
			s.step("the operator has a new image", func() { s.image.Name = "v2" })
			s.step("the new pod is up", s.up("pod-4"))
			s.step("the next are up", s.up("pod-5"))
			s.step("the last is up", func() {
				for _, name := range s.names() {
					s.up(name)()
				}
			})
			s.step("pod-1 is empty", s.after(20*time.Second, func() {
				if s.pods["pod-1"] != nil {
					s.pods["pod-1"].load.Sessions = 0
				}
			}))
			s.step("everything new is up", func() {
				for _, name := range s.names() {
					s.up(name)()
				}
			})
			s.step("the time of pod-2 is over", s.after(time.Minute, nil))
			s.step("everything is up", func() {
				for _, name := range s.names() {
					s.up(name)()
				}
			})
		},
		"losses": func(s *simulation) {
			s.step("the pool is made", nil)
			s.step("it is up and hosts a room", func() { s.up("pod-1")(); s.pods["pod-1"].load.Sessions = 1 })
			s.step("it is given up", func() { s.lost("pod-1", fleet.SignPodNotReady); s.waiting = 1 })
			s.step("the new one is up", func() { s.up("pod-2")(); s.pods["pod-2"].load.Sessions = 1; s.waiting = 0 })
			s.step("it fails", func() { s.pods["pod-2"].pod.Status.Phase = corev1.PodFailed })
			s.step("the next runs but does not answer", func() {
				s.pods["pod-3"].pod.Status.Phase = corev1.PodRunning
				s.pods["pod-3"].view = fleet.PodView{Known: true, State: fleet.Connecting, Since: s.now}
			})
			s.step("it still does not", s.after(startBound, nil))
		},
		"cut_off": func(s *simulation) {
			s.step("the pool is made", nil)
			s.step("it is up and hosts a room", func() { s.up("pod-1")(); s.pods["pod-1"].load.Sessions = 1 })
			s.step("it is cut off", s.cutOff("pod-1"))
			s.step("the operator has a new image", func() { s.image.Name = "v2" })
			s.step("the new pod is up", func() {
				for _, name := range s.names() {
					if name != "pod-1" {
						s.up(name)()
					}
				}
			})
			s.step("an hour later it can be reached again", s.after(time.Hour, s.up("pod-1")))
			s.step("its room ends", s.rooms("pod-1", 0))
			s.step("another pod is cut off, and hosts a room", func() { s.rooms("pod-3", 1)(); s.cutOff("pod-3")() })
			s.step("it is to be given up, and waits for its turn", func() { s.pods["pod-3"].view.Waits = true })
			s.step("it is given up", func() { s.lost("pod-3", fleet.SignSilence) })
		},
		"dead_node": func(s *simulation) {
			s.step("the pool is made", nil)
			s.step("the pod is scheduled", func() {
				s.pods["pod-1"].pod.Spec.NodeName = "node"
				s.pods["pod-1"].pod.Status.Conditions = []corev1.PodCondition{{
					Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{Time: s.now},
				}}
			})
			s.step("its node has not begun with it", s.after(nodeBound, nil))
			s.step("the next is on a node that pulls the image for long", s.after(time.Second, func() {
				s.pods["pod-2"].pod.Spec.NodeName = "other"
				s.pods["pod-2"].pod.Status.StartTime = &metav1.Time{Time: s.now}
			}))
			s.step("it still does", s.after(10*time.Minute, nil))
		},
		"new_leader": func(s *simulation) {
			s.step("the pool is made", nil)
			s.step("it is up and hosts a room", func() { s.up("pod-1")(); s.pods["pod-1"].load.Sessions = 1 })
			s.step("a day later there is a new leader, which has not heard of the pod", s.after(24*time.Hour, func() {
				s.pods["pod-1"].view = fleet.PodView{Known: true, State: fleet.Connecting, Since: s.now}
			}))
			s.step("it never does, but the fleet does not give it up", s.after(time.Hour, nil))
			s.step("the pod answers", s.after(time.Second, s.up("pod-1")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSimulation()
			run(s)
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(s.out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.out.String(); got != string(want) {
				t.Errorf("the transcript differs from %s (go test -update writes it):\n%s", golden, got)
			}
		})
	}
}
