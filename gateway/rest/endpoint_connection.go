package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/creation"
	"mediarooms.dev/mediarooms/internal/naming"
)

const (
	// tokenTimeout bounds the wait for the operator to make a token.
	tokenTimeout = 8 * time.Second
	// evictTimeout bounds the wait for a user to be put out. The operator bounds it, too, and stays
	// below.
	evictTimeout = 15 * time.Second
	// withdrawTimeout bounds the deletion of a Connection that nobody will use.
	withdrawTimeout = 5 * time.Second
)

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
	connection, err := a.admit(ctx, c, session, spec, remembered, now)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, projectConnection(connection, naming.SessionID(session))}, nil
}

// openSession returns the Session of a request that admits somebody to it, or fails as the endpoint
// does for an unknown one. A Session that has just been closed may be returned; admit finds that
// out.
func (a *API) openSession(ctx context.Context, c *call, unknown error) (*v1alpha1.Session, error) {
	session, err := a.objects.likelySession(ctx, c.namespace, c.session)
	if session != nil || err != nil {
		return session, err
	}
	return a.session(ctx, c, unknown)
}

// admit creates a Connection of a Session from openSession, and returns it once it has its token.
func (a *API) admit(
	ctx context.Context, c *call, session *v1alpha1.Session, spec v1alpha1.ConnectionSpec, remembered echo, now time.Time,
) (*v1alpha1.Connection, error) {
	connection, err := a.admitTo(ctx, session, spec, remembered, now)
	if !errors.Is(err, errSessionClosing) {
		return connection, err
	}
	// There may be a new Session with this id by now, which another gateway has made.
	current, lookupErr := a.session(ctx, c, errSessionClosing)
	if lookupErr != nil || current.UID == session.UID {
		return nil, errors.Join(lookupErr, err)
	}
	spec.SessionName = current.Name
	return a.admitTo(ctx, current, spec, remembered, now)
}

// admitTo creates a Connection of a Session and returns it once it has its token. It fails with
// errSessionClosing when there is no such Session any more.
func (a *API) admitTo(
	ctx context.Context, session *v1alpha1.Session, spec v1alpha1.ConnectionSpec, remembered echo, now time.Time,
) (*v1alpha1.Connection, error) {
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   session.Namespace,
			Name:        newConnectionName(session.Name),
			Annotations: creation.Stamp(now),
			// The operator would add it, in a write of its own.
			Finalizers: []string{v1alpha1.ConnectionFinalizer},
		},
		Spec: spec,
	}
	remembered.write(connection)
	if err := a.objects.live.Create(ctx, connection); err != nil {
		return nil, fmt.Errorf("creating a Connection: %w", err)
	}
	ready, err := a.waitToken(ctx, connection, session.UID)
	if err != nil {
		if err := a.withdraw(ctx, connection); err != nil {
			logr.FromContextOrDiscard(ctx).Error(err, "Leaving a Connection without a token behind", "Connection", client.ObjectKeyFromObject(connection).String())
		}
		return nil, err
	}
	return ready, nil
}

// waitToken returns a Connection once it has its token. It fails with errSessionClosing when the
// Session that it was made for is gone: then the token is one of a later Session with the same id.
func (a *API) waitToken(ctx context.Context, connection *v1alpha1.Connection, session types.UID) (*v1alpha1.Connection, error) {
	key := client.ObjectKeyFromObject(connection)
	seen := connection.DeepCopy()
	known := false
	look := func(reader client.Reader) (bool, error) {
		var current v1alpha1.Connection
		err := reader.Get(ctx, key, &current)
		switch {
		case apierrors.IsNotFound(err) && !known:
			// The cache does not have it yet.
			return false, nil
		case apierrors.IsNotFound(err):
			return false, errSessionClosing
		case err != nil:
			return false, fmt.Errorf("reading Connection %s: %w", key.Name, err)
		}
		known, seen = true, &current
		if !current.DeletionTimestamp.IsZero() || hasReason(current.Status.Conditions, v1alpha1.ConditionAccepted, v1alpha1.ReasonDeleting) {
			return false, errSessionClosing
		}
		if hasReason(current.Status.Conditions, v1alpha1.ConditionAccepted, v1alpha1.ReasonSessionNotFound) {
			// The operator may just not have seen it yet.
			return false, a.stillThere(ctx, connection, session)
		}
		return current.Status.Token != "", refusal(&current)
	}
	err := a.objects.members.await(ctx, tokenTimeout, key, func() (bool, error) { return look(a.objects.cached) })
	if errors.Is(err, errWaitedTooLong) {
		known = true
		var done bool
		if done, err = look(a.objects.live); !done && err == nil {
			err = noToken(seen)
		}
	}
	if err == nil {
		err = a.stillThere(ctx, connection, session)
	}
	return seen, err
}

// stillThere fails with errSessionClosing when the Session that a Connection was made for is gone.
func (a *API) stillThere(ctx context.Context, connection *v1alpha1.Connection, uid types.UID) error {
	session, err := a.objects.sessionNamed(ctx, connection.Namespace, connection.Spec.SessionName)
	if err == nil && (session == nil || session.UID != uid) {
		err = errSessionClosing
	}
	return err
}

// refusal is why a Connection gets no place, nil when that is not decided, or may change while the
// caller waits.
func refusal(connection *v1alpha1.Connection) error {
	accepted := meta.FindStatusCondition(connection.Status.Conditions, v1alpha1.ConditionAccepted)
	switch {
	case accepted == nil || accepted.Status != metav1.ConditionFalse:
		return nil
	case accepted.Reason == v1alpha1.ReasonSessionFull:
		return &problem{status: http.StatusConflict, message: "The session is full: " + accepted.Message}
	case accepted.Reason == v1alpha1.ReasonNoCapacity:
		return &problem{status: http.StatusServiceUnavailable, message: "There is no place: " + accepted.Message}
	}
	return nil
}

// noToken says why a Connection has no token, as far as its conditions know.
func noToken(connection *v1alpha1.Connection) *problem {
	accepted := meta.FindStatusCondition(connection.Status.Conditions, v1alpha1.ConditionAccepted)
	if accepted == nil || accepted.Status == metav1.ConditionUnknown {
		return errTokenNotMade
	}
	return &problem{status: http.StatusServiceUnavailable, message: "No token was made in time: " + accepted.Message}
}

// withdraw deletes a Connection whose token nobody has learned, also when who asked for it has
// gone.
func (a *API) withdraw(ctx context.Context, connection *v1alpha1.Connection) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTimeout)
	defer cancel()
	if err := a.objects.live.Delete(ctx, connection, client.Preconditions{UID: &connection.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Connection %s: %w", connection.Name, err)
	}
	return nil
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
	gone, err := a.objects.remove(ctx, connection, evictTimeout)
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
	connection, err := a.objects.connection(ctx, session, c.connection)
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
