package opentok

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/creation"
	"mediarooms.dev/mediarooms/internal/opentokid"
)

// A list of archives has usualArchives, or as many as are asked for, up to maxArchives.
const (
	usualArchives = 50
	maxArchives   = 1000
)

// startArchiveJSON is the body of startArchive.
type startArchiveJSON struct {
	SessionID  string             `json:"sessionId"`
	Name       string             `json:"name"`
	HasAudio   *bool              `json:"hasAudio"`
	HasVideo   *bool              `json:"hasVideo"`
	OutputMode string             `json:"outputMode"`
	StreamMode string             `json:"streamMode"`
	Resolution string             `json:"resolution"`
	Layout     *archiveLayoutJSON `json:"layout"`
	Tag        string             `json:"multiArchiveTag"`
}

func (s startArchiveJSON) check() error {
	switch {
	case !slices.Contains([]string{"", composed, individual}, s.OutputMode):
		return badRequest("'outputMode' must be composed or individual")
	case !slices.Contains([]string{"", automatic, manual}, s.StreamMode):
		return badRequest("'streamMode' must be auto or manual")
	case len(s.Name) > maxArchiveName:
		return badRequest("'name' may have at most %d bytes", maxArchiveName)
	case s.HasAudio != nil && !*s.HasAudio && s.HasVideo != nil && !*s.HasVideo:
		return badRequest("'hasAudio' and 'hasVideo' may not both be false")
	case s.Resolution != "" && !slices.Contains(opentokid.Resolutions, s.Resolution):
		return badRequest("'resolution' must be one of %s", strings.Join(opentokid.Resolutions, ", "))
	case s.OutputMode == individual && s.Resolution != "":
		return badRequest("'resolution' is for the 'outputMode' composed alone")
	case s.StreamMode == manual:
		return missing("archives of chosen streams; ask for 'streamMode' auto")
	case s.Tag != "":
		return missing("several archives of a session at the same time")
	}
	return nil
}

// recording returns the Recording that is asked for.
func (s startArchiveJSON) recording(now time.Time) (*v1alpha1.Recording, error) {
	annotations := creation.Stamp(now)
	spec := v1alpha1.RecordingSpec{OutputMode: v1alpha1.RecordingOutputModeIndividual, HasAudio: s.HasAudio, HasVideo: s.HasVideo}
	if s.OutputMode != individual {
		spec.OutputMode, spec.Resolution = v1alpha1.RecordingOutputModeComposed, cmp.Or(s.Resolution, opentokid.Resolutions[0])
		if s.Layout != nil {
			layout, err := s.Layout.layout()
			if err != nil {
				return nil, err
			}
			spec.Layout = layout
		}
	}
	if s.Name != "" {
		annotations[archiveAnnotation] = s.Name
	}
	if len(s.Name) <= objects.MaxRecordingName && objects.ValidRecordingName(s.Name) {
		spec.Name = s.Name // clients are told by it
	}
	return &v1alpha1.Recording{ObjectMeta: metav1.ObjectMeta{Annotations: annotations}, Spec: spec}, nil
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
	wanted, err := body.recording(time.Now())
	if err != nil {
		return reply{}, err
	}
	c.session = body.SessionID
	session, err := a.archivable(ctx, c, wanted)
	if err != nil {
		return reply{}, err
	}
	recording, err := a.objects.StartRecording(ctx, session, wanted)
	var not *objects.NotStartedError
	switch {
	case errors.As(err, &not) && not.Recorded:
		return reply{}, errArchiving
	case errors.As(err, &not):
		return reply{}, &problem{status: http.StatusInternalServerError, message: "The archive has not started: " + not.Why}
	case err != nil:
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: projectArchive(c.project, recording, time.Now())}, nil
}

// archivable returns the Session of a request. It fails when nobody is there, when it is archived
// already, and when its pool does not make what is wanted.
func (a *API) archivable(ctx context.Context, c *call, wanted *v1alpha1.Recording) (*v1alpha1.Session, error) {
	connections, err := a.connected(ctx, c)
	if err != nil {
		return nil, err
	}
	session, err := a.session(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case session == nil || len(connections) == 0:
		return nil, errNobodyThere
	case session.Status.Recording:
		return nil, errArchiving
	}
	pool, err := a.objects.Pool(ctx, session.Status.PoolName)
	switch {
	case err != nil:
		return nil, err
	case pool == nil || pool.Spec.Egress == nil:
		return nil, errNoRecorder
	case isComposed(wanted) && pool.Spec.Egress.Compositor == nil:
		return nil, errNotComposed
	}
	return session, nil
}

// archive returns the Recording that a request's path names, of a session of the project.
func (a *API) archive(ctx context.Context, c *call) (*v1alpha1.Recording, error) {
	recording, err := a.objects.Recording(ctx, c.project.Namespace, c.archive)
	if err == nil && (recording == nil || checkSessionID(&c.project.Project, recording.Status.SessionID) != nil) {
		err = errArchive
	}
	return recording, err
}

// running says whether an archive has not been stopped.
func running(recording *v1alpha1.Recording) bool {
	return archiveStates[recording.Status.State] == "started" && !recording.Spec.Stop
}

// stopArchive serves POST PROJECT/archive/ARCHIVE/stop (opentok-rest 4.6). It answers when the
// files are finished, or after a while. Of a composed archive it does not wait for the film.
func (a *API) stopArchive(ctx context.Context, c *call) (reply, error) {
	if err := readJSON(c, &struct{}{}); err != nil {
		return reply{}, err
	}
	recording, err := a.archive(ctx, c)
	switch {
	case err != nil:
		return reply{}, err
	case !running(recording):
		return reply{}, errArchiveStopped
	}
	enough := objects.RecordingOver
	if isComposed(recording) {
		enough = func(state v1alpha1.RecordingState) bool {
			return state == v1alpha1.RecordingStateStopped || objects.RecordingOver(state)
		}
	}
	stopped, err := a.objects.StopRecording(ctx, recording, enough)
	if err != nil {
		return reply{}, err
	}
	if stopped == nil {
		return reply{}, errArchive
	}
	return reply{status: http.StatusOK, body: projectArchive(c.project, stopped, time.Now())}, nil
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
	gone, err := a.objects.DeleteRecording(ctx, recording)
	if err != nil {
		return reply{}, err
	}
	if !gone {
		return reply{}, errArchiveGoing
	}
	return reply{status: http.StatusNoContent}, nil
}
