package opentok

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	"mediarooms.dev/mediarooms/gateway/route"
	"mediarooms.dev/mediarooms/internal/naming"
)

// Bounds of a signal, in bytes (opentok-rest 4.3).
const (
	maxServerSignalType = 128
	maxServerSignalData = 8 << 10
)

var signalTypes = regexp.MustCompile(`^[A-Za-z0-9_~-]*$`)

// signalJSON is the body of a signal. Absent and empty differ.
type signalJSON struct {
	Type *string `json:"type"`
	Data *string `json:"data"`
}

func (s signalJSON) check() error {
	if s.Type != nil && len(*s.Type) > maxServerSignalType || s.Data != nil && len(*s.Data) > maxServerSignalData {
		return errSignalTooLarge
	}
	if s.Type != nil && !signalTypes.MatchString(*s.Type) {
		return errSignalType
	}
	return nil
}

// sendSignal serves POST SESSION/signal, and SESSION/connection/CONNECTION/signal (opentok-rest
// 4.3).
func (a *API) sendSignal(ctx context.Context, c *call) (reply, error) {
	var body signalJSON
	if err := readJSON(c, &body); err != nil {
		return reply{}, err
	}
	if err := body.check(); err != nil {
		return reply{}, err
	}
	session, err := a.session(ctx, c)
	if err != nil {
		return reply{}, err
	}
	if session == nil {
		return reply{}, errNobodyThere
	}
	signal := route.Signal{Type: body.Type, Data: body.Data}
	if c.connection != "" {
		signal.To = []string{c.connection}
	}
	sent, err := a.rooms.Send(ctx, c.project.Namespace, naming.SessionID(session), signal)
	if err != nil {
		return reply{}, fmt.Errorf("sending a signal: %w", err)
	}
	if !sent {
		return reply{}, errNobodyThere
	}
	return reply{status: http.StatusNoContent}, nil
}
