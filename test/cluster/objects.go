package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/wait"
)

// NewNamespace makes a namespace for a test. It is deleted at the end of the test, which waits
// until everything in it is gone.
func (c *Cluster) NewNamespace(t testing.TB) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	if err := c.Client.Create(context.Background(), namespace); err != nil {
		t.Fatalf("creating a namespace: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.Dump(t, namespace.Name)
		}
		if err := c.Client.Delete(context.Background(), namespace); err != nil {
			t.Errorf("deleting namespace %s: %v", namespace.Name, err)
		}
		wait.For(t, 60*time.Second, "namespace "+namespace.Name+" to be gone", func() error {
			return c.Gone(namespace)
		})
	})
	return namespace.Name
}

// AllowREST lets a namespace be used by the REST API with a password, by the steps of
// docs/install.md. The gateways learn it soon.
func (c *Cluster) AllowREST(ctx context.Context, namespace, password string) error {
	const name = "mediarooms-rest" // of the binding, of what it binds to, and of the password
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: Namespace, Name: "mediarooms-gateway"}},
	}
	if err := c.Client.Create(ctx, binding); err != nil {
		return fmt.Errorf("allowing REST in namespace %s: %w", namespace, err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: map[string]string{"secret": password}}
	if err := c.Client.Create(ctx, secret); err != nil {
		return fmt.Errorf("allowing REST in namespace %s: %w", namespace, err)
	}
	return nil
}

// CreateSession creates a Session with the defaults of the schema.
func (c *Cluster) CreateSession(t testing.TB, namespace, name string, changes ...func(*v1alpha1.SessionSpec)) *v1alpha1.Session {
	t.Helper()
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, change := range changes {
		change(&session.Spec)
	}
	if err := c.Client.Create(context.Background(), session); err != nil {
		t.Fatalf("creating Session %s: %v", name, err)
	}
	return session
}

// CreateConnection creates a Connection to a Session; change, unless nil, changes it first.
func (c *Cluster) CreateConnection(t testing.TB, namespace, session, name string, change func(*v1alpha1.ConnectionSpec)) *v1alpha1.Connection {
	t.Helper()
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.ConnectionSpec{SessionName: session},
	}
	if change != nil {
		change(&connection.Spec)
	}
	if err := c.Client.Create(context.Background(), connection); err != nil {
		t.Fatalf("creating Connection %s: %v", name, err)
	}
	return connection
}

// Session reads a Session.
func (c *Cluster) Session(namespace, name string) (*v1alpha1.Session, error) {
	session := &v1alpha1.Session{}
	err := c.Client.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, session)
	return session, err
}

// Connection reads a Connection.
func (c *Cluster) Connection(namespace, name string) (*v1alpha1.Connection, error) {
	connection := &v1alpha1.Connection{}
	err := c.Client.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, connection)
	return connection, err
}

// Pool reads a MediaPool.
func (c *Cluster) Pool(name string) (*v1alpha1.MediaPool, error) {
	pool := &v1alpha1.MediaPool{}
	err := c.Client.Get(context.Background(), client.ObjectKey{Name: name}, pool)
	return pool, err
}

// MediaPods lists the media pods of a pool that have not ended.
func (c *Cluster) MediaPods(pool string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := c.Client.List(context.Background(), &pods, client.InNamespace(Namespace), client.MatchingLabels{
		v1alpha1.ComponentLabel: v1alpha1.ComponentMediaPod, v1alpha1.PoolLabel: pool,
	})
	if err != nil {
		return nil, err
	}
	running := pods.Items[:0]
	for _, pod := range pods.Items {
		if pod.Status.Phase != corev1.PodFailed && pod.Status.Phase != corev1.PodSucceeded {
			running = append(running, pod)
		}
	}
	return running, nil
}

// Gone gives no error once an object no longer exists.
func (c *Cluster) Gone(object client.Object) error {
	err := c.Client.Get(context.Background(), client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%s still exists; finalizers: %v", object.GetName(), object.GetFinalizers())
}

// Ready gives no error when the conditions say that an object is ready, for its newest generation.
func Ready(object client.Object, conditions []metav1.Condition) error {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return fmt.Errorf("%s has no condition Ready", object.GetName())
	}
	if ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != object.GetGeneration() {
		return fmt.Errorf("%s: Ready is %s (%s: %s) for generation %d of %d",
			object.GetName(), ready.Status, ready.Reason, ready.Message, ready.ObservedGeneration, object.GetGeneration())
	}
	return nil
}

// WaitSession waits until a Session is Ready.
func (c *Cluster) WaitSession(t testing.TB, within time.Duration, namespace, name string) *v1alpha1.Session {
	t.Helper()
	var session *v1alpha1.Session
	wait.For(t, within, "Session "+name+" to be Ready", func() (err error) {
		if session, err = c.Session(namespace, name); err != nil {
			return err
		}
		return Ready(session, session.Status.Conditions)
	})
	return session
}

// WaitConnection waits until a Connection is Ready and its deletion waits for the media pod; then
// it has a token, or its user is in the room.
func (c *Cluster) WaitConnection(t testing.TB, within time.Duration, namespace, name string) *v1alpha1.Connection {
	t.Helper()
	var connection *v1alpha1.Connection
	wait.For(t, within, "Connection "+name+" to be Ready", func() (err error) {
		if connection, err = c.Connection(namespace, name); err != nil {
			return err
		}
		if err := Ready(connection, connection.Status.Conditions); err != nil {
			return err
		}
		// Its token works already; a deletion waits for the media pod from here on (docs/adr/0007).
		if len(connection.Finalizers) == 0 {
			return errors.New("it has no finalizer yet")
		}
		return nil
	})
	return connection
}
