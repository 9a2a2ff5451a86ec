package controllers_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// BenchmarkToken measures the time from the creation of a Connection to its token, as a watch sees
// it, with 1 and 32 at a time, beside the floor: a bare create and a status update.
func BenchmarkToken(b *testing.B) {
	for _, parallel := range []int{1, 32} {
		b.Run(fmt.Sprintf("floor/%d", parallel), func(b *testing.B) {
			c, err := client.New(cluster, client.Options{Scheme: scheme})
			if err != nil {
				b.Fatal(err)
			}
			measure(b, parallel, func(ctx context.Context, n int) error {
				connection := &v1alpha1.Connection{
					ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: fmt.Sprintf("floor-%d-%d", parallel, n)},
					Spec:       v1alpha1.ConnectionSpec{SessionName: "none"},
				}
				if err := c.Create(ctx, connection); err != nil {
					return err
				}
				connection.Status.ConnectionID = "con_X"
				return c.Status().Update(ctx, connection)
			})
			if err := c.DeleteAllOf(b.Context(), &v1alpha1.Connection{}, client.InNamespace(tenantNamespace)); err != nil {
				b.Fatal(err)
			}
		})
		b.Run(fmt.Sprintf("token/%d", parallel), func(b *testing.B) {
			w := newWorld(b)
			w.pool(func(s *v1alpha1.MediaPoolSpec) { s.Capacity.Connections = 100000 })
			w.ready(w.session("bench", nil))
			var waiting sync.Map // UID -> channel that is closed with the token
			watching, err := cache.New(cluster, cache.Options{Scheme: scheme})
			if err != nil {
				b.Fatal(err)
			}
			informer, err := watching.GetInformer(b.Context(), &v1alpha1.Connection{}, cache.BlockUntilSynced(false))
			if err != nil {
				b.Fatal(err)
			}
			_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{UpdateFunc: func(before, after any) {
				was, ok := before.(*v1alpha1.Connection)
				is, ok2 := after.(*v1alpha1.Connection)
				if ok && ok2 && was.Status.Token == "" && is.Status.Token != "" {
					done, _ := waiting.LoadOrStore(is.UID, make(chan struct{}))
					close(done.(chan struct{}))
				}
			}})
			if err != nil {
				b.Fatal(err)
			}
			go func() { _ = watching.Start(b.Context()) }() // it ends with the benchmark
			watching.WaitForCacheSync(b.Context())
			measure(b, parallel, func(ctx context.Context, n int) error {
				connection := &v1alpha1.Connection{
					ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: fmt.Sprintf("token-%d-%d", parallel, n)},
					Spec:       v1alpha1.ConnectionSpec{SessionName: "bench"},
				}
				if err := w.Create(ctx, connection); err != nil {
					return err
				}
				done, _ := waiting.LoadOrStore(connection.UID, make(chan struct{}))
				select {
				case <-done.(chan struct{}):
					return nil
				case <-time.After(bound):
					return fmt.Errorf("no token for %s", connection.Name)
				}
			})
		})
	}
}

// measure runs b.N operations, some at a time, and reports how long they take.
func measure(b *testing.B, parallel int, operation func(ctx context.Context, n int) error) {
	b.Helper()
	ctx := b.Context()
	took := make([]time.Duration, b.N)
	var next sync.Mutex
	n := 0
	b.ResetTimer()
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for {
				next.Lock()
				mine := n
				n++
				next.Unlock()
				if mine >= b.N {
					return
				}
				start := time.Now()
				if err := operation(ctx, mine); err != nil {
					b.Error(err)
					return
				}
				took[mine] = time.Since(start)
			}
		})
	}
	workers.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
