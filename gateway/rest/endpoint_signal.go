package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"mediarooms.dev/mediarooms/gateway/route"
	"mediarooms.dev/mediarooms/internal/naming"
)

// maxRecipients is beyond every room.
const maxRecipients = 10000

// signalRequest is what POST /signal asks for.
type signalRequest struct {
	session string
	// nobody says that somebody is meant who can't be in any room.
	nobody bool
	signal route.Signal
}

// parseSignal reads the body of POST /signal.
func parseSignal(body map[string]any) (signalRequest, error) {
	f := &fields{values: body}
	var request signalRequest
	request.session = f.required("session")
	recipients := f.list("to")
	if len(recipients) > maxRecipients {
		f.fail("'to' may not have more than %d elements", maxRecipients)
	}
	known := map[string]bool{}
	for _, recipient := range recipients {
		id, ok := recipient.(string)
		request.nobody = request.nobody || !ok
		if ok && !known[id] {
			known[id] = true
			request.signal.To = append(request.signal.To, id)
		}
	}
	if value, ok := f.text("type"); ok {
		request.signal.Type = &value
	}
	if value, ok := f.text("data"); ok {
		request.signal.Data = &value
	}
	return request, f.err
}

// sendSignal serves POST /signal (openvidu-rest 2.15).
func (a *API) sendSignal(ctx context.Context, c *call) (reply, error) {
	body, err := requireBody(c.w, c.r)
	if err != nil {
		return reply{}, err
	}
	request, err := parseSignal(body)
	if err != nil {
		return reply{}, err
	}
	c.session = request.session
	session, err := a.session(ctx, c, errSessionUnknown)
	if err != nil {
		return reply{}, err
	}
	sent := false
	if !request.nobody {
		sent, err = a.rooms.Send(ctx, c.namespace, naming.SessionID(session), request.signal)
	}
	switch {
	case errors.Is(err, route.ErrUnreachable):
		return reply{}, errRoomUnreachable
	case errors.Is(err, route.ErrTooMuch):
		return reply{}, errTooManySignals
	case err != nil:
		return reply{}, fmt.Errorf("sending a signal: %w", err)
	case sent:
		return reply{status: http.StatusOK}, nil
	case !request.nobody && len(request.signal.To) == 0:
		return reply{}, errSessionInactive
	}
	// Who is in the room decides what is said only, not what is done.
	connections, err := a.objects.Connections(ctx, session)
	if err != nil {
		return reply{}, err
	}
	for i := range connections {
		if active(&connections[i]) {
			return reply{}, errRecipientUnknown
		}
	}
	return reply{}, errSessionInactive
}
