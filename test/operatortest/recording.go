package operatortest

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/naming"
)

// record does with a Recording what the operator and a recorder do: it starts at once, and has a
// file of one stream and a zip, or a film and a picture, when it is stopped. The operator is
// locked.
func (o *Operator) record(ctx context.Context, recording *v1alpha1.Recording) error {
	before := recording.DeepCopy()
	status := &recording.Status
	switch {
	case !recording.DeletionTimestamp.IsZero():
		if o.behaves.Stubborn || !controllerutil.RemoveFinalizer(recording, v1alpha1.RecordingFinalizer) {
			return nil
		}
		return ignoreRace(o.live.Patch(ctx, recording, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
	case o.behaves.Silent, status.State == v1alpha1.RecordingStateReady, status.State == v1alpha1.RecordingStateFailed:
		return nil
	case o.behaves.Refuses != "" && status.State == "":
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: o.behaves.Refuses, Message: "because",
		})
		status.State = v1alpha1.RecordingStateFailed
	case status.State == "":
		var session v1alpha1.Session
		if err := o.live.Get(ctx, client.ObjectKey{Namespace: recording.Namespace, Name: recording.Spec.SessionName}, &session); err != nil {
			return client.IgnoreNotFound(err)
		}
		id, err := o.begin(ctx, recording, &session)
		if err != nil {
			return err
		}
		if id == "" {
			meta.SetStatusCondition(&status.Conditions, metav1.Condition{
				Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSessionRecorded, Message: "it is recorded",
			})
			break
		}
		status.RecordingID, status.SessionID, status.SessionUID = id, naming.SessionID(&session), string(session.UID)
		status.PoolName, status.State = session.Status.PoolName, v1alpha1.RecordingStateStarted
	case recording.Spec.Stop && o.behaves.Composing && recording.Spec.OutputMode != v1alpha1.RecordingOutputModeIndividual:
		if status.State == v1alpha1.RecordingStateStopped {
			return nil
		}
		status.State, status.Reason = v1alpha1.RecordingStateStopped, "recordingStoppedByServer"
	case recording.Spec.Stop:
		status.State, status.Reason, status.SizeBytes, status.DurationSeconds = v1alpha1.RecordingStateReady, "recordingStoppedByServer", 16, 3
		name := recording.Spec.Name
		if name == "" {
			name = status.RecordingID
		}
		status.Files = []v1alpha1.RecordingFile{
			{Name: "str_CAM_A.webm", SizeBytes: 16, ContentType: "video/webm", StreamID: "str_CAM_A", StartOffsetMilliseconds: 100, DurationMilliseconds: 2500},
			{Name: name + ".zip", SizeBytes: 16, ContentType: "application/zip"},
		}
		file := name + ".zip"
		if recording.Spec.OutputMode != v1alpha1.RecordingOutputModeIndividual {
			file = name + ".mp4"
			status.Files = []v1alpha1.RecordingFile{
				{Name: file, SizeBytes: 16, ContentType: "video/mp4", HasAudio: true, HasVideo: true},
				{Name: status.RecordingID + ".jpg", SizeBytes: 4, ContentType: "image/jpeg"},
			}
		}
		status.URL = "https://rooms.example.org/openvidu/recordings/" + status.RecordingID + "/" + file
	default:
		return nil
	}
	return ignoreRace(o.live.Status().Patch(ctx, recording, client.MergeFrom(before)))
}

// begin returns the identifier that a Recording gets; "" while another one of its Session runs.
func (o *Operator) begin(ctx context.Context, recording *v1alpha1.Recording, session *v1alpha1.Session) (string, error) {
	var list v1alpha1.RecordingList
	if err := o.live.List(ctx, &list, client.InNamespace(recording.Namespace)); err != nil {
		return "", err
	}
	taken := make(map[string]bool)
	for i := range list.Items {
		other := &list.Items[i]
		taken[other.Status.RecordingID] = true
		if other.UID != recording.UID && other.Status.SessionUID == string(session.UID) && other.Status.State == v1alpha1.RecordingStateStarted {
			return "", nil
		}
	}
	id := naming.SessionID(session)
	for n := 1; taken[id]; n++ {
		id = fmt.Sprintf("%s~%d", naming.SessionID(session), n)
	}
	return id, nil
}
