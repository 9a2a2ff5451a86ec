package rest

import (
	"context"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/creation"
	"mediarooms.dev/mediarooms/internal/naming"
)

const (
	// closeTimeout bounds the wait for a room to close. The operator's own bound for that is below;
	// it waits for the Connections to go after that, which takes longer only with an overloaded API
	// server.
	closeTimeout = 20 * time.Second
	// reuseTimeout bounds the wait of a creation for the closing of the session that has the id
	// (openvidu-rest 2.1).
	reuseTimeout = 15 * time.Second
)

// createSession serves POST /sessions (openvidu-rest 2.1).
func (a *API) createSession(ctx context.Context, c *call) (reply, error) {
	body, err := readBody(c.w, c.r)
	if err != nil {
		return reply{}, err
	}
	if id, ok := body["customSessionId"].(string); ok {
		body["customSessionId"] = objects.OwnSessionID(c.namespace, id)
	}
	spec, remembered, err := parseSession(body)
	if err != nil {
		return reply{}, err
	}
	if err := a.checkPool(ctx, c.namespace, spec.PoolName); err != nil {
		return reply{}, err
	}
	object := metav1.ObjectMeta{Namespace: c.namespace, Annotations: creation.Stamp(time.Now())}
	if spec.SessionID == "" {
		spec.SessionID = newSessionID()
		object.Annotations[generatedAnnotation] = "true"
	}
	remembered.write(&object)
	deadline := time.Now().Add(reuseTimeout)
	for {
		session, err := a.objects.CreateSession(ctx, &v1alpha1.Session{ObjectMeta: object, Spec: spec}, object.Annotations[generatedAnnotation] != "")
		if err != nil {
			return reply{}, err
		}
		if session.DeletionTimestamp.IsZero() {
			return reply{http.StatusOK, projectSession(session, nil)}, nil
		}
		gone, err := a.objects.WaitGone(ctx, session, time.Until(deadline))
		if err != nil {
			return reply{}, err
		}
		if !gone {
			return reply{}, errStillClosing
		}
	}
}

// listSessions serves GET /sessions (openvidu-rest 2.3).
func (a *API) listSessions(ctx context.Context, c *call) (reply, error) {
	pending, err := viewOf(c.r, false)
	if err != nil {
		return reply{}, err
	}
	sessions, members, err := a.objects.All(ctx, c.namespace)
	if err != nil {
		return reply{}, err
	}
	projected := make([]sessionJSON, 0, len(sessions))
	for i := range sessions {
		session := &sessions[i]
		projected = append(projected, projectSession(session, projectConnections(members[session.Name], naming.SessionID(session), pending)))
	}
	return reply{http.StatusOK, list(projected)}, nil
}

// readSession serves GET /sessions/SESSION (openvidu-rest 2.2).
func (a *API) readSession(ctx context.Context, c *call) (reply, error) {
	session, connections, err := a.view(ctx, c, false)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, projectSession(session, connections)}, nil
}

// view reads the session of a request, and those of its connections that the request wants to see;
// pending says whether it wants the pending ones when it does not say so.
func (a *API) view(ctx context.Context, c *call, pending bool) (*v1alpha1.Session, []connectionJSON, error) {
	pending, err := viewOf(c.r, pending)
	if err != nil {
		return nil, nil, err
	}
	session, err := a.session(ctx, c, errSessionUnknown)
	if err != nil {
		return nil, nil, err
	}
	connections, err := a.objects.Connections(ctx, session)
	if err != nil {
		return nil, nil, err
	}
	return session, projectConnections(connections, naming.SessionID(session), pending), nil
}

// deleteSession serves DELETE /sessions/SESSION (openvidu-rest 2.4). It answers when everybody is
// out.
func (a *API) deleteSession(ctx context.Context, c *call) (reply, error) {
	session, err := a.session(ctx, c, errSessionUnknown)
	if err != nil {
		return reply{}, err
	}
	gone, err := a.objects.Remove(ctx, session, closeTimeout)
	if err != nil {
		return reply{}, err
	}
	if !gone {
		return reply{}, errStillClosing
	}
	return reply{status: http.StatusNoContent}, nil
}

// session returns the Session that a request's path names, or fails as the endpoint does for an
// unknown one.
func (a *API) session(ctx context.Context, c *call, unknown error) (*v1alpha1.Session, error) {
	session, err := a.objects.Session(ctx, c.namespace, c.session)
	if err != nil {
		return nil, err
	}
	if session == nil || !objects.Exists(session) {
		return nil, unknown
	}
	return session, nil
}

// viewOf returns whether pending connections are wanted. webRtcStats is checked but adds nothing:
// endpoint statistics are not kept.
func viewOf(r *http.Request, fallback bool) (pending bool, err error) {
	if len(r.URL.RawQuery) > maxQuery {
		return false, errForbidden
	}
	query := r.URL.Query()
	if _, err := flagOf(query, "webRtcStats", false); err != nil {
		return false, err
	}
	return flagOf(query, "pendingConnections", fallback)
}
