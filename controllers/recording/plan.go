package recording

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/naming"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// action is one write of a pass. Actions are ordered.
type action struct {
	kind actionKind
	// reason is why, for the log.
	reason string
	// job is what the worker is told; nil for what tells it nothing.
	job *egressv1.Job
}

type actionKind string

const (
	// addFinalizer makes a deletion wait until the recording has ended.
	addFinalizer actionKind = "AddFinalizer"
	// claim takes the Session, an identifier and a pool: the status with them is written before the
	// worker is told.
	claimSession actionKind = "Claim"
	// put tells the worker of the recording.
	put actionKind = "Put"
)

// plan is what to write, apart from the status, what the status is derived from, and when to look
// again; 0 is never.
type plan struct {
	actions []action
	// accepted says whether there is what to record, and a recorder; or why not.
	accepted metav1.Condition
	// state before the worker's word, identity and reason are what the status is to have.
	state       v1alpha1.RecordingState
	recordingID string
	sessionID   string
	session     types.UID
	pool        string
	reason      reasons.Reason
	idleSince   *metav1.Time
	again       time.Duration
}

func (p *plan) add(kind actionKind, reason string, job *egressv1.Job) {
	p.actions = append(p.actions, action{kind, reason, job})
}

// makePlan decides what to write. It is pure.
func makePlan(o observed) plan {
	before := o.recording.Status
	p := plan{
		state: before.State, recordingID: before.RecordingID, sessionID: before.SessionID, session: types.UID(before.SessionUID),
		pool: before.PoolName, reason: reasons.Reason(before.Reason), idleSince: before.IdleSinceTime,
	}
	p.accepted = acceptance(o)
	if !controllerutil.ContainsFinalizer(o.recording, v1alpha1.RecordingFinalizer) {
		p.add(addFinalizer, "it has to end before the object goes", nil)
	}
	switch {
	case p.session == "" && final(before.State):
		return p // it was stopped before it began
	case p.session == "" && o.recording.Spec.Stop:
		p.state, p.reason = v1alpha1.RecordingStateFailed, reasons.RecordingStoppedByServer
		return p
	case p.session == "" && (p.accepted.Status != metav1.ConditionTrue || !begins(o)):
		return p
	case p.session == "":
		p.claim(o)
	}
	if !final(before.State) && before.State != v1alpha1.RecordingStateStopped {
		p.end(o)
	}
	p.add(put, "the worker is to know all of it", o.job(p))
	return p
}

// acceptance says whether a Recording may begin; one that has begun may.
func acceptance(o observed) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse}
	spec := o.recording.Spec
	composed := spec.OutputMode != v1alpha1.RecordingOutputModeIndividual
	switch {
	case o.recording.Status.SessionUID != "":
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "there is a recorder for the Session"
	case composed && spec.Layout == v1alpha1.RecordingLayoutCustom && ptr.Deref(spec.HasVideo, true):
		c.Reason, c.Message = v1alpha1.ReasonUnsupported, "`layout` Custom is not available yet; BestFit is"
	case o.session == nil || !o.session.DeletionTimestamp.IsZero():
		c.Reason, c.Message = v1alpha1.ReasonSessionNotFound, fmt.Sprintf("there is no Session %q in this namespace", spec.SessionName)
	case o.pool == nil || o.session.Status.PodName == "":
		c.Reason, c.Message = v1alpha1.ReasonSessionNotAccepted, fmt.Sprintf("Session %q is on no media pod", spec.SessionName)
	case composed && (o.pool.Spec.Egress == nil || o.pool.Spec.Egress.Compositor == nil):
		c.Reason = v1alpha1.ReasonUnsupported
		c.Message = fmt.Sprintf("MediaPool %q does not compose recordings: it has no `egress.compositor`", o.pool.Name)
	case o.pool.Spec.Egress == nil:
		c.Reason = v1alpha1.ReasonNoRecorder
		c.Message = fmt.Sprintf("MediaPool %q does not record: it has no `egress`", o.pool.Name)
	case o.rival != "":
		c.Reason = v1alpha1.ReasonSessionRecorded
		c.Message = fmt.Sprintf("Recording %q of Session %q runs; this one waits for its end", o.rival, spec.SessionName)
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAccepted, "there is a recorder for the Session"
	}
	return c
}

// begins says that there is somebody to record.
func begins(o observed) bool { return o.session.Status.ActiveConnections > 0 }

// claim takes the Session as it is now. Nobody publishing then has the recording stop by itself.
func (p *plan) claim(o observed) {
	p.session, p.sessionID, p.pool = o.session.UID, naming.SessionID(o.session), o.pool.Name
	p.recordingID, p.state = freeID(p.sessionID, o.taken), v1alpha1.RecordingStateStarting
	p.add(claimSession, "somebody is in the room", nil)
	if o.session.Status.Publishers == 0 {
		p.idleSince = &metav1.Time{Time: o.now}
	}
}

// freeID returns the identifier of a recording of a session: the session's own, or with the first
// number that is free (openvidu-rest 6.2).
func freeID(sessionID string, taken map[string]bool) string {
	id := sessionID
	for n := 1; taken[id]; n++ {
		id = fmt.Sprintf("%s~%d", sessionID, n)
	}
	return id
}

// end decides whether a recording that runs ends now, and why (openvidu-rest 6.8).
func (p *plan) end(o observed) {
	if p.reason != "" {
		return // it was decided before
	}
	gone := o.session == nil || o.session.UID != p.session || !o.session.DeletionTimestamp.IsZero()
	switch {
	case o.recording.Spec.Stop || !o.recording.DeletionTimestamp.IsZero():
		p.reason = reasons.RecordingStoppedByServer
		return
	case gone && p.idleSince != nil:
		p.reason = reasons.LastParticipantLeft
		return
	case gone:
		p.reason = reasons.SessionClosedByServer
		return
	}
	bound := autoStop(o.pool)
	active, publishers := o.session.Status.ActiveConnections, o.session.Status.Publishers
	switch {
	case publishers > 0:
		p.idleSince = nil
		return
	case active == 0 && bound == 0:
		p.reason = reasons.LastParticipantLeft
		return
	case active == 0 && p.idleSince == nil:
		p.idleSince = &metav1.Time{Time: o.now}
	}
	if p.idleSince == nil || bound == 0 {
		return
	}
	if p.again = p.idleSince.Add(bound).Sub(o.now); p.again <= 0 {
		p.again, p.reason = 0, reasons.AutomaticStop
	}
}

// autoStop returns how long nobody has to be there until a recording stops by itself.
func autoStop(pool *v1alpha1.MediaPool) time.Duration {
	seconds := int32(v1alpha1.DefaultAutoStopSeconds) // also that of a pool that is gone
	if pool != nil && pool.Spec.Egress != nil {
		seconds = ptr.Deref(pool.Spec.Egress.AutoStopSeconds, v1alpha1.DefaultAutoStopSeconds)
	}
	return time.Duration(seconds) * time.Second
}

// job returns what the worker is to know of a recording.
func (o observed) job(p plan) *egressv1.Job {
	spec := o.recording.Spec
	job := &egressv1.Job{
		Uid: string(o.recording.UID), RecordingId: o.folder + p.recordingID, SessionId: p.sessionID, Name: nameOf(o.recording, p.recordingID),
		Mode: mode(spec), HasAudio: ptr.Deref(spec.HasAudio, true), HasVideo: ptr.Deref(spec.HasVideo, true),
		Stop: p.reason != "", StopReason: string(p.reason), IgnoreFailedStreams: spec.IgnoreFailedStreams,
		MaxDurationSeconds: ptr.Deref(spec.MaxDurationSeconds, 0), CreatedUnixMs: o.recording.CreationTimestamp.UnixMilli(),
	}
	if job.GetMode() == egressv1.OutputMode_OUTPUT_MODE_COMPOSED {
		job.Picture = picture(spec)
	}
	if o.pool != nil && o.pool.Spec.Egress != nil {
		job.S3 = destination(o.pool.Spec.Egress.Storage.S3)
	}
	if job.Stop {
		return job
	}
	if o.session != nil && o.session.UID == p.session && o.pod.State != fleet.Lost {
		job.Source = &egressv1.Source{RoomUid: string(p.session), Address: o.pod.Address, PodUid: o.pod.UID}
	}
	return job
}

// mode returns what becomes of the streams.
func mode(spec v1alpha1.RecordingSpec) egressv1.OutputMode {
	switch {
	case spec.OutputMode == v1alpha1.RecordingOutputModeIndividual:
		return egressv1.OutputMode_OUTPUT_MODE_INDIVIDUAL
	case ptr.Deref(spec.HasVideo, true):
		return egressv1.OutputMode_OUTPUT_MODE_COMPOSED
	}
	return egressv1.OutputMode_OUTPUT_MODE_COMPOSED_AUDIO
}

// picture returns how a composed recording looks; what is not said is OpenVidu's default
// (openvidu-rest 3.2).
func picture(spec v1alpha1.RecordingSpec) *egressv1.Picture {
	const (
		defaultWidth, defaultHeight = 1280, 720
		defaultFrameRate            = 25
	)
	p := &egressv1.Picture{Width: defaultWidth, Height: defaultHeight, FrameRate: cmp.Or(spec.FrameRate, defaultFrameRate)}
	if w, h, found := strings.Cut(spec.Resolution, "x"); found {
		width, err := strconv.ParseInt(w, 10, 32)
		height, otherErr := strconv.ParseInt(h, 10, 32)
		if err == nil && otherErr == nil {
			p.Width, p.Height = int32(width), int32(height)
		}
	}
	return p
}

// destination returns where the files of a pool's recordings go; nil when they stay on the volume.
func destination(s3 *v1alpha1.S3Storage) *egressv1.S3 {
	if s3 == nil {
		return nil
	}
	return &egressv1.S3{
		Endpoint: s3.Endpoint, Bucket: s3.Bucket, Region: cmp.Or(s3.Region, v1alpha1.DefaultS3Region), Prefix: s3.Prefix,
		PathStyle: ptr.Deref(s3.PathStyle, true),
	}
}

// nameOf returns what people call a recording.
func nameOf(recording *v1alpha1.Recording, id string) string {
	if recording.Spec.Name != "" {
		return recording.Spec.Name
	}
	return id
}
