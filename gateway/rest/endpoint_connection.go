package rest

import (
	"context"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/creation"
	"mediarooms.dev/mediarooms/internal/naming"
)

// evictTimeout bounds the wait for a user to be put out. The operator bounds it, too, and stays
// below.
const evictTimeout = 15 * time.Second

// createConnection serves POST /sessions/SESSION/connection (openvidu-rest 2.5). It answers when
// there is a token.
func (a *API) createConnection(ctx context.Context, c *call) (reply, error) {
	session, err := a.openSession(ctx, c, errSessionUnknown)
	if err != nil {
		return reply{}, err
	}
	body, err := readBody(c.w, c.r)
	if err != nil {
		return reply{}, err
	}
	now := time.Now()
	spec, remembered, err := parseConnection(ctx, body, session.Name, a.hosts, now)
	if err != nil {
		return reply{}, err
	}
	if spec.Type == v1alpha1.ConnectionTypeIPCam {
		return reply{}, errIPCamUnavailable
	}
	connection, err := a.admit(ctx, session, spec, remembered, now)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, projectConnection(connection, naming.SessionID(session))}, nil
}

// openSession returns the Session of a request that admits somebody to it, or fails as the endpoint
// does for an unknown one. A Session that has just been closed may be returned; admit finds that
// out.
func (a *API) openSession(ctx context.Context, c *call, unknown error) (*v1alpha1.Session, error) {
	session, err := a.objects.LikelySession(ctx, c.namespace, c.session)
	if session != nil || err != nil {
		return session, err
	}
	return a.session(ctx, c, unknown)
}

// admit creates a Connection of a Session from openSession, and returns it once it has its token.
func (a *API) admit(
	ctx context.Context, session *v1alpha1.Session, spec v1alpha1.ConnectionSpec, remembered echo, now time.Time,
) (*v1alpha1.Connection, error) {
	connection := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Annotations: creation.Stamp(now)}, Spec: spec}
	remembered.write(connection)
	return a.objects.Admit(ctx, session, connection)
}

// listConnections serves GET /sessions/SESSION/connection (openvidu-rest 2.6).
func (a *API) listConnections(ctx context.Context, c *call) (reply, error) {
	_, connections, err := a.view(ctx, c, true)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, list(connections)}, nil
}

// readConnection serves GET /sessions/SESSION/connection/CONNECTION (openvidu-rest 2.7).
func (a *API) readConnection(ctx context.Context, c *call) (reply, error) {
	session, connection, err := a.connection(ctx, c)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, projectConnection(connection, naming.SessionID(session))}, nil
}

// deleteConnection serves DELETE /sessions/SESSION/connection/CONNECTION (openvidu-rest 2.9). It
// answers when the user is out.
func (a *API) deleteConnection(ctx context.Context, c *call) (reply, error) {
	_, connection, err := a.connection(ctx, c)
	if err != nil {
		return reply{}, err
	}
	gone, err := a.objects.Remove(ctx, connection, evictTimeout)
	if err != nil {
		return reply{}, err
	}
	if !gone {
		return reply{}, errStillDisconnecting
	}
	return reply{status: http.StatusNoContent}, nil
}

// connection returns the Session and the Connection that a request's path names.
func (a *API) connection(ctx context.Context, c *call) (*v1alpha1.Session, *v1alpha1.Connection, error) {
	session, err := a.session(ctx, c, errSessionUnknownBad)
	if err != nil {
		return nil, nil, err
	}
	connection, err := a.objects.Connection(ctx, session, c.connection)
	if err != nil {
		return nil, nil, err
	}
	if connection == nil {
		return nil, nil, errConnectionUnknown
	}
	return session, connection, nil
}

// projectConnections returns Connections as REST shows them, with or without those that are
// pending.
func projectConnections(connections []v1alpha1.Connection, sessionID string, pending bool) []connectionJSON {
	projected := make([]connectionJSON, 0, len(connections))
	for i := range connections {
		if pending || active(&connections[i]) {
			projected = append(projected, projectConnection(&connections[i], sessionID))
		}
	}
	return projected
}
