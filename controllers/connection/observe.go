package connection

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/rooms"
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
	// room is what is known of it, and where its room is.
	room rooms.ConnectionView
	// pod is how the pod of the room stands; Lost when there is none.
	pod fleet.PodView
	// admission is whether it holds a place; apply asks for one.
	admission rooms.Admission
	// tokenURL is what the client takes; "" while the session's URL is not known.
	tokenURL string
	// secret is the Secret of spec.tokenSecretName; nil when there is none, or none is named.
	secret *corev1.Secret
	// outdated is the Secret that the token was in, when another is named now, or none; nil when
	// there is none.
	outdated *corev1.Secret
	// ignored says which of the Connection's ICE servers its client is not told, and why; "" when
	// none is.
	ignored string
	now     time.Time
}

// observe reads everything but the Session, from the cache, what is known of the room, and for a
// token's Secret from the API server.
func (r *Reconciler) observe(ctx context.Context, connection *v1alpha1.Connection, session *v1alpha1.Session) (observed, error) {
	o := observed{
		connection: connection, ignored: r.Media.Ignored("customIceServers", connection.Spec.CustomIceServers),
		pod: fleet.PodView{State: fleet.Lost}, admission: rooms.SessionUnplaced, now: r.Clock.Now(),
	}
	if session == nil {
		return o, nil
	}
	o.session = session
	r.look(&o)
	if o.room.Admitted || participant.State(connection.Status.State, o.room.Seen) == v1alpha1.ConnectionStateDisconnected {
		o.admission = rooms.Admitted // who has left holds no place, and was admitted once
	}
	if !connection.DeletionTimestamp.IsZero() {
		return o, nil
	}

	pool, err := r.pool(ctx, session)
	if err != nil {
		return o, err
	}
	if o.pool = pool; pool != nil && session.DeletionTimestamp.IsZero() {
		keys, err := r.Keys.SigningKeys(ctx)
		if err != nil {
			return o, fmt.Errorf("reading the signing keys: %w", err)
		}
		identity := r.Identities.Of(session.UID, keys, connection)
		o.tokenURL = token.URL(desired.SignallingURL(pool), naming.RoutingKeyOf(session, r.DefaultNamespace), identity.Token)
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

// pool returns the pool of a Session, nil when it is not known.
func (r *Reconciler) pool(ctx context.Context, session *v1alpha1.Session) (*v1alpha1.MediaPool, error) {
	var list v1alpha1.MediaPoolList
	if err := r.Client.List(ctx, &list, client.DisableReadYourWritesConsistency); err != nil {
		return nil, fmt.Errorf("listing MediaPools: %w", err)
	}
	return naming.PoolOf(session, list.Items), nil
}

// tokenSecret returns a Secret of a Connection, nil when there is none, or none that may be read:
// writing it then says so.
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

// look reads what is known of the Connection and its room's pod now.
func (r *Reconciler) look(o *observed) {
	o.room = r.Rooms.Connection(o.session.UID, o.connection.UID)
	o.pod = fleet.PodView{State: fleet.Lost}
	if o.room.Pod != "" {
		o.pod = r.Fleet.Pod(o.room.Pod)
	}
}
