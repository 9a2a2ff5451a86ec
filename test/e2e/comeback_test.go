//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	cases "mediarooms.dev/mediarooms/test/rest"
	"mediarooms.dev/mediarooms/test/wait"
)

// Without a standby, a call goes on when its media pod ends: everybody is back by itself, as the
// same participant with the same stream, and the application is told no more than that its socket
// was away.
func TestACallOutlivesItsMediaPod(t *testing.T) {
	cases.Shows(t, 170, 172)
	kill := func(t *testing.T, pod *corev1.Pod) error { return kube.KillPod(t.Context(), pod) }
	ends := map[string]func(*testing.T, *corev1.Pod) error{
		"Firefox, when it is killed": kill,
		"Chromium, when it is deleted": func(t *testing.T, pod *corev1.Pod) error {
			return kube.Client.Delete(t.Context(), pod)
		},
	}
	if thorough() { // TestUsersComeBackWhenBothPodsAreLost is much the same
		ends["Chromium, when it is killed"] = kill
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			in := func(number int) opener {
				if strings.HasPrefix(name, "Firefox") {
					return firefox(t, number)
				}
				return chromium(t, number)
			}
			r := newRoomWith(t, func(spec *v1alpha1.SessionSpec) { spec.Standby = v1alpha1.StandbyNone })
			names := []string{"alice", "bob", "carol"}
			for _, name := range append(names, "dave") {
				r.admit(t, name, v1alpha1.RolePublisher)
			}
			guests := make([]*guest, len(names))
			for n, name := range names {
				guests[n] = joinWith(t, in(n), r.namespace, name)
				guests[n].publishSmall(t)
			}
			kube.WaitConnection(t, 20*time.Second, r.namespace, "dave")
			everyPair(guests, func(receiver, sender *guest) { receiver.advances(t, sender, 30*time.Second) })
			pod := r.settled(t, guests)

			everyPair(guests, func(receiver, sender *guest) {
				if err := receiver.Watch(sender.joined.ConnectionID); err != nil {
					t.Fatal(err)
				}
			})
			before := time.Now()
			if err := end(t, pod); err != nil {
				t.Fatal(err)
			}
			killed := time.Now()
			// While all are away, there is a room to join already.
			late := joinWith(t, in(3), r.namespace, "dave")
			t.Logf("somebody new is in the room after %v", time.Since(killed))
			if others := late.joined.Others; len(others) != len(guests) {
				t.Errorf("who joins meanwhile sees %q", others)
			}
			for _, g := range guests {
				back := g.event(t, 30*time.Second, "reconnected", func(e browser.Event) bool { return e.Name == "reconnected" && e.Time().After(before) })
				t.Logf("%s is reconnected after %v", g.Name, back.Time().Sub(killed))
			}
			everyPair(guests, func(receiver, sender *guest) { receiver.advances(t, sender, 30*time.Second) })
			everyPair(guests, func(receiver, sender *guest) {
				gaps, err := receiver.Gaps(sender.joined.ConnectionID)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%s from %s: no frame for %.0f ms, no audio packet for %.0f ms", receiver.Name, sender.Name, gaps.VideoMilliseconds, gaps.AudioMilliseconds)
			})
			for _, g := range guests {
				late.advances(t, g, 30*time.Second)
				g.logFrames(t, killed)
				g.toldOnlyOfItsSocket(t, before)
				g.same(t)
			}

			// Everything works on.
			if err := guests[0].Signal("still-there", "to all"); err != nil {
				t.Fatal(err)
			}
			for _, g := range append(guests, late) {
				g.told(t, browser.Event{
					On: "session", Name: "signal", ConnectionID: guests[0].joined.ConnectionID, Type: "signal:still-there", Data: "to all",
				})
			}
			late.publishSmall(t)
			for _, g := range guests {
				g.advances(t, late, 30*time.Second)
			}
			if next := r.settled(t, append(guests, late)); next.Name == pod.Name {
				t.Errorf("the Session is on %s still", pod.Name)
			}
			r.saysThatItMoved(t)
			for _, g := range append(guests, late) {
				if err := g.Leave(); err != nil {
					t.Errorf("%s leaving: %v", g.Name, err)
				}
			}
			wait.For(t, time.Minute, "the pool to have a warm pod again", kube.Warm)
		})
	}
}

// everyPair calls do for each who receives another.
func everyPair(guests []*guest, do func(receiver, sender *guest)) {
	for _, receiver := range guests {
		for _, sender := range guests {
			if receiver != sender {
				do(receiver, sender)
			}
		}
	}
}

// settled waits until status says of all guests that they are in the room and send one stream, and
// returns the pod that hosts it.
func (r room) settled(t *testing.T, guests []*guest) *corev1.Pod {
	t.Helper()
	wait.For(t, 20*time.Second, "status to say who is in the room", func() error {
		for _, g := range guests {
			connection, err := kube.Connection(r.namespace, g.connection)
			if err != nil {
				return err
			}
			s := connection.Status
			ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
			if s.State != v1alpha1.ConnectionStateActive || ready.Reason != v1alpha1.ReasonActive || s.ConnectionID != g.joined.ConnectionID ||
				len(s.Publishers) != 1 || s.Publishers[0].StreamID != g.streamID || len(s.Subscribers) != len(guests)-1 || s.DisconnectReason != "" {
				return fmt.Errorf("%s is %+v", g.Name, s)
			}
		}
		session, err := kube.Session(r.namespace, roomName)
		if err != nil {
			return err
		}
		if s := session.Status; int(s.ActiveConnections) != len(guests) || int(s.Publishers) != len(guests) {
			return fmt.Errorf("active %d, publishers %d", s.ActiveConnections, s.Publishers)
		}
		return cluster.Ready(session, session.Status.Conditions)
	})
	session, err := kube.Session(r.namespace, roomName)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: r.system, Name: session.Status.PodName}, pod); err != nil {
		t.Fatalf("reading the pod that the Session names: %v", err)
	}
	if pod.Spec.NodeName != session.Status.NodeName {
		t.Errorf("the Session says node %q, its pod runs on %q", session.Status.NodeName, pod.Spec.NodeName)
	}
	return pod
}

// saysThatItMoved checks the Events of a room: it was moved, and nobody has left it.
func (r room) saysThatItMoved(t *testing.T) {
	t.Helper()
	wait.For(t, 10*time.Second, "Events that the room was moved", func() error {
		events, err := kube.Kubectl(t.Context(), "get", "events", "-n", r.namespace, "-o", "custom-columns=:reason")
		if err != nil {
			return err
		}
		reasons := strings.Fields(events)
		if !slices.Contains(reasons, "Moved") {
			return fmt.Errorf("they are %q", reasons)
		}
		if slices.ContainsFunc(reasons, func(reason string) bool { return strings.HasSuffix(reason, "Disconnected") }) {
			t.Errorf("somebody has left: %q", reasons)
		}
		return nil
	})
}

// toldOnlyOfItsSocket checks that the application was told of nothing but that its socket was away,
// and that the browser has noticed the end of the media path: that comes with the client, before it
// sends its stream anew.
func (g *guest) toldOnlyOfItsSocket(t *testing.T, since time.Time) {
	t.Helper()
	events, err := g.Events()
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if event.Time().Before(since) {
			continue
		}
		switch {
		case event.Name == "reconnecting", event.Name == "reconnected":
		case event.Name == "exception" && event.Exception == "ICE_CONNECTION_DISCONNECTED":
			t.Logf("%s: ICE of %s is disconnected after %v", g.Name, event.StreamID, event.Time().Sub(since))
		case event.Name == "exception" && event.Exception == "ICE_CANDIDATE_ERROR":
			// Firefox finds candidates anew when interfaces of the machine come and go, as those of
			// pods do here, and has no answer to those that it sends while its socket is away.
			t.Logf("%s: a candidate has no answer after %v", g.Name, event.Time().Sub(since))
		case event.Name == "streamPlaying", event.Name == "videoElementCreated", event.Name == "subscribed", event.Name == "streamAudioVolumeChange":
		case event.Name == "connectionCreated", event.Name == "streamCreated": // of who has joined meanwhile
		default:
			t.Errorf("%s got %+v", g.Name, event)
		}
	}
}

// logFrames writes down when a guest has said what about its socket and its streams, where the
// browser tells.
func (g *guest) logFrames(t *testing.T, since time.Time) {
	t.Helper()
	page, is := g.Tab.(*browser.Page)
	if !is {
		return
	}
	asked := map[int64]bool{}
	for _, frame := range page.Frames() {
		if frame.At.Before(since) {
			continue
		}
		switch frame.Method {
		case "connect", "reconnectStream", "prepareReceiveVideoFrom", "forciblyReconnectSubscriber", "echo":
			if frame.ID != nil {
				asked[*frame.ID] = true
			}
		default:
			if frame.Method != "" || frame.ID == nil || !asked[*frame.ID] {
				continue
			}
		}
		t.Logf("%s %6.2f s %s", g.Name, frame.At.Sub(since).Seconds(), frame)
	}
}

// same checks that a guest is who it was, for its browser and for status.
func (g *guest) same(t *testing.T) {
	t.Helper()
	joined, err := g.Joined()
	var failure *browser.Failure
	if errors.As(err, &failure) {
		t.Errorf("%s is not in the room: %v", g.Name, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if joined.ConnectionID != g.joined.ConnectionID || joined.Role != g.joined.Role || joined.Data != g.joined.Data {
		t.Errorf("%s is %+v, it was %+v", g.Name, joined, g.joined)
	}
}
