package opentok

import (
	"context"
	"fmt"
	"net/http"

	"mediarooms.dev/mediarooms/internal/naming"
	"mediarooms.dev/mediarooms/internal/podhttp"
)

// muteJSON is the body of a mute of all streams.
type muteJSON struct {
	Active   *bool    `json:"active"`
	Excluded []string `json:"excludedStreamIds"`
}

// muteStream serves POST SESSION/stream/STREAM/mute (opentok-rest 4.4).
func (a *API) muteStream(ctx context.Context, c *call) (reply, error) {
	if err := readJSON(c, &struct{}{}); err != nil {
		return reply{}, err
	}
	return a.mute(ctx, c, podhttp.Mute{Stream: c.stream}, errStream)
}

// muteAll serves POST SESSION/mute (opentok-rest 4.4).
func (a *API) muteAll(ctx context.Context, c *call) (reply, error) {
	var body muteJSON
	if err := readJSON(c, &body); err != nil {
		return reply{}, err
	}
	if body.Active == nil {
		return reply{}, badRequest("'active' must be true, to mute, or false, to end that")
	}
	if len(body.Excluded) > podhttp.MaxExcluded {
		return reply{}, badRequest("'excludedStreamIds' may have at most %d streams", podhttp.MaxExcluded)
	}
	wish := podhttp.Mute{All: *body.Active}
	if wish.All {
		wish.Excluded = body.Excluded
	}
	return a.mute(ctx, c, wish, errNobodyThere)
}

// mute tells the room of a wish, and fails with nobody when there is nobody to be told.
func (a *API) mute(ctx context.Context, c *call, wish podhttp.Mute, nobody error) (reply, error) {
	session, err := a.session(ctx, c)
	if err != nil {
		return reply{}, err
	}
	if session == nil {
		return reply{}, nobody
	}
	told, err := a.rooms.Mute(ctx, c.project.Namespace, naming.SessionID(session), wish)
	if err != nil {
		return reply{}, fmt.Errorf("asking for mute: %w", err)
	}
	if !told {
		return reply{}, nobody
	}
	return reply{status: http.StatusOK, body: struct{}{}}, nil
}
