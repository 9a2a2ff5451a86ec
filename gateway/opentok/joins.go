package opentok

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
)

// Bounds of joins: a connect token may be used any number of times, and each time makes an object.
const (
	// joinsPerSecond and joinsAtOnce are of a session, at one gateway.
	joinsPerSecond = 50
	joinsAtOnce    = 1000
	// maxJoined is how many sessions are remembered that somebody has joined of late.
	maxJoined = 10000
	// maxUnused is how many Connections of a session may wait for their clients.
	maxUnused = 2000
	// unusedTimeout is how long a Connection waits for its client, which comes at once.
	unusedTimeout = 2 * time.Minute
	// maxSwept is how many Connections one join removes.
	maxSwept = 20
)

// joins bounds how often sessions are joined. The zero value works. Safe for concurrent use.
type joins struct {
	mu     sync.Mutex               // guards recent
	recent map[string]*rate.Limiter // session -> its limit
}

// allow says whether a session may be joined now, and counts it.
func (j *joins) allow(session string, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	limit := j.recent[session]
	if limit == nil {
		if j.recent == nil || len(j.recent) >= maxJoined {
			// Who was there may begin anew: it is a bound of load, and no more.
			j.recent = map[string]*rate.Limiter{}
		}
		limit = rate.NewLimiter(joinsPerSecond, joinsAtOnce)
		j.recent[session] = limit
	}
	return limit.AllowN(now, 1)
}

// sweep removes some of the Connections that joins have made and whose clients never came. It fails
// when too many wait.
func (a *API) sweep(ctx context.Context, session *v1alpha1.Session, now time.Time) error {
	if session.Status.PendingConnections == 0 {
		return nil
	}
	var connections v1alpha1.ConnectionList
	if err := a.objects.Cached.List(ctx, &connections, client.InNamespace(session.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("looking for unused Connections: %w", err)
	}
	unused, swept := 0, 0
	for i := range connections.Items {
		connection := &connections.Items[i]
		if connection.Spec.SessionName != session.Name || !waits(connection) {
			continue
		}
		unused++
		if swept < maxSwept && now.Sub(connection.CreationTimestamp.Time) > unusedTimeout {
			swept++
			if err := a.remove(ctx, connection); err != nil {
				return err
			}
		}
	}
	if unused-swept >= maxUnused {
		return errTooManyJoins
	}
	return nil
}

// waits says whether a Connection was made by a join, and its client has not come.
func waits(connection *v1alpha1.Connection) bool {
	_, joined := connection.Annotations[layoutAnnotation]
	return joined && objects.Listed(connection) && connection.Status.State != v1alpha1.ConnectionStateActive
}

// remove deletes a Connection, unless it is another one than the cache has.
func (a *API) remove(ctx context.Context, connection *v1alpha1.Connection) error {
	doomed := &v1alpha1.Connection{}
	doomed.Namespace, doomed.Name = connection.Namespace, connection.Name
	unchanged := client.Preconditions{UID: &connection.UID, ResourceVersion: &connection.ResourceVersion}
	if err := a.objects.Live.Delete(ctx, doomed, unchanged); err != nil && !gone(err) {
		return fmt.Errorf("deleting Connection %s: %w", connection.Name, err)
	}
	return nil
}

// gone says whether an object is not there any more, or not as it was.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }
