//go:build e2e

package rest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// patience is how long an answer or a notification may take while many tests run on a small
// machine; the Java client waits as long.
const patience = 30 * time.Second

// ownTenants is about how many tests have a tenant of their own.
const ownTenants = 10

// What all tests share. prepare sets it once.
var (
	// kube is the cluster under test.
	kube *cluster.Cluster
	// shared is the tenant of those tests that need none of their own.
	shared *tenant
	// spare are tenants that no test has yet.
	spare chan *tenant
)

func TestMain(m *testing.M) {
	os.Exit(cluster.Suite{Name: "rest", Parallel: 16, Prepare: prepare, End: removeTenants}.Run(m))
}

func prepare(ctx context.Context, c *cluster.Cluster, _ cluster.Samples) (err error) {
	kube = c
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
	// A gateway learns of passwords in the order in which they were made: whoever knows the last
	// one knows all. Wrong ones are counted, so only this one is tried before it is known, and not
	// often.
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
			kube.DumpOnce(t, own.namespace.Name)
		}
	})
	return own
}

// makeTenant makes a tenant. The gateways may not know it yet.
func makeTenant(ctx context.Context) (*tenant, error) {
	n := &tenant{namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "rest-", Labels: map[string]string{tenantLabel: ""},
	}}, secret: unique("secret")}
	if err := kube.Client.Create(ctx, n.namespace); err != nil {
		return nil, fmt.Errorf("making a tenant: %w", err)
	}
	return n, kube.AllowREST(ctx, n.namespace.Name, n.secret)
}

// waitKnown waits until the gateways know the tenant's password.
func (n *tenant) waitKnown(ctx context.Context) error {
	deadline := time.Now().Add(patience)
	for pause := 200 * time.Millisecond; ; pause *= 2 {
		err := n.known(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting for the password of tenant %s to be known: %w", n.namespace.Name, err)
		}
		select {
		case <-time.After(pause):
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
		if err := wait.Poll(ctx, time.Minute, func() error { return kube.Gone(&namespaces.Items[i]) }); err != nil {
			return err
		}
	}
	return nil
}
