//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/wait"
)

// A backup by kubectl comes back as working rooms: where it was, and in another namespace.
func TestABackupComesBack(t *testing.T) {
	namespace, other := kube.NewNamespace(t), kube.NewNamespace(t)
	kube.CreateSession(t, namespace, "demo")
	kube.CreateConnection(t, namespace, "demo", "guest", nil)
	before := kube.WaitConnection(t, 30*time.Second, namespace, "guest").Status.Token
	backup := kubectl(t, "", "get", "sessions,connections", "-n", namespace, "-o", "yaml")
	kubectl(t, "", "delete", "sessions,connections", "--all", "-n", namespace)

	kubectl(t, backup, "apply", "-n", namespace, "-f", "-")
	kubectl(t, strings.ReplaceAll(backup, "namespace: "+namespace, "namespace: "+other), "apply", "-n", other, "-f", "-")
	for _, namespace := range []string{namespace, other} {
		kube.WaitSession(t, 30*time.Second, namespace, "demo")
		guest := kube.WaitConnection(t, 30*time.Second, namespace, "guest")
		if guest.Status.Token == before || guest.Status.State != v1alpha1.ConnectionStatePending {
			t.Errorf("in %s it is %s, and its token is new: %t", namespace, guest.Status.State, guest.Status.Token != before)
		}
		stays(t, namespace, guest)
	}
}

// With --cascade=orphan the room closes, and who may be in it is there for the next one.
func TestOrphansAreThereForTheNextSession(t *testing.T) {
	namespace := kube.NewNamespace(t)
	kube.CreateSession(t, namespace, "demo")
	kube.CreateConnection(t, namespace, "demo", "guest", nil)
	guest := kube.WaitConnection(t, 30*time.Second, namespace, "guest")
	kubectl(t, "", "delete", "session", "demo", "--cascade=orphan", "-n", namespace)
	stays(t, namespace, guest)
	kube.CreateSession(t, namespace, "demo")
	if after := kube.WaitConnection(t, 30*time.Second, namespace, "guest"); after.UID != guest.UID {
		t.Error("it is another one")
	}
}

// stays fails unless a Connection outlives a look of Kubernetes' garbage collector: one at a Secret
// whose owner there never was, made after the Connection.
func stays(t *testing.T, namespace string, connection *v1alpha1.Connection) {
	t.Helper()
	kubectl(t, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orphan", "ownerReferences": [
		{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "%s"}]}}`, connection.UID), "apply", "-n", namespace, "-f", "-")
	err := wait.Poll(t.Context(), 30*time.Second, func() error {
		if found := kubectl(t, "", "get", "secrets", "-n", namespace, "-o", "name"); strings.Contains(found, "secret/orphan") {
			return fmt.Errorf("there is %s", found)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("waiting for the garbage collector: %v", err)
	}
	after, err := kube.Connection(namespace, connection.Name)
	if err != nil || after.UID != connection.UID || !after.DeletionTimestamp.IsZero() {
		t.Errorf("it was collected: %v", err)
	}
}

func kubectl(t *testing.T, input string, arguments ...string) string {
	t.Helper()
	output, err := kube.KubectlInput(context.WithoutCancel(t.Context()), input, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}
