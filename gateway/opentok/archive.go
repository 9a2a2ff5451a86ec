package opentok

import (
	"cmp"
	"net/url"
	"time"

	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/gateway/tenant"
	"mediarooms.dev/mediarooms/internal/creation"
)

// archiveAnnotation is on Recordings that this API has made: the archive's name, which may be any
// text.
const archiveAnnotation = "mediarooms.dev/opentok-archive"

// maxArchiveName bounds the name of an archive, in bytes.
const maxArchiveName = 256

// Modes of archives: one file with all streams or a file for each, and all streams or chosen ones.
const (
	composed   = "composed"
	individual = "individual"
	automatic  = "auto"
	manual     = "manual"
)

// archiveJSON is an archive (opentok-rest 4.6).
type archiveJSON struct {
	ID         string   `json:"id"`
	Status     string   `json:"status"`
	Name       string   `json:"name"`
	Reason     string   `json:"reason"`
	SessionID  string   `json:"sessionId"`
	ProjectID  string   `json:"projectId"`
	PartnerID  string   `json:"partnerId"`
	CreatedAt  int64    `json:"createdAt"`
	UpdatedAt  int64    `json:"updatedAt"`
	Size       int64    `json:"size"`
	Duration   int64    `json:"duration"`
	OutputMode string   `json:"outputMode"`
	StreamMode string   `json:"streamMode"`
	Streams    []string `json:"streams"`
	HasAudio   bool     `json:"hasAudio"`
	HasVideo   bool     `json:"hasVideo"`
	// Resolution is that of a film.
	Resolution string `json:"resolution,omitempty"`
	Password   string `json:"password"`
	SHA256     string `json:"sha256sum"`
	// URL is there while the files are, and ends soon.
	URL   *string `json:"url"`
	Event string  `json:"event"`
}

type archivesJSON struct {
	Count int           `json:"count"`
	Items []archiveJSON `json:"items"`
}

var archiveStates = map[v1alpha1.RecordingState]string{
	"": "started", v1alpha1.RecordingStateStarting: "started", v1alpha1.RecordingStateStarted: "started",
	v1alpha1.RecordingStateStopped: "stopped", v1alpha1.RecordingStateReady: "available", v1alpha1.RecordingStateFailed: "failed",
}

// projectArchive returns a Recording as an archive of a project.
func projectArchive(project *tenant.Project, recording *v1alpha1.Recording, now time.Time) archiveJSON {
	spec, status := &recording.Spec, &recording.Status
	created := creation.Milliseconds(recording)
	a := archiveJSON{
		ID: status.RecordingID, Status: archiveStates[status.State], Event: "archive", Reason: status.Reason,
		Name:      cmp.Or(recording.Annotations[archiveAnnotation], spec.Name),
		SessionID: status.SessionID, ProjectID: project.APIKey, PartnerID: project.APIKey,
		CreatedAt: created, UpdatedAt: created, OutputMode: individual, StreamMode: automatic, Streams: []string{},
		HasAudio: ptr.Deref(spec.HasAudio, true), HasVideo: ptr.Deref(spec.HasVideo, true),
	}
	if isComposed(recording) {
		a.OutputMode = composed
		if a.HasVideo {
			a.Resolution = spec.Resolution
		}
	}
	for _, file := range status.Files {
		if file.StreamID != "" {
			a.Streams = append(a.Streams, file.StreamID)
		}
	}
	if objects.RecordingOver(status.State) {
		a.Size, a.Duration = status.SizeBytes, status.DurationSeconds
		a.UpdatedAt = created + 1000*status.DurationSeconds
	}
	if link := archiveLink(project, recording, now); status.State == v1alpha1.RecordingStateReady && link != "" {
		a.URL = &link
	}
	return a
}

// isComposed says whether one file is made of all streams, once the recording has stopped.
func isComposed(recording *v1alpha1.Recording) bool {
	return recording.Spec.OutputMode != v1alpha1.RecordingOutputModeIndividual
}

// archiveLink returns a link by which anybody can fetch the file with everything for a while; ""
// when there is none.
func archiveLink(project *tenant.Project, recording *v1alpha1.Recording, now time.Time) string {
	public, err := url.Parse(recording.Status.URL)
	if err != nil || public.Host == "" || len(project.Secrets) == 0 {
		return ""
	}
	file := lastSegment(public.Path)
	token, err := signLink(project, recording, file, now)
	if err != nil {
		return ""
	}
	link := url.URL{
		Scheme: public.Scheme, Host: public.Host, Path: filesPrefix + recording.Status.RecordingID + "/" + file,
		RawQuery: url.Values{"project": {project.APIKey}, "token": {token}}.Encode(),
	}
	return link.String()
}
