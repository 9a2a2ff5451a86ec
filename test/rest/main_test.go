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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/test/cluster"
)

// patience is how long an answer or a notification may take while many tests run on a small machine; the Java client waits as long.
const patience = 30 * time.Second

// parallel is how many tests with t.Parallel run at once unless -parallel says otherwise: most of them wait.
const parallel = "16"

// ownTenants is about how many tests have a tenant of their own.
const ownTenants = 10

// What all tests share. TestMain sets it once.
var (
	// kube is the cluster under test.
	kube *cluster.Cluster
	// shared is the tenant of those tests that need none of their own.
	shared *tenant
	// spare are tenants that no test has yet.
	spare chan *tenant
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
	if err := prepare(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "rest: %v\n", err)
		return 1
	}
	code := m.Run()
	if err := removeTenants(); err != nil {
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
	spare = make(chan *tenant, ownTenants)
	for range ownTenants {
		own, err := makeTenant(ctx)
		if err != nil {
			return err
		}
		spare <- own
	}
	if shared, err = makeTenant(ctx); err != nil {
		return err
	}
	// A gateway learns of passwords in the order in which they were made: whoever knows the last one knows all. Wrong ones are counted, so only this one is
	// tried before it is known, and not often.
	return shared.waitKnown(ctx)
}

// tenantLabel marks the namespaces of this suite.
const tenantLabel = "mediarooms.dev/rest-cases"

// tenant is a namespace whose rooms are made by REST.
type tenant struct {
	namespace *corev1.Namespace
	// secret is its password.
	secret string
}

// dumped makes sure that the state of the cluster is written down for the first failure only.
var dumped sync.Once

// newTenant returns a tenant of a test's own, which starts empty.
func newTenant(t *testing.T) *tenant {
	t.Helper()
	var own *tenant
	select {
	case own = <-spare:
	default:
		var err error
		if own, err = makeTenant(t.Context()); err == nil {
			err = own.waitKnown(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			dumped.Do(func() { kube.Dump(t, own.namespace.Name) })
		}
	})
	return own
}

// makeTenant makes a tenant by the steps of docs/install.md.
func makeTenant(ctx context.Context) (*tenant, error) {
	n := &tenant{namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "rest-", Labels: map[string]string{tenantLabel: ""},
	}}, secret: unique("secret")}
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
	return n, nil
}

// waitKnown waits until the gateways know the tenant's password.
func (n *tenant) waitKnown(ctx context.Context) error {
	deadline := time.Now().Add(patience)
	for wait := 200 * time.Millisecond; ; wait *= 2 {
		err := n.known(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting for the password of tenant %s to be known: %w", n.namespace.Name, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// removeTenants deletes all tenants and waits until everything in them is gone.
func removeTenants() error {
	ctx := context.Background()
	var namespaces corev1.NamespaceList
	if err := kube.Client.List(ctx, &namespaces, client.HasLabels{tenantLabel}); err != nil {
		return fmt.Errorf("listing the tenants: %w", err)
	}
	for i := range namespaces.Items {
		if err := client.IgnoreNotFound(kube.Client.Delete(ctx, &namespaces.Items[i])); err != nil {
			return fmt.Errorf("deleting a tenant: %w", err)
		}
	}
	for i := range namespaces.Items {
		if err := cluster.Poll(ctx, time.Minute, func() error { return kube.Gone(&namespaces.Items[i]) }); err != nil {
			return err
		}
	}
	return nil
}
