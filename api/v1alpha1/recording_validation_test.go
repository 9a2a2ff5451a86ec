package v1alpha1_test

import (
	"strings"
	"testing"
)

const minimalRecording = `
apiVersion: mediarooms.dev/v1alpha1
kind: Recording
metadata: {namespace: default, name: monday}
spec: {sessionName: demo}
`

const (
	layoutURLMessage    = "spec.customLayoutURL: Invalid value: `customLayoutURL` must be set when `layout` is Custom, and only then"
	recordingResolution = "spec.resolution: Invalid value: \"%\": `resolution` must be WIDTHxHEIGHT, such as 1280x720, each from 100 to 1999"
)

// unchangeable returns the updates that change a field which may not be changed.
func unchangeable(field string, before, after any) map[string]update {
	return map[string]update{
		field + " is changed": {
			before: change{"spec." + field: before}, after: change{"spec." + field: after}, want: "`" + field + "` may not be changed",
		},
	}
}

// fixed returns the updates of a field that may not be set or unset either.
func fixed(field string, before, after any) map[string]update {
	want := "`" + field + "` may not be changed, set or unset after creation"
	return map[string]update{
		field + " is changed": {before: change{"spec." + field: before}, after: change{"spec." + field: after}, want: want},
		field + " is set":     {after: change{"spec." + field: after}, want: want},
		field + " is unset":   {before: change{"spec." + field: before}, after: change{"spec." + field: removed}, want: want},
	}
}

var recordingValidation = kind{
	base: minimalRecording,
	creations: merged(
		map[string]creation{
			"a Recording names a Session":   {},
			"there is no spec":              {change: change{"spec": removed}, want: "spec: Required value"},
			"there is no sessionName":       {change: change{"spec": map[string]any{}}, want: "spec.sessionName: Required value"},
			"there is an unknown field":     {change: change{"spec.session": "demo"}, want: "unknown field \"spec.session\""},
			"sessionName is in upper case":  {change: change{"spec.sessionName": "Demo"}, want: "spec.sessionName: Invalid value: \"Demo\": `sessionName` must be the name of a Session: lower-case letters, digits and `-`, with a letter or digit at both ends"},
			"neither audio nor video":       {change: change{"spec.hasAudio": false, "spec.hasVideo": false}, want: "spec: Invalid value: `hasAudio` and `hasVideo` may not both be false"},
			"the name has all characters":   {change: change{"spec.name": "Az09_-~"}},
			"the name leaves its folder":    {change: change{"spec.name": "../x"}, want: "spec.name: Invalid value: \"../x\": `name` may contain only letters, digits, `_`, `-` and `~`"},
			"a custom layout has a URL":     {change: change{"spec.layout": "Custom", "spec.customLayoutURL": "https://example.org/layout"}},
			"a custom layout has none":      {change: change{"spec.layout": "Custom"}, want: layoutURLMessage},
			"a grid has a URL":              {change: change{"spec.customLayoutURL": "https://example.org/layout"}, want: layoutURLMessage},
			"the resolution is the largest": {change: change{"spec.resolution": "1999x1999"}},
			"the resolution is too high":    {change: change{"spec.resolution": "1920x2000"}, want: message(recordingResolution, "1920x2000")},
			"a user may not set the status": {change: change{"status": map[string]any{"state": "Ready"}}},
		},
		text("spec.sessionName", nil, 63, ": Invalid value: \"\": `sessionName` must ", nil),
		enum("spec.outputMode", nil, "Composed", "ComposedQuickStart", "Individual"),
		text("spec.name", nil, 255, ": Invalid value: \"\": `name` may ", nil),
		boolean("spec.hasAudio", nil),
		boolean("spec.hasVideo", nil),
		enum("spec.layout", func(v any) change {
			c := change{"spec.layout": v}
			if v == "Custom" {
				c["spec.customLayoutURL"] = "https://example.org/layout"
			}
			return c
		}, "BestFit", "PictureInPicture", "VerticalPresentation", "HorizontalPresentation", "Custom"),
		text("spec.customLayoutURL", func(v any) change {
			return change{"spec.layout": "Custom", "spec.customLayoutURL": v}
		}, 1024, tooShort, nil),
		text("spec.resolution", nil, 9, ": Invalid value: \"\": `resolution` must ", func(n int) string { return "1280x1080" + strings.Repeat("0", n-9) }),
		integer("spec.frameRate", nil, 1, 120),
		boolean("spec.ignoreFailedStreams", nil),
		integer("spec.maxDurationSeconds", nil, 1, 31536000),
		boolean("spec.stop", nil),
		enum("spec.onDelete", nil, "KeepFiles", "DeleteFiles"),
	),
	updates: merged(
		unchangeable("sessionName", "demo", "other"),
		unchangeable("outputMode", "Composed", "Individual"),
		unchangeable("hasAudio", true, false),
		unchangeable("hasVideo", true, false),
		unchangeable("layout", "BestFit", "PictureInPicture"),
		unchangeable("resolution", "1280x720", "640x480"),
		unchangeable("frameRate", int64(25), int64(30)),
		unchangeable("ignoreFailedStreams", false, true),
		fixed("name", "one", "two"),
		fixed("maxDurationSeconds", int64(1), int64(2)),
		map[string]update{
			"customLayoutURL is changed": {
				before: change{"spec.layout": "Custom", "spec.customLayoutURL": "one"}, after: change{"spec.customLayoutURL": "two"},
				want: "`customLayoutURL` may not be changed, set or unset after creation",
			},
			"stop is set":       {after: change{"spec.stop": true}},
			"stop is unset":     {before: change{"spec.stop": true}, after: change{"spec.stop": false}, want: "spec.stop: Invalid value: false: `stop` may not be unset: a recording that has stopped does not go on"},
			"onDelete is other": {after: change{"spec.onDelete": "DeleteFiles"}},
		},
	),
}

func TestRecordingValidation(t *testing.T) { testValidation(t, recordingValidation) }
