package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
)

const (
	// unpublishTimeout bounds the wait for a stream to end.
	unpublishTimeout = 10 * time.Second
	// publishLag is how much later than the users the cluster may learn of a stream.
	publishLag = 2 * time.Second
)

// deleteStream serves DELETE /sessions/SESSION/stream/STREAM (openvidu-rest 2.10). It answers when
// the stream has ended.
func (a *API) deleteStream(ctx context.Context, c *call) (reply, error) {
	session, err := a.session(ctx, c, errSessionUnknownBad)
	if err != nil {
		return reply{}, err
	}
	publisher, err := a.publisher(ctx, session, c.stream)
	if err != nil {
		return reply{}, err
	}
	if publisher.Spec.Type == v1alpha1.ConnectionTypeIPCam {
		return reply{}, errStreamOfCamera
	}
	if err := a.endStream(ctx, publisher, c.stream); err != nil {
		return reply{}, err
	}
	ended, err := a.waitPublishing(ctx, publisher, c.stream, false, unpublishTimeout)
	if err != nil {
		return reply{}, err
	}
	if !ended {
		return reply{}, errStillPublishing
	}
	return reply{status: http.StatusNoContent}, nil
}

// publisher returns the Connection that publishes a stream in a Session. It fails with
// errStreamUnknown.
func (a *API) publisher(ctx context.Context, session *v1alpha1.Session, streamID string) (*v1alpha1.Connection, error) {
	connections, err := a.objects.Connections(ctx, session)
	if err != nil {
		return nil, err
	}
	for i := range connections {
		connection := &connections[i]
		if publishes(connection, streamID) {
			return connection, nil
		}
		// The stream's id says whose it is. The cluster may just not have seen it yet.
		if active(connection) && strings.HasSuffix(streamID, "_"+objects.ConnectionID(connection)) && !slices.Contains(connection.Spec.Moderation.EndedStreamIDs, streamID) {
			if seen, err := a.waitPublishing(ctx, connection, streamID, true, publishLag); err != nil || seen {
				return connection, err
			}
		}
	}
	return nil, errStreamUnknown
}

// endStream says that a stream of a Connection must not be.
func (a *API) endStream(ctx context.Context, connection *v1alpha1.Connection, streamID string) error {
	err := retry.RetryOnConflict(objects.ConflictBackoff, func() error {
		var current v1alpha1.Connection
		if err := a.objects.Live.Get(ctx, client.ObjectKeyFromObject(connection), &current); err != nil {
			return err
		}
		if current.UID != connection.UID || slices.Contains(current.Spec.Moderation.EndedStreamIDs, streamID) {
			return nil
		}
		before := current.DeepCopy()
		current.Spec.Moderation.EndStream(streamID)
		return a.objects.Live.Patch(ctx, &current, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	switch {
	case apierrors.IsNotFound(err):
		// Its user has left, and the stream with it.
		return nil
	case apierrors.IsConflict(err):
		return errStillChanging
	case err != nil:
		return fmt.Errorf("ending a stream of Connection %s: %w", connection.Name, err)
	}
	return nil
}

// waitPublishing waits until a Connection publishes a stream, or until it does not any more. It
// returns false when that is not so after a while.
func (a *API) waitPublishing(ctx context.Context, connection *v1alpha1.Connection, streamID string, wanted bool, atMost time.Duration) (bool, error) {
	key := client.ObjectKeyFromObject(connection)
	look := func(reader client.Reader) (bool, error) {
		var current v1alpha1.Connection
		err := reader.Get(ctx, key, &current)
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("reading Connection %s: %w", key.Name, err)
		}
		there := err == nil && current.UID == connection.UID && objects.Listed(&current) && publishes(&current, streamID)
		return there == wanted, nil
	}
	err := a.objects.AwaitConnection(ctx, atMost, key, func() (bool, error) {
		if is, err := look(a.objects.Cached); err != nil || !is {
			return false, err
		}
		// The cache may be of before.
		return look(a.objects.Live)
	})
	if errors.Is(err, objects.ErrWaitedTooLong) {
		return look(a.objects.Live)
	}
	return err == nil, err
}

func publishes(connection *v1alpha1.Connection, streamID string) bool {
	return slices.ContainsFunc(connection.Status.Publishers, func(publisher v1alpha1.PublisherStatus) bool { return publisher.StreamID == streamID })
}
