package plugin

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/operatortest"
)

func conditions(kind, reason string, status metav1.ConditionStatus, message string) []metav1.Condition {
	return []metav1.Condition{{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}}
}

func ready(reason string) []metav1.Condition {
	return conditions(v1alpha1.ConditionReady, reason, metav1.ConditionTrue, "")
}

// room returns a Session with users.
func (w *world) room(name string, users, streams int32) *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.tenant, Name: name},
		Status: v1alpha1.SessionStatus{
			Conditions: ready(v1alpha1.ReasonReady), SessionID: name, PodName: "mediapod-default-nbx8n", NodeName: "node-1", PoolName: "default",
			StandbyPodName: "mediapod-default-k2p7x", ActiveConnections: users, PendingConnections: 1, Publishers: streams,
			MediaConnections: v1alpha1.MediaConnections{UDP: users * streams, TCP: 1},
		},
	}
}

// guest returns a Connection of a room.
func (w *world) guest(room, name string, state v1alpha1.ConnectionState) *v1alpha1.Connection {
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.tenant, Name: name},
		Spec:       v1alpha1.ConnectionSpec{SessionName: room, Role: v1alpha1.RolePublisher},
		Status:     v1alpha1.ConnectionStatus{Conditions: ready(v1alpha1.ReasonActive), State: state, ConnectionID: "con_" + strings.ToUpper(name) + "aaaaaaa"},
	}
	if state != v1alpha1.ConnectionStatePending {
		connection.Status.ActiveTime = &metav1.Time{Time: time.Now()}
		connection.Status.IP = "198.51.100.7"
		connection.Status.Token = "wss://rooms.example.org?sessionId=demo&token=tok_hidden"
	}
	if state == v1alpha1.ConnectionStateDisconnected {
		connection.Status.DisconnectedTime = connection.Status.ActiveTime
	}
	return connection
}

const annStream = "str_CAM_A1b2_con_ANNaaaaaaa"

// demo makes a room with somebody of each kind.
func (w *world) demo() {
	w.Helper()
	ann := w.guest("demo", "ann", v1alpha1.ConnectionStateActive)
	ann.Status.Platform = "Chrome 142\x1b[31m on \u202eLinux"
	ann.Status.Publishers = []v1alpha1.PublisherStatus{
		{StreamID: annStream, HasAudio: true, HasVideo: true, VideoActive: true, TypeOfVideo: "CAMERA", CreatedTime: metav1.Now()},
		{StreamID: "str_SCR_A1b3_con_ANNaaaaaaa", HasVideo: true, VideoActive: true, TypeOfVideo: "SCREEN", CreatedTime: metav1.Now()},
	}
	bob := w.guest("demo", "bob", v1alpha1.ConnectionStatePending)
	bob.Spec.Role = v1alpha1.RoleSubscriber
	bob.Spec.CustomIceServers = []v1alpha1.IceServer{{URL: "turn:turn.example.org", StaticAuthSecret: "hidden-secret"}}
	bob.Status.Token = "wss://rooms.example.org?sessionId=demo&token=tok_hidden"
	w.create(w.room("demo", 1, 2), ann, bob, w.guest("demo", "eve", v1alpha1.ConnectionStateDisconnected), w.guest("other", "max", v1alpha1.ConnectionStateActive))
}

func TestRooms(t *testing.T) {
	w := newWorld(t)
	if got := w.run("rooms"); got != "There are no rooms in namespace team-xxxxx.\n" {
		t.Errorf("got %q", got)
	}
	waiting := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.tenant, Name: "all-hands"},
		Status:     v1alpha1.SessionStatus{Conditions: conditions(v1alpha1.ConditionReady, v1alpha1.ReasonNoCapacity, metav1.ConditionFalse, "the pool is full")},
	}
	w.create(w.room("demo", 12, 8), waiting, &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: w.tenant, Name: "new"}})
	w.golden("rooms", w.run("rooms"))
	w.golden("rooms-wide", w.run("rooms", "-o", "wide"))
	w.golden("rooms-all-wide", w.run("rooms", "-A"))

	var list v1alpha1.SessionList
	if err := json.Unmarshal([]byte(w.run("rooms", "-o", "json")), &list); err != nil || len(list.Items) != 3 || list.Items[1].Status.ActiveConnections != 12 || list.Kind != "SessionList" {
		t.Errorf("got %v, %v", list, err)
	}
	if err := yaml.Unmarshal([]byte(w.run("rooms", "-o", "yaml")), &list); err != nil || len(list.Items) != 3 || list.Items[0].Kind != "Session" {
		t.Errorf("got %v, %v", list, err)
	}
	w.fails([]string{"rooms", "-o", "xml"}, `"xml" is none of json, yaml, wide`)
	w.fails([]string{"rooms", "demo"}, "demo")
}

func TestWho(t *testing.T) {
	w := newWorld(t)
	w.demo()
	w.golden("who", w.run("who", "demo"))
	w.golden("who-all-wide", w.run("who", "demo", "--all", "-o", "wide"))
	for _, form := range []string{"json", "yaml"} {
		if text := w.run("who", "demo", "-o", form); strings.Contains(text, "hidden") || strings.Count(text, redacted) != 3 || strings.Contains(text, "eve") {
			t.Errorf("a secret is shown, or not all that is no secret: %s", text)
		}
	}
	w.create(w.room("empty", 0, 0))
	if got := w.run("who", "empty"); got != "Nobody is in room empty, and nobody has a token for it.\n" {
		t.Errorf("got %q", got)
	}
	w.fails([]string{"who", "demos"}, `there is no room "demos" in namespace team-xxxxx; there is demo, empty`)
	w.fails([]string{"who"}, "who needs one argument, ROOM; got 0")
}

var clock = regexp.MustCompile(`\d\d:\d\d:\d\d`)

func TestTop(t *testing.T) {
	w := newWorld(t)
	w.create(w.room("small", 2, 1), w.room("large", 40, 10), w.room("idle", 0, 0), w.pool(nil))
	w.create(w.mediaPod("mediapod-default-nbx8n", "node-1"), w.mediaPod("mediapod-default-k2p7x", "node-2"))
	drawn := func(args ...string) string {
		return clock.ReplaceAllString(w.run(append([]string{"top", "--once"}, args...)...), "12:00:00")
	}
	w.golden("top", drawn())
	if got := drawn("--rows", "1"); strings.Contains(got, "small") || !strings.Contains(got, "large") {
		t.Errorf("got %s", got)
	}
	w.fails([]string{"top", "--interval", "1ms"}, "--interval is 1ms: it must be from 500ms to 1h0m0s")
	w.fails([]string{"top", "--rows", "0"}, "--rows is 0: it must be from 1 to 1000")
}

func TestTopFollows(t *testing.T) {
	w := newWorld(t)
	c := w.start("top", "--interval", "500ms")
	c.says("0 rooms, 0 users")
	w.create(w.room("demo", 3, 1))
	c.says("1 room, 3 users, 1 stream")
	c.stop()
	c.end(0)
}

func TestJoinURL(t *testing.T) {
	w := newWorld(t)
	w.create(w.room("demo", 0, 0))
	operator := operatortest.Start(t, testCluster, w, w.tenant)
	link := regexp.MustCompile(`^http://localhost:4443/#token=ws%3A%2F%2Flocalhost%3A4443%3FsessionId%3Ddemo%26token%3Dtok_guest-[a-z0-9]{5}\n$`)
	if got := w.run("join-url", "demo", "--role", "Moderator", "--data", `{"name":"Ann"}`); !link.MatchString(got) {
		t.Errorf("got %q", got)
	}
	var made v1alpha1.ConnectionList
	if err := w.List(t.Context(), &made, client.InNamespace(w.tenant)); err != nil || len(made.Items) != 1 {
		t.Fatalf("there are %d Connections: %v", len(made.Items), err)
	}
	guest := &made.Items[0]
	if guest.Spec.Role != v1alpha1.RoleModerator || guest.Spec.Data != `{"name":"Ann"}` {
		t.Errorf("made %+v", guest.Spec)
	}
	if got := w.run("join-url", "demo", "--connection", guest.Name); !link.MatchString(got) {
		t.Errorf("got %q", got)
	}
	w.fails([]string{"join-url", "demo", "--role", "Boss"}, `--role is "Boss": it must be one of Subscriber, Publisher, Moderator`)
	w.fails([]string{"join-url", "demo", "--connection", "nobody"}, `there is no Connection "nobody"`, guest.Name)
	w.create(w.room("other", 0, 0))
	w.fails([]string{"join-url", "other", "--connection", guest.Name}, "is for room demo, not for other")

	// What could not be let in leaves nothing behind, and the reason is told.
	operator.Behave(operatortest.Behaviour{Refuses: v1alpha1.ReasonNoCapacity})
	w.fails([]string{"join-url", "demo", "--timeout", "1s"}, "waiting for the token of Connection guest-", "the time of --timeout is over")
	operator.Behave(operatortest.Behaviour{})
	if err := w.List(t.Context(), &made, client.InNamespace(w.tenant)); err != nil {
		t.Fatal(err)
	}
	for i := range made.Items {
		if made.Items[i].Name != guest.Name && made.Items[i].DeletionTimestamp.IsZero() {
			t.Errorf("Connection %s was left", made.Items[i].Name)
		}
	}
}

func TestJoinURLOfATokenInASecret(t *testing.T) {
	w := newWorld(t)
	ann := w.guest("demo", "ann", v1alpha1.ConnectionStatePending)
	ann.Status.TokenSecretName = "ann-token"
	ann.Status.Conditions[0].ObservedGeneration = 1
	w.create(w.room("demo", 0, 0), ann, w.guest("demo", "bob", v1alpha1.ConnectionStateActive), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.tenant, Name: "ann-token"}, StringData: map[string]string{"token": "wss://rooms.example.org?sessionId=demo&token=tok_A"},
	})
	if got := w.run("join-url", "demo", "--connection", "ann"); got != "https://rooms.example.org/#token=wss%3A%2F%2Frooms.example.org%3FsessionId%3Ddemo%26token%3Dtok_A\n" {
		t.Errorf("got %q", got)
	}
	w.fails([]string{"join-url", "demo", "--connection", "bob"}, "the token of Connection bob was used: it is Active")
}

func TestKick(t *testing.T) {
	w := newWorld(t)
	w.demo()
	operator := operatortest.Start(t, testCluster, w, w.tenant)
	if got := w.run("kick", "con_ANNaaaaaaa", "bob", "eve"); got != "ann was evicted from room demo\n"+
		"bob was not in room demo; its token is worthless now\neve had left room demo; its Connection is deleted\n" {
		t.Errorf("got %q", got)
	}
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: w.tenant, Name: "ann"}, &v1alpha1.Connection{}); !apierrors.IsNotFound(err) {
		t.Errorf("ann is there: %v", err)
	}
	w.fails([]string{"kick", "ann"}, `there is no Connection "ann" in namespace team-xxxxx; there is max`)
	w.fails([]string{"kick", "con_ANNaaaaaaa"}, `there is no Connection "con_ANNaaaaaaa"`)
	w.fails([]string{"kick"}, "at least one argument, CONNECTION")
	operator.Behave(operatortest.Behaviour{Stubborn: true})
	w.create(w.guest("demo", "joe", v1alpha1.ConnectionStatePending))
	w.hasFinalizer("joe")
	w.fails([]string{"kick", "joe", "--timeout", "1s"}, "waiting until Connection joe is evicted (is the operator running?): the time of --timeout is over")
}

func TestMute(t *testing.T) {
	w := newWorld(t)
	w.demo()
	published := func() string {
		var ann v1alpha1.Connection
		if err := w.Get(t.Context(), client.ObjectKey{Namespace: w.tenant, Name: "ann"}, &ann); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(ann.Spec.Moderation)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, step := range []struct {
		args, says, moderation string
	}{
		{"ann", "ann may publish nothing", `{"publish":[]}`},
		{"ann --undo --video", "ann may publish video only", `{"publish":["Video"]}`},
		{"ann --undo", "ann may publish what the role allows", `{}`},
		{"con_ANNaaaaaaa --video", "ann may publish audio only", `{"publish":["Audio"]}`},
		{"ann --audio", "ann may publish nothing", `{"publish":[]}`},
		{"ann --undo --audio --video", "ann may publish what the role allows", `{}`},
		{annStream, "stream " + annStream + " of ann ends; ann may publish again", `{"endedStreamIDs":["` + annStream + `"]}`},
		{"ann --audio", "ann may publish video only", `{"publish":["Video"],"endedStreamIDs":["` + annStream + `"]}`},
	} {
		if got := w.run(append([]string{"mute"}, strings.Fields(step.args)...)...); got != step.says+"\n" {
			t.Errorf("mute %s says %q, want %q", step.args, got, step.says)
		}
		if got := published(); got != step.moderation {
			t.Errorf("after mute %s it is %s, want %s", step.args, got, step.moderation)
		}
	}
	w.fails([]string{"mute", annStream, "--audio"}, "a stream ends as a whole")
	w.fails([]string{"mute", "str_CAM_A1b9_con_ANNaaaaaaa"}, `there is no stream "str_CAM_A1b9_con_ANNaaaaaaa" of Connection ann; there is `+annStream)
	w.fails([]string{"mute", "str_what"}, `"str_what" is no id of a stream: it must be like str_CAM_A1b2_con_C3d4E5f6G7`)
	w.fails([]string{"mute", "eve"}, "its user has left")
	w.fails([]string{"mute", "zoe"}, `there is no Connection "zoe" in namespace team-xxxxx; there is ann, bob, max`)
}

// The oldest ids go when there would be too many.
func TestMuteKeepsTheNewestStreams(t *testing.T) {
	w := newWorld(t)
	ann := w.guest("demo", "ann", v1alpha1.ConnectionStateActive)
	for _, letter := range "ABCDEFGHIJKLMNOP" {
		ann.Spec.Moderation.EndedStreamIDs = append(ann.Spec.Moderation.EndedStreamIDs, "str_CAM_"+string(letter)+"1b0_con_ANNaaaaaaa")
	}
	ann.Status.Publishers = []v1alpha1.PublisherStatus{{StreamID: annStream, HasAudio: true, CreatedTime: metav1.Now()}}
	w.create(ann)
	w.run("mute", annStream)
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(ann), ann); err != nil {
		t.Fatal(err)
	}
	if ended := ann.Spec.Moderation.EndedStreamIDs; len(ended) != 16 || ended[15] != annStream || ended[0] != "str_CAM_B1b0_con_ANNaaaaaaa" {
		t.Errorf("they are %v", ended)
	}
}

func TestCompletion(t *testing.T) {
	w := newWorld(t)
	w.demo()
	w.create(w.mediaPod("mediapod-default-nbx8n", "node-1"))
	for args, want := range map[string]string{
		"who ":                     "demo",
		"who demo ":                "",
		"kick ":                    "ann bob max",
		"kick ann ":                "bob max",
		"mute str_":                "str_CAM_A1b2_con_ANNaaaaaaa str_SCR_A1b3_con_ANNaaaaaaa",
		"join-url demo --role ":    "Subscriber Publisher Moderator",
		"rooms -o ":                "json yaml wide",
		"drain ":                   "mediapod-default-nbx8n node-1",
		"events d":                 "demo",
		"rooms --namespace kube-n": "kube-node-lease",
	} {
		got := w.completes(strings.Split(args, " ")...)
		if got != want {
			t.Errorf("%q is completed by %q, want %q", args, got, want)
		}
	}
}
