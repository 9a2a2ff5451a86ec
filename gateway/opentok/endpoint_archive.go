package opentok

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/creation"
)

// A list of archives has usualArchives, or as many as are asked for, up to maxArchives.
const (
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
	if len(body.Name) <= objects.MaxRecordingName && objects.ValidRecordingName(body.Name) {
		spec.Name = body.Name // clients are told by it
	}
	wanted := &v1alpha1.Recording{ObjectMeta: metav1.ObjectMeta{Annotations: annotations}, Spec: spec}
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
	stopped, err := a.objects.StopRecording(ctx, recording)
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
