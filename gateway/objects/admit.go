package objects

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/naming"
)

const (
	// TokenTimeout bounds the wait for the operator to make a token.
	TokenTimeout = 8 * time.Second
	// withdrawTimeout bounds the deletion of a Connection that nobody will use.
	withdrawTimeout = 5 * time.Second
)

// Admit creates a Connection of a Session, which may have been closed meanwhile, and returns it
// once it has its token. Of what is wanted annotations and spec count. It fails with ErrClosing
// when there is no such Session any more, and with a *RefusedError when there is no place.
func (o *Store) Admit(ctx context.Context, session *v1alpha1.Session, wanted *v1alpha1.Connection) (*v1alpha1.Connection, error) {
	connection, err := o.admitTo(ctx, session, wanted)
	if !errors.Is(err, ErrClosing) {
		return connection, err
	}
	// There may be a new Session with this id by now, which another gateway has made.
	current, lookupErr := o.Session(ctx, session.Namespace, naming.SessionID(session))
	if lookupErr != nil || current == nil || !Exists(current) || current.UID == session.UID {
		return nil, errors.Join(lookupErr, err)
	}
	return o.admitTo(ctx, current, wanted)
}

// admitTo creates a Connection of a Session and returns it once it has its token.
func (o *Store) admitTo(ctx context.Context, session *v1alpha1.Session, wanted *v1alpha1.Connection) (*v1alpha1.Connection, error) {
	connection := wanted.DeepCopy()
	connection.Namespace, connection.Name = session.Namespace, newName(session.Name)
	// The operator would add it, in a write of its own.
	connection.Finalizers = []string{v1alpha1.ConnectionFinalizer}
	connection.Spec.SessionName = session.Name
	if err := o.Live.Create(ctx, connection); err != nil {
		return nil, fmt.Errorf("creating a Connection: %w", err)
	}
	ready, err := o.waitToken(ctx, connection, session.UID)
	if err != nil {
		if err := o.withdraw(ctx, connection); err != nil {
			logr.FromContextOrDiscard(ctx).Error(err, "Leaving a Connection without a token behind", "Connection", client.ObjectKeyFromObject(connection).String())
		}
		return nil, err
	}
	return ready, nil
}

// waitToken returns a Connection once it has its token. It fails with ErrClosing when the
// Session that it was made for is gone: then the token is one of a later Session with the same id.
func (o *Store) waitToken(ctx context.Context, connection *v1alpha1.Connection, session types.UID) (*v1alpha1.Connection, error) {
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
			return false, ErrClosing
		case err != nil:
			return false, fmt.Errorf("reading Connection %s: %w", key.Name, err)
		}
		known, seen = true, &current
		if !current.DeletionTimestamp.IsZero() || hasReason(current.Status.Conditions, v1alpha1.ConditionAccepted, v1alpha1.ReasonDeleting) {
			return false, ErrClosing
		}
		if hasReason(current.Status.Conditions, v1alpha1.ConditionAccepted, v1alpha1.ReasonSessionNotFound) {
			// The operator may just not have seen it yet.
			return false, o.stillThere(ctx, connection, session)
		}
		if current.Status.Token != "" {
			return true, nil
		}
		if hasReason(current.Status.Conditions, v1alpha1.ConditionAccepted, v1alpha1.ReasonSessionNotAccepted) {
			return false, o.unplaced(ctx, &current)
		}
		return false, refusal(&current)
	}
	err := o.members.await(ctx, TokenTimeout, key, func() (bool, error) { return look(o.Cached) })
	if errors.Is(err, ErrWaitedTooLong) {
		known = true
		var done bool
		if done, err = look(o.Live); !done && err == nil {
			err = noToken(seen)
		}
	}
	if err == nil {
		err = o.stillThere(ctx, connection, session)
	}
	return seen, err
}

// unplaced says why the Session of a Connection gets no media pod, nil when that may change while
// the caller waits: its pool may still get a pod, or one of its pods is about to be ready.
func (o *Store) unplaced(ctx context.Context, connection *v1alpha1.Connection) error {
	session, err := o.SessionNamed(ctx, connection.Namespace, connection.Spec.SessionName)
	if err != nil || session == nil || !hasReason(session.Status.Conditions, v1alpha1.ConditionAccepted, v1alpha1.ReasonNoCapacity) {
		return err
	}
	var pool v1alpha1.MediaPool
	if err := o.Cached.Get(ctx, client.ObjectKey{Name: session.Status.PoolName}, &pool); err != nil {
		return client.IgnoreNotFound(err)
	}
	if pool.Status.ReadyPods < pool.Spec.MaxPods || pool.Status.FreeSessions > 0 {
		return nil
	}
	return &RefusedError{RefusalNoCapacity, fmt.Sprintf("MediaPool %q has all %d media pods that it may have, and none has room now", pool.Name, pool.Spec.MaxPods)}
}

// stillThere fails with ErrClosing when the Session that a Connection was made for is gone.
func (o *Store) stillThere(ctx context.Context, connection *v1alpha1.Connection, uid types.UID) error {
	session, err := o.SessionNamed(ctx, connection.Namespace, connection.Spec.SessionName)
	if err == nil && (session == nil || session.UID != uid) {
		err = ErrClosing
	}
	return err
}

// withdraw deletes a Connection whose token nobody has learned, also when who asked for it has
// gone.
func (o *Store) withdraw(ctx context.Context, connection *v1alpha1.Connection) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTimeout)
	defer cancel()
	if err := o.Live.Delete(ctx, connection, client.Preconditions{UID: &connection.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Connection %s: %w", connection.Name, err)
	}
	return nil
}
