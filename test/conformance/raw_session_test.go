//go:build e2e

package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/rawclient"
	"mediarooms.dev/mediarooms/test/wait"
)

// replaceSession names another session in a token URL.
func replaceSession(token, session, other string) string {
	return strings.Replace(token, "sessionId="+session, "sessionId="+other, 1)
}

func eventuallyGone(t *testing.T, object client.Object) {
	t.Helper()
	wait.For(t, ready, object.GetName()+" to be gone", func() error { return kube.Gone(object) })
}

// session is the room's Session object, by name only.
func (r *room) session() *v1alpha1.Session {
	return &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.DefaultTenant, Name: r.name}}
}

func TestASessionThatIsDeletedWhenEmptyGoesWithItsLastParticipant(t *testing.T) {
	t.Parallel()
	covers(t, "7.4-created", "7.4-last", "7.2-session", "9-42", "6-202")
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.WhenEmpty = v1alpha1.WhenEmptyDelete })
	unused := r.token(t, v1alpha1.RolePublisher)
	first := r.token(t, v1alpha1.RolePublisher)
	session, err := kube.Session(cluster.DefaultTenant, r.name)
	if err != nil {
		t.Fatal(err)
	}
	if session.Status.ActiveConnections != 0 {
		t.Errorf("%d are in the room that nobody joined", session.Status.ActiveConnections)
	}
	a := dial(t, "a", first)
	a.Joins()
	b := r.join(t, "b", v1alpha1.RoleSubscriber)
	a.call("leaveRoom", map[string]any{})
	if err := kube.Gone(r.session()); err == nil {
		t.Error("the Session went while b was in the room")
	}
	b.call("leaveRoom", map[string]any{})
	eventuallyGone(t, r.session())
	late := dial(t, "late", unused)
	late.refused("joinRoom", late.JoinParameters(), 202, fmt.Sprintf("Unable to join session. Session %s cannot be found. Code: 202", r.name))

	// A new one may have the id, and knows nothing of the old tokens.
	again := r.session()
	again.Labels = map[string]string{roomLabel: "raw"}
	if err := kube.Client.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(kube.Client.Delete(context.Background(), r.session())); err != nil {
			t.Error(err)
		}
	})
	kube.WaitSession(t, ready, cluster.DefaultTenant, r.name)
	stranger := dial(t, "stranger", unused)
	stranger.refused("joinRoom", stranger.JoinParameters(), 401, fmt.Sprintf("Unable to join session %s. Token %s is not valid. Code: 401", r.name, unused))
	r.join(t, "c", v1alpha1.RolePublisher)
}

func TestASessionThatIsKeptStaysAndNobodyCollectsIt(t *testing.T) {
	t.Parallel()
	covers(t, "7.4-keep", "7.4-garbage", "7.6-garbage", "7.4-recording", "7.6-recording")
	r := newRoom(t, nil)
	unused := r.token(t, v1alpha1.RolePublisher)
	a := r.join(t, "a", v1alpha1.RolePublisher)
	a.Publishes(rawclient.NewMedia(t), camera)
	a.call("leaveRoom", map[string]any{})
	wait.For(t, ready, "the room to be empty", func() error {
		session, err := kube.Session(cluster.DefaultTenant, r.name)
		if err == nil && session.Status.ActiveConnections != 0 {
			err = fmt.Errorf("%d are in it", session.Status.ActiveConnections)
		}
		return err
	})
	session, err := kube.Session(cluster.DefaultTenant, r.name)
	if err != nil || session.DeletionTimestamp != nil {
		t.Errorf("the Session is not as it was: %v, %+v", err, session.Status)
	}
	b := dial(t, "b", unused)
	b.Joins()
}

func TestWhileASessionClosesNobodyGetsInAndNoTokenIsMade(t *testing.T) {
	t.Parallel()
	covers(t, "7.4-closing", "7.2-closing", "6-203", "2.1-errors", "9-41")
	r := newRoom(t, nil)
	// A finalizer of our own holds the object in the state of being deleted.
	const hold = "conformance.mediarooms.dev/hold"
	session, err := kube.Session(cluster.DefaultTenant, r.name)
	if err != nil {
		t.Fatal(err)
	}
	held := session.DeepCopy()
	held.Finalizers = append(held.Finalizers, hold)
	if err := kube.Client.Patch(t.Context(), held, client.MergeFrom(session)); err != nil {
		t.Fatal(err)
	}
	release := func() {
		wait.For(t, ready, "the hold to be released", func() error {
			current, err := kube.Session(cluster.DefaultTenant, r.name)
			if err != nil {
				return client.IgnoreNotFound(err)
			}
			current.Finalizers = slices.DeleteFunc(current.Finalizers, func(name string) bool { return name == hold })
			return client.IgnoreNotFound(kube.Client.Update(context.Background(), current))
		})
	}
	t.Cleanup(release)
	inside := r.join(t, "inside", v1alpha1.RolePublisher)
	unused := r.token(t, v1alpha1.RolePublisher)
	waiting := dial(t, "waiting", unused)
	if err := kube.Client.Delete(t.Context(), r.session()); err != nil {
		t.Fatal(err)
	}
	inside.Gets("participantEvicted", map[string]any{"reason": "sessionClosedByServer"})
	start := time.Now()
	refusal := waiting.refusal("joinRoom", waiting.JoinParameters())
	text := map[int]string{
		202: fmt.Sprintf("Unable to join session. Session %s cannot be found. Code: 202", r.name),
		203: fmt.Sprintf("Unable to join the session. Session %s is closed. Code: 203", r.name),
		401: fmt.Sprintf("Unable to join session %s. Token %s is not valid. Code: 401", r.name, unused),
	}[refusal.Code]
	if refusal.Message != text || time.Since(start) > 5*time.Second {
		t.Errorf("joining gave %v after %v", refusal, time.Since(start))
	}

	late := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.DefaultTenant, GenerateName: r.name + "-"},
		Spec:       v1alpha1.ConnectionSpec{SessionName: r.name},
	}
	if err := kube.Client.Create(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	wait.For(t, ready, "the late Connection to be refused", func() error {
		connection, err := kube.Connection(late.Namespace, late.Name)
		if err != nil {
			return client.IgnoreNotFound(err) // it went with the Session: that is as good
		}
		for _, condition := range connection.Status.Conditions {
			if condition.Type == v1alpha1.ConditionAccepted && condition.Status == metav1.ConditionFalse {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", connection.Status.Conditions)
	})
	if connection, err := kube.Connection(late.Namespace, late.Name); err == nil && connection.Status.Token != "" {
		t.Error("it has a token")
	}
	release()
	eventuallyGone(t, r.session())
	if err := client.IgnoreNotFound(kube.Client.Delete(t.Context(), late)); err != nil {
		t.Error(err)
	}
}

func TestASessionWithoutAMediaPodIs204(t *testing.T) {
	t.Parallel()
	covers(t, "6-204")
	session := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cluster.DefaultTenant, GenerateName: "conf-", Labels: map[string]string{roomLabel: "raw"},
		},
		Spec: v1alpha1.SessionSpec{PoolName: "no-such-pool"},
	}
	if err := kube.Client.Create(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kube.Client.Delete(context.Background(), session); err != nil {
			t.Error(err)
		}
	})
	token := strings.Replace(kube.GatewayURL, "http", "ws", 1) + "?sessionId=" + session.Name + "&token=tok_Anything"
	// The gateway learns of the Session by a watch; until then it does not know it.
	wait.For(t, ready, "joining to be refused with 204", func() error {
		m := dial(t, "a", token)
		defer m.Close()
		refusal := m.refusal("joinRoom", m.JoinParameters())
		if want := fmt.Sprintf("There is no available Media Node where to initialize session '%s'. Code: 204", session.Name); refusal.Message != want {
			return fmt.Errorf("it was refused with %w, want %q", refusal, want)
		}
		return nil
	})
}

func TestAConnectionToACameraIsNotAccepted(t *testing.T) {
	t.Parallel()
	covers(t, "7.4-ip-cameras", "6-10")
	r := newRoom(t, nil)
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.DefaultTenant, GenerateName: r.name + "-"},
		Spec: v1alpha1.ConnectionSpec{
			SessionName: r.name, Type: v1alpha1.ConnectionTypeIPCam, IPCam: &v1alpha1.IPCam{RTSPURI: "rtsp://camera.example.org"},
		},
	}
	if err := kube.Client.Create(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
	wait.For(t, ready, "the Connection to be refused", func() error {
		current, err := kube.Connection(connection.Namespace, connection.Name)
		if err != nil {
			return err
		}
		for _, condition := range current.Status.Conditions {
			if condition.Type == v1alpha1.ConditionAccepted && condition.Status == metav1.ConditionFalse && condition.Reason == v1alpha1.ReasonUnsupported {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", current.Status.Conditions)
	})
	// Nobody can end a camera's stream, so that error 10 has no place: its stream is one that
	// nobody has.
	m := r.join(t, "a", v1alpha1.RoleModerator)
	stream := "str_IPC_AAAA_ipc_IPCAM_rtsp_AAAA_camera_example_org"
	m.refused("forceUnpublish", map[string]any{"streamId": stream}, 105, fmt.Sprintf("Stream '%s' does not exist in Session '%s'. Code: 105", stream, r.name))
}

func TestABusyRoomLetsNobodyWait(t *testing.T) {
	t.Parallel()
	covers(t, "7.6-locks", "7.6-echo")
	r := newRoom(t, nil)
	const crowd = 12
	var members []*member
	for i := range crowd {
		members = append(members, dial(t, fmt.Sprint(i), r.token(t, v1alpha1.RolePublisher)))
	}
	slowest := make(chan time.Duration, crowd)
	for _, m := range members {
		go func() {
			start := time.Now()
			if joined, err := m.Join(t.Context(), m.Name); err != nil {
				t.Error(err)
			} else {
				m.Joined = joined
			}
			var result map[string]any
			for _, method := range []string{"echo", "sendMessage", "echo", "leaveRoom"} {
				if err := m.Call(t.Context(), method, everyMethod[method], &result); err != nil {
					t.Error(err)
				}
			}
			slowest <- time.Since(start)
		}()
	}
	for range crowd {
		if took := <-slowest; took > 3*time.Second {
			t.Errorf("joining, sending and leaving took %v", took)
		}
	}
}
