package rest

import (
	"cmp"
	"net/http"

	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/creation"
)

// recordingJSON is a recording as REST shows it: exactly these keys, in this order (openvidu-rest
// 3.9). Those of composed videos are there for composed videos only.
type recordingJSON struct {
	ID           string  `json:"id"`
	Object       string  `json:"object"`
	Name         string  `json:"name"`
	OutputMode   string  `json:"outputMode"`
	Resolution   *string `json:"resolution,omitempty"`
	FrameRate    *int32  `json:"frameRate,omitempty"`
	Layout       *string `json:"recordingLayout,omitempty"`
	CustomLayout *string `json:"customLayout,omitempty"`
	SessionID    string  `json:"sessionId"`
	CreatedAt    int64   `json:"createdAt"`
	Size         int64   `json:"size"`
	Duration     float64 `json:"duration"`
	URL          *string `json:"url"`
	HasAudio     bool    `json:"hasAudio"`
	HasVideo     bool    `json:"hasVideo"`
	Status       string  `json:"status"`
}

// recordingsJSON is a list of recordings (openvidu-rest 2.13).
type recordingsJSON struct {
	Count int             `json:"count"`
	Items []recordingJSON `json:"items"`
}

var recordingStates = enum[v1alpha1.RecordingState]{
	{"starting", v1alpha1.RecordingStateStarting}, {"started", v1alpha1.RecordingStateStarted}, {"stopped", v1alpha1.RecordingStateStopped},
	{"ready", v1alpha1.RecordingStateReady}, {"failed", v1alpha1.RecordingStateFailed},
}

// projectRecording returns a Recording as REST shows it.
func projectRecording(recording *v1alpha1.Recording) recordingJSON {
	spec, status := &recording.Spec, &recording.Status
	projected := recordingJSON{
		ID: status.RecordingID, Object: "recording", Name: cmp.Or(spec.Name, status.RecordingID), OutputMode: outputModes.name(spec.OutputMode),
		SessionID: status.SessionID, CreatedAt: creation.Milliseconds(recording),
		HasAudio: orTrue(spec.HasAudio), HasVideo: orTrue(spec.HasVideo), Status: recordingStates.name(status.State),
	}
	if spec.OutputMode != outputIndividual && projected.HasVideo {
		layout := recordingLayouts.name(spec.Layout)
		projected.Resolution, projected.FrameRate, projected.Layout = &spec.Resolution, &spec.FrameRate, &layout
		if spec.Layout == layoutCustom {
			projected.CustomLayout = &spec.CustomLayoutURL
		}
	}
	if objects.RecordingOver(status.State) {
		projected.Size, projected.Duration = status.SizeBytes, duration(status)
		if status.URL != "" {
			projected.URL = &status.URL
		}
	}
	return projected
}

// duration returns how long a recording is, in seconds: from the first of its media to the last
// (openvidu-rest 6.4).
func duration(status *v1alpha1.RecordingStatus) float64 {
	first, last, known := int64(0), int64(0), false
	for _, file := range status.Files {
		if file.StreamID == "" && file.DurationMilliseconds == 0 {
			continue // no media
		}
		begins, ends := file.StartOffsetMilliseconds, file.StartOffsetMilliseconds+file.DurationMilliseconds
		if !known {
			first, last, known = begins, ends, true
		}
		first, last = min(first, begins), max(last, ends)
	}
	if !known {
		return float64(status.DurationSeconds)
	}
	return float64(last-first) / 1000
}

// unprocessable is a value of the right type that can't be had (openvidu-rest 2.11).
func unprocessable(message string) *problem {
	return &problem{status: http.StatusUnprocessableEntity, message: message}
}

// parseRecording reads the body of POST /recordings/start. What is absent is what the session says.
// Types come before values (openvidu-rest 2.11).
func parseRecording(body map[string]any, session *v1alpha1.Session) (v1alpha1.RecordingSpec, error) {
	defaults := ptr.Deref(session.Spec.DefaultRecordingProperties, v1alpha1.RecordingProperties{})
	f := &fields{values: body}
	name, _ := f.text("name")
	_, hasMode := f.text("outputMode")
	hasAudio, hasVideo := f.flag("hasAudio"), f.flag("hasVideo")
	layout, _ := f.text("recordingLayout")
	customLayout, hasCustom := f.text("customLayout")
	resolution, hasResolution := f.text("resolution")
	frameRate, shmSize := f.number("frameRate"), f.number("shmSize")
	ignoreFailed := f.flag("ignoreFailedStreams")
	checkRecordingNode(f)
	if f.err != nil {
		return v1alpha1.RecordingSpec{}, f.err
	}
	spec := v1alpha1.RecordingSpec{
		Name: cmp.Or(name, defaults.Name), OutputMode: cmp.Or(defaults.OutputMode, outputComposed), Layout: cmp.Or(defaults.RecordingLayout, layoutBestFit),
		HasAudio: ptr.To(orTrue(defaults.HasAudio)), HasVideo: ptr.To(orTrue(defaults.HasVideo)),
		Resolution: orDefault(defaults.Resolution, defaultResolution), FrameRate: orDefault(defaults.FrameRate, int32(defaultFrameRate)),
		IgnoreFailedStreams: defaults.IgnoreFailedStreams,
	}
	switch {
	case len(name) > objects.MaxRecordingName:
		return spec, badRequest("'name' may not be longer than %d characters", objects.MaxRecordingName)
	case name != "" && !objects.ValidRecordingName(name):
		return spec, badRequest("'name' may contain only letters, digits, '_', '-' and '~'")
	}
	if hasAudio != nil {
		spec.HasAudio = hasAudio
	}
	if hasVideo != nil {
		spec.HasVideo = hasVideo
	}
	if !*spec.HasAudio && !*spec.HasVideo {
		return spec, unprocessable("'hasAudio' and 'hasVideo' may not both be false")
	}
	if hasMode {
		wanted := choose(f, "outputMode", outputModes, outputComposed)
		// Of two composed flavours the session's is taken.
		if wanted == outputIndividual || spec.OutputMode == outputIndividual {
			spec.OutputMode = wanted
		}
	}
	if ignoreFailed != nil {
		spec.IgnoreFailedStreams = *ignoreFailed
	}
	if f.err != nil || spec.OutputMode == outputIndividual {
		spec.Layout, spec.Resolution, spec.FrameRate = "", "", 0
		return spec, f.err
	}
	if layout != "" {
		spec.Layout = choose(f, "recordingLayout", recordingLayouts, layoutBestFit)
	}
	switch {
	case f.err != nil:
		return spec, f.err
	case hasResolution && !resolutions.MatchString(resolution):
		return spec, unprocessable("'resolution' must be WIDTHxHEIGHT, each from 100 to 1999")
	case frameRate != nil && (*frameRate < 1 || *frameRate > 120):
		return spec, unprocessable("'frameRate' must be from 1 to 120")
	case shmSize != nil && *shmSize < minShmSize:
		return spec, unprocessable("'shmSize' must be at least 134217728")
	}
	spec.Resolution = cmp.Or(resolution, spec.Resolution)
	if frameRate != nil {
		spec.FrameRate = int32(*frameRate) //nolint:gosec // At most 120.
	}
	if spec.CustomLayoutURL = ""; spec.Layout == layoutCustom {
		if spec.CustomLayoutURL = defaults.CustomLayout; hasCustom {
			spec.CustomLayoutURL = customLayout
		}
	}
	return spec, nil
}
