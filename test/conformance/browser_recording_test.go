//go:build e2e

package conformance

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// applyRecording makes a Recording, which goes at the end of the test.
func applyRecording(t *testing.T, recording *v1alpha1.Recording) {
	t.Helper()
	if err := kube.Client.Create(t.Context(), recording); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kube.Client.Delete(context.Background(), recording); err != nil {
			t.Error(err)
		}
		wait.For(t, time.Minute, "the Recording to be gone", func() error { return kube.Gone(recording) })
	})
}

// recordingIs waits until a Recording is in a state.
func recordingIs(t *testing.T, recording *v1alpha1.Recording, state v1alpha1.RecordingState) {
	t.Helper()
	wait.For(t, 3*time.Minute, "the Recording to be "+string(state), func() error {
		if err := kube.Client.Get(t.Context(), client.ObjectKeyFromObject(recording), recording); err != nil {
			return err
		}
		if recording.Status.State != state {
			return fmt.Errorf("it is %+v", recording.Status)
		}
		return nil
	})
}

// compositor is the image of recorders that compose: the operator's with a suffix.
func compositor(t *testing.T) *v1alpha1.Compositor {
	t.Helper()
	var operator appsv1.Deployment
	if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: cluster.Namespace, Name: "mediarooms-manager"}, &operator); err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.Compositor{Image: strings.Replace(operator.Spec.Template.Spec.Containers[0].Image, ":", "-recorder:", 1)}
}

// playBound is how long a browser may take to show what the console gives it.
const playBound = 30 * time.Second

// isPlayed plays a file of a Recording in the console, as somebody who has the role for that.
func isPlayed(t *testing.T, recording *v1alpha1.Recording, file string) {
	t.Helper()
	const signIn = `document.querySelector('#by-token').click();
document.querySelector('#secret').value = %q;
document.querySelector('#namespace').value = %q;
document.querySelector('[data-testid="submit"]').click()`
	shared, _ := sharedChromium(t)
	address := fmt.Sprintf("%s/console/#/recording/%s/%s/%s", kube.GatewayURL, recording.Namespace, recording.Name, file)
	page := shared.Open(t, "who looks at "+recording.Name, address, browser.Viewport{Width: 1280, Height: 800})
	page.Await(t, playBound, browser.Shown("secret"))
	if err := page.Evaluate(fmt.Sprintf(signIn, playerToken(t, recording), recording.Namespace), nil); err != nil {
		t.Fatal(err)
	}
	const player = `document.querySelector('[data-testid="player"]')`
	page.Await(t, playBound, player+"?.readyState >= 2 && "+player+".videoWidth > 0 && decodeURI("+player+".currentSrc).includes("+fmt.Sprintf("%q", "/"+file+"?")+")")
	if err := page.Evaluate(player+".muted = true, "+player+".play()", nil); err != nil {
		t.Fatal(err)
	}
	page.Await(t, playBound, player+".currentTime > 0.5")
}

// playerToken returns the token of an account that may see and play the recordings of a namespace.
func playerToken(t *testing.T, recording *v1alpha1.Recording) string {
	t.Helper()
	account := "player-" + recording.Name
	kubectl(t, "create", "serviceaccount", account)
	t.Cleanup(func() {
		if _, err := kube.Kubectl(context.Background(), "-n", recording.Namespace, "delete", "serviceaccount/"+account, "rolebinding/"+account+"-view", "rolebinding/"+account+"-files"); err != nil {
			t.Error(err)
		}
	})
	for binding, role := range map[string]string{"-view": "view", "-files": "mediarooms-recording-player"} {
		kubectl(t, "create", "rolebinding", account+binding, "--clusterrole="+role, "--serviceaccount="+recording.Namespace+":"+account)
	}
	return strings.TrimSpace(kubectl(t, "create", "token", account))
}

// A composed recording is one file of all streams, for players that know none of their codecs.
func TestAComposedRecordingIsOneFile(t *testing.T) {
	t.Parallel()
	covers(t, "3.11-recordingStopped")
	reserve(t, 2)
	pool := kube.NewPool(t, func(spec *v1alpha1.MediaPoolSpec) {
		spec.Egress = &v1alpha1.Egress{Access: v1alpha1.RecordingAccessPublic, Compositor: compositor(t)}
	})
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool.Name })
	first := r.enter(t, "first", v1alpha1.RolePublisher)
	first.publish(browser.Publication{})
	recording := &v1alpha1.Recording{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.DefaultTenant, Name: r.name},
		Spec:       v1alpha1.RecordingSpec{SessionName: r.name, Name: "grid", Resolution: "640x360", FrameRate: 10, OnDelete: v1alpha1.OnDeleteDeleteFiles},
	}
	applyRecording(t, recording)
	recordingIs(t, recording, v1alpha1.RecordingStateStarted)
	second := r.enter(t, "second", v1alpha1.RolePublisher)
	second.publish(browser.Publication{})
	first.receives(second)
	kubectl(t, "patch", "recording", recording.Name, "--type=merge", "-p", `{"spec":{"stop":true}}`)
	first.gets("recordingStopped", func(e browser.Event) bool { return e.Reason == "recordingStoppedByServer" })
	recordingIs(t, recording, v1alpha1.RecordingStateReady)
	if s := recording.Status; len(s.Files) != 2 || s.Files[0].Name != "grid.mp4" || s.DurationSeconds == 0 || !strings.HasSuffix(s.URL, "/grid.mp4") {
		t.Errorf("the Recording is %+v", s)
	}
	out, err := exec.CommandContext(t.Context(), "ffprobe", "-loglevel", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", recording.Status.URL).CombinedOutput()
	if err != nil || string(out) != "h264,640,360\naac\n" {
		t.Errorf("its file has %q, %v", out, err)
	}
	isPlayed(t, recording, "grid.mp4")
}

// A Recording that is applied records, its participants are told, and its files are there after its
// stop.
func TestARecordingIsToldOfAndHasItsFiles(t *testing.T) {
	t.Parallel()
	covers(t, "3.11-recordingStarted", "3.11-recordingStopped", "5.4-recordingStoppedByServer", "7.5-publisher-moderator")
	reserve(t, 3)
	pool := kube.NewPool(t, func(spec *v1alpha1.MediaPoolSpec) {
		spec.Egress = &v1alpha1.Egress{Notification: v1alpha1.RecordingNotificationPublishersAndModerators}
	})
	r := newRoom(t, func(spec *v1alpha1.SessionSpec) { spec.PoolName = pool.Name })
	publisher := r.enter(t, "publisher", v1alpha1.RolePublisher)
	subscriber := r.enter(t, "subscriber", v1alpha1.RoleSubscriber)
	publisher.publish(browser.Publication{})
	subscriber.receives(publisher)

	recording := &v1alpha1.Recording{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.DefaultTenant, Name: r.name},
		Spec: v1alpha1.RecordingSpec{
			SessionName: r.name, OutputMode: v1alpha1.RecordingOutputModeIndividual, Name: "a-name", OnDelete: v1alpha1.OnDeleteDeleteFiles,
		},
	}
	applyRecording(t, recording)
	is := func(state v1alpha1.RecordingState) { recordingIs(t, recording, state) }
	is(v1alpha1.RecordingStateStarted)
	told := recording.Status.RecordingID + " a-name"
	publisher.gets("recordingStarted", func(e browser.Event) bool { return e.Data == told })
	moderator := r.enter(t, "late moderator", v1alpha1.RoleModerator)
	moderator.gets("recordingStarted", func(e browser.Event) bool { return e.Data == told })
	moderator.receives(publisher)

	kubectl(t, "patch", "recording", recording.Name, "--type=merge", "-p", `{"spec":{"stop":true}}`)
	for _, g := range []*guest{publisher, moderator} {
		g.gets("recordingStopped", func(e browser.Event) bool { return e.Data == told && e.Reason == "recordingStoppedByServer" })
	}
	subscriber.never("recordingStarted", "recordingStopped")
	is(v1alpha1.RecordingStateReady)
	s := recording.Status
	ofStream := func(f v1alpha1.RecordingFile) bool {
		return f.StreamID == publisher.stream.StreamID && f.ConnectionID == publisher.id() && f.SizeBytes > 10_000
	}
	if s.Reason != "recordingStoppedByServer" || s.DurationSeconds == 0 || s.SizeBytes < 10_000 || !slices.ContainsFunc(s.Files, ofStream) {
		t.Fatalf("the Recording is %+v", s)
	}
	isPlayed(t, recording, s.Files[slices.IndexFunc(s.Files, ofStream)].Name)
}
