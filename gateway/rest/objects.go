package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/hosting"
	"mediarooms.dev/mediarooms/internal/naming"
)

// Names of the cache's indexes: Sessions by session id, Connections by connection id.
const (
	sessionIDIndex    = "mediarooms.dev/rest-session-id"
	connectionIDIndex = "mediarooms.dev/rest-connection-id"
)

// objects finds Sessions and Connections by their OpenVidu ids, and waits for what the operator
// does with them. What it returns was read from the API server itself; see the package comment.
// Safe for concurrent use.
type objects struct {
	live     client.Client
	cached   client.Reader
	tenants  *members
	sessions changes
	members  changes // of Connections
}

// newObjects returns the objects that a cache of all Sessions and MediaPools, and caches of each
// tenant's Connections know of.
func newObjects(ctx context.Context, shared cache.Cache, open func(namespace string) (cache.Cache, error), live client.Client) (*objects, error) {
	o := &objects{live: live}
	o.tenants = &members{open: open, changes: &o.members, running: context.WithoutCancel(ctx)}
	o.cached = cached{shared: shared, members: o.tenants}
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
	return []string{connectionID(connection)}
}

// ownSessionID returns a session id without the tenant in front of it, with which it stands in the
// tokens of all tenants but the default one: applications take it from there. An id of another
// tenant's stays as it is, which is nobody's.
func ownSessionID(namespace, id string) string {
	return strings.TrimPrefix(id, namespace+".")
}

// session returns the Session that has a session id; nil for none. One that is being closed is
// returned only when there is no other.
func (o *objects) session(ctx context.Context, namespace, id string) (*v1alpha1.Session, error) {
	id = ownSessionID(namespace, id)
	var closing *v1alpha1.Session
	tried := map[string]bool{}
	try := func(name string) (*v1alpha1.Session, error) {
		tried[name] = true
		session, err := o.sessionNamed(ctx, namespace, name)
		switch {
		case err != nil || session == nil || naming.SessionID(session) != id:
			return nil, err
		case exists(session):
			return session, nil
		case !session.DeletionTimestamp.IsZero():
			closing = session
		}
		return nil, nil
	}
	if sessionIDs.MatchString(id) && len(id) <= maxSessionID {
		for _, name := range objectNames(id) {
			if session, err := try(name); err != nil || session != nil {
				return session, err
			}
		}
	}
	// Somebody may have given it another name.
	var indexed v1alpha1.SessionList
	if err := o.cached.List(ctx, &indexed, client.InNamespace(namespace), client.MatchingFields{sessionIDIndex: id}); err != nil {
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

// likelySession returns the Session that has a session id, as the cache has it, which may be late;
// nil when the cache does not tell. Who makes something of it names its UID, so that the operator
// refuses what comes too late.
func (o *objects) likelySession(ctx context.Context, namespace, id string) (*v1alpha1.Session, error) {
	id = ownSessionID(namespace, id)
	var indexed v1alpha1.SessionList
	if err := o.cached.List(ctx, &indexed, client.InNamespace(namespace), client.MatchingFields{sessionIDIndex: id}); err != nil {
		return nil, fmt.Errorf("looking up a Session: %w", err)
	}
	if len(indexed.Items) != 1 || !exists(&indexed.Items[0]) {
		return nil, nil
	}
	return &indexed.Items[0], nil
}

// sessionNamed returns the Session object with a name; nil for none.
func (o *objects) sessionNamed(ctx context.Context, namespace, name string) (*v1alpha1.Session, error) {
	var session v1alpha1.Session
	if err := o.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &session); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading Session %s: %w", name, err)
	}
	return &session, nil
}

// checkPool fails when a MediaPool is named that does not exist, or when the pool, also the one
// that a Session without a name gets, does not host the Sessions of the tenant: a request for a
// media node that can't be had is a bad one.
func (o *objects) checkPool(ctx context.Context, tenant, name string) error {
	if name == "" {
		pool, err := o.defaultPool(ctx)
		if err != nil {
			return err
		}
		return o.checkTenant(ctx, tenant, pool, "no 'mediaNode.id', and the default MediaPool %q hosts no sessions of this tenant")
	}
	var pool v1alpha1.MediaPool
	if err := o.live.Get(ctx, client.ObjectKey{Name: name}, &pool); apierrors.IsNotFound(err) {
		return badRequest("'mediaNode.id': there is no MediaPool %q", name)
	} else if err != nil {
		return fmt.Errorf("reading MediaPool %s: %w", name, err)
	}
	return o.checkTenant(ctx, tenant, &pool, "'mediaNode.id': MediaPool %q hosts no sessions of this tenant")
}

// checkTenant fails, with a sentence about the pool, when it does not host the Sessions of a
// tenant.
func (o *objects) checkTenant(ctx context.Context, tenant string, pool *v1alpha1.MediaPool, sentence string) error {
	if hosting.Open(pool) {
		return nil
	}
	var namespace corev1.Namespace
	if err := o.live.Get(ctx, client.ObjectKey{Name: tenant}, &namespace); err != nil {
		return fmt.Errorf("reading Namespace %s: %w", tenant, err)
	}
	if !hosting.Allows(pool, namespace.Labels) {
		return badRequest(sentence, pool.Name)
	}
	return nil
}

// defaultPool returns the MediaPool that hosts the Sessions that name none, from the cache; an
// empty one when there is none.
func (o *objects) defaultPool(ctx context.Context) (*v1alpha1.MediaPool, error) {
	var pools v1alpha1.MediaPoolList
	if err := o.cached.List(ctx, &pools); err != nil {
		return nil, fmt.Errorf("looking up the MediaPools: %w", err)
	}
	return cmp.Or(naming.DefaultPool(pools.Items), &v1alpha1.MediaPool{}), nil
}

// connection returns the Connection of a Session that has a connection id, if REST shows it; nil
// for none.
func (o *objects) connection(ctx context.Context, session *v1alpha1.Session, id string) (*v1alpha1.Connection, error) {
	var indexed v1alpha1.ConnectionList
	if err := o.cached.List(ctx, &indexed, client.InNamespace(session.Namespace), client.MatchingFields{connectionIDIndex: id}); err != nil {
		return nil, fmt.Errorf("looking up a Connection: %w", err)
	}
	if len(indexed.Items) == 1 {
		var connection v1alpha1.Connection
		err := o.live.Get(ctx, client.ObjectKeyFromObject(&indexed.Items[0]), &connection)
		switch {
		case client.IgnoreNotFound(err) != nil:
			return nil, fmt.Errorf("reading a Connection: %w", err)
		case err != nil || connectionID(&connection) != id || connection.Spec.SessionName != session.Name || !listed(&connection):
			return nil, nil
		case len(connection.Status.Subscribers) == 0:
			return &connection, nil
		}
	}
	// Another gateway may have made it a moment ago, or it depends on others what it receives.
	connections, err := o.connections(ctx, session)
	if err != nil {
		return nil, err
	}
	for i := range connections {
		if connectionID(&connections[i]) == id {
			return &connections[i], nil
		}
	}
	return nil, nil
}

// connections returns the Connections of a Session that REST shows, by creation.
func (o *objects) connections(ctx context.Context, session *v1alpha1.Session) ([]v1alpha1.Connection, error) {
	var list v1alpha1.ConnectionList
	err := o.live.List(ctx, &list, client.InNamespace(session.Namespace), client.MatchingFields{v1alpha1.SessionNameField: session.Name})
	if err != nil {
		return nil, fmt.Errorf("listing the Connections of Session %s: %w", session.Name, err)
	}
	return shown(list.Items), nil
}

// shown returns those of some Connections that REST shows, by creation. They receive only streams
// that one of them sends: the end of a stream is observed of its publisher, and of each of its
// subscribers, but not in one moment.
func shown(connections []v1alpha1.Connection) []v1alpha1.Connection {
	var found []v1alpha1.Connection
	sent := map[string]bool{}
	for i := range connections {
		if listed(&connections[i]) {
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

// all returns the Sessions of a namespace that REST shows, by creation, and of each the
// Connections, by its object's name.
func (o *objects) all(ctx context.Context, namespace string) ([]v1alpha1.Session, map[string][]v1alpha1.Connection, error) {
	var sessions v1alpha1.SessionList
	if err := o.live.List(ctx, &sessions, client.InNamespace(namespace)); err != nil {
		return nil, nil, fmt.Errorf("listing Sessions: %w", err)
	}
	var connections v1alpha1.ConnectionList
	if err := o.live.List(ctx, &connections, client.InNamespace(namespace)); err != nil {
		return nil, nil, fmt.Errorf("listing Connections: %w", err)
	}
	var found []v1alpha1.Session
	for i := range sessions.Items {
		if exists(&sessions.Items[i]) {
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

// remove deletes an object and waits until it has gone. It returns false when it is still going
// after a while.
func (o *objects) remove(ctx context.Context, object client.Object, atMost time.Duration) (gone bool, err error) {
	uid := object.GetUID()
	if err := o.live.Delete(ctx, object, client.Preconditions{UID: &uid}); apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("deleting %T %s: %w", object, object.GetName(), err)
	}
	return o.waitGone(ctx, object, atMost)
}

// waitGone waits until an object has gone. It returns false when it is still there after a while.
func (o *objects) waitGone(ctx context.Context, object client.Object, atMost time.Duration) (gone bool, err error) {
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
		if gone, err := absent(o.cached); err != nil || !gone {
			return false, err
		}
		return absent(o.live)
	})
	if errors.Is(err, errWaitedTooLong) {
		return absent(o.live)
	}
	return err == nil, err
}

func (o *objects) changesOf(object client.Object) *changes {
	if _, ok := object.(*v1alpha1.Session); ok {
		return &o.sessions
	}
	return &o.members
}
