package opentok

import (
	"context"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/gateway/opentok/credential"
	"mediarooms.dev/mediarooms/internal/opentokid"
)

// checkSessionID fails for what can't be the id of a session of a project.
func checkSessionID(project *credential.Project, sessionID string) error {
	if !opentokid.WellFormed(sessionID) {
		return errSessionID
	}
	if key := opentokid.APIKeyOf(sessionID); key != "" && key != project.APIKey {
		return errForeignSession
	}
	return nil
}

// session returns the Session that a request's path names. It is nil for a session of the project
// that nobody has joined; any other one that has no object is unknown.
func (a *API) session(ctx context.Context, c *call) (*v1alpha1.Session, error) {
	if err := checkSessionID(&c.project.Project, c.session); err != nil {
		return nil, err
	}
	session, err := a.objects.Session(ctx, c.project.Namespace, c.session)
	switch {
	case err != nil:
		return nil, err
	case session != nil && objects.Exists(session):
		return session, nil
	case opentokid.APIKeyOf(c.session) == "":
		return nil, errSessionUnknown
	}
	return nil, nil
}

// connected returns the Connections of a request's session whose users are in the room, by
// creation.
func (a *API) connected(ctx context.Context, c *call) ([]v1alpha1.Connection, error) {
	session, err := a.session(ctx, c)
	if err != nil || session == nil {
		return nil, err
	}
	connections, err := a.objects.Connections(ctx, session)
	if err != nil {
		return nil, err
	}
	var active []v1alpha1.Connection
	for i := range connections {
		if connections[i].Status.State == v1alpha1.ConnectionStateActive {
			active = append(active, connections[i])
		}
	}
	return active, nil
}
