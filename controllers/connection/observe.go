package connection

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/placement"
	"mediarooms.dev/mediarooms/internal/naming"
	"mediarooms.dev/mediarooms/internal/token"
)

// observed is everything that a pass over a Connection knows.
type observed struct {
	connection *v1alpha1.Connection
	// session that it belongs to; nil when there is none.
	session *v1alpha1.Session
	// pool of the session; nil when it is not known.
	pool *v1alpha1.MediaPool
	// decided says that the session was placed, or waits for a pod: that it is valid.
	decided bool
	// view is what the media pod knows of it.
	view fleet.ConnectionView
	// tokenURL is what the client takes; "" while the session's URL is not known.
	tokenURL string
	// secret is the Secret of spec.tokenSecretName; nil when there is none, or none is named.
	secret *corev1.Secret
	// outdated is the Secret that the token was in, when another is named now, or none; nil when there is none.
	outdated *corev1.Secret
	// ignored says which of the Connection's ICE servers its client is not told, and why; "" when none is.
	ignored string
	// verdict of the ledger; admit sets it.
	verdict placement.Verdict
	now     time.Time
}

// observe reads everything, from the cache, the fleet, and for a token's Secret from the API server.
func (r *Reconciler) observe(ctx context.Context, connection *v1alpha1.Connection) (observed, error) {
	o := observed{
		connection: connection, ignored: r.Media.Ignored("customIceServers", connection.Spec.CustomIceServers), now: r.Clock.Now(),
	}
	var session v1alpha1.Session
	name := types.NamespacedName{Namespace: connection.Namespace, Name: connection.Spec.SessionName}
	if err := r.Client.Get(ctx, name, &session); apierrors.IsNotFound(err) {
		return o, nil
	} else if err != nil {
		return o, fmt.Errorf("reading Session %s: %w", name.Name, err)
	}
	if ofEarlier(connection, &session) {
		return o, nil
	}
	o.session = &session
	_, o.decided = r.Ledger.Pod(session.UID)
	o.view = r.Fleet.Connection(session.UID, connection.UID)
	if !connection.DeletionTimestamp.IsZero() {
		return o, nil
	}

	pool, err := r.pool(ctx, &session)
	if err != nil {
		return o, err
	}
	if o.pool = pool; pool != nil {
		keys, err := r.Keys.SigningKeys(ctx)
		if err != nil {
			return o, fmt.Errorf("reading the signing keys: %w", err)
		}
		secret := token.Derive(keys.For(connection.CreationTimestamp.Time), string(connection.UID), connection.Spec.TokenRotation)
		o.tokenURL = token.URL(desired.SignallingURL(pool), naming.RoutingKeyOf(&session, r.DefaultNamespace), secret)
	}
	if connection.Spec.TokenSecretName != "" {
		if o.secret, err = r.tokenSecret(ctx, connection, connection.Spec.TokenSecretName); err != nil {
			return o, err
		}
	}
	if before := connection.Status.TokenSecretName; before != "" && before != connection.Spec.TokenSecretName {
		if o.outdated, err = r.tokenSecret(ctx, connection, before); err != nil {
			return o, err
		}
	}
	return o, nil
}

// ofEarlier says whether a Connection was made for a Session that is gone and had the name of this one. The REST API names the Session's UID as it makes a
// Connection, so that one which comes too late does not turn up in another room.
func ofEarlier(connection *v1alpha1.Connection, session *v1alpha1.Session) bool {
	earlier := false
	for _, owner := range connection.OwnerReferences {
		if owner.Kind != "Session" || owner.APIVersion != v1alpha1.GroupVersion.String() || owner.Name != session.Name {
			continue
		}
		if owner.UID == session.UID {
			return false
		}
		earlier = true
	}
	return earlier
}

// pool returns the pool of a Session, nil when it is not known.
func (r *Reconciler) pool(ctx context.Context, session *v1alpha1.Session) (*v1alpha1.MediaPool, error) {
	var list v1alpha1.MediaPoolList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing MediaPools: %w", err)
	}
	return naming.PoolOf(session, list.Items), nil
}

// tokenSecret returns a Secret of a Connection, nil when there is none, or none that may be read: writing it then says so.
func (r *Reconciler) tokenSecret(ctx context.Context, connection *v1alpha1.Connection, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: connection.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the token's Secret: %w", err)
	}
	return &secret, nil
}

// admit asks the ledger for a place, if it makes sense. The place is reserved when this returns.
func (r *Reconciler) admit(o *observed) {
	o.verdict = placement.SessionUnplaced
	c := o.connection
	if o.session == nil || !o.session.DeletionTimestamp.IsZero() || c.Spec.Type == v1alpha1.ConnectionTypeIPCam {
		return
	}
	if participant.State(c.Status.State, o.view.Seen) == v1alpha1.ConnectionStateDisconnected {
		// Who has left holds no place, and was admitted once.
		o.verdict = placement.Admitted
		return
	}
	guest := placement.Guest{UID: c.UID, Name: client.ObjectKeyFromObject(c), Room: o.session.UID}
	var podConnections int32
	if o.pool != nil {
		podConnections = o.pool.Spec.Capacity.Connections
	}
	o.verdict = r.Ledger.Admit(guest, o.session.Spec.MaxConnections, podConnections)
}
