package opentok

import (
	"context"
	"net/http"
	"time"

	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/creation"
)

// evictTimeout bounds the wait for a user to be put out. The operator bounds it, too, and stays
// below.
const evictTimeout = 15 * time.Second

// connectionsJSON is a list of connections.
type connectionsJSON struct {
	Count     int              `json:"count"`
	ProjectID string           `json:"projectId"`
	SessionID string           `json:"sessionId"`
	Items     []connectionJSON `json:"items"`
}

type connectionJSON struct {
	ID        string `json:"connectionId"`
	State     string `json:"connectionState"`
	CreatedAt int64  `json:"createdAt"`
}

// listConnections serves GET SESSION/connection (opentok-rest 4.5).
func (a *API) listConnections(ctx context.Context, c *call) (reply, error) {
	connections, err := a.connected(ctx, c)
	if err != nil {
		return reply{}, err
	}
	list := connectionsJSON{Count: len(connections), ProjectID: c.project.APIKey, SessionID: c.session, Items: []connectionJSON{}}
	for i := range connections {
		list.Items = append(list.Items, connectionJSON{
			ID: objects.ConnectionID(&connections[i]), State: "Connected", CreatedAt: creation.Milliseconds(&connections[i]),
		})
	}
	return reply{status: http.StatusOK, body: list}, nil
}

// forceDisconnect serves DELETE SESSION/connection/CONNECTION (opentok-rest 4.4). It answers when
// the user is out.
func (a *API) forceDisconnect(ctx context.Context, c *call) (reply, error) {
	session, err := a.session(ctx, c)
	if err != nil {
		return reply{}, err
	}
	if session == nil {
		return reply{}, errConnection
	}
	connection, err := a.objects.Connection(ctx, session, c.connection)
	if err != nil {
		return reply{}, err
	}
	if connection == nil {
		return reply{}, errConnection
	}
	gone, err := a.objects.Remove(ctx, connection, evictTimeout)
	if err != nil {
		return reply{}, err
	}
	if !gone {
		return reply{}, errDisconnecting
	}
	return reply{status: http.StatusNoContent}, nil
}
