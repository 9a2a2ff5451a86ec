package recording

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/egress"
	"mediarooms.dev/mediarooms/controllers/status"
	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// Bounds of what a worker says: those of the schema.
const (
	maxFiles    = 500
	maxFileName = 512
	maxID       = 256
	maxType     = 128
	maxReason   = 64
	maxMessage  = 300
	maxLocation = 1024
)

// writeStatus writes the status if it has changed, and then tells of the change. It returns when to
// look again.
func (r *Reconciler) writeStatus(ctx context.Context, o observed, p plan, failed error) (time.Duration, error) {
	before := *o.recording.Status.DeepCopy()
	after := makeStatus(o, p, failed == nil)
	urgency := status.Lazy
	if before.State != after.State || before.Reason != after.Reason || before.URL != after.URL || (before.IdleSinceTime == nil) != (after.IdleSinceTime == nil) {
		urgency = status.Urgent
	}
	written, wait, err := r.statuses.Write(ctx, o.recording, after, urgency)
	if written {
		r.publish(o.recording, before, after)
	}
	return wait, err
}

// makeStatus derives the whole status. It is pure.
func makeStatus(o observed, p plan, succeeded bool) v1alpha1.RecordingStatus {
	after := *o.recording.Status.DeepCopy()
	after.State = cmp.Or(p.state, v1alpha1.RecordingStateStarting)
	after.RecordingID, after.SessionID, after.SessionUID, after.PoolName = p.recordingID, p.sessionID, string(p.session), p.pool
	after.Reason, after.IdleSinceTime = string(p.reason), p.idleSince
	after.URL = ""
	fold(&after, o.worker.Status)
	if after.State == v1alpha1.RecordingStateStarting && unpublished(o, p) {
		after.State, after.StartedTime = v1alpha1.RecordingStateStarted, &metav1.Time{Time: o.now.Truncate(time.Second)}
	}
	if after.State == v1alpha1.RecordingStateStopped || final(after.State) {
		after.IdleSinceTime = nil
	}
	if final(after.State) && o.pool != nil {
		after.URL = fileURL(o.pool, o.folder, after)
	}
	if succeeded {
		after.ObservedGeneration = o.recording.Generation
	}
	programmed := programmedCondition(o, p)
	status.SetConditions(&after.Conditions, o.recording.Generation, o.now, p.accepted, programmed, readyCondition(o, p.accepted, programmed, after))
	return after
}

// unpublished says that a worker has the order, and would record if somebody published: a recording
// has started then, with nothing in it (openvidu-rest 2.11).
func unpublished(o observed, p plan) bool {
	return o.worker.Status.GetState() == egressv1.State_STATE_STARTING && p.reason == "" && o.session != nil && o.session.UID == p.session &&
		o.session.Status.Publishers == 0
}

// order is how far states are.
var order = []v1alpha1.RecordingState{
	v1alpha1.RecordingStateStarting, v1alpha1.RecordingStateStarted, v1alpha1.RecordingStateStopped, v1alpha1.RecordingStateReady, v1alpha1.RecordingStateFailed,
}

// states are those of the worker.
var states = map[egressv1.State]v1alpha1.RecordingState{
	egressv1.State_STATE_STARTING: v1alpha1.RecordingStateStarting, egressv1.State_STATE_STARTED: v1alpha1.RecordingStateStarted,
	egressv1.State_STATE_STOPPED: v1alpha1.RecordingStateStopped, egressv1.State_STATE_READY: v1alpha1.RecordingStateReady,
	egressv1.State_STATE_FAILED: v1alpha1.RecordingStateFailed,
}

// fold takes in what a worker has said of a recording. A state never goes back, and what is decided
// here of its end counts before what the worker says.
func fold(after *v1alpha1.RecordingStatus, said *egressv1.JobStatus) {
	if said == nil || after.State == v1alpha1.RecordingStateReady && said.GetState() != egressv1.State_STATE_READY {
		return // a recorder that has lost its volume knows less
	}
	if state, known := states[said.GetState()]; known && slices.Index(order, state) > slices.Index(order, after.State) {
		after.State = state
	}
	if after.Reason == "" && slices.Index(order, after.State) >= slices.Index(order, v1alpha1.RecordingStateStopped) {
		after.Reason = clip(said.GetReason(), maxReason)
		if after.Reason == "" && after.State != v1alpha1.RecordingStateFailed {
			after.Reason = string(reasons.AutomaticStop) // it stops by itself for nothing else
		}
	}
	if started := said.GetStartedUnixMs(); started > 0 && after.StartedTime == nil {
		after.StartedTime = &metav1.Time{Time: time.UnixMilli(started).Truncate(time.Second)}
	}
	if !final(after.State) {
		return // sizes of files that grow would be a write a second
	}
	after.DurationSeconds = max(0, int64(math.Round(float64(said.GetDurationMs())/1000)))
	after.SizeBytes = max(0, said.GetSizeBytes())
	after.Size = humanSize(after.SizeBytes)
	after.Location = clip(said.GetLocation(), maxLocation)
	after.Files = nil
	for _, file := range said.GetFiles() {
		if len(after.Files) == maxFiles {
			break
		}
		after.Files = append(after.Files, v1alpha1.RecordingFile{
			Name: clip(file.GetName(), maxFileName), SizeBytes: max(0, file.GetSizeBytes()), ContentType: clip(file.GetContentType(), maxType),
			StreamID: clip(file.GetStreamId(), maxID), ConnectionID: clip(file.GetConnectionId(), maxID),
			StartOffsetMilliseconds: file.GetStartOffsetMs(), DurationMilliseconds: max(0, file.GetDurationMs()),
			HasAudio: file.GetHasAudio(), HasVideo: file.GetHasVideo(),
		})
	}
}

// clip returns what of a text fits, and can be shown.
func clip(text string, characters int) string {
	clipped := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "")))
	return string(clipped[:min(len(clipped), characters)])
}

// humanSize returns a number of bytes for people.
func humanSize(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%dB", bytes)
	}
	size := float64(bytes)
	for _, unit := range []string{"Ki", "Mi", "Gi", "Ti"} {
		if size /= 1024; size < 1024 || unit == "Ti" {
			return fmt.Sprintf("%.1f%s", size, unit)
		}
	}
	return ""
}

// fileURL returns where the gateway serves a recording of a tenant: the file of all, or else the
// first; "" when there is none.
func fileURL(pool *v1alpha1.MediaPool, tenant string, after v1alpha1.RecordingStatus) string {
	if len(after.Files) == 0 {
		return ""
	}
	file := after.Files[0].Name
	for _, other := range after.Files {
		if strings.HasSuffix(other.Name, ".zip") {
			file = other.Name
		}
	}
	base := strings.TrimSuffix(pool.Spec.PublicURL, "/")
	if rest, ok := strings.CutPrefix(base, "ws"); ok {
		base = "http" + rest
	}
	return base + "/openvidu/recordings/" + url.PathEscape(tenant+after.RecordingID) + "/" + url.PathEscape(file)
}

func programmedCondition(o observed, p plan) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse}
	switch {
	case p.session == "" && p.accepted.Status != metav1.ConditionTrue:
		c.Reason, c.Message = v1alpha1.ReasonNotAccepted, "nothing is programmed before the Recording is accepted"
	case p.session == "":
		c.Reason, c.Message = v1alpha1.ReasonWaitingForParticipants, fmt.Sprintf("nobody is in the room of Session %q", o.recording.Spec.SessionName)
	case o.worker.Status != nil, final(o.recording.Status.State):
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "the recorder has the order"
	case o.worker.State == egress.Synced:
		c.Reason, c.Message = v1alpha1.ReasonWaitingForAck, "the recorder has not confirmed the order yet"
	default:
		c.Reason, c.Message = v1alpha1.ReasonRecorderUnreachable, fmt.Sprintf("the recorder of MediaPool %q can't be reached", p.pool)
	}
	return c
}

// readyCondition says whether the files can be fetched.
func readyCondition(o observed, accepted, programmed metav1.Condition, after v1alpha1.RecordingStatus) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse}
	said := clip(o.worker.Status.GetMessage(), maxMessage)
	switch {
	case after.State == v1alpha1.RecordingStateFailed:
		c.Reason, c.Message = v1alpha1.ReasonRecordingFailed, cmp.Or(said, "it was stopped before it began")
	case after.State == v1alpha1.RecordingStateReady && o.worker.State == egress.Synced && o.worker.Status == nil && o.recording.Status.State == v1alpha1.RecordingStateReady:
		c.Reason, c.Message = v1alpha1.ReasonFilesLost, fmt.Sprintf("the recorder of MediaPool %q does not have the files", after.PoolName)
	case after.State == v1alpha1.RecordingStateReady && o.worker.Status.GetState() == egressv1.State_STATE_FAILED:
		c.Reason, c.Message = v1alpha1.ReasonFilesLost, fmt.Sprintf("the recorder of MediaPool %q does not have the files", after.PoolName)
	case after.State == v1alpha1.RecordingStateReady && o.worker.Status != nil && o.worker.Status.GetState() != egressv1.State_STATE_READY:
		c.Reason, c.Message = v1alpha1.ReasonFinishing, cmp.Or(said, "the recorder looks for the files")
	case after.State == v1alpha1.RecordingStateReady:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonReady, cmp.Or(said, "the files can be fetched")
	case after.State == v1alpha1.RecordingStateStopped:
		c.Reason, c.Message = v1alpha1.ReasonFinishing, cmp.Or(said, "the files are being finished")
	case programmed.Status != metav1.ConditionTrue && accepted.Status == metav1.ConditionTrue:
		c.Reason, c.Message = programmed.Reason, programmed.Message
	case accepted.Status != metav1.ConditionTrue:
		c.Reason, c.Message = accepted.Reason, accepted.Message
	case after.State == v1alpha1.RecordingStateStarting:
		c.Reason, c.Message = v1alpha1.ReasonRecording, cmp.Or(said, "the recorder waits for media")
	default:
		c.Reason, c.Message = v1alpha1.ReasonRecording, cmp.Or(said, "the recording runs")
	}
	return c
}
