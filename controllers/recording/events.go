package recording

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/creation"
	"mediarooms.dev/mediarooms/internal/events"
)

// Reasons and actions of Events.
const (
	eventWaiting    = "Waiting"
	eventRefused    = "Refused"
	eventStarted    = "RecordingStarted"
	eventStopped    = "RecordingStopped"
	eventReady      = "RecordingReady"
	eventFailed     = "RecordingFailed"
	eventNotEnded   = "EndGivenUp"
	actionAdmitting = "Admitting"
	actionRecording = "Recording"
	actionEnding    = "Ending"
)

// publish tells what a status write has changed: in Events, and to webhooks and records.
func (r *Reconciler) publish(recording *v1alpha1.Recording, before, after v1alpha1.RecordingStatus) {
	now := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionAccepted)
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionAccepted)
	if now != nil && now.Status == metav1.ConditionFalse && (was == nil || was.Reason != now.Reason) {
		reason := eventWaiting
		if now.Reason == v1alpha1.ReasonUnsupported {
			reason = eventRefused
		}
		r.Recorder.Eventf(recording, nil, corev1.EventTypeWarning, reason, actionAdmitting, "%s: %s", now.Reason, now.Message)
	}
	for _, state := range passed(before.State, after.State) {
		r.tell(recording, state, after)
		switch state {
		case v1alpha1.RecordingStateStarted:
			r.Recorder.Eventf(recording, nil, corev1.EventTypeNormal, eventStarted, actionRecording, "Session %s is recorded as %s", recording.Spec.SessionName, after.RecordingID)
		case v1alpha1.RecordingStateStopped:
			r.Recorder.Eventf(recording, nil, corev1.EventTypeNormal, eventStopped, actionRecording, "The recording has ended: %s", cmp.Or(after.Reason, "unknown"))
		case v1alpha1.RecordingStateReady:
			r.Recorder.Eventf(recording, nil, corev1.EventTypeNormal, eventReady, actionRecording, "%d files, %s, can be fetched", len(after.Files), cmp.Or(after.Size, "0B"))
		case v1alpha1.RecordingStateFailed:
			r.Recorder.Eventf(recording, nil, corev1.EventTypeWarning, eventFailed, actionRecording, "There is no recording: %s",
				meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady).Message)
		}
	}
}

// passed returns the states that a Recording has come to since another one, in order: of each
// recording the same is told, however few of its states were seen. It is pure.
func passed(before, after v1alpha1.RecordingState) []v1alpha1.RecordingState {
	from, to := slices.Index(order, cmp.Or(before, v1alpha1.RecordingStateStarting)), slices.Index(order, after)
	var states []v1alpha1.RecordingState
	for i := from + 1; i <= to; i++ {
		switch {
		case order[i] == v1alpha1.RecordingStateReady && after == v1alpha1.RecordingStateFailed:
			continue // one or the other
		case order[i] == v1alpha1.RecordingStateStarted && after == v1alpha1.RecordingStateFailed:
			continue // it has not
		}
		states = append(states, order[i])
	}
	return states
}

// tell adds an event of a recording to the event log (openvidu-rest 5.3.5). One that never began is
// of no session.
func (r *Reconciler) tell(recording *v1alpha1.Recording, state v1alpha1.RecordingState, after v1alpha1.RecordingStatus) {
	if after.SessionUID == "" {
		return
	}
	room := r.claims[recording.UID].room
	if room == nil {
		// An earlier leader has claimed it, and the Session may be gone.
		room = &controlv1.RoomIdentity{
			Uid: after.SessionUID, Tenant: recording.Namespace, Name: recording.Spec.SessionName, SessionId: after.SessionID,
			CreatedUnixMs: creation.Milliseconds(recording),
		}
	}
	at := r.Clock.Now()
	told := &controlv1.RecordingStatusChanged{
		Id: after.RecordingID, Name: nameOf(recording, after.RecordingID), Status: strings.ToLower(string(state)), OutputMode: "INDIVIDUAL",
		HasAudio: ptr.Deref(recording.Spec.HasAudio, true), HasVideo: ptr.Deref(recording.Spec.HasVideo, true), CreatedUnixMs: creation.Milliseconds(recording),
	}
	if state != v1alpha1.RecordingStateStarted {
		told.Reason = after.Reason
	}
	if final(state) {
		told.SizeBytes, told.DurationMs = after.SizeBytes, after.DurationSeconds*1000
	}
	r.Events.Tell(room, events.RecordingStatusChanged(at, told))
}
