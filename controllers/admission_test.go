package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// refused waits until an object is not accepted, for a reason.
func (w *world) refused(o client.Object, reason string) {
	w.Helper()
	w.await(o, v1alpha1.ConditionAccepted, metav1.ConditionFalse, reason)
}

func TestWhatIsMissingHealsWhenItComes(t *testing.T) {
	w := newWorld(t)
	guest := w.connection("guest", "demo", nil)
	w.refused(guest, v1alpha1.ReasonSessionNotFound)
	session := w.session("demo", nil)
	w.refused(session, v1alpha1.ReasonPoolNotFound)
	w.refused(guest, v1alpha1.ReasonSessionNotAccepted)
	named := w.session("named", func(s *v1alpha1.SessionSpec) { s.PoolName = "other" })
	w.refused(named, v1alpha1.ReasonPoolNotFound)
	w.pool(nil)
	w.ready(session)
	w.ready(guest)
	w.refused(named, v1alpha1.ReasonPoolNotFound)
	for _, o := range []client.Object{session, guest} {
		if reasons := w.events(o); !slices.Contains(reasons, "Waiting") {
			t.Errorf("Events about %s are %v", o.GetName(), reasons)
		}
	}
}

// label sets a label of the tenant's namespace; it is removed with the test, or by "".
func (w *world) label(name, value string) {
	w.Helper()
	var namespace corev1.Namespace
	if err := w.Get(context.Background(), client.ObjectKey{Name: tenantNamespace}, &namespace); err != nil {
		w.Fatal(err)
	}
	base := namespace.DeepCopy()
	if namespace.Labels == nil {
		namespace.Labels = make(map[string]string)
	}
	namespace.Labels[name] = value
	if value == "" {
		delete(namespace.Labels, name)
	}
	if err := w.Patch(context.Background(), &namespace, client.MergeFrom(base)); err != nil {
		w.Fatal(err)
	}
}

func TestAllowedNamespaces(t *testing.T) {
	w := newWorld(t)
	t.Cleanup(func() { w.label("plan", "") })
	pool := w.pool(func(s *v1alpha1.MediaPoolSpec) {
		s.AllowedNamespaces = &metav1.LabelSelector{MatchLabels: map[string]string{"plan": "paid"}}
		s.WarmSessions, s.Capacity = ptr.To(int32(0)), v1alpha1.PodCapacity{Sessions: 1, Connections: 10}
	})
	w.ready(pool)

	// By default, by its name, and for who waits for such a Session.
	session, named := w.session("demo", nil), w.session("named", func(s *v1alpha1.SessionSpec) { s.PoolName = pool.Name })
	guest := w.connection("guest", "demo", nil)
	for _, s := range []*v1alpha1.Session{session, named} {
		w.refused(s, v1alpha1.ReasonNamespaceNotAllowed)
		if s.Status.PoolName != "" || s.Status.URL != "" || s.Status.PodName != "" {
			t.Errorf("the status of %s is %+v", s.Name, s.Status)
		}
		w.eventually("an Event tells of it", func() error {
			if reasons := w.events(s); !slices.Contains(reasons, "Refused") {
				return fmt.Errorf("they are %v", reasons)
			}
			return nil
		})
	}
	w.refused(guest, v1alpha1.ReasonSessionNotAccepted)

	// The labels change. The second needs another pod, which is not made for those who are not
	// hosted.
	w.label("plan", "paid")
	w.ready(session)
	w.ready(named)
	w.ready(guest)

	// They change back. Who has a place keeps it; who comes now has none.
	w.label("plan", "free")
	late := w.session("late", nil)
	w.refused(late, v1alpha1.ReasonNamespaceNotAllowed)
	w.ready(session)

	// The selector changes.
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
		t.Fatal(err)
	}
	pool.Spec.AllowedNamespaces.MatchLabels["plan"] = "free"
	if err := w.Update(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	w.ready(late)
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(func(s *v1alpha1.MediaPoolSpec) {
		s.MaxPods = 1
		s.Capacity = v1alpha1.PodCapacity{Sessions: 2, Connections: 3}
	})
	first := w.session("first", func(s *v1alpha1.SessionSpec) { s.MaxConnections = ptr.To(int32(2)) })
	second := w.session("second", nil)
	w.ready(first)
	w.ready(second)
	third := w.session("third", nil)
	w.refused(third, v1alpha1.ReasonNoCapacity)
	waits := w.connection("waits", "third", nil)
	w.refused(waits, v1alpha1.ReasonSessionNotAccepted)

	one, two, three := w.connection("one", "first", nil), w.connection("two", "first", nil), w.connection("three", "first", nil)
	var admitted, turnedAway []*v1alpha1.Connection
	w.eventually("two of three are admitted", func() error {
		admitted, turnedAway = nil, nil
		for _, c := range []*v1alpha1.Connection{one, two, three} {
			if err := w.Get(t.Context(), client.ObjectKeyFromObject(c), c); err != nil {
				return err
			}
			if c.Status.Token != "" {
				admitted = append(admitted, c)
			} else if c.Status.ObservedGeneration != 0 {
				turnedAway = append(turnedAway, c)
			}
		}
		if len(admitted) != 2 || len(turnedAway) != 1 {
			return fmt.Errorf("%d are, %d are not", len(admitted), len(turnedAway))
		}
		return nil
	})
	w.refused(turnedAway[0], v1alpha1.ReasonSessionFull)
	w.ready(w.connection("four", "second", nil))
	five := w.connection("five", "second", nil)
	w.refused(five, v1alpha1.ReasonNoCapacity)

	w.delete(admitted[0])
	w.eventually("somebody got the place", func() error {
		for _, c := range []*v1alpha1.Connection{turnedAway[0], five} {
			if err := w.Get(t.Context(), client.ObjectKeyFromObject(c), c); err != nil {
				return err
			}
			if c.Status.Token != "" {
				return nil
			}
		}
		return fmt.Errorf("nobody did")
	})
	base := pool.DeepCopy()
	pool.Spec.MaxPods, pool.Spec.Capacity.Connections = 2, 100
	if err := w.Patch(t.Context(), pool, client.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
	w.ready(third)
	w.ready(waits)
	w.ready(five)
}

func TestTheOlderSessionHasTheID(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	id := func(s *v1alpha1.SessionSpec) { s.SessionID = "Same_ID" }
	first := w.session("first", id)
	w.ready(first)
	if first.Status.SessionID != "Same_ID" {
		t.Errorf("its id is %q", first.Status.SessionID)
	}
	second := w.session("a-second", id)
	w.refused(second, v1alpha1.ReasonSessionIDInUse)
	guest := w.connection("guest", "a-second", nil)
	w.refused(guest, v1alpha1.ReasonSessionNotAccepted)
	w.delete(first)
	w.gone(first)
	w.ready(second)
	w.ready(guest)
}

// desired returns what the pod of a Session was told of a Connection, nil when nothing.
func (w *world) desired(session *v1alpha1.Session, c *v1alpha1.Connection) *controlv1.Connection {
	w.Helper()
	for _, x := range w.host(session).Room(string(session.UID)).GetConnections() {
		if x.Uid == string(c.UID) {
			return x
		}
	}
	return nil
}

func TestConnection(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", nil)
	w.ready(session)
	pod := w.host(session)

	t.Run("a camera is not available yet", func(t *testing.T) {
		w.refused(w.connection("camera", "demo", func(s *v1alpha1.ConnectionSpec) {
			s.Type, s.IPCam = v1alpha1.ConnectionTypeIPCam, &v1alpha1.IPCam{RTSPURI: "rtsp://camera.example.org/1"}
		}), v1alpha1.ReasonUnsupported)
	})
	t.Run("Secrets are written only where the operator was given the right", func(t *testing.T) {
		c := w.connection("hopeful", "demo", func(s *v1alpha1.ConnectionSpec) { s.TokenSecretName = "token-of-hopeful" })
		w.refused(c, v1alpha1.ReasonUnsupported)
		if accepted := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionAccepted); !strings.Contains(accepted.Message, "mediarooms-token-writer") || c.Status.Token != "" {
			t.Errorf("the status is %+v", c.Status)
		}
	})
	w.writesTokens()
	t.Run("the token goes into a Secret of its own", func(t *testing.T) {
		c := w.connection("secretive", "demo", func(s *v1alpha1.ConnectionSpec) { s.TokenSecretName = "token-of-secretive" })
		w.ready(c)
		var secret corev1.Secret
		if err := w.Get(t.Context(), client.ObjectKey{Namespace: tenantNamespace, Name: "token-of-secretive"}, &secret); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(secret.Data["token"]), "wss://rooms.example.org?sessionId=demo&token=tok_") || !metav1.IsControlledBy(&secret, c) {
			t.Errorf("the Secret is %v", secret.ObjectMeta)
		}
		if c.Status.Token != "" {
			t.Error("the token is in status as well")
		}
		first := secret
		w.change(c, func() { c.Spec.TokenSecretName = "moved" })
		w.gone(&first)
		if err := w.Get(t.Context(), client.ObjectKey{Namespace: tenantNamespace, Name: "moved"}, &secret); err != nil {
			t.Fatal(err)
		}
		w.change(c, func() { c.Spec.TokenSecretName = "" })
		w.gone(&secret)
		w.eventually("the token is in status", func() error {
			w.ready(c)
			if c.Status.Token == "" || c.Status.TokenSecretName != "" {
				return fmt.Errorf("it is %+v", c.Status)
			}
			return nil
		})
	})
	t.Run("a Secret of somebody else is left alone", func(t *testing.T) {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "foreign"}, Data: map[string][]byte{"token": []byte("x")}}
		if err := w.Create(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		w.refused(w.connection("intruder", "demo", func(s *v1alpha1.ConnectionSpec) { s.TokenSecretName = "foreign" }), v1alpha1.ReasonTokenSecretInUse)
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil || string(secret.Data["token"]) != "x" {
			t.Errorf("it is %q, %v", secret.Data["token"], err)
		}
		w.delete(secret)
	})
	t.Run("another rotation is another token, and the pod is told", func(t *testing.T) {
		c := w.connection("rotated", "demo", nil)
		w.ready(c)
		before, digest := c.Status.Token, w.desired(session, c).TokenSha256
		w.change(c, func() { c.Spec.TokenRotation = 1 })
		w.eventually("the token is another", func() error {
			w.ready(c)
			if c.Status.Token == before || c.Status.ObservedGeneration != c.Generation {
				return fmt.Errorf("it is not")
			}
			return nil
		})
		if slices.Equal(digest, w.desired(session, c).TokenSha256) {
			t.Error("the pod still takes the old one")
		}
	})
	t.Run("another role is told to the pod", func(t *testing.T) {
		c := w.connection("promoted", "demo", nil)
		w.ready(c)
		w.change(c, func() { c.Spec.Role = v1alpha1.RoleModerator })
		w.eventually("the pod knows", func() error {
			if role := w.desired(session, c).GetRole(); role != controlv1.Role_ROLE_MODERATOR {
				return fmt.Errorf("it is %s", role)
			}
			return nil
		})
	})
	t.Run("a status that is wiped is rebuilt", func(t *testing.T) {
		c := w.connection("wiped", "demo", nil)
		w.ready(c)
		joined := time.Now().Add(-time.Hour).Truncate(time.Second)
		pod.Date(string(c.UID), joined, time.Time{})
		w.join(pod, c, "data")
		w.state(c, v1alpha1.ConnectionStateActive)
		before := c.Status
		base := c.DeepCopy()
		c.Status = v1alpha1.ConnectionStatus{}
		if err := w.Status().Patch(t.Context(), c, client.MergeFrom(base)); err != nil {
			t.Fatal(err)
		}
		w.eventually("it is there again", func() error {
			if err := w.Get(t.Context(), client.ObjectKeyFromObject(c), c); err != nil {
				return err
			}
			after := c.Status
			if after.State != before.State || after.Token != before.Token || after.ActiveTime == nil || !after.ActiveTime.Equal(before.ActiveTime) ||
				after.ClientData != "data" || len(after.Conditions) != 3 {
				return fmt.Errorf("it is %+v", after)
			}
			return nil
		})
	})
	t.Run("a Connection that nobody used is taken from the room", func(t *testing.T) {
		c := w.connection("unused", "demo", nil)
		w.ready(c)
		w.held(c)
		w.delete(c)
		w.gone(c)
		if w.desired(session, c) != nil {
			t.Error("its token still works")
		}
	})
	t.Run("with whenDisconnected Delete it goes with its user", func(t *testing.T) {
		c := w.connection("fleeting", "demo", func(s *v1alpha1.ConnectionSpec) { s.WhenDisconnected = v1alpha1.WhenDisconnectedDelete })
		w.ready(c)
		w.join(pod, c, "")
		w.state(c, v1alpha1.ConnectionStateActive)
		w.leave(pod, c, "disconnect")
		w.gone(c)
	})
	t.Run("a spent token stays known to the pod", func(t *testing.T) {
		c := w.connection("spent", "demo", nil)
		w.ready(c)
		w.join(pod, c, "")
		w.state(c, v1alpha1.ConnectionStateActive)
		w.leave(pod, c, "disconnect")
		w.state(c, v1alpha1.ConnectionStateDisconnected)
		w.ready(w.connection("later", "demo", nil))
		if told := w.desired(session, c); told == nil || !told.Spent {
			t.Errorf("it was told %v", told)
		}
	})
}

func (w *world) change(o client.Object, change func()) {
	w.Helper()
	base, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		w.Fatal("not an object")
	}
	change()
	if err := w.Patch(w.Context(), o, client.MergeFrom(base)); err != nil {
		w.Fatal(err)
	}
}

func TestSessionThatIsDeletedWhenEmpty(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", func(s *v1alpha1.SessionSpec) { s.WhenEmpty = v1alpha1.WhenEmptyDelete })
	first, second, unused := w.connection("first", "demo", nil), w.connection("second", "demo", nil), w.connection("unused", "demo", nil)
	w.ready(session)
	for _, c := range []*v1alpha1.Connection{first, second, unused} {
		w.ready(c)
	}
	pod := w.host(session)
	w.join(pod, first, "")
	w.join(pod, second, "")
	w.state(first, v1alpha1.ConnectionStateActive)
	w.state(second, v1alpha1.ConnectionStateActive)
	w.leave(pod, first, "disconnect")
	w.state(first, v1alpha1.ConnectionStateDisconnected)
	w.ready(session)
	w.leave(pod, second, "disconnect")
	w.gone(session)
	for _, c := range []*v1alpha1.Connection{first, second, unused} {
		w.gone(c)
	}
}

// The last user may come and be put out before the Session's status has counted anybody.
func TestSessionThatIsDeletedWhenItsLastUserIsPutOut(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", func(s *v1alpha1.SessionSpec) { s.WhenEmpty = v1alpha1.WhenEmptyDelete })
	guest := w.connection("guest", "demo", nil)
	w.ready(session)
	w.ready(guest)
	w.join(w.host(session), guest, "")
	w.state(guest, v1alpha1.ConnectionStateActive)
	w.delete(guest)
	w.gone(guest)
	w.gone(session)
}

func TestDeletionsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", nil)
	guest := w.connection("guest", "demo", nil)
	w.ready(session)
	w.ready(guest)
	w.held(guest)
	pod := w.host(session)
	// The pod lives, but answers nothing but heartbeats.
	pod.Deafen()
	w.delete(guest)
	begun := time.Now()
	w.gone(guest)
	if took := time.Since(begun); took < 5*time.Second || took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	w.delete(session)
	w.gone(session)
	w.eventually("Events say what was given up", func() error {
		if reasons := w.events(guest); !slices.Contains(reasons, "EvictionGivenUp") {
			return fmt.Errorf("about the Connection: %v", reasons)
		}
		if reasons := w.events(session); !slices.Contains(reasons, "CloseGivenUp") {
			return fmt.Errorf("about the Session: %v", reasons)
		}
		return nil
	})
}

func TestAConnectionThatIsMadeWhileItsSessionClosesIsOfTheNextOne(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("demo", nil)
	guest := w.connection("guest", "demo", nil)
	w.ready(session)
	w.held(guest)
	// Somebody else holds the first Connection, and by it the Session.
	const hold = "test.mediarooms.dev/hold"
	update := func(change func()) {
		w.Helper()
		w.eventually("the hold is changed", func() error {
			if err := w.Get(t.Context(), client.ObjectKeyFromObject(guest), guest); err != nil {
				return err
			}
			change()
			return w.Update(t.Context(), guest)
		})
	}
	update(func() { controllerutil.AddFinalizer(guest, hold) })
	w.delete(session)
	w.eventually("the Session is being deleted, and by it the Connection", func() error {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(session), session); err != nil {
			return err
		}
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(guest), guest); err != nil {
			return err
		}
		// Times are whole seconds.
		if guest.DeletionTimestamp.IsZero() || time.Now().Before(session.DeletionTimestamp.Add(time.Second)) {
			return errors.New("it is too early")
		}
		return nil
	})
	late := w.connection("late", "demo", nil)
	w.refused(late, v1alpha1.ReasonDeleting)
	update(func() { controllerutil.RemoveFinalizer(guest, hold) })
	w.gone(session)
	w.gone(guest)
	w.refused(late, v1alpha1.ReasonSessionNotFound)
	w.session("demo", nil)
	w.ready(late)
}

func TestExposures(t *testing.T) {
	for exposure, want := range map[v1alpha1.ExposureType]struct {
		ip       string
		udp, tcp bool
		service  corev1.ServiceType
	}{
		v1alpha1.ExposureInternal:     {ip: "127.0.1.", udp: true, tcp: true},
		v1alpha1.ExposureNodePort:     {ip: "192.0.2.", udp: true, tcp: true, service: corev1.ServiceTypeNodePort},
		v1alpha1.ExposureLoadBalancer: {ip: "198.51.100.7", udp: true, service: corev1.ServiceTypeLoadBalancer},
	} {
		t.Run(string(exposure), func(t *testing.T) {
			w := newWorld(t)
			pool := w.pool(func(s *v1alpha1.MediaPoolSpec) { s.Exposure.Type = exposure })
			var pods corev1.PodList
			w.eventually("there is a pod", func() error {
				if err := w.List(t.Context(), &pods, client.InNamespace(systemNamespace)); err != nil {
					return err
				}
				if len(pods.Items) != 1 || pods.Items[0].Status.PodIP == "" {
					return fmt.Errorf("there are %d", len(pods.Items))
				}
				return nil
			})
			name := pods.Items[0].Name
			if want.service != "" {
				var service corev1.Service
				w.eventually("there is a Service", func() error {
					return w.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: name}, &service)
				})
				if service.Spec.Type != want.service || service.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
					t.Errorf("it is %+v", service.Spec)
				}
				if exposure == v1alpha1.ExposureLoadBalancer {
					w.await(pool, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPodsNotReady)
					service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: want.ip}}
					if err := w.Status().Update(t.Context(), &service); err != nil {
						t.Fatal(err)
					}
				}
				t.Cleanup(func() { _ = w.Delete(w.Context(), &service) }) // there is no garbage collector here
			}
			w.ready(pool)
			w.eventually("an Event says so", func() error {
				if reasons := w.events(pool); !slices.Contains(reasons, "Ready") {
					return fmt.Errorf("they are %v", reasons)
				}
				return nil
			})
			w.eventually("the pod has its configuration", func() error {
				config := w.kubelet.pod(name).Config()
				if len(config.GetAdvertised()) != 1 {
					return fmt.Errorf("it is %v", config)
				}
				a := config.Advertised[0]
				if !strings.HasPrefix(a.Ip, want.ip) || (a.UdpPort != 0) != want.udp || (a.TcpPort != 0) != want.tcp {
					return fmt.Errorf("it is %v", a)
				}
				return nil
			})
		})
	}
}

func TestPoolChanges(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(func(s *v1alpha1.MediaPoolSpec) { s.Capacity.Sessions, s.MaxPods = 1, 3 })
	names := func() []string {
		var pods corev1.PodList
		if err := w.List(w.Context(), &pods, client.InNamespace(systemNamespace)); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp.IsZero() {
				out = append(out, pod.Name)
			}
		}
		return out
	}
	count := func(n int) {
		t.Helper()
		w.eventually(fmt.Sprintf("there are %d pods", n), func() error {
			if got := names(); len(got) != n {
				return fmt.Errorf("they are %v", got)
			}
			return nil
		})
	}
	session := w.session("demo", nil)
	w.ready(session)
	count(2) // one has the room, one is warm
	w.delete(session)
	w.gone(session)
	count(1)
	before := names()
	w.change(pool, func() { pool.Spec.Template.Metadata.Labels = map[string]string{"team": "video"} })
	w.eventually("the pod is another", func() error {
		if now := names(); len(now) != 1 || now[0] == before[0] {
			return fmt.Errorf("they are %v", now)
		}
		return nil
	})
	w.delete(pool)
	w.gone(pool)
	count(0)
}

func TestRoomsWithoutUsersLeaveAPodThatDrains(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(func(s *v1alpha1.MediaPoolSpec) { s.DrainSeconds = 3600 })
	empty, busy := w.session("empty", nil), w.session("busy", nil)
	user, pending := w.connection("user", "busy", nil), w.connection("pending", "empty", nil)
	for _, o := range []client.Object{empty, busy, user, pending} {
		w.ready(o)
	}
	first := w.host(busy)
	w.join(first, user, "")
	w.state(user, v1alpha1.ConnectionStateActive)
	old, token := busy.Status.PodName, pending.Status.Token
	w.change(pool, func() { pool.Spec.Template.Metadata.Labels = map[string]string{"team": "video"} })
	w.eventually("the empty room has moved", func() error {
		w.ready(empty)
		if empty.Status.PodName == old {
			return fmt.Errorf("it has not")
		}
		return nil
	})
	w.ready(pending)
	if pending.Status.Token != token {
		t.Error("the token has changed")
	}
	w.eventually("the pod before has closed it", func() error {
		if closed := first.Closed(); !slices.Equal(closed, []string{string(empty.UID)}) {
			return fmt.Errorf("closed are %v", closed)
		}
		return nil
	})
	w.ready(busy)
	if busy.Status.PodName != old {
		t.Error("the room with a user has moved")
	}
	w.leave(first, user, "disconnect")
	w.gone(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: old}})
	w.ready(busy)
}
