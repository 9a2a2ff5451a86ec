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
	ports   portMemory
	out     strings.Builder

	spareSince time.Time
	budget     *int32
}

func newSimulation() *simulation {
	return &simulation{pool: newPool(), image: podspec.Image{Name: "v1"}, pods: make(map[string]*podFacts), ports: newPortMemory(), now: start}
}

func (s *simulation) names() []string { return slices.Sorted(maps.Keys(s.pods)) }

func (s *simulation) observe() observed {
	o := observed{
		pool: s.pool, exposure: podspec.Media.Exposed(s.pool.Spec.Exposure), hash: templateHash(s.pool, s.image), budget: s.budget, waiting: s.waiting,
		calm: 5 * time.Minute, now: s.now,
	}
	used := make(map[int32]int)
	var all []corev1.Pod
	for _, name := range s.names() {
		facts := s.pods[name]
		facts.view.Usable = facts.view.State == fleet.Synced && facts.drainingSince.IsZero() && !facts.going()
		if facts.load.Sessions > 0 {
			facts.idleSince = time.Time{}
		} else if facts.idleSince.IsZero() {
			facts.idleSince = s.now
		}
		if port := exposure.Allocated(facts.pod); port != 0 && !finished(facts.pod) {
			used[port]++
		}
		o.pods = append(o.pods, *facts)
		all = append(all, *facts.pod)
	}
	if _, spare := o.superfluous(); !spare {
		s.spareSince = time.Time{}
	} else if s.spareSince.IsZero() {
		s.spareSince = s.now
	}
	o.spareSince = s.spareSince
	o.ports = s.ports.ports(all, used, s.now)
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
			pod := podSpec(s.pool, "ns", name, s.image, a).Pod()
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
			if since, err := time.Parse(time.RFC3339, a.annotations[v1alpha1.DrainingAnnotation]); err == nil {
				facts.drainingSince = since
			}
			maps.Copy(facts.pod.Annotations, a.annotations)
			fmt.Fprintf(&s.out, "        -> annotate %s %v: %s\n", a.pod.Name, a.annotations, a.why())
		case applyBudget:
			s.budget = &a.minAvailable
			fmt.Fprintf(&s.out, "        -> keep %d from being evicted\n", a.minAvailable)
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

// ends has the container of a pod end.
func (s *simulation) ends(name, reason string) {
	status := &s.pods[name].pod.Status
	status.Phase = corev1.PodFailed
	status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: reason, FinishedAt: metav1.Time{Time: s.now}},
	}}}
	s.pods[name].view = fleet.PodView{}
}

func (s *simulation) endsWith(name, reason string) func() {
	return func() { s.ends(name, reason) }
}

// withoutPort has no node with the port of a pod.
func (s *simulation) withoutPort(name string) func() {
	return func() {
		s.pods[name].pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.Time{Time: s.now},
			Message: "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.",
		}}
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
			s.pool.Spec.Standby, s.pool.Spec.Capacity.Sessions = "", 9
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
		"consolidation": func(s *simulation) {
			s.pool.Spec.Standby, s.pool.Spec.Capacity.Sessions = v1alpha1.StandbyWarm, 3
			s.step("the pool is made", nil)
			s.step("pod-1 is up and full", func() { s.up("pod-1")(); s.rooms("pod-1", 3)() })
			s.step("pod-2 is up and full", func() { s.up("pod-2")(); s.rooms("pod-2", 3)() })
			s.step("pod-3 is up and hosts a room", func() { s.up("pod-3")(); s.rooms("pod-3", 1)() })
			s.step("a room ends on each of the others: there would be no spare place", func() { s.rooms("pod-1", 2)(); s.rooms("pod-2", 3)() })
			s.step("another ends", func() { s.rooms("pod-2", 2)() })
			s.step("a room is placed before the calm period is over", s.after(4*time.Minute, s.rooms("pod-1", 3)))
			s.step("and ends", s.after(time.Minute, s.rooms("pod-1", 2)))
			s.step("the room has no standby for a while", s.after(4*time.Minute, func() { s.pods["pod-3"].load.Unprotected = 1 }))
			s.step("and has one again", s.after(time.Minute, func() { s.pods["pod-3"].load.Unprotected = 0 }))
			s.step("the calm period is over", s.after(5*time.Minute, nil))
			s.step("the room has moved", func() { s.rooms("pod-3", 0)(); s.rooms("pod-1", 3)() })
			s.step("later", s.after(time.Hour, nil))
			s.step("two pods stay, for the standbys", func() { s.rooms("pod-1", 1)(); s.rooms("pod-2", 1)() })
			s.step("later", s.after(time.Hour, nil))
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
		"failed_starts": func(s *simulation) {
			s.pool.Spec.MinPods = ptr.To(int32(2))
			s.step("the pool is made, with an image that can't run", nil)
			s.step("both pods end at once", s.after(time.Second, func() { s.ends("pod-1", "Error"); s.ends("pod-2", "Error") }))
			s.step("the next does, too", s.after(time.Second, s.endsWith("pod-3", "Error")))
			s.step("nothing happens for a while", s.after(9*time.Second, nil))
			s.step("the next is made, and ends", s.after(time.Second, nil))
			s.step("it ends", s.after(time.Second, s.endsWith("pod-4", "Error")))
			s.step("there is a new leader", s.after(19*time.Second, func() { s.ports = newPortMemory() }))
			s.step("its time has come", s.after(time.Second, nil))
			s.step("the image is mended", func() { s.image.Name = "v2" })
			s.step("the new pods are up", s.after(time.Second, s.up("pod-6", "pod-7")))
			s.step("one is killed", func() { s.ends("pod-6", "OOMKilled") })
		},
		"failed_rollout": func(s *simulation) {
			s.step("the pool is made", nil)
			s.step("it is up and hosts a room", func() { s.up("pod-1")(); s.rooms("pod-1", 1)() })
			s.step("the new image can't run", func() { s.image.Name = "v2" })
			s.step("its pod ends", s.after(time.Second, s.endsWith("pod-2", "StartError")))
			s.step("the next ends", s.after(time.Second, s.endsWith("pod-3", "StartError")))
			s.step("the image of before is back", func() { s.image.Name = "v1" })
		},
		"ports_in_use": func(s *simulation) {
			s.step("the pool is made", nil)
			s.step("its port is taken on all nodes", s.after(time.Second, s.withoutPort("pod-1")))
			s.step("so is the next", s.after(time.Second, s.withoutPort("pod-2")))
			s.step("another is tried after a while", s.after(10*time.Second, nil))
			s.step("it is up", s.after(time.Second, s.up("pod-3")))
			s.step("its place is used, and the next one gets no port that was taken", s.rooms("pod-3", 2))
			s.step("a process has the port", s.after(time.Second, func() {
				s.ends("pod-4", "Error")
				s.pods["pod-4"].pod.Status.ContainerStatuses[0].State.Terminated.Message = "listen udp :31003: bind: address already in use"
			}))
			s.step("the next is up", s.after(time.Second, s.up("pod-5")))
			s.step("it is full much later", s.after(11*time.Minute, s.rooms("pod-5", 2)))
		},
		"no_port_is_free": func(s *simulation) {
			s.pool.Spec.Exposure.PortRange = &v1alpha1.PortRange{First: 31000, Last: 31000}
			s.step("the pool is made, with one port", nil)
			s.step("it is taken on all nodes: the pod waits for it", s.after(time.Second, s.withoutPort("pod-1")))
			s.step("it is free", s.after(time.Hour, s.up("pod-1")))
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
