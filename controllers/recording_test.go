package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/test/workertest"
)

// recordsAll has a pool record.
func recordsAll(spec *v1alpha1.MediaPoolSpec) {
	spec.Egress = &v1alpha1.Egress{Notification: v1alpha1.RecordingNotificationAll}
}

// recording creates a Recording of a Session.
func (w *world) recording(name, session string, change func(*v1alpha1.RecordingSpec)) *v1alpha1.Recording {
	w.Helper()
	recording := &v1alpha1.Recording{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: name},
		Spec:       v1alpha1.RecordingSpec{SessionName: session, OutputMode: v1alpha1.RecordingOutputModeIndividual},
	}
	if change != nil {
		change(&recording.Spec)
	}
	if err := w.Create(w.Context(), recording); err != nil {
		w.Fatal(err)
	}
	return recording
}

// worker waits for the recorder of the pool.
func (w *world) worker() *workertest.Worker {
	w.Helper()
	var worker *workertest.Worker
	w.eventually("the recorder runs", func() error {
		w.kubelet.mu.Lock()
		defer w.kubelet.mu.Unlock()
		if worker = w.kubelet.workers["standard-recorder"]; worker == nil {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	return worker
}

// recorded waits until a Recording is in a state.
func (w *world) recorded(r *v1alpha1.Recording, state v1alpha1.RecordingState) {
	w.Helper()
	w.eventually(fmt.Sprintf("%s is %s", r.Name, state), func() error {
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(r), r); err != nil {
			return err
		}
		if r.Status.State != state {
			return fmt.Errorf("it is %+v", r.Status)
		}
		return nil
	})
}

// shown waits until a Session says whether it is recorded.
func (w *world) shown(session *v1alpha1.Session, recorded bool) {
	w.Helper()
	w.eventually(fmt.Sprintf("recording of Session %s is %t", session.Name, recorded), func() error {
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(session), session); err != nil {
			return err
		}
		if session.Status.Recording != recorded {
			return fmt.Errorf("it is not")
		}
		return nil
	})
}

// meeting has a Session with one user who publishes.
func (w *world) meeting(change func(*v1alpha1.SessionSpec)) (*v1alpha1.Session, *v1alpha1.Connection) {
	w.Helper()
	session := w.session("demo", change)
	ann := w.connection("ann", "demo", nil)
	w.ready(ann)
	pod := w.host(session)
	w.join(pod, ann, "Ann")
	w.publish(pod, ann, "str_CAM_A")
	w.state(ann, v1alpha1.ConnectionStateActive)
	return session, ann
}

// told returns the lines of the call detail records that tell of recordings.
func (w *world) told() []string {
	var lines []string
	for _, line := range w.records.of("demo") {
		if strings.HasPrefix(line, `{"recordingStatusChanged"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestARecordingIsMadeOfASession(t *testing.T) {
	w := newWorld(t)
	w.pool(recordsAll)
	session := w.session("demo", nil)
	recording := w.recording("monday", "demo", func(spec *v1alpha1.RecordingSpec) { spec.Name = "daily" })
	w.await(recording, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWaitingForParticipants)
	worker := w.worker()

	ann := w.connection("ann", "demo", nil)
	w.ready(ann)
	pod := w.host(session)
	w.join(pod, ann, "Ann")
	w.publish(pod, ann, "str_CAM_A")
	w.recorded(recording, v1alpha1.RecordingStateStarted)
	if s := recording.Status; s.RecordingID != "demo" || s.PoolName != "standard" || s.SessionUID != string(session.UID) || s.StartedTime == nil {
		t.Errorf("its status is %+v", s)
	}
	var host corev1.Pod
	if err := w.Get(t.Context(), types.NamespacedName{Namespace: systemNamespace, Name: session.Status.PodName}, &host); err != nil {
		t.Fatal(err)
	}
	source := worker.Job(string(recording.UID)).GetSource()
	if source.GetRoomUid() != string(session.UID) || source.GetPodUid() != string(host.UID) || source.GetAddress() != host.Status.PodIP+":7443" {
		t.Errorf("it is recorded from %v", source)
	}
	w.shown(session, true)

	// Another one waits for its end.
	second := w.recording("tuesday", "demo", nil)
	w.await(second, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonSessionRecorded)

	// The operator is lost and the stream is cut: the recording goes on.
	w.stop()
	w.startOperator()
	worker.Break()
	w.change(recording, func() { recording.Spec.Stop = true })
	w.recorded(recording, v1alpha1.RecordingStateReady)
	w.ready(recording)
	if s := recording.Status; s.Reason != string(reasons.RecordingStoppedByServer) || s.SizeBytes != 16 || s.DurationSeconds != 3 || len(s.Files) != 2 ||
		s.URL != "https://rooms.example.org/openvidu/recordings/demo/daily.zip" {
		t.Errorf("its status is %+v", s)
	}
	if removed := worker.Removed(); len(removed) > 0 {
		t.Errorf("the recorder was told to forget %q", removed)
	}
	w.recorded(second, v1alpha1.RecordingStateStarted)
	if second.Status.RecordingID != "demo~1" {
		t.Errorf("the second one is called %q", second.Status.RecordingID)
	}

	// Its end goes with that of its Session, and it outlives that.
	w.delete(session)
	w.gone(session)
	w.recorded(second, v1alpha1.RecordingStateReady)
	if second.Status.Reason != string(reasons.SessionClosedByServer) {
		t.Errorf("the second one has ended for %q", second.Status.Reason)
	}
	w.eventually("all is told", func() error {
		var got []string
		for _, line := range w.told() {
			for _, status := range []string{"started", "stopped", "ready", "failed"} {
				if strings.Contains(line, `"status":"`+status+`"`) {
					id, _, _ := strings.Cut(line[strings.Index(line, `"id":"`)+6:], `"`)
					got = append(got, id+" "+status)
				}
			}
		}
		want := []string{"demo started", "demo stopped", "demo ready", "demo~1 started", "demo~1 stopped", "demo~1 ready"}
		if slices.Sort(got); !slices.Equal(got, sorted(want)) {
			return fmt.Errorf("told was %q", got)
		}
		return nil
	})
}

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}

func TestADeletedRecordingEnds(t *testing.T) {
	w := newWorld(t)
	w.pool(recordsAll)
	session, _ := w.meeting(nil)
	worker := w.worker()
	for name, onDelete := range map[string]v1alpha1.OnDelete{"kept": v1alpha1.OnDeleteKeepFiles, "deleted": v1alpha1.OnDeleteDeleteFiles} {
		recording := w.recording(name, "demo", func(spec *v1alpha1.RecordingSpec) { spec.OnDelete = onDelete })
		w.recorded(recording, v1alpha1.RecordingStateStarted)
		uid := string(recording.UID)
		w.delete(recording)
		w.gone(recording)
		w.eventually("the recorder forgets it", func() error {
			if removed := worker.Removed(); !slices.Contains(removed, uid+" "+name) {
				return fmt.Errorf("it was told %q", removed)
			}
			return nil
		})
		w.shown(session, false)
	}
}

func TestSessionsThatAreAlwaysRecorded(t *testing.T) {
	w := newWorld(t)
	w.pool(func(spec *v1alpha1.MediaPoolSpec) {
		recordsAll(spec)
		spec.Egress.AutoStopSeconds = ptr.To(int32(0))
	})
	session, ann := w.meeting(func(spec *v1alpha1.SessionSpec) {
		spec.RecordingMode, spec.WhenEmpty = v1alpha1.RecordingModeAlways, v1alpha1.WhenEmptyDelete
		spec.DefaultRecordingProperties = &v1alpha1.RecordingProperties{OutputMode: v1alpha1.RecordingOutputModeIndividual, HasVideo: ptr.To(false)}
	})
	var list v1alpha1.RecordingList
	w.eventually("it is recorded", func() error {
		if err := w.List(t.Context(), &list, client.InNamespace(tenantNamespace)); err != nil {
			return err
		}
		if len(list.Items) != 1 {
			return fmt.Errorf("there are %d recordings", len(list.Items))
		}
		return nil
	})
	recording := &list.Items[0]
	w.recorded(recording, v1alpha1.RecordingStateStarted)
	if job := w.worker().Job(string(recording.UID)); job.GetHasVideo() || !job.GetHasAudio() || len(recording.OwnerReferences) > 0 {
		t.Errorf("it is recorded as %v, and owned by %v", job, recording.OwnerReferences)
	}
	w.shown(session, true)
	// The last one leaves, and no time is given to come back: the recording ends, then the Session.
	w.leave(w.host(session), ann, reasons.Disconnect)
	w.recorded(recording, v1alpha1.RecordingStateReady)
	if recording.Status.Reason != string(reasons.LastParticipantLeft) {
		t.Errorf("it has ended for %q", recording.Status.Reason)
	}
	w.gone(session)
}

func TestRecordersThatFailOrAreNotThere(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(nil)
	w.meeting(nil)
	recording := w.recording("monday", "demo", nil)
	w.await(recording, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonNoRecorder)
	composed := w.recording("grid", "demo", func(spec *v1alpha1.RecordingSpec) { spec.OutputMode = v1alpha1.RecordingOutputModeComposed })
	w.await(composed, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonUnsupported)
	w.delete(composed)
	w.gone(composed)

	w.change(pool, func() { recordsAll(&pool.Spec) })
	w.recorded(recording, v1alpha1.RecordingStateStarted)
	var pod corev1.Pod
	if err := w.Get(t.Context(), types.NamespacedName{Namespace: systemNamespace, Name: "standard-recorder"}, &pod); err != nil {
		t.Fatal(err)
	}
	if pod.Spec.RestartPolicy != corev1.RestartPolicyAlways || *pod.Spec.AutomountServiceAccountToken || !*pod.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem {
		t.Errorf("the recorder is %+v", pod.Spec)
	}
	w.worker().Set(&egressv1.JobStatus{Uid: string(recording.UID), State: egressv1.State_STATE_FAILED, Message: "no space left on device"})
	w.await(recording, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRecordingFailed)
	w.recorded(recording, v1alpha1.RecordingStateFailed)
}

// Recordings of another installation, whose operator does not run, hold up nobody else's.
func TestRecordingsOfAnotherInstallation(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.ensure(&v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{Name: "others"},
		Spec:       v1alpha1.MediaPoolSpec{ClassName: "other", PublicURL: "https://other.example.org", DrainSeconds: 1, Egress: &v1alpha1.Egress{}},
	})
	w.session("theirs", func(spec *v1alpha1.SessionSpec) { spec.PoolName = "others" })
	theirs := w.recording("theirs", "theirs", nil)
	w.startOperator()

	w.pool(recordsAll)
	w.meeting(nil)
	ours := w.recording("ours", "demo", nil)
	w.recorded(ours, v1alpha1.RecordingStateStarted)
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs); err != nil {
		t.Fatal(err)
	}
	if len(theirs.Finalizers) > 0 || theirs.Status.ObservedGeneration > 0 {
		t.Errorf("the operator has written to what is another's: %+v", theirs)
	}
}
