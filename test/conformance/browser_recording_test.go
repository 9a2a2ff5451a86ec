//go:build e2e

package conformance

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

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
	if err := kube.Client.Create(t.Context(), recording); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kube.Client.Delete(context.Background(), recording); err != nil {
			t.Error(err)
		}
		wait.For(t, time.Minute, "the Recording to be gone", func() error { return kube.Gone(recording) })
	})
	is := func(state v1alpha1.RecordingState) {
		t.Helper()
		wait.For(t, time.Minute, "the Recording to be "+string(state), func() error {
			if err := kube.Client.Get(t.Context(), client.ObjectKeyFromObject(recording), recording); err != nil {
				return err
			}
			if recording.Status.State != state {
				return fmt.Errorf("it is %+v", recording.Status)
			}
			return nil
		})
	}
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
		t.Errorf("the Recording is %+v", s)
	}
}
