package controllers_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestFirstPath(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(nil)
	w.ready(pool)
	session := w.session("demo", nil)
	guest := w.connection("guest-1", "demo", func(s *v1alpha1.ConnectionSpec) { s.Data = "server data" })
	w.ready(session)
	w.ready(guest)
	if want := "wss://rooms.example.org?sessionId=demo&token="; guest.Status.Token[:len(want)] != want {
		t.Errorf("token is %q, want %s...", guest.Status.Token, want)
	}
	if guest.Status.State != v1alpha1.ConnectionStatePending || guest.Status.ServerData != "server data" {
		t.Errorf("status is %+v", guest.Status)
	}
	pod := w.host(session)
	room := pod.Room(string(session.UID))
	if room == nil || len(room.Connections) != 1 || room.Key != "demo" {
		t.Fatalf("the pod's room is %v", room)
	}
	if config := pod.Config(); len(config.Advertised) != 1 || config.Advertised[0].Ip[:8] != "192.0.2." || config.Advertised[0].UdpPort != 20000 {
		t.Errorf("the pod's configuration is %v", config)
	}

	joined := time.Now().Truncate(time.Second)
	pod.Date(string(guest.UID), joined, time.Time{})
	w.join(pod, guest, "client data")
	w.state(guest, v1alpha1.ConnectionStateActive)
	if !guest.Status.ActiveTime.Time.Equal(joined) || guest.Status.ClientData != "client data" || guest.Status.IP != "192.0.2.7" {
		t.Errorf("status is %+v", guest.Status)
	}
	w.publish(pod, guest, "str_CAM_1")
	w.eventually("the stream is in status", func() error {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(guest), guest); err != nil {
			return err
		}
		if len(guest.Status.Publishers) != 1 {
			return fmt.Errorf("publishers are %v", guest.Status.Publishers)
		}
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(session), session); err != nil {
			return err
		}
		if session.Status.ActiveConnections != 1 || session.Status.Publishers != 1 || session.Status.PendingConnections != 0 {
			return fmt.Errorf("the Session's status is %+v", session.Status)
		}
		return nil
	})

	w.delete(guest)
	w.gone(guest)
	if reason := pod.Evicted(string(guest.UID)); reason != "forceDisconnectByServer" {
		t.Errorf("the user was put out because of %q", reason)
	}
	other := w.connection("guest-2", "demo", nil)
	w.ready(other)
	w.join(pod, other, "")
	w.state(other, v1alpha1.ConnectionStateActive)
	w.delete(session)
	w.gone(session)
	w.gone(other)
	if !slices.Contains(pod.Closed(), string(session.UID)) || pod.Evicted(string(other.UID)) != "sessionClosedByServer" {
		t.Errorf("the room was not closed: %v, %q", pod.Closed(), pod.Evicted(string(other.UID)))
	}
}

func TestRestartOfTheOperatorKeepsRooms(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", nil)
	stays, leaves, deleted := w.connection("stays", "demo", nil), w.connection("leaves", "demo", nil), w.connection("deleted", "demo", nil)
	w.ready(session)
	for _, c := range []*v1alpha1.Connection{stays, leaves, deleted} {
		w.ready(c)
	}
	pod := w.host(session)
	for _, c := range []*v1alpha1.Connection{stays, leaves, deleted} {
		w.join(pod, c, c.Name)
		w.state(c, v1alpha1.ConnectionStateActive)
	}
	w.stop()
	w.leave(pod, leaves, "disconnect")
	w.delete(deleted)
	late := w.connection("late", "demo", nil)
	w.startOperator()

	w.state(leaves, v1alpha1.ConnectionStateDisconnected)
	if leaves.Status.DisconnectReason != "disconnect" {
		t.Errorf("left because of %q", leaves.Status.DisconnectReason)
	}
	w.gone(deleted)
	w.ready(late)
	w.state(stays, v1alpha1.ConnectionStateActive)
	if len(pod.Closed()) != 0 || pod.Evicted(string(stays.UID)) != "" || pod.Evicted(string(deleted.UID)) == "" {
		t.Errorf("rooms closed: %v, evicted: %q and %q", pod.Closed(), pod.Evicted(string(stays.UID)), pod.Evicted(string(deleted.UID)))
	}
	if pod != w.host(session) {
		t.Error("the room has moved")
	}
}

func TestStatusThatIsLostWhileNoOperatorRunsKeepsRooms(t *testing.T) {
	w := newWorld(t)
	w.pool(func(s *v1alpha1.MediaPoolSpec) { s.MinPods = ptr.To(int32(2)) })
	session := w.session("demo", nil)
	guest := w.connection("guest", "demo", nil)
	w.ready(session)
	w.ready(guest)
	pod := w.host(session)
	w.join(pod, guest, "")
	w.state(guest, v1alpha1.ConnectionStateActive)
	w.stop()
	for o, wipe := range map[client.Object]func(){
		session: func() { session.Status = v1alpha1.SessionStatus{} }, guest: func() { guest.Status = v1alpha1.ConnectionStatus{} },
	} {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		base, ok := o.DeepCopyObject().(client.Object)
		if !ok {
			t.Fatal("not an object")
		}
		wipe()
		if err := w.Status().Patch(t.Context(), o, client.MergeFrom(base)); err != nil {
			t.Fatal(err)
		}
	}
	w.startOperator()
	w.ready(session)
	w.state(guest, v1alpha1.ConnectionStateActive)
	if w.host(session) != pod || len(pod.Closed()) != 0 || pod.Evicted(string(guest.UID)) != "" {
		t.Errorf("closed are %v, and the user is out because of %q", pod.Closed(), pod.Evicted(string(guest.UID)))
	}
}

func TestLostPod(t *testing.T) {
	for name, lose := range map[string]func(w *world, pod string){
		"its process is killed": func(w *world, pod string) {
			w.kubelet.pod(pod).Stop()
			w.kubelet.says(pod, `{"phase":"Failed"}`)
		},
		"it hangs": func(w *world, pod string) {
			w.kubelet.pod(pod).Mute(true)
			w.kubelet.says(pod, ready(corev1.ConditionFalse))
		},
		"its node is gone": func(w *world, pod string) {
			w.kubelet.pod(pod).Cut(true)
			object := &corev1.Pod{}
			if err := w.Get(w.Context(), client.ObjectKey{Namespace: systemNamespace, Name: pod}, object); err != nil {
				w.Fatal(err)
			}
			w.nodeReady(object.Spec.NodeName, corev1.ConditionUnknown)
			w.Cleanup(func() { w.nodeReady(object.Spec.NodeName, corev1.ConditionTrue) })
		},
		"kubelet says that it failed": func(w *world, pod string) {
			w.kubelet.says(pod, `{"phase":"Failed"}`)
		},
		"it is deleted by force": func(w *world, pod string) {
			object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: pod}}
			if err := w.Delete(w.Context(), object, client.GracePeriodSeconds(0)); err != nil {
				w.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pool(nil)
			session := w.session("demo", nil)
			active, pending := w.connection("active", "demo", nil), w.connection("pending", "demo", nil)
			w.ready(session)
			w.ready(active)
			w.ready(pending)
			first := session.Status.PodName
			w.join(w.host(session), active, "")
			w.state(active, v1alpha1.ConnectionStateActive)
			w.publish(w.host(session), active, "str_CAM_A1b2_con_active")
			w.eventually("the stream is seen", func() error {
				w.state(active, v1alpha1.ConnectionStateActive)
				if len(active.Status.Publishers) != 1 {
					return fmt.Errorf("it is %+v", active.Status)
				}
				return nil
			})
			token, connectionID := pending.Status.Token, active.Status.ConnectionID

			lost := time.Now()
			lose(w, first)
			w.eventually("the Session is on another pod", func() error {
				w.ready(session)
				if session.Status.PodName == first {
					return fmt.Errorf("it is on %s", first)
				}
				return nil
			})
			if took := time.Since(lost); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
			w.await(active, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonReconnecting)
			if active.Status.State != v1alpha1.ConnectionStateActive || len(active.Status.Publishers) != 1 {
				t.Errorf("who may come back is %+v", active.Status)
			}
			host := w.host(session)
			if err := host.Return(string(active.UID)); err != nil {
				t.Fatal(err)
			}
			w.await(active, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonActive)
			if active.Status.State != v1alpha1.ConnectionStateActive || active.Status.ActiveTime.Time.After(lost) || active.Status.ConnectionID != connectionID {
				t.Errorf("who is back is %+v", active.Status)
			}
			w.ready(pending)
			if pending.Status.Token != token {
				t.Error("the token has changed")
			}
			w.join(w.host(session), pending, "")
			w.state(pending, v1alpha1.ConnectionStateActive)
			w.gone(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: first}})
		})
	}
}

// Nothing of ours is on an object that users wrote but the finalizer: GitOps tools never remove an
// object with an owner, and what is restored from a backup must not be an orphan.
func TestWhatUsersWroteHasNoOwner(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", nil)
	guest := w.connection("guest", "demo", nil)
	w.ready(guest)
	w.eventually("the finalizers are there", func() error {
		for _, o := range []client.Object{session, guest} {
			if err := w.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
			if len(o.GetFinalizers()) == 0 {
				return fmt.Errorf("%s has none", o.GetName())
			}
			if owners := o.GetOwnerReferences(); len(owners) > 0 {
				t.Errorf("%s has the owners %v", o.GetName(), owners)
			}
		}
		return nil
	})
}

func TestOwnersOfAnEarlierVersionAreTakenOff(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", nil)
	guest := w.connection("guest", "demo", nil)
	w.ready(guest)
	w.stop()
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(guest), guest); err != nil {
		t.Fatal(err)
	}
	guest.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Session", Name: "demo", UID: session.UID}}
	if err := w.Update(t.Context(), guest); err != nil {
		t.Fatal(err)
	}
	w.startOperator()
	w.eventually("it has no owner", func() error {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(guest), guest); err != nil {
			return err
		}
		if len(guest.OwnerReferences) > 0 {
			return fmt.Errorf("it has %v", guest.OwnerReferences)
		}
		return nil
	})
}

// kubectl delete session --cascade=orphan: the room closes, the Connections stay, and the next
// Session of the name has them.
func TestOrphansStay(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", nil)
	inside, waiting := w.connection("inside", "demo", nil), w.connection("waiting", "demo", nil)
	w.ready(session)
	w.ready(inside)
	w.ready(waiting)
	before := waiting.Status.Token
	pod := w.host(session)
	w.join(pod, inside, "")
	w.state(inside, v1alpha1.ConnectionStateActive)
	if err := w.Delete(t.Context(), session, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
		t.Fatal(err)
	}
	// What the garbage collector does, which this API server comes without.
	w.eventually("nothing is left to the garbage collector", func() error {
		current := &v1alpha1.Session{}
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(session), current); err != nil {
			return client.IgnoreNotFound(err)
		}
		current.Finalizers = slices.DeleteFunc(current.Finalizers, func(name string) bool { return name == metav1.FinalizerOrphanDependents })
		return client.IgnoreNotFound(w.Update(t.Context(), current))
	})
	w.gone(session)
	if reason := pod.Evicted(string(inside.UID)); reason != "sessionClosedByServer" {
		t.Errorf("the user was put out because of %q", reason)
	}
	w.await(waiting, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound)
	w.state(inside, v1alpha1.ConnectionStateDisconnected)
	if !inside.DeletionTimestamp.IsZero() {
		t.Error("it is deleted all the same")
	}

	w.ready(w.session("demo", nil))
	w.ready(waiting)
	if waiting.Status.Token != before {
		t.Errorf("the token was %q and is %q", before, waiting.Status.Token)
	}
}

// Nodes may be annotated with what clients are told, also while pods are on them.
func TestANodeMayBeAnnotatedWithItsAddresses(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", nil)
	w.ready(session)
	pod := w.host(session)
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(session), session); err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{}
	if err := w.Get(t.Context(), client.ObjectKey{Name: session.Status.NodeName}, node); err != nil {
		t.Fatal(err)
	}
	before := node.DeepCopy()
	node.Annotations = map[string]string{v1alpha1.PublicAddressAnnotation: "198.51.100.7,2001:db8::7"}
	if err := w.Patch(t.Context(), node, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Patch(context.WithoutCancel(t.Context()), before, client.RawPatch(types.MergePatchType, []byte(
			`{"metadata":{"annotations":{"`+v1alpha1.PublicAddressAnnotation+`":null}}}`))); err != nil {
			t.Error(err)
		}
	})
	w.eventually("the pod is told", func() error {
		told := pod.Config().GetAdvertised()
		if len(told) != 2 || told[0].GetIp() != "198.51.100.7" || told[1].GetIp() != "2001:db8::7" || told[0].GetUdpPort() != told[1].GetUdpPort() {
			return fmt.Errorf("it advertises %v", told)
		}
		return nil
	})
}
