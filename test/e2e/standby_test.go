//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/network"
	"mediarooms.dev/mediarooms/test/wait"
)

// takeoverGap is for how many milliseconds no new frame may come when a standby takes over. The
// goal is 300, which the log tells and a machine that is busy with other tests may miss; without a
// standby a browser's own timers take 7600 and more.
const takeoverGap = 7000

// takeovers is how often each thing happens to a call: twice, since the next standby protects it as
// well, or as MEDIAROOMS_ROUNDS says.
func takeovers() int { return roundsOr(2) }

// roundsOr is how often something is done: as MEDIAROOMS_ROUNDS says, or else that often.
func roundsOr(usual int) int {
	if wanted, err := strconv.Atoi(os.Getenv("MEDIAROOMS_ROUNDS")); err == nil {
		return wanted
	}
	return usual
}

// ending is something that ends what a media pod does.
type ending func(t *testing.T, c *lastingCall, pod *corev1.Pod) error

func killed(t *testing.T, _ *lastingCall, pod *corev1.Pod) error {
	return kube.KillPod(t.Context(), pod)
}

func deleted(t *testing.T, _ *lastingCall, pod *corev1.Pod) error {
	return kube.Client.Delete(t.Context(), pod)
}

func evicted(t *testing.T, _ *lastingCall, pod *corev1.Pod) error {
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
	return kube.Client.SubResource("eviction").Create(t.Context(), pod, eviction)
}

// drained drains the pod's node with kubectl, after which it may have pods again.
func drained(t *testing.T, _ *lastingCall, pod *corev1.Pod) error {
	node, ofPool := pod.Spec.NodeName, v1alpha1.PoolLabel+"="+pod.Labels[v1alpha1.PoolLabel]
	_, err := kube.Kubectl(t.Context(), "drain", node, "--pod-selector", ofPool, "--timeout", "1m")
	_, after := kube.Kubectl(context.WithoutCancel(t.Context()), "uncordon", node)
	return errors.Join(err, after)
}

// rolledOut changes the pool's template.
func rolledOut(t *testing.T, c *lastingCall, pod *corev1.Pod) error {
	pool, err := kube.Pool(c.pool)
	if err != nil {
		return err
	}
	before := pool.DeepCopy()
	pool.Spec.Template.Metadata.Annotations = map[string]string{"example.org/after": pod.Name}
	return kube.Client.Patch(t.Context(), pool, client.MergeFrom(before))
}

// frozen stops the pod's processes for two seconds.
func frozen(t *testing.T, _ *lastingCall, pod *corev1.Pod) error {
	return kube.FreezePod(t.Context(), pod, 2*time.Second)
}

// cutOff has the pod's network pass nothing any more, as when its node is gone.
func cutOff(t *testing.T, _ *lastingCall, pod *corev1.Pod) error {
	path, err := kube.PodNetwork(pod)
	if err != nil {
		return err
	}
	return network.OpenPlace(t, pod.Name, path).Lose(t.Context(), netip.MustParsePrefix("0.0.0.0/0"))
}

// With a standby, a call goes on when its media pod ends, and the application is told of nothing
// that concerns media.
func TestACallGoesOnAtItsStandby(t *testing.T) {
	for _, test := range []struct {
		browsers string
		ends     map[string]ending
		open     func(t *testing.T, n int) opener
	}{
		{"Chromium", map[string]ending{"killed": killed, "deleted": deleted, "evicted": evicted}, func(t *testing.T, n int) opener { return chromium(t, n) }},
		{"Firefox", map[string]ending{"killed": killed}, func(t *testing.T, n int) opener { return firefox(t, n) }},
	} {
		for name, end := range test.ends {
			t.Run(test.browsers+", "+name, func(t *testing.T) {
				c := newLastingCall(t, test.open)
				rounds := takeovers()
				if name != "killed" {
					rounds = roundsOr(1) // the next standby is all the same
				}
				for range rounds {
					c.goesOn(t, end)
				}
				c.leaves(t)
			})
		}
	}
}

// Nor does it matter why a pod has to go. Chromium and Firefox are in one room.
func TestACallGoesOnWhereverItsPodGoes(t *testing.T) {
	for name, test := range map[string]struct {
		end    ending
		rounds int
	}{
		"drained": {drained, takeovers()}, "rolled out": {rolledOut, 1}, "cut off": {cutOff, takeovers()},
		// A pod that wakes up may be the next standby, at an address that clients know already.
		"frozen": {frozen, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newLastingCall(t, func(t *testing.T, n int) opener {
				if n == 1 {
					return firefox(t, n)
				}
				return chromium(t, n)
			})
			for range test.rounds {
				c.goesOn(t, test.end)
			}
			c.leaves(t)
		})
	}
}

// upgraded does what the upgrade of a release does: it replaces the operator and the gateways, and
// the media pods are to be made from another template.
func upgraded(t *testing.T, c *lastingCall, pod *corev1.Pod) error {
	_, err := kube.Kubectl(t.Context(), "rollout", "restart", "deployment", "-n", cluster.Namespace)
	return errors.Join(err, rolledOut(t, c, pod))
}

// A call goes on while everything is upgraded. The application hears that its socket was another
// one's for a moment.
func TestACallGoesOnWhileTheReleaseIsUpgraded(t *testing.T) {
	c := newLastingCall(t, func(t *testing.T, n int) opener {
		if n == 1 {
			return firefox(t, n)
		}
		return chromium(t, n)
	})
	before := time.Now()
	c.goesOn(t, upgraded)
	for _, deployment := range []string{"mediarooms-manager", "mediarooms-gateway"} {
		if _, err := kube.Kubectl(t.Context(), "rollout", "status", "deployment", deployment, "-n", cluster.Namespace, "--timeout", "2m"); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range c.guests {
		g.toldOnlyOfItsSocket(t, before)
		g.same(t)
	}
	c.hearEachOther(t, before)
}

// When the standby is lost together with the pod, everybody is back by itself, as without one.
func TestUsersComeBackWhenBothPodsAreLost(t *testing.T) {
	c := newLastingCall(t, func(t *testing.T, n int) opener { return chromium(t, n) })
	c.hasReserve(t)
	c.isProtected(t)
	pod := c.settled(t, c.guests)
	session, err := kube.Session(c.namespace, roomName)
	if err != nil {
		t.Fatal(err)
	}
	var standby corev1.Pod
	if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: pod.Namespace, Name: session.Status.StandbyPodName}, &standby); err != nil {
		t.Fatal(err)
	}
	everyPair(c.guests, func(receiver, sender *guest) {
		if err := receiver.Watch(sender.joined.ConnectionID); err != nil {
			t.Fatal(err)
		}
	})
	before := time.Now()
	if err := errors.Join(kube.KillPod(t.Context(), &standby), kube.KillPod(t.Context(), pod)); err != nil {
		t.Fatal(err)
	}
	for _, g := range c.guests {
		back := g.event(t, time.Minute, "reconnected", func(e browser.Event) bool { return e.Name == "reconnected" && e.Time().After(before) })
		t.Logf("%s is reconnected after %v", g.Name, back.Time().Sub(before))
	}
	everyPair(c.guests, func(receiver, sender *guest) { receiver.advances(t, sender, time.Minute) })
	everyPair(c.guests, func(receiver, sender *guest) {
		gaps, err := receiver.Gaps(sender.joined.ConnectionID)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("GAP %s from %s: no frame for %.0f ms", receiver.Name, sender.Name, gaps.VideoMilliseconds)
	})
	for _, g := range c.guests {
		g.toldOnlyOfItsSocket(t, before)
		g.same(t)
	}
	if next := c.settled(t, c.guests); next.Name == pod.Name || next.Name == standby.Name {
		t.Errorf("the room is on %s still", next.Name)
	}
	c.isProtected(t)
}

// lastingCall is a call whose media pods end.
type lastingCall struct {
	room
	pool   string
	guests []*guest
	known  map[string]bool // addresses of media pods, by which clients were reached
	began  time.Time
}

// newLastingCall begins a call of three in a pool of its own, whose rooms have standbys.
func newLastingCall(t *testing.T, open func(t *testing.T, n int) opener) *lastingCall {
	t.Helper()
	c := newLastingRoom(t)
	c.fills(t, open)
	return c
}

// fills lets three people in, who see each other.
func (c *lastingCall) fills(t *testing.T, open func(t *testing.T, n int) opener) {
	t.Helper()
	for n, name := range []string{"alice", "bob", "carol"} {
		c.enters(t, open(t, n), name, cutPublication)
	}
	c.begins(t)
}

// newLastingRoom makes a room that nobody is in yet.
func newLastingRoom(t *testing.T) *lastingCall {
	t.Helper()
	pool := kube.NewPool(t, func(spec *v1alpha1.MediaPoolSpec) {
		spec.MinPods, spec.MaxPods, spec.DrainSeconds, spec.Standby = new(int32(2)), 4, 60, v1alpha1.StandbyWarm
	})
	return newLastingRoomIn(t, pool.Name, cluster.Namespace)
}

// newLastingRoomIn is newLastingRoom in a pool whose pods are in a namespace.
func newLastingRoomIn(t *testing.T, pool, system string) *lastingCall {
	t.Helper()
	r := newRoomWith(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool })
	r.system = system
	r.isProtected(t)
	return &lastingCall{room: r, pool: pool, known: map[string]bool{}}
}

// enters lets somebody join, and publish.
func (c *lastingCall) enters(t *testing.T, in opener, name string, publication browser.Publication) *guest {
	t.Helper()
	c.admit(t, name, v1alpha1.RolePublisher)
	g := joinWith(t, in, c.namespace, name)
	stream, err := g.PublishWith(publication)
	if err != nil {
		t.Fatalf("publishing as %s: %v", name, err)
	}
	g.streamID = stream.StreamID
	c.guests = append(c.guests, g)
	return g
}

// begins waits until everybody sees everybody.
func (c *lastingCall) begins(t *testing.T) {
	t.Helper()
	everyPair(c.guests, func(receiver, sender *guest) { receiver.advances(t, sender, 30*time.Second) })
	c.began = time.Now()
}

// leaves checks that nobody has noticed anything, and ends the call.
func (c *lastingCall) leaves(t *testing.T) {
	t.Helper()
	for _, g := range c.guests {
		g.logFrames(t, c.began)
		g.noticesNothing(t, c.began)
		g.same(t)
	}
	if err := c.guests[0].Signal("still-there", "to all"); err != nil {
		t.Fatal(err)
	}
	for _, g := range c.guests {
		g.event(t, 20*time.Second, "the signal", isSignal)
	}
	for _, g := range c.guests {
		if err := g.Leave(); err != nil {
			t.Errorf("%s leaving: %v", g.Name, err)
		}
	}
}

// hasReserve waits until every peer connection has been answered by as many media pods that it did
// not know before: the room's and its standby, or a new standby.
func (c *lastingCall) hasReserve(t *testing.T) {
	t.Helper()
	pods := 1
	if len(c.known) == 0 {
		pods = 2
	}
	seen := map[string]bool{}
	for _, g := range c.guests {
		wait.For(t, time.Minute, g.Name+" to be answered by the standby", func() error {
			all, err := g.Transports()
			if err != nil {
				return err
			}
			for i, transport := range all {
				unknown := 0
				for _, address := range transport.Reached {
					if strings.HasPrefix(address, transport.Protocol+" ") && !c.known[address] {
						seen[address] = true
						unknown++
					}
				}
				if unknown < pods {
					return fmt.Errorf("peer connection %d was answered from %v", i+1, transport.Reached)
				}
			}
			return nil
		})
	}
	maps.Copy(c.known, seen)
}

// goesOn has something end what the room's media pod does, from which its standby goes on.
func (c *lastingCall) goesOn(t *testing.T, end ending) {
	t.Helper()
	c.hasReserve(t)
	c.isProtected(t)
	pod := c.settled(t, c.guests)
	watched := c.guests
	everyPair(watched, func(receiver, sender *guest) {
		if err := receiver.Watch(sender.joined.ConnectionID); err != nil {
			t.Fatal(err)
		}
	})
	if err := end(t, c, pod); err != nil {
		t.Fatal(err)
	}
	everyPair(c.guests, func(receiver, sender *guest) { receiver.advances(t, sender, 30*time.Second) })
	wait.For(t, time.Minute, "the standby to have the room", func() error {
		session, err := kube.Session(c.namespace, roomName)
		if err == nil && session.Status.PodName == pod.Name {
			err = fmt.Errorf("it is on %s", pod.Name)
		}
		return err
	})
	everyPair(c.guests, func(receiver, sender *guest) { receiver.advances(t, sender, 30*time.Second) })
	everyPair(watched, func(receiver, sender *guest) {
		gaps, err := receiver.Gaps(sender.joined.ConnectionID)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("GAP %s from %s: no frame for %.0f ms, no audio packet for %.0f ms",
			receiver.Name, sender.Name, gaps.VideoMilliseconds, gaps.AudioMilliseconds)
		if gaps.VideoMilliseconds > takeoverGap {
			t.Errorf("%s had no new picture of %s for %.0f ms", receiver.Name, sender.Name, gaps.VideoMilliseconds)
		}
	})
	c.settled(t, c.guests)
}

// isProtected waits until a standby could go on with the room.
func (r room) isProtected(t *testing.T) {
	t.Helper()
	wait.For(t, time.Minute, "the room to be protected", func() error {
		session, err := kube.Session(r.namespace, roomName)
		if err != nil {
			return err
		}
		condition := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionProtected)
		if condition == nil || condition.Status != metav1.ConditionTrue {
			return fmt.Errorf("it is %+v", condition)
		}
		return nil
	})
}

// noticesNothing checks that the application was told of nothing.
func (g *guest) noticesNothing(t *testing.T, since time.Time) {
	t.Helper()
	events, err := g.Events()
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if event.Time().Before(since) || event.Name == "streamAudioVolumeChange" {
			continue
		}
		t.Errorf("%s got %+v", g.Name, event)
	}
}

func isSignal(event browser.Event) bool { return event.Name == "signal" }

// A call goes on also when its pod is killed while somebody joins and publishes, or mutes.
func TestACallGoesOnWhileItChanges(t *testing.T) {
	open := func(t *testing.T, n int) opener { return chromium(t, n) }
	// Each round the pod is killed a little later: the client joins, receives, and publishes.
	for round := range roundsOr(1) {
		later := time.Duration(round) * 80 * time.Millisecond
		t.Run(fmt.Sprintf("join, %v later", later), func(t *testing.T) {
			c := newLastingCall(t, open)
			c.admit(t, "dave", v1alpha1.RolePublisher)
			token := kube.WaitConnection(t, 20*time.Second, c.namespace, "dave").Status.Token
			dave := &guest{
				Participant: open(t, len(c.guests)).OpenParticipant(t, site, "dave"), namespace: c.namespace, connection: "dave",
			}
			entered := make(chan error, 1)
			c.goesOn(t, func(t *testing.T, c *lastingCall, pod *corev1.Pod) error {
				go func() {
					var err error
					if dave.joined, err = dave.Join(token, ""); err == nil {
						dave.streamID, err = dave.Publish(resolution)
					}
					entered <- err
				}()
				<-time.After(later)
				err := killed(t, c, pod)
				c.guests = append(slices.Clone(c.guests), dave)
				return errors.Join(err, <-entered)
			})
		})
	}
	t.Run("mute", func(t *testing.T) {
		c := newLastingCall(t, open)
		muted := make(chan error, 1)
		alice, bob := c.guests[0], c.guests[1]
		c.goesOn(t, func(t *testing.T, c *lastingCall, pod *corev1.Pod) error {
			go func() { muted <- alice.MuteAudio(true) }()
			return killed(t, c, pod)
		})
		if err := <-muted; err != nil {
			t.Fatalf("muting while the pod is killed: %v", err)
		}
		bob.event(t, 20*time.Second, "that alice is muted", func(e browser.Event) bool {
			return e.Name == "streamPropertyChanged" && e.StreamID == alice.streamID && e.Property == "audioActive" && e.NewValue == "false"
		})
	})
}
