package cluster

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/wait"
)

// Host ports of tests' pools are above those of the default pool. No two pools share any, so that
// none waits for the pods of one that goes.
const (
	firstPort    = 20500
	portsPerPool = 10
)

// madePools is how many pools the tests of this process have made.
var madePools atomic.Int32

// NewPool makes a MediaPool of one pod for a test; change, unless nil, changes it first. It goes at
// the end of the test.
func (c *Cluster) NewPool(t testing.TB, change func(*v1alpha1.MediaPoolSpec)) *v1alpha1.MediaPool {
	t.Helper()
	defaults, err := c.Pool(DefaultPool)
	if err != nil {
		t.Fatal(err)
	}
	first := firstPort + portsPerPool*(madePools.Add(1)-1)
	pool := &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Spec: v1alpha1.MediaPoolSpec{
			PublicURL: c.GatewayURL, DrainSeconds: 1, MinPods: new(int32(1)), MaxPods: 1, WarmSessions: new(int32(0)), Template: defaults.Spec.Template,
			Exposure: v1alpha1.Exposure{
				Type: v1alpha1.ExposureHostPort, PortRange: &v1alpha1.PortRange{First: first, Last: first + portsPerPool - 1},
			},
		},
	}
	if change != nil {
		change(&pool.Spec)
	}
	if err := c.Client.Create(t.Context(), pool); err != nil {
		t.Fatalf("creating a MediaPool: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Client.Delete(context.Background(), pool); err != nil {
			t.Errorf("deleting MediaPool %s: %v", pool.Name, err)
		}
		wait.For(t, time.Minute, "MediaPool "+pool.Name+" to be gone", func() error { return c.Gone(pool) })
	})
	return pool
}
