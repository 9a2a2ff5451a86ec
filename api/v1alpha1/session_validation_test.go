package v1alpha1_test

import (
	"strings"
	"testing"
)

const minimalSession = `
apiVersion: mediarooms.dev/v1alpha1
kind: Session
metadata: {namespace: default, name: demo}
`

const (
	sessionNameMessage = "`metadata.name` must be at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends"
	sessionIDMessage   = "spec.sessionID: Invalid value: \"%\": `sessionID` may contain only letters, digits, `_` and `-`"
	resolutionMessage  = "spec.defaultRecordingProperties.resolution: Invalid value: \"%\": `resolution` must be WIDTHxHEIGHT, such as 1280x720, each from 100 to 1999"
)

// message puts the refused value into a message.
func message(format, value string) string { return strings.ReplaceAll(format, "%", value) }

var sessionValidation = kind{
	base: minimalSession,
	creations: merged(
		map[string]creation{
			"a Session is only a name":              {},
			"spec is empty":                         {change: change{"spec": map[string]any{}}},
			"spec is null":                          {change: change{"spec": nil}},
			"spec is a list":                        {change: change{"spec": []any{}}, want: "spec in body must be of type object: \"array\""},
			"there is an unknown field":             {change: change{"spec.maxConection": int64(3)}, want: "unknown field \"spec.maxConection\""},
			"there is a third part":                 {change: change{"state": "open"}, want: "unknown field \"state\""},
			"the name has a dot":                    {change: change{"metadata.name": "demo.one"}, want: sessionNameMessage},
			"the name has 63 characters":            {change: change{"metadata.name": strings.Repeat("a", 63)}},
			"the name has 64 characters":            {change: change{"metadata.name": strings.Repeat("a", 64)}, want: sessionNameMessage},
			"the name is generated":                 {change: change{"metadata.name": removed, "metadata.generateName": "demo-"}},
			"the name has an emoji":                 {change: change{"metadata.name": "demo-🎥"}, want: "metadata.name: Invalid value: \"demo-🎥\": a lowercase RFC 1123 subdomain"},
			"the name is in upper case":             {change: change{"metadata.name": "Demo"}, want: "metadata.name: Invalid value: \"Demo\": a lowercase RFC 1123 subdomain"},
			"sessionID has all characters":          {change: change{"spec.sessionID": "_-_Az09"}},
			"sessionID has a dot":                   {change: change{"spec.sessionID": "a.b"}, want: message(sessionIDMessage, "a.b")},
			"sessionID has a space":                 {change: change{"spec.sessionID": "a b"}, want: message(sessionIDMessage, "a b")},
			"sessionID has a slash":                 {change: change{"spec.sessionID": "a/b"}, want: message(sessionIDMessage, "a/b")},
			"sessionID has a tilde":                 {change: change{"spec.sessionID": "a~1"}, want: message(sessionIDMessage, "a~1")},
			"sessionID has an umlaut":               {change: change{"spec.sessionID": "grün"}, want: message(sessionIDMessage, "grün")},
			"sessionID has a second line":           {change: change{"spec.sessionID": "a\nb"}, want: "`sessionID` may contain only letters, digits, `_` and `-`"},
			"poolName is in upper case":             {change: change{"spec.poolName": "Pool"}, want: "spec.poolName: Invalid value: \"Pool\": `poolName` must be the name of a MediaPool: lower-case letters, digits and `-`, with a letter or digit at both ends"},
			"poolName ends in a hyphen":             {change: change{"spec.poolName": "pool-"}, want: "`poolName` must be the name of a MediaPool"},
			"poolName has a dot":                    {change: change{"spec.poolName": "a.b"}, want: "`poolName` must be the name of a MediaPool"},
			"maxConnections is null":                {change: change{"spec.maxConnections": nil}},
			"defaultRecordingProperties are empty":  {change: change{"spec.defaultRecordingProperties": map[string]any{}}},
			"defaultRecordingProperties are a text": {change: change{"spec.defaultRecordingProperties": "STR"}, want: "spec.defaultRecordingProperties in body must be of type object: \"string\""},
			"neither audio nor video is recorded": {
				change: change{"spec.defaultRecordingProperties.hasAudio": false, "spec.defaultRecordingProperties.hasVideo": false},
				want:   "spec.defaultRecordingProperties: Invalid value: `hasAudio` and `hasVideo` may not both be false",
			},
			"the recording's name has all characters": {change: change{"spec.defaultRecordingProperties.name": "Az09_-~"}},
			"the recording's name has a slash": {
				change: change{"spec.defaultRecordingProperties.name": "../x"},
				want:   "spec.defaultRecordingProperties.name: Invalid value: \"../x\": `name` may contain only letters, digits, `_`, `-` and `~`",
			},
			"the resolution is the least":                  {change: change{"spec.defaultRecordingProperties.resolution": "100x100"}},
			"the resolution is the greatest":               {change: change{"spec.defaultRecordingProperties.resolution": "1999x1999"}},
			"the resolution is too high":                   {change: change{"spec.defaultRecordingProperties.resolution": "1920x2000"}, want: message(resolutionMessage, "1920x2000")},
			"the resolution is too wide":                   {change: change{"spec.defaultRecordingProperties.resolution": "2000x720"}, want: message(resolutionMessage, "2000x720")},
			"the resolution's width is too small":          {change: change{"spec.defaultRecordingProperties.resolution": "99x1080"}, want: message(resolutionMessage, "99x1080")},
			"the resolution has a leading zero":            {change: change{"spec.defaultRecordingProperties.resolution": "0920x1080"}, want: message(resolutionMessage, "0920x1080")},
			"the resolution has an upper-case X":           {change: change{"spec.defaultRecordingProperties.resolution": "1280X720"}, want: message(resolutionMessage, "1280X720")},
			"the resolution has letters":                   {change: change{"spec.defaultRecordingProperties.resolution": "abcxdef"}, want: message(resolutionMessage, "abcxdef")},
			"a user may not set the status, it is ignored": {change: change{"status": map[string]any{"podName": "mine"}}},
		},
		text("spec.sessionID", nil, 64, ": Invalid value: \"\": `sessionID` may ", nil),
		text("spec.poolName", nil, 40, ": Invalid value: \"\": `poolName` must ", nil),
		enum("spec.recordingMode", nil, "Manual", "Always"),
		enum("spec.forcedVideoCodec", nil, "MediaServerPreferred", "None", "VP8", "VP9", "H264"),
		boolean("spec.allowTranscoding", nil),
		integer("spec.maxConnections", nil, 1, 10000),
		enum("spec.whenEmpty", nil, "Keep", "Delete"),
		enum("spec.standby", nil, "None", "Warm"),
		text("spec.defaultRecordingProperties.name", nil, 255, ": Invalid value: \"\": `name` may ", nil),
		boolean("spec.defaultRecordingProperties.hasAudio", nil),
		boolean("spec.defaultRecordingProperties.hasVideo", nil),
		enum("spec.defaultRecordingProperties.outputMode", nil, "Composed", "ComposedQuickStart", "Individual"),
		enum("spec.defaultRecordingProperties.recordingLayout", nil,
			"BestFit", "PictureInPicture", "VerticalPresentation", "HorizontalPresentation", "Custom"),
		text("spec.defaultRecordingProperties.customLayout", nil, 1024, tooShort, nil),
		text("spec.defaultRecordingProperties.resolution", nil, 9, ": Invalid value: \"\": `resolution` must ", func(n int) string { return "1280x1080" + strings.Repeat("0", n-9) }),
		integer("spec.defaultRecordingProperties.frameRate", nil, 1, 120),
		boolean("spec.defaultRecordingProperties.ignoreFailedStreams", nil),
	),
	updates: map[string]update{
		"sessionID is changed": {
			before: change{"spec.sessionID": "one"}, after: change{"spec.sessionID": "two"},
			want: "spec.sessionID: Invalid value: `sessionID` may not be changed, set or unset after creation",
		},
		"sessionID is set": {
			after: change{"spec.sessionID": "two"},
			want:  "`sessionID` may not be changed, set or unset after creation",
		},
		"sessionID is unset": {
			before: change{"spec.sessionID": "one"}, after: change{"spec.sessionID": removed},
			want: "`sessionID` may not be changed, set or unset after creation",
		},
		"sessionID is unset with the whole spec": {
			before: change{"spec.sessionID": "one"}, after: change{"spec": removed},
			want: "`sessionID` may not be changed, set or unset after creation",
		},
		"poolName is changed": {
			before: change{"spec.poolName": "one"}, after: change{"spec.poolName": "two"},
			want: "spec.poolName: Invalid value: `poolName` may not be changed, set or unset after creation",
		},
		"poolName is set": {
			after: change{"spec.poolName": "two"},
			want:  "`poolName` may not be changed, set or unset after creation",
		},
		"poolName is unset": {
			before: change{"spec.poolName": "one"}, after: change{"spec.poolName": removed},
			want: "`poolName` may not be changed, set or unset after creation",
		},
		"nothing is changed": {before: change{"spec.sessionID": "one", "spec.poolName": "one"}},
		"all that may be changed is changed": {
			before: change{"spec.sessionID": "one", "spec.poolName": "one"},
			after: change{
				"spec.recordingMode": "Always", "spec.forcedVideoCodec": "VP9",
				"spec.allowTranscoding": true, "spec.maxConnections": int64(7), "spec.whenEmpty": "Delete",
				"spec.defaultRecordingProperties": map[string]any{"name": "x"}, "metadata.labels": map[string]any{"a": "b"},
			},
		},
	},
}

func TestSessionValidation(t *testing.T) { testValidation(t, sessionValidation) }
