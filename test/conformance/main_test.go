//go:build e2e

package conformance

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// ready is how long a Session or a Connection may take to be Ready while many tests run on a small
// machine.
const ready = 60 * time.Second

// roomLabel marks the Sessions of this suite.
const roomLabel = "conformance"

// kube is the cluster under test. It is set once, by prepare.
var kube *cluster.Cluster

func TestMain(m *testing.M) {
	// Many tests wait for timers of the protocol. More at once are more than two cores keep up
	// with.
	os.Exit(cluster.Suite{Name: "conformance", Parallel: 16, Prepare: prepare, End: end}.Run(m))
}

func prepare(_ context.Context, c *cluster.Cluster, _ cluster.Samples) error {
	kube = c
	return nil
}

func end() error {
	closeChromium()
	return wait.Poll(context.Background(), time.Minute, noRooms)
}

// noRooms gives no error when no Session of this suite exists any more.
func noRooms() error {
	var sessions v1alpha1.SessionList
	err := kube.Client.List(context.Background(), &sessions, client.InNamespace(cluster.DefaultTenant), client.HasLabels{roomLabel})
	if err == nil && len(sessions.Items) > 0 {
		err = fmt.Errorf("%d Sessions are left, the first is %s", len(sessions.Items), sessions.Items[0].Name)
	}
	return err
}

// room is a Session of a test's own, in the default tenant, so that its name is its session id. It
// goes at the end of the test.
type room struct {
	name string
}

// newRoom makes a Session and waits until it is Ready; change, unless nil, changes it first.
func newRoom(t *testing.T, change func(*v1alpha1.SessionSpec)) *room {
	t.Helper()
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{
		Namespace: cluster.DefaultTenant, GenerateName: "conf-", Labels: map[string]string{roomLabel: "raw"},
	}}
	if change != nil {
		change(&session.Spec)
	}
	if err := kube.Client.Create(t.Context(), session); err != nil {
		t.Fatalf("creating a Session: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			kube.DumpOnce(t, cluster.DefaultTenant)
		}
		if err := client.IgnoreNotFound(kube.Client.Delete(context.Background(), session)); err != nil {
			t.Errorf("deleting Session %s: %v", session.Name, err)
		}
	})
	kube.WaitSession(t, ready, cluster.DefaultTenant, session.Name)
	return &room{name: session.Name}
}

// connection makes a Connection to the room and waits until it has a token; change, unless nil,
// changes it first.
func (r *room) connection(t *testing.T, change func(*v1alpha1.ConnectionSpec)) *v1alpha1.Connection {
	t.Helper()
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.DefaultTenant, GenerateName: r.name + "-"},
		Spec:       v1alpha1.ConnectionSpec{SessionName: r.name},
	}
	if change != nil {
		change(&connection.Spec)
	}
	if err := kube.Client.Create(t.Context(), connection); err != nil {
		t.Fatalf("creating a Connection: %v", err)
	}
	return kube.WaitConnection(t, ready, cluster.DefaultTenant, connection.Name)
}

// token returns the token URL of a new Connection with a role.
func (r *room) token(t *testing.T, role v1alpha1.Role) string {
	t.Helper()
	return r.connection(t, func(spec *v1alpha1.ConnectionSpec) { spec.Role = role }).Status.Token
}
