//go:build e2e

package rest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/test/cluster"
)

// patience is how long an answer or a notification may take while many tests run on a small machine; the Java client waits as long.
const patience = 30 * time.Second

// parallel is how many tests with t.Parallel run at once unless -parallel says otherwise: most of them wait.
const parallel = "16"

// What all tests share. TestMain sets it once.
var (
	// kube is the cluster under test.
	kube *cluster.Cluster
	// shared is the tenant of those tests that need none of their own.
	shared *tenant
)

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	err := prepare(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "rest: %v\n", err)
		return 1
	}
	code := m.Run()
	if err := shared.remove(); err != nil {
		fmt.Fprintf(os.Stderr, "rest: %v\n", err)
		return 1
	}
	return code
}

func prepare(ctx context.Context) (err error) {
	if kube, err = cluster.Open(); err != nil {
		return err
	}
	if _, err = kube.Prepare(ctx); err != nil {
		return err
	}
	shared, err = makeTenant(ctx)
	return err
}

// tenant is a namespace whose rooms are made by REST.
type tenant struct {
	namespace *corev1.Namespace
	// secret is its password.
	secret string
}

// dumped makes sure that the state of the cluster is written down for the first failure only.
var dumped sync.Once

// newTenant makes a tenant of a test's own, which starts empty. It goes at the end of the test.
func newTenant(t *testing.T) *tenant {
	t.Helper()
	n, err := makeTenant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			dumped.Do(func() { kube.Dump(t, n.namespace.Name) })
		}
		if err := n.remove(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// makeTenant makes a tenant by the steps of docs/install.md, and waits until its password is known.
func makeTenant(ctx context.Context) (*tenant, error) {
	n := &tenant{namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rest-"}}, secret: unique("secret")}
	if err := kube.Client.Create(ctx, n.namespace); err != nil {
		return nil, fmt.Errorf("making a tenant: %w", err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: n.namespace.Name, Name: "mediarooms-rest"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "mediarooms-rest"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: cluster.Namespace, Name: "mediarooms-gateway"}},
	}
	if err := kube.Client.Create(ctx, binding); err != nil {
		return nil, fmt.Errorf("making a tenant: %w", err)
	}
	password := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: n.namespace.Name, Name: "mediarooms-rest"}, StringData: map[string]string{"secret": n.secret},
	}
	if err := kube.Client.Create(ctx, password); err != nil {
		return nil, fmt.Errorf("making a tenant: %w", err)
	}
	// Wrong passwords are counted, so the one that is not known yet is not tried often.
	deadline := time.Now().Add(patience)
	for wait := 200 * time.Millisecond; ; wait *= 2 {
		known, err := n.isKnown(ctx)
		if err == nil && known {
			return n, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("waiting for the password of tenant %s to be known: %w", n.namespace.Name, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// remove deletes the tenant and waits until everything in it is gone.
func (n *tenant) remove() error {
	if err := kube.Client.Delete(context.Background(), n.namespace); err != nil {
		return fmt.Errorf("deleting a tenant: %w", err)
	}
	return cluster.Poll(context.Background(), time.Minute, func() error { return kube.Gone(n.namespace) })
}
