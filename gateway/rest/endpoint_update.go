package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/internal/naming"
)

// applyTimeout bounds the wait for a media pod to know of a change. The change holds all the same.
const applyTimeout = 3 * time.Second

// update is what PATCH can change of a connection. What is absent stays as it is.
type update struct {
	role   v1alpha1.Role
	record *bool
}

// parseUpdate reads the body of PATCH /sessions/SESSION/connection/CONNECTION. The SDKs send all
// properties of the connection; only role and record can be changed.
func parseUpdate(body map[string]any) (update, error) {
	f := &fields{values: body}
	return update{role: choose(f, "role", roles, ""), record: f.flag("record")}, f.err
}

// updateConnection serves PATCH /sessions/SESSION/connection/CONNECTION (openvidu-rest 2.8). It
// answers when the media pod has applied the change.
func (a *API) updateConnection(ctx context.Context, c *call) (reply, error) {
	session, err := a.session(ctx, c, errSessionUnknown)
	if err != nil {
		return reply{}, err
	}
	body, err := readBody(c.w, c.r)
	if err != nil {
		return reply{}, err
	}
	wanted, err := parseUpdate(body)
	if err != nil {
		return reply{}, err
	}
	connection, err := a.objects.Connection(ctx, session, c.connection)
	if err != nil {
		return reply{}, err
	}
	if connection == nil {
		return reply{}, errConnectionUnknown
	}
	before := connection.DeepCopy()
	// A camera has no role.
	if wanted.role != "" && connection.Spec.Type == v1alpha1.ConnectionTypeWebRTC {
		connection.Spec.Role = wanted.role
	}
	if wanted.record != nil {
		connection.Spec.Record = wanted.record
	}
	if connection.Spec.Role != before.Spec.Role || orTrue(connection.Spec.Record) != orTrue(before.Spec.Record) {
		err := a.objects.Live.Patch(ctx, connection, client.MergeFrom(before))
		if apierrors.IsNotFound(err) {
			return reply{}, errConnectionUnknown
		} else if err != nil {
			return reply{}, fmt.Errorf("changing Connection %s: %w", connection.Name, err)
		}
		if connection, err = a.waitApplied(ctx, connection); err != nil {
			return reply{}, err
		}
		// A GET must answer the same: what was waited for is in the cache, and does not know which
		// of the streams that it receives have ended.
		current, err := a.objects.Connection(ctx, session, c.connection)
		if err != nil {
			return reply{}, err
		}
		if current != nil {
			connection = current
		}
	}
	return reply{http.StatusOK, projectConnection(connection, naming.SessionID(session))}, nil
}

// waitApplied waits until the media pod knows of this generation of a Connection, unless it is
// known that it can't now. It returns the Connection as it is then.
func (a *API) waitApplied(ctx context.Context, connection *v1alpha1.Connection) (*v1alpha1.Connection, error) {
	key := client.ObjectKeyFromObject(connection)
	seen := connection
	err := a.objects.AwaitConnection(ctx, applyTimeout, key, func() (bool, error) {
		var current v1alpha1.Connection
		err := a.objects.Cached.Get(ctx, key, &current)
		switch {
		case apierrors.IsNotFound(err) || err == nil && current.UID != connection.UID:
			// Its user has left.
			return true, nil
		case err != nil:
			return false, fmt.Errorf("reading Connection %s: %w", key.Name, err)
		case current.Generation < connection.Generation:
			return false, nil
		}
		seen = &current
		programmed := meta.FindStatusCondition(current.Status.Conditions, v1alpha1.ConditionProgrammed)
		return programmed != nil && programmed.ObservedGeneration >= connection.Generation && programmed.Reason != v1alpha1.ReasonWaitingForAck, nil
	})
	if errors.Is(err, objects.ErrWaitedTooLong) {
		err = nil
	}
	return seen, err
}
