package opentok

import (
	"context"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// customLayout is the layout that an application describes in CSS.
const customLayout = "custom"

// archiveLayouts are the layouts of composed archives by their names in OpenTok.
var archiveLayouts = map[string]v1alpha1.RecordingLayout{
	"bestFit":                v1alpha1.RecordingLayoutBestFit,
	"pip":                    v1alpha1.RecordingLayoutPictureInPicture,
	"verticalPresentation":   v1alpha1.RecordingLayoutVerticalPresentation,
	"horizontalPresentation": v1alpha1.RecordingLayoutHorizontalPresentation,
}

// archiveLayoutJSON is the layout of a composed archive (opentok-rest 4.6).
type archiveLayoutJSON struct {
	Type       string `json:"type"`
	Stylesheet string `json:"stylesheet"`
	// Screenshare is the layout while somebody shares a screen, beside the type bestFit.
	Screenshare string `json:"screenshareType"`
}

// layout returns what a Recording calls it. It fails for a layout that there is not.
func (l archiveLayoutJSON) layout() (v1alpha1.RecordingLayout, error) {
	if l.Type == customLayout {
		return "", missing("the layout custom; bestFit is there")
	}
	found, known := archiveLayouts[l.Type]
	if !known {
		return "", badRequest("The layout's 'type' must be bestFit, pip, verticalPresentation, horizontalPresentation or custom")
	}
	if l.Stylesheet != "" {
		return "", badRequest("'stylesheet' is for the layout custom alone")
	}
	if _, known := archiveLayouts[l.Screenshare]; l.Screenshare != "" && (!known || found != v1alpha1.RecordingLayoutBestFit) {
		return "", badRequest("'screenshareType' must be bestFit, pip, verticalPresentation or horizontalPresentation, beside the 'type' bestFit")
	}
	return found, nil
}

// setArchiveLayout serves PUT PROJECT/archive/ARCHIVE/layout (opentok-rest 4.6). Films are bestFit
// whatever was asked for (docs/opentok.md), so that there is nothing to change.
func (a *API) setArchiveLayout(ctx context.Context, c *call) (reply, error) {
	var body archiveLayoutJSON
	if err := readJSON(c, &body); err != nil {
		return reply{}, err
	}
	recording, err := a.archive(ctx, c)
	if err != nil {
		return reply{}, err
	}
	if _, err := body.layout(); err != nil {
		return reply{}, err
	}
	switch {
	case !isComposed(recording):
		return reply{}, errNoLayout
	case !running(recording):
		return reply{}, errArchiveStopped
	}
	return a.readArchive(ctx, c)
}

// chosenStreamJSON is the body of addArchiveStream and removeArchiveStream.
type chosenStreamJSON struct {
	Add    string `json:"addStream"`
	Remove string `json:"removeStream"`
}

// chooseStreams serves PATCH PROJECT/archive/ARCHIVE/streams (opentok-rest 4.6), which is for
// archives of chosen streams. There are none.
func (a *API) chooseStreams(ctx context.Context, c *call) (reply, error) {
	var body chosenStreamJSON
	if err := readJSON(c, &body); err != nil {
		return reply{}, err
	}
	if (body.Add == "") == (body.Remove == "") {
		return reply{}, badRequest("The body must have either 'addStream' or 'removeStream'")
	}
	if _, err := a.archive(ctx, c); err != nil {
		return reply{}, err
	}
	return reply{}, errAllStreams
}
