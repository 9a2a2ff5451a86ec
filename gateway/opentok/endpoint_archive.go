package opentok

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/creation"
)

const (
	// archiveStartTimeout bounds the wait for media to flow into a file.
	archiveStartTimeout = 15 * time.Second
	// archiveStopTimeout bounds the wait for files to be finished, and to be deleted. The answer
	// says "stopped" then.
	archiveStopTimeout = 15 * time.Second
	// A list of archives has usualArchives, or as many as are asked for, up to maxArchives.
	usualArchives = 50
	maxArchives   = 1000
)

// startArchiveJSON is the body of startArchive.
type startArchiveJSON struct {
	SessionID  string `json:"sessionId"`
	Name       string `json:"name"`
	HasAudio   *bool  `json:"hasAudio"`
	HasVideo   *bool  `json:"hasVideo"`
	OutputMode string `json:"outputMode"`
	StreamMode string `json:"streamMode"`
	Tag        string `json:"multiArchiveTag"`
}

func (s startArchiveJSON) check() error {
	switch {
	case !slices.Contains([]string{"", "composed", individual}, s.OutputMode):
		return badRequest("'outputMode' must be composed or individual")
	case !slices.Contains([]string{"", automatic, "manual"}, s.StreamMode):
		return badRequest("'streamMode' must be auto or manual")
	case len(s.Name) > maxArchiveName:
		return badRequest("'name' may have at most %d bytes", maxArchiveName)
	case s.HasAudio != nil && !*s.HasAudio && s.HasVideo != nil && !*s.HasVideo:
		return badRequest("'hasAudio' and 'hasVideo' may not both be false")
	case s.OutputMode != individual:
		return missing("composed archives; ask for 'outputMode' individual")
	case s.StreamMode == "manual":
		return missing("archives of chosen streams; ask for 'streamMode' auto")
	case s.Tag != "":
		return missing("several archives of a session at the same time")
	}
	return nil
}

// startArchive serves POST PROJECT/archive (opentok-rest 4.6). It answers when there is media in a
// file.
func (a *API) startArchive(ctx context.Context, c *call) (reply, error) {
	var body startArchiveJSON
	if err := readJSON(c, &body); err != nil {
		return reply{}, err
	}
	if err := body.check(); err != nil {
		return reply{}, err
	}
	c.session = body.SessionID
	connections, err := a.connected(ctx, c)
	if err != nil {
		return reply{}, err
	}
	session, err := a.session(ctx, c)
	switch {
	case err != nil:
		return reply{}, err
	case session == nil || len(connections) == 0:
		return reply{}, errNobodyThere
	case session.Status.Recording:
		return reply{}, errArchiving
	}
	pool, err := a.objects.Pool(ctx, session.Status.PoolName)
	if err != nil {
		return reply{}, err
	}
	if pool == nil || pool.Spec.Egress == nil {
		return reply{}, errNoRecorder
	}
	annotations := creation.Stamp(time.Now())
	spec := v1alpha1.RecordingSpec{OutputMode: v1alpha1.RecordingOutputModeIndividual, HasAudio: body.HasAudio, HasVideo: body.HasVideo}
	if body.Name != "" {
		annotations[archiveAnnotation] = body.Name
	}
	if fileNames.MatchString(body.Name) {
		spec.Name = body.Name // clients are told by it
	}
	wanted := &v1alpha1.Recording{ObjectMeta: metav1.ObjectMeta{Annotations: annotations}, Spec: spec}
	recording, err := a.objects.CreateRecording(ctx, session, wanted)
	if err != nil {
		return reply{}, err
	}
	return a.awaitArchive(ctx, c, recording)
}

// awaitArchive waits until a Recording records. One that does not is withdrawn, so that it does not
// begin when nobody expects it any more.
func (a *API) awaitArchive(ctx context.Context, c *call, recording *v1alpha1.Recording) (reply, error) {
	current, err := a.objects.AwaitRecording(ctx, recording, archiveStartTimeout, func(r *v1alpha1.Recording) bool {
		return r.Status.State != "" && r.Status.State != v1alpha1.RecordingStateStarting || meta.IsStatusConditionFalse(r.Status.Conditions, v1alpha1.ConditionAccepted)
	})
	if err == nil && current != nil && slices.Contains(
		[]v1alpha1.RecordingState{v1alpha1.RecordingStateStarted, v1alpha1.RecordingStateStopped, v1alpha1.RecordingStateReady}, current.Status.State) {
		started := current.DeepCopy()
		started.Status.State = v1alpha1.RecordingStateStarted // as it was a moment ago
		return reply{status: http.StatusOK, body: projectArchive(c.project, started, time.Now())}, nil
	}
	withdrawing, cancel := context.WithTimeout(context.WithoutCancel(ctx), archiveStopTimeout)
	defer cancel()
	if _, withdrawErr := a.objects.DeleteRecording(withdrawing, recording, 0); withdrawErr != nil {
		logr.FromContextOrDiscard(ctx).Error(withdrawErr, "Leaving a Recording behind that has not started", "Recording", recording.Name)
	}
	switch {
	case err != nil:
		return reply{}, err
	case current == nil:
		return reply{}, errArchive
	}
	if c := meta.FindStatusCondition(current.Status.Conditions, v1alpha1.ConditionAccepted); c != nil && c.Reason == v1alpha1.ReasonSessionRecorded {
		return reply{}, errArchiving
	}
	why := "the operator has not answered in time"
	if c := meta.FindStatusCondition(current.Status.Conditions, v1alpha1.ConditionReady); c != nil && c.Reason != v1alpha1.ReasonPending {
		why = cmp.Or(c.Message, c.Reason)
	}
	return reply{}, &problem{status: http.StatusInternalServerError, message: "The archive has not started: " + why}
}

// archive returns the Recording that a request's path names, of a session of the project.
func (a *API) archive(ctx context.Context, c *call) (*v1alpha1.Recording, error) {
	recording, err := a.objects.Recording(ctx, c.project.Namespace, c.archive)
	if err == nil && (recording == nil || checkSessionID(&c.project.Project, recording.Status.SessionID) != nil) {
		err = errArchive
	}
	return recording, err
}

// stopArchive serves POST PROJECT/archive/ARCHIVE/stop (opentok-rest 4.6). It answers when the
// files are finished, or after a while.
func (a *API) stopArchive(ctx context.Context, c *call) (reply, error) {
	if err := readJSON(c, &struct{}{}); err != nil {
		return reply{}, err
	}
	recording, err := a.archive(ctx, c)
	switch {
	case err != nil:
		return reply{}, err
	case archiveStates[recording.Status.State] != "started" || recording.Spec.Stop:
		return reply{}, errArchiveStopped
	}
	stopped, err := a.objects.PatchRecording(ctx, recording, func(spec *v1alpha1.RecordingSpec) { spec.Stop = true })
	if err != nil {
		return reply{}, err
	}
	current, err := a.objects.AwaitRecording(ctx, stopped, archiveStopTimeout, func(r *v1alpha1.Recording) bool {
		return r.Status.State == v1alpha1.RecordingStateReady || r.Status.State == v1alpha1.RecordingStateFailed
	})
	switch {
	case err != nil:
		return reply{}, err
	case current == nil:
		return reply{}, errArchive
	case archiveStates[current.Status.State] == "started":
		current = current.DeepCopy()
		current.Status.State = v1alpha1.RecordingStateStopped // that is decided
	}
	return reply{status: http.StatusOK, body: projectArchive(c.project, current, time.Now())}, nil
}

// readArchive serves GET PROJECT/archive/ARCHIVE.
func (a *API) readArchive(ctx context.Context, c *call) (reply, error) {
	recording, err := a.archive(ctx, c)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: projectArchive(c.project, recording, time.Now())}, nil
}

// listArchives serves GET PROJECT/archive?offset&count&sessionId, newest first.
func (a *API) listArchives(ctx context.Context, c *call) (reply, error) {
	query := c.r.URL.Query()
	offset, err := number(query.Get("offset"), 0)
	if err != nil || offset < 0 {
		return reply{}, badRequest("'offset' must be a number, 0 or more")
	}
	count, err := number(query.Get("count"), usualArchives)
	if err != nil || count < 0 || count > maxArchives {
		return reply{}, badRequest("'count' must be a number from 0 to %d", maxArchives)
	}
	recordings, err := a.objects.Recordings(ctx, c.project.Namespace)
	if err != nil {
		return reply{}, err
	}
	of := query.Get("sessionId")
	recordings = slices.DeleteFunc(recordings, func(r v1alpha1.Recording) bool {
		return of != "" && r.Status.SessionID != of || checkSessionID(&c.project.Project, r.Status.SessionID) != nil
	})
	slices.Reverse(recordings)
	list, now := archivesJSON{Count: len(recordings), Items: []archiveJSON{}}, time.Now()
	for i := offset; i < len(recordings) && i-offset < count; i++ {
		list.Items = append(list.Items, projectArchive(c.project, &recordings[i], now))
	}
	return reply{status: http.StatusOK, body: list}, nil
}

func number(text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	return strconv.Atoi(text)
}

// deleteArchive serves DELETE PROJECT/archive/ARCHIVE. The files go, too.
func (a *API) deleteArchive(ctx context.Context, c *call) (reply, error) {
	recording, err := a.archive(ctx, c)
	switch {
	case err != nil:
		return reply{}, err
	case archiveStates[recording.Status.State] == "started":
		return reply{}, errArchiveRuns
	}
	gone, err := a.objects.DeleteRecording(ctx, recording, archiveStopTimeout)
	if err != nil {
		return reply{}, err
	}
	if !gone {
		return reply{}, errArchiveGoing
	}
	return reply{status: http.StatusNoContent}, nil
}
