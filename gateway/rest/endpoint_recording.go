package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/creation"
)

// Answers of the endpoints of recordings (openvidu-rest 2.11 to 2.13).
var (
	errNoRecorder        = &problem{status: http.StatusNotImplemented}
	errNotComposed       = &problem{status: http.StatusNotImplemented, message: "'outputMode' must be INDIVIDUAL: the session's media pool does not compose recordings"}
	errNoCustomLayout    = &problem{status: http.StatusNotImplemented, message: "'recordingLayout' CUSTOM is not available yet; BEST_FIT is"}
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
	if err := a.recordable(ctx, session, spec); err != nil {
		return reply{}, err
	}
	wanted := &v1alpha1.Recording{ObjectMeta: metav1.ObjectMeta{Annotations: creation.Stamp(time.Now())}, Spec: spec}
	recording, err := a.objects.StartRecording(ctx, session, wanted)
	var not *objects.NotStartedError
	switch {
	case errors.As(err, &not) && not.Recorded:
		return reply{}, errSessionRecorded
	case errors.As(err, &not):
		return reply{http.StatusInternalServerError, plainText("Error starting recording: " + not.Why)}, nil
	case err != nil:
		return reply{}, err
	}
	return reply{http.StatusOK, projectRecording(recording)}, nil
}

// recordable fails when the pool of a Session does not make what is wanted.
func (a *API) recordable(ctx context.Context, session *v1alpha1.Session, spec v1alpha1.RecordingSpec) error {
	pool, err := a.objects.Pool(ctx, session.Status.PoolName)
	composed := spec.OutputMode != outputIndividual
	switch {
	case err != nil:
		return err
	case pool == nil || pool.Spec.Egress == nil:
		return errNoRecorder
	case composed && pool.Spec.Egress.Compositor == nil:
		return errNotComposed
	case composed && *spec.HasVideo && spec.Layout == layoutCustom:
		return errNoCustomLayout
	}
	return nil
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
	stopped, err := a.objects.StopRecording(ctx, recording, objects.RecordingOver)
	if err != nil {
		return reply{}, err
	}
	if stopped == nil {
		return reply{}, errRecordingUnknown
	}
	return reply{http.StatusOK, projectRecording(stopped)}, nil
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
	gone, err := a.objects.DeleteRecording(ctx, recording)
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
