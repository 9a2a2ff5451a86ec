package rest

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/creation"
)

const (
	// startTimeout bounds the wait for media to flow into a file.
	startTimeout = 15 * time.Second
	// finishTimeout bounds the wait for files to be finished. The answer says "stopped" then.
	finishTimeout = 18 * time.Second
)

// Answers of the endpoints of recordings (openvidu-rest 2.11 to 2.13).
var (
	errNoRecorder        = &problem{status: http.StatusNotImplemented}
	errNotComposed       = &problem{status: http.StatusNotImplemented, message: "'outputMode' must be INDIVIDUAL: composed recordings are not available yet"}
	errRecordingUnknown  = &problem{status: http.StatusNotFound}
	errRecordingStarting = &problem{status: http.StatusNotAcceptable}
	errRecordingRuns     = &problem{status: http.StatusConflict}
	errSessionRecorded   = &problem{status: http.StatusConflict}
	errStillDeleting     = &problem{status: http.StatusInternalServerError, message: "The recording is still being deleted. Ask again"}
)

// records fails for a tenant whose pools do not record.
func (a *API) records(ctx context.Context, c *call) error {
	pools, err := a.objects.RecordingPools(ctx, c.namespace)
	if err == nil && len(pools) == 0 {
		err = errNoRecorder
	}
	return err
}

// startRecording serves POST /recordings/start (openvidu-rest 2.11). It answers when there is media
// in a file.
func (a *API) startRecording(ctx context.Context, c *call) (reply, error) {
	if err := a.records(ctx, c); err != nil {
		return reply{}, err
	}
	body, err := requireBody(c.w, c.r)
	if err != nil {
		return reply{}, err
	}
	f := &fields{values: body}
	c.session = f.required("session")
	if f.err != nil {
		return reply{}, f.err
	}
	session, err := a.session(ctx, c, errSessionUnknown)
	if err != nil {
		return reply{}, err
	}
	switch {
	case readEcho(session).MediaMode == "RELAYED", session.Status.Recording:
		return reply{}, errSessionRecorded
	case session.Status.ActiveConnections == 0:
		active, err := a.active(ctx, session)
		if err != nil {
			return reply{}, err
		}
		if !active {
			return reply{}, errSessionInactive
		}
	}
	spec, err := parseRecording(body, session)
	if err != nil {
		return reply{}, err
	}
	if spec.OutputMode != outputIndividual {
		return reply{}, errNotComposed
	}
	pool, err := a.objects.Pool(ctx, session.Status.PoolName)
	if err != nil {
		return reply{}, err
	}
	if pool == nil || pool.Spec.Egress == nil {
		return reply{}, errNoRecorder
	}
	wanted := &v1alpha1.Recording{ObjectMeta: metav1.ObjectMeta{Annotations: creation.Stamp(time.Now())}, Spec: spec}
	recording, err := a.objects.CreateRecording(ctx, session, wanted)
	if err != nil {
		return reply{}, err
	}
	return a.awaitStart(ctx, recording)
}

// active says whether somebody is in the room of a Session: its status counts with a second's
// delay.
func (a *API) active(ctx context.Context, session *v1alpha1.Session) (bool, error) {
	connections, err := a.objects.Connections(ctx, session)
	if err != nil {
		return false, err
	}
	for i := range connections {
		if connections[i].Status.State == v1alpha1.ConnectionStateActive {
			return true, nil
		}
	}
	return false, nil
}

// awaitStart waits until a Recording records. One that does not is withdrawn, so that it does not
// begin when nobody expects it any more.
func (a *API) awaitStart(ctx context.Context, recording *v1alpha1.Recording) (reply, error) {
	current, err := a.objects.AwaitRecording(ctx, recording, startTimeout, func(r *v1alpha1.Recording) bool {
		return r.Status.State != "" && r.Status.State != v1alpha1.RecordingStateStarting || refusal(r) != ""
	})
	switch {
	case err != nil:
	case current == nil:
		return reply{http.StatusInternalServerError, plainText("Error starting recording: it was deleted")}, nil
	case current.Status.State == v1alpha1.RecordingStateStarted, current.Status.State == v1alpha1.RecordingStateStopped, current.Status.State == v1alpha1.RecordingStateReady:
		started := current.DeepCopy()
		started.Status.State = v1alpha1.RecordingStateStarted // as it was a moment ago
		return reply{http.StatusOK, projectRecording(started)}, nil
	}
	withdrawing, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if _, withdrawErr := a.objects.DeleteRecording(withdrawing, recording, 0); withdrawErr != nil {
		logr.FromContextOrDiscard(ctx).Error(withdrawErr, "Leaving a Recording behind that has not started", "Recording", recording.Name)
	}
	switch {
	case err != nil:
		return reply{}, err
	case refusal(current) == v1alpha1.ReasonSessionRecorded:
		return reply{}, errSessionRecorded
	}
	return reply{http.StatusInternalServerError, plainText("Error starting recording: " + why(current))}, nil
}

// refusal returns why a Recording waits; "" when it does not.
func refusal(recording *v1alpha1.Recording) string {
	c := meta.FindStatusCondition(recording.Status.Conditions, v1alpha1.ConditionAccepted)
	if c == nil || c.Status != metav1.ConditionFalse {
		return ""
	}
	return c.Reason
}

// why says why a Recording has not started.
func why(recording *v1alpha1.Recording) string {
	c := meta.FindStatusCondition(recording.Status.Conditions, v1alpha1.ConditionReady)
	if c == nil || c.Reason == v1alpha1.ReasonPending {
		return "the operator has not answered in time"
	}
	return cmp.Or(c.Message, c.Reason)
}

// recording returns the Recording that a request's path names.
func (a *API) recording(ctx context.Context, c *call) (*v1alpha1.Recording, error) {
	if err := a.records(ctx, c); err != nil {
		return nil, err
	}
	recording, err := a.objects.Recording(ctx, c.namespace, objects.OwnSessionID(c.namespace, c.recording))
	if err == nil && recording == nil {
		err = errRecordingUnknown
	}
	return recording, err
}

// stopRecording serves POST /recordings/stop/RECORDING (openvidu-rest 2.12). It answers when the
// files are finished, or after a while.
func (a *API) stopRecording(ctx context.Context, c *call) (reply, error) {
	recording, err := a.recording(ctx, c)
	switch {
	case err != nil:
		return reply{}, err
	case recording.Status.State == v1alpha1.RecordingStateStarting:
		return reply{}, errRecordingStarting
	case recording.Status.State != v1alpha1.RecordingStateStarted || recording.Spec.Stop:
		return reply{}, errRecordingUnknown
	}
	stopped, err := a.objects.PatchRecording(ctx, recording, func(spec *v1alpha1.RecordingSpec) { spec.Stop = true })
	if err != nil {
		return reply{}, err
	}
	current, err := a.objects.AwaitRecording(ctx, stopped, finishTimeout, func(r *v1alpha1.Recording) bool { return over(r.Status.State) })
	switch {
	case err != nil:
		return reply{}, err
	case current == nil:
		return reply{}, errRecordingUnknown
	case current.Status.State == v1alpha1.RecordingStateStarted:
		current.Status.State = v1alpha1.RecordingStateStopped // that is decided
	}
	return reply{http.StatusOK, projectRecording(current)}, nil
}

// readRecording serves GET /recordings/RECORDING (openvidu-rest 2.13).
func (a *API) readRecording(ctx context.Context, c *call) (reply, error) {
	recording, err := a.recording(ctx, c)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, projectRecording(recording)}, nil
}

// listRecordings serves GET /recordings (openvidu-rest 2.13).
func (a *API) listRecordings(ctx context.Context, c *call) (reply, error) {
	if err := a.records(ctx, c); err != nil {
		return reply{}, err
	}
	recordings, err := a.objects.Recordings(ctx, c.namespace)
	if err != nil {
		return reply{}, err
	}
	list := recordingsJSON{Count: len(recordings), Items: make([]recordingJSON, 0, len(recordings))}
	for i := range recordings {
		list.Items = append(list.Items, projectRecording(&recordings[i]))
	}
	return reply{http.StatusOK, list}, nil
}

// deleteRecording serves DELETE /recordings/RECORDING (openvidu-rest 2.13). The files go, too.
func (a *API) deleteRecording(ctx context.Context, c *call) (reply, error) {
	recording, err := a.recording(ctx, c)
	if err != nil {
		return reply{}, err
	}
	if state := recording.Status.State; state == v1alpha1.RecordingStateStarting || state == v1alpha1.RecordingStateStarted {
		return reply{}, errRecordingRuns
	}
	gone, err := a.objects.DeleteRecording(ctx, recording, finishTimeout)
	if err != nil {
		return reply{}, err
	}
	if !gone {
		return reply{}, errStillDeleting
	}
	return reply{status: http.StatusNoContent}, nil
}

// recordingNamespace returns whose a recording is that somebody without a password asks for: its
// identifier has the namespace in front of it, and a dot, which no session id has, but for that of
// the default tenant.
func (a *API) recordingNamespace(id string) string {
	if namespace, _, found := strings.Cut(id, "."); found {
		return namespace
	}
	return a.defaultNamespace
}
