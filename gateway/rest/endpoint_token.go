package rest

import (
	"context"
	"net/http"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/naming"
)

// tokenJSON is a token as POST /tokens shows it (openvidu-rest 2.14).
type tokenJSON struct {
	ID             string       `json:"id"`
	Token          string       `json:"token"`
	CreatedAt      int64        `json:"createdAt"`
	ConnectionID   string       `json:"connectionId"`
	Session        string       `json:"session"`
	Data           string       `json:"data"`
	Role           string       `json:"role"`
	KurentoOptions *kurentoJSON `json:"kurentoOptions,omitempty"`
}

// createToken serves POST /tokens (openvidu-rest 2.14): it makes an ordinary connection, and shows
// less of it.
func (a *API) createToken(ctx context.Context, c *call) (reply, error) {
	body, err := requireBody(c.w, c.r)
	if err != nil {
		return reply{}, err
	}
	f := &fields{values: body}
	c.session = f.required("session")
	if f.err != nil {
		return reply{}, f.err
	}
	session, err := a.openSession(ctx, c, errTokenSessionUnknown)
	if err != nil {
		return reply{}, err
	}
	// Cameras have no tokens, and everything of a token's is recorded.
	delete(body, "type")
	delete(body, "record")
	now := time.Now()
	spec, remembered, err := parseConnection(ctx, body, session.Name, a.hosts, now)
	if err != nil {
		return reply{}, err
	}
	connection, err := a.admit(ctx, session, spec, remembered, now)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, projectToken(connection, naming.SessionID(session))}, nil
}

func projectToken(connection *v1alpha1.Connection, sessionID string) tokenJSON {
	return tokenJSON{
		ID:             connection.Status.Token,
		Token:          connection.Status.Token,
		CreatedAt:      createdAt(connection),
		ConnectionID:   objects.ConnectionID(connection),
		Session:        sessionID,
		Data:           connection.Spec.Data,
		Role:           roles.name(connection.Spec.Role),
		KurentoOptions: projectKurentoOptions(connection),
	}
}
