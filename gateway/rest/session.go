package rest

import (
	"regexp"

	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/naming"
)

// Enums of a session.
var (
	mediaModes     = enum[string]{{"ROUTED", "ROUTED"}, {"RELAYED", "RELAYED"}} // media is always routed
	recordingModes = enum[v1alpha1.RecordingMode]{{"MANUAL", v1alpha1.RecordingModeManual}, {"ALWAYS", v1alpha1.RecordingModeAlways}}
	videoCodecs    = enum[v1alpha1.ForcedVideoCodec]{
		{"MEDIA_SERVER_PREFERRED", v1alpha1.ForcedVideoCodecMediaServerPreferred},
		{"NONE", v1alpha1.ForcedVideoCodecNone},
		{"VP8", v1alpha1.ForcedVideoCodecVP8},
		{"VP9", v1alpha1.ForcedVideoCodecVP9},
		{"H264", v1alpha1.ForcedVideoCodecH264},
	}
	outputModes = enum[v1alpha1.RecordingOutputMode]{
		{"COMPOSED", outputComposed},
		{"COMPOSED_QUICK_START", "ComposedQuickStart"},
		{"INDIVIDUAL", outputIndividual},
	}
	recordingLayouts = enum[v1alpha1.RecordingLayout]{
		{"BEST_FIT", layoutBestFit},
		{"PICTURE_IN_PICTURE", "PictureInPicture"},
		{"VERTICAL_PRESENTATION", "VerticalPresentation"},
		{"HORIZONTAL_PRESENTATION", "HorizontalPresentation"},
		{"CUSTOM", layoutCustom},
	}
)

// Values of the recording enums that decide something here.
const (
	outputComposed   v1alpha1.RecordingOutputMode = "Composed"
	outputIndividual v1alpha1.RecordingOutputMode = "Individual"
	layoutBestFit    v1alpha1.RecordingLayout     = "BestFit"
	layoutCustom     v1alpha1.RecordingLayout     = "Custom"
)

// Defaults of recordings (openvidu-rest 3.3).
const (
	defaultResolution = "1280x720"
	defaultFrameRate  = 25
	defaultShmSize    = 536870912
	minShmSize        = 134217728
	maxShmSize        = 1 << 40
	maxSessionID      = 64
	maxPoolName       = 253
)

var (
	sessionIDs  = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	resolutions = regexp.MustCompile(`^(1[0-9]{3}|[1-9][0-9]{2})x(1[0-9]{3}|[1-9][0-9]{2})$`)
	poolNames   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
)

// parseSession reads the body of POST /sessions. An absent customSessionId leaves the session id
// empty.
func parseSession(body map[string]any) (v1alpha1.SessionSpec, echo, error) {
	f := &fields{values: body}
	remembered := echo{MediaMode: choose(f, "mediaMode", mediaModes, "")}
	spec := v1alpha1.SessionSpec{
		RecordingMode:    choose(f, "recordingMode", recordingModes, v1alpha1.RecordingModeManual),
		ForcedVideoCodec: choose(f, "forcedVideoCodec", videoCodecs, v1alpha1.ForcedVideoCodecMediaServerPreferred),
		WhenEmpty:        v1alpha1.WhenEmptyDelete,
	}
	if id, _ := f.text("customSessionId"); id != "" {
		switch {
		case len(id) > maxSessionID:
			f.fail("'customSessionId' may not be longer than %d characters", maxSessionID)
		case !sessionIDs.MatchString(id):
			f.fail("'customSessionId' may contain only letters, digits, '_' and '-'")
		}
		spec.SessionID = id
	}
	if transcode := f.flag("allowTranscoding"); transcode != nil {
		spec.AllowTranscoding = *transcode
	}
	if node := f.object("mediaNode"); node != nil {
		inner := &fields{values: node, prefix: "mediaNode."}
		id, _ := inner.text("id")
		if inner.err == nil && (len(id) > maxPoolName || !poolNames.MatchString(id)) {
			inner.fail("'mediaNode.id' must be the name of a MediaPool")
		}
		if inner.err != nil && f.err == nil {
			f.err = inner.err
		}
		spec.PoolName = id
	}
	if properties := f.object("defaultRecordingProperties"); properties != nil {
		var err error
		spec.DefaultRecordingProperties, remembered.ShmSize, err = parseRecordingProperties(properties)
		if err != nil && f.err == nil {
			f.err = err
		}
	}
	return spec, remembered, f.err
}

// parseRecordingProperties reads a session's defaultRecordingProperties, and their shmSize, 0 when
// it is absent. What the output mode makes meaningless is dropped, as in the reference.
func parseRecordingProperties(values map[string]any) (*v1alpha1.RecordingProperties, int64, error) {
	f := &fields{values: values, prefix: "defaultRecordingProperties."}
	properties := &v1alpha1.RecordingProperties{
		HasAudio:   f.flag("hasAudio"),
		HasVideo:   f.flag("hasVideo"),
		OutputMode: choose(f, "outputMode", outputModes, outputComposed),
	}
	if name, _ := f.text("name"); name != "" {
		switch {
		case len(name) > objects.MaxRecordingName:
			f.fail("'%sname' may not be longer than %d characters", f.prefix, objects.MaxRecordingName)
		case !objects.ValidRecordingName(name):
			f.fail("'%sname' may contain only letters, digits, '_', '-' and '~'", f.prefix)
		}
		properties.Name = name
	}
	if !orTrue(properties.HasAudio) && !orTrue(properties.HasVideo) {
		f.fail("'%shasAudio' and '%shasVideo' may not both be false", f.prefix, f.prefix)
	}
	// Types are checked whatever the mode is, values only where they count.
	resolution, hasResolution := f.text("resolution")
	f.text("recordingLayout")
	customLayout, _ := f.text("customLayout")
	frameRate, shmSize := f.number("frameRate"), f.number("shmSize")
	ignoreFailed := f.flag("ignoreFailedStreams")
	checkRecordingNode(f)
	if properties.OutputMode == outputIndividual {
		properties.IgnoreFailedStreams = ignoreFailed != nil && *ignoreFailed
		return properties, 0, f.err
	}

	layout := choose(f, "recordingLayout", recordingLayouts, layoutBestFit)
	if hasResolution && !resolutions.MatchString(resolution) {
		f.fail("'%sresolution' must be WIDTHxHEIGHT, each from 100 to 1999", f.prefix)
	}
	if frameRate != nil {
		frameRate = f.bounded("frameRate", 1, 120)
	}
	if shmSize != nil {
		shmSize = f.bounded("shmSize", minShmSize, maxShmSize)
	}
	if f.err != nil || !orTrue(properties.HasVideo) {
		return properties, 0, f.err
	}
	properties.RecordingLayout = layout
	properties.Resolution = resolution
	if frameRate != nil {
		properties.FrameRate = int32(*frameRate) //nolint:gosec // At most 120.
	}
	if layout == layoutCustom {
		properties.CustomLayout = customLayout
	}
	return properties, ptr.Deref(shmSize, 0), nil
}

// checkRecordingNode checks the type of a recording's mediaNode: a string, or an object with an id.
// It chooses nothing: a session's recordings run in its own pool.
func checkRecordingNode(f *fields) {
	switch node := f.values["mediaNode"].(type) {
	case nil, string:
	case map[string]any:
		if _, ok := node["id"].(string); !ok {
			f.fail("'%smediaNode.id' must be a string", f.prefix)
		}
	default:
		f.fail("'%smediaNode' must be a string or an object", f.prefix)
	}
}

func orTrue(flag *bool) bool { return flag == nil || *flag }

// sessionJSON is a session as REST shows it: exactly these keys, in this order (openvidu-rest 3.1).
type sessionJSON struct {
	ID                         string                  `json:"id"`
	Object                     string                  `json:"object"`
	SessionID                  string                  `json:"sessionId"`
	CreatedAt                  int64                   `json:"createdAt"`
	Recording                  bool                    `json:"recording"`
	Broadcasting               bool                    `json:"broadcasting"`
	MediaMode                  string                  `json:"mediaMode"`
	RecordingMode              string                  `json:"recordingMode"`
	DefaultRecordingProperties recordingPropertiesJSON `json:"defaultRecordingProperties"`
	CustomSessionID            string                  `json:"customSessionId"`
	MediaNode                  *mediaNodeJSON          `json:"mediaNode,omitempty"`
	ForcedVideoCodec           string                  `json:"forcedVideoCodec"`
	AllowTranscoding           bool                    `json:"allowTranscoding"`
	Connections                listJSON                `json:"connections"`
}

type mediaNodeJSON struct {
	ID string `json:"id"`
}

// listJSON is a list of sessions or connections.
type listJSON struct {
	NumberOfElements int   `json:"numberOfElements"`
	Content          []any `json:"content"`
}

func list[T any](items []T) listJSON {
	content := make([]any, 0, len(items))
	for _, item := range items {
		content = append(content, item)
	}
	return listJSON{NumberOfElements: len(content), Content: content}
}

// recordingPropertiesJSON is the defaults of a session's recordings (openvidu-rest 3.3).
type recordingPropertiesJSON struct {
	Name                string  `json:"name"`
	HasAudio            bool    `json:"hasAudio"`
	HasVideo            bool    `json:"hasVideo"`
	OutputMode          string  `json:"outputMode"`
	RecordingLayout     *string `json:"recordingLayout,omitempty"`
	Resolution          *string `json:"resolution,omitempty"`
	FrameRate           *int32  `json:"frameRate,omitempty"`
	ShmSize             *int64  `json:"shmSize,omitempty"`
	CustomLayout        *string `json:"customLayout,omitempty"`
	IgnoreFailedStreams *bool   `json:"ignoreFailedStreams,omitempty"`
}

// projectSession returns a Session with some of its Connections as REST shows it.
func projectSession(session *v1alpha1.Session, connections []connectionJSON) sessionJSON {
	spec, remembered := &session.Spec, readEcho(session)
	id := naming.SessionID(session)
	projected := sessionJSON{
		ID:                         id,
		Object:                     "session",
		SessionID:                  id,
		CreatedAt:                  createdAt(session),
		Recording:                  session.Status.Recording,
		MediaMode:                  mediaModes.name(remembered.MediaMode),
		RecordingMode:              recordingModes.name(spec.RecordingMode),
		DefaultRecordingProperties: projectRecordingProperties(spec.DefaultRecordingProperties, remembered.ShmSize),
		ForcedVideoCodec:           videoCodecs.name(spec.ForcedVideoCodec),
		AllowTranscoding:           spec.AllowTranscoding,
		Connections:                list(connections),
	}
	if session.Annotations[generatedAnnotation] != "true" {
		projected.CustomSessionID = id
	}
	if spec.PoolName != "" {
		projected.MediaNode = &mediaNodeJSON{ID: spec.PoolName}
	}
	return projected
}

func projectRecordingProperties(properties *v1alpha1.RecordingProperties, shmSize int64) recordingPropertiesJSON {
	if properties == nil {
		properties = &v1alpha1.RecordingProperties{}
	}
	projected := recordingPropertiesJSON{
		Name:       properties.Name,
		HasAudio:   orTrue(properties.HasAudio),
		HasVideo:   orTrue(properties.HasVideo),
		OutputMode: outputModes.name(properties.OutputMode),
	}
	if properties.OutputMode == outputIndividual {
		projected.IgnoreFailedStreams = &properties.IgnoreFailedStreams
		return projected
	}
	if !projected.HasVideo {
		return projected
	}
	layout := recordingLayouts.name(properties.RecordingLayout)
	resolution := orDefault(properties.Resolution, defaultResolution)
	frameRate := orDefault(properties.FrameRate, defaultFrameRate)
	shmSize = orDefault(shmSize, defaultShmSize)
	projected.RecordingLayout, projected.Resolution, projected.FrameRate, projected.ShmSize = &layout, &resolution, &frameRate, &shmSize
	if properties.RecordingLayout == layoutCustom {
		projected.CustomLayout = &properties.CustomLayout
	}
	return projected
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
