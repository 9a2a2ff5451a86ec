package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/class"
	"mediarooms.dev/mediarooms/internal/naming"
)

// Names of the cache's indexes: Sessions by session id, Connections by connection id.
const (
	sessionIDIndex    = "mediarooms.dev/rest-session-id"
	connectionIDIndex = "mediarooms.dev/rest-connection-id"
)

// ConflictBackoff is how a change of an object that others change at the same time is tried again:
// eight times, within about two seconds.
var ConflictBackoff = wait.Backoff{Steps: 8, Duration: 10 * time.Millisecond, Factor: 2, Jitter: 0.5}

// Store finds, makes and removes Sessions and Connections, and waits for what the operator does
// with them. What it returns was read from the API server itself; see the package comment. Safe for
// concurrent use.
type Store struct {
	// Live reads and writes at the API server itself.
	Live client.Client
	// Cached reads what the gateway has in its caches. Connections are listed of one namespace
	// only.
	Cached client.Reader
	// Class of this installation: whose pools Sessions are made in.
	Class class.Name

	tenants  *members
	sessions changes
	members  changes // of Connections
}

// New returns the Store over a cache of all Sessions and MediaPools that has not started yet, and
// what opens a cache, not started, for the Connections of a namespace.
func New(ctx context.Context, shared cache.Cache, open func(namespace string) (cache.Cache, error), live client.Client) (*Store, error) {
	o := &Store{Live: live}
	o.tenants = &members{open: open, changes: &o.members, running: context.WithoutCancel(ctx)}
	o.Cached = cached{shared: shared, members: o.tenants}
	if err := shared.IndexField(ctx, &v1alpha1.Session{}, sessionIDIndex, indexSession); err != nil {
		return nil, fmt.Errorf("indexing Sessions: %w", err)
	}
	informer, err := shared.GetInformer(ctx, &v1alpha1.Session{})
	if err != nil {
		return nil, fmt.Errorf("watching Sessions: %w", err)
	}
	if err := o.sessions.watch(informer); err != nil {
		return nil, fmt.Errorf("watching Sessions: %w", err)
	}
	// Asked for now, they are there before the first request.
	if _, err := shared.GetInformer(ctx, &v1alpha1.MediaPool{}); err != nil {
		return nil, fmt.Errorf("watching the MediaPools: %w", err)
	}
	return o, nil
}

// Forget drops what is kept for a tenant that is none any more. It may become one again.
func (o *Store) Forget(namespace string) { o.tenants.forget(namespace) }

// Close ends what runs in the background. The Store fails from then on.
func (o *Store) Close() { o.tenants.close() }

// AwaitConnection looks at once, after each change of a Connection and now and then, until look is
// done or fails. It returns nil, the error of look, ErrWaitedTooLong after a while, or the
// context's error.
func (o *Store) AwaitConnection(ctx context.Context, atMost time.Duration, connection client.ObjectKey, look func() (done bool, err error)) error {
	return o.members.await(ctx, atMost, connection, look)
}

func indexSession(object client.Object) []string {
	session, ok := object.(*v1alpha1.Session)
	if !ok {
		return nil
	}
	return []string{naming.SessionID(session)}
}

func indexConnection(object client.Object) []string {
	connection, ok := object.(*v1alpha1.Connection)
	if !ok {
		return nil
	}
	return []string{ConnectionID(connection)}
}

// OwnSessionID returns a session id without the tenant in front of it, with which it stands in the
// tokens of all tenants but the default one: applications take it from there. An id of another
// tenant's stays as it is, which is nobody's.
func OwnSessionID(namespace, id string) string {
	return strings.TrimPrefix(id, namespace+".")
}

// Session returns the Session that has a session id; nil for none. One that is being closed is
// returned only when there is no other.
func (o *Store) Session(ctx context.Context, namespace, id string) (*v1alpha1.Session, error) {
	id = OwnSessionID(namespace, id)
	var closing *v1alpha1.Session
	tried := map[string]bool{}
	try := func(name string) (*v1alpha1.Session, error) {
		tried[name] = true
		session, err := o.SessionNamed(ctx, namespace, name)
		switch {
		case err != nil || session == nil || naming.SessionID(session) != id:
			return nil, err
		case Exists(session):
			return session, nil
		case !session.DeletionTimestamp.IsZero():
			closing = session
		}
		return nil, nil
	}
	if sessionIDs.MatchString(id) {
		for _, name := range Names(id) {
			if session, err := try(name); err != nil || session != nil {
				return session, err
			}
		}
	}
	// Somebody may have given it another name.
	var indexed v1alpha1.SessionList
	if err := o.Cached.List(ctx, &indexed, client.InNamespace(namespace), client.MatchingFields{sessionIDIndex: id}); err != nil {
		return nil, fmt.Errorf("looking up a Session: %w", err)
	}
	byCreation[v1alpha1.Session](indexed.Items)
	for i := range indexed.Items {
		if name := indexed.Items[i].Name; !tried[name] {
			if session, err := try(name); err != nil || session != nil {
				return session, err
			}
		}
	}
	return closing, nil
}

// LikelySession returns the Session that has a session id, as the cache has it, which may be late;
// nil when the cache does not tell. Who makes something of it names its UID, so that the operator
// refuses what comes too late.
func (o *Store) LikelySession(ctx context.Context, namespace, id string) (*v1alpha1.Session, error) {
	id = OwnSessionID(namespace, id)
	var indexed v1alpha1.SessionList
	if err := o.Cached.List(ctx, &indexed, client.InNamespace(namespace), client.MatchingFields{sessionIDIndex: id}); err != nil {
		return nil, fmt.Errorf("looking up a Session: %w", err)
	}
	if len(indexed.Items) != 1 || !Exists(&indexed.Items[0]) {
		return nil, nil
	}
	return &indexed.Items[0], nil
}

// SessionNamed returns the Session object with a name; nil for none.
func (o *Store) SessionNamed(ctx context.Context, namespace, name string) (*v1alpha1.Session, error) {
	var session v1alpha1.Session
	if err := o.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &session); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading Session %s: %w", name, err)
	}
	return &session, nil
}

// DefaultPool returns the MediaPool that hosts the Sessions for which callers name none, from the
// cache; an empty one when there is none.
func (o *Store) DefaultPool(ctx context.Context) (*v1alpha1.MediaPool, error) {
	var pools v1alpha1.MediaPoolList
	if err := o.Cached.List(ctx, &pools); err != nil {
		return nil, fmt.Errorf("looking up the MediaPools: %w", err)
	}
	return cmp.Or(naming.DefaultPool(pools.Items, o.Class), &v1alpha1.MediaPool{}), nil
}

// Connection returns the Connection of a Session that has a connection id, if callers are shown it;
// nil for none.
func (o *Store) Connection(ctx context.Context, session *v1alpha1.Session, id string) (*v1alpha1.Connection, error) {
	var indexed v1alpha1.ConnectionList
	if err := o.Cached.List(ctx, &indexed, client.InNamespace(session.Namespace), client.MatchingFields{connectionIDIndex: id}); err != nil {
		return nil, fmt.Errorf("looking up a Connection: %w", err)
	}
	if len(indexed.Items) == 1 {
		var connection v1alpha1.Connection
		err := o.Live.Get(ctx, client.ObjectKeyFromObject(&indexed.Items[0]), &connection)
		switch {
		case client.IgnoreNotFound(err) != nil:
			return nil, fmt.Errorf("reading a Connection: %w", err)
		case err != nil || ConnectionID(&connection) != id || connection.Spec.SessionName != session.Name || !Listed(&connection):
			return nil, nil
		case len(connection.Status.Subscribers) == 0:
			return &connection, nil
		}
	}
	// Another gateway may have made it a moment ago, or it depends on others what it receives.
	connections, err := o.Connections(ctx, session)
	if err != nil {
		return nil, err
	}
	for i := range connections {
		if ConnectionID(&connections[i]) == id {
			return &connections[i], nil
		}
	}
	return nil, nil
}

// Connections returns the Connections of a Session that callers are shown, by creation.
func (o *Store) Connections(ctx context.Context, session *v1alpha1.Session) ([]v1alpha1.Connection, error) {
	var list v1alpha1.ConnectionList
	err := o.Live.List(ctx, &list, client.InNamespace(session.Namespace), client.MatchingFields{v1alpha1.SessionNameField: session.Name})
	if err != nil {
		return nil, fmt.Errorf("listing the Connections of Session %s: %w", session.Name, err)
	}
	return shown(list.Items), nil
}

// shown returns those of some Connections that callers are shown, by creation. They receive only
// streams that one of them sends: the end of a stream is observed of its publisher, and of each of
// its subscribers, but not in one moment.
func shown(connections []v1alpha1.Connection) []v1alpha1.Connection {
	var found []v1alpha1.Connection
	sent := map[string]bool{}
	for i := range connections {
		if Listed(&connections[i]) {
			found = append(found, connections[i])
			for _, publisher := range connections[i].Status.Publishers {
				sent[publisher.StreamID] = true
			}
		}
	}
	for i := range found {
		status := &found[i].Status
		status.Subscribers = slices.DeleteFunc(status.Subscribers, func(subscriber v1alpha1.SubscriberStatus) bool { return !sent[subscriber.StreamID] })
	}
	byCreation[v1alpha1.Connection](found)
	return found
}

// All returns the Sessions of a namespace that callers are shown, by creation, and of each the
// Connections, by its object's name.
func (o *Store) All(ctx context.Context, namespace string) ([]v1alpha1.Session, map[string][]v1alpha1.Connection, error) {
	var sessions v1alpha1.SessionList
	if err := o.Live.List(ctx, &sessions, client.InNamespace(namespace)); err != nil {
		return nil, nil, fmt.Errorf("listing Sessions: %w", err)
	}
	var connections v1alpha1.ConnectionList
	if err := o.Live.List(ctx, &connections, client.InNamespace(namespace)); err != nil {
		return nil, nil, fmt.Errorf("listing Connections: %w", err)
	}
	var found []v1alpha1.Session
	for i := range sessions.Items {
		if Exists(&sessions.Items[i]) {
			found = append(found, sessions.Items[i])
		}
	}
	byCreation[v1alpha1.Session](found)
	members := map[string][]v1alpha1.Connection{}
	for _, connection := range shown(connections.Items) {
		members[connection.Spec.SessionName] = append(members[connection.Spec.SessionName], connection)
	}
	return found, members, nil
}

// Remove deletes an object and waits until it has gone. It returns false when it is still going
// after a while.
func (o *Store) Remove(ctx context.Context, object client.Object, atMost time.Duration) (gone bool, err error) {
	uid := object.GetUID()
	if err := o.Live.Delete(ctx, object, client.Preconditions{UID: &uid}); apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("deleting %T %s: %w", object, object.GetName(), err)
	}
	return o.WaitGone(ctx, object, atMost)
}

// WaitGone waits until an object has gone. It returns false when it is still there after a while.
func (o *Store) WaitGone(ctx context.Context, object client.Object, atMost time.Duration) (gone bool, err error) {
	key, uid := client.ObjectKeyFromObject(object), object.GetUID()
	absent := func(reader client.Reader) (bool, error) {
		current, ok := object.DeepCopyObject().(client.Object)
		if !ok {
			return false, fmt.Errorf("copying %T: not an object", object)
		}
		err := reader.Get(ctx, key, current)
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading %T %s: %w", object, key.Name, err)
		}
		return current.GetUID() != uid, nil
	}
	err = o.changesOf(object).await(ctx, atMost, key, func() (bool, error) {
		// The cache may not know yet that the object was there at all.
		if gone, err := absent(o.Cached); err != nil || !gone {
			return false, err
		}
		return absent(o.Live)
	})
	if errors.Is(err, ErrWaitedTooLong) {
		return absent(o.Live)
	}
	return err == nil, err
}

func (o *Store) changesOf(object client.Object) *changes {
	if _, ok := object.(*v1alpha1.Session); ok {
		return &o.sessions
	}
	return &o.members
}
