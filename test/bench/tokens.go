package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// atATime are the numbers of Connections that are created at a time.
var atATime = []int{1, 32}

// measureTokens prints how long a Connection takes to its token.
func measureTokens(ctx context.Context, o options) (err error) {
	kube, err := cluster.Open()
	if err != nil {
		return err
	}
	if err := defaultPool(ctx, kube); err != nil {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "measure-"}}
	if err := kube.Client.Create(ctx, namespace); err != nil {
		return fmt.Errorf("creating a namespace: %w", err)
	}
	defer func() {
		cleanUp, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, kube.Client.Delete(cleanUp, namespace),
			wait.Poll(cleanUp, time.Minute, func() error { return kube.Gone(namespace) }))
	}()
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "room"}}
	if err := kube.Client.Create(ctx, session); err != nil {
		return fmt.Errorf("creating the Session: %w", err)
	}
	if err := wait.Poll(ctx, time.Minute, func() error {
		read, err := kube.Session(namespace.Name, session.Name)
		if err != nil {
			return err
		}
		return cluster.Ready(read, read.Status.Conditions)
	}); err != nil {
		return fmt.Errorf("waiting for the Session: %w", err)
	}
	removeFloor, err := createFloor(ctx, kube)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeFloor()) }()

	watching, stop := context.WithCancel(ctx)
	defer stop()
	tokens := watchTokens(watching, kube, namespace.Name)
	table := newTable("at a time", "what", "p50", "p99", "p50 of the floor", "p99 of the floor")
	for _, workers := range atATime {
		progress("%d at a time: floor", workers)
		floor, err := sample(ctx, workers, o.samples, func(ctx context.Context, i int) (time.Duration, error) {
			return timeFloor(ctx, kube, namespace.Name, fmt.Sprintf("floor-%d-%d", workers, i))
		})
		if err != nil {
			return fmt.Errorf("measuring the floor: %w", err)
		}
		progress("%d at a time: tokens", workers)
		times, err := sample(ctx, workers, o.samples, func(ctx context.Context, i int) (time.Duration, error) {
			return tokens.time(ctx, kube, namespace.Name, session.Name, fmt.Sprintf("guest-%d-%d", workers, i))
		})
		if err != nil {
			return err
		}
		table.times(workers, "floor: bare create + status update", floor, floor)
		table.times(workers, "create of a Connection to its token", times, floor)
	}
	return table.print(fmt.Sprintf("Time to a token: from the creation of a Connection until a watch sees the token; %d each.", o.samples))
}

// times adds a row.
func (t *table) times(workers int, what string, milliseconds, floor []float64) {
	p50, p99 := quantile(milliseconds, 0.5), quantile(milliseconds, 0.99)
	t.row(strconv.Itoa(workers), what, fmt.Sprintf("%.1f ms", p50), fmt.Sprintf("%.1f ms", p99),
		fmt.Sprintf("%.2f", p50/quantile(floor, 0.5)), fmt.Sprintf("%.2f", p99/quantile(floor, 0.99)))
}

// defaultPool applies the default pool unless there is one, and waits until it has room.
func defaultPool(ctx context.Context, kube *cluster.Cluster) error {
	pool := &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{
			Name: cluster.DefaultPool, Annotations: map[string]string{v1alpha1.DefaultPoolAnnotation: "true"},
		},
		Spec: v1alpha1.MediaPoolSpec{PublicURL: kube.GatewayURL},
	}
	if _, err := kube.Pool(pool.Name); client.IgnoreNotFound(err) != nil {
		return err
	} else if err != nil {
		if err := kube.Client.Create(ctx, pool); err != nil {
			return fmt.Errorf("creating the default pool: %w", err)
		}
	}
	err := wait.Poll(ctx, 2*time.Minute, func() error {
		read, err := kube.Pool(pool.Name)
		if err != nil {
			return err
		}
		if read.Status.FreeSessions < 1 {
			return errors.New("the pool has no room")
		}
		return cluster.Ready(read, read.Status.Conditions)
	})
	if err != nil {
		return fmt.Errorf("waiting for a media pod: %w", err)
	}
	return nil
}

// sample runs a measurement with a number of workers and returns milliseconds.
func sample(ctx context.Context, workers, samples int, measure func(ctx context.Context, i int) (time.Duration, error)) ([]float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // guards times
	var times []float64
	numbers := make(chan int)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := range numbers {
				took, err := measure(ctx, i)
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				times = append(times, float64(took.Microseconds())/1e3)
				mu.Unlock()
			}
		})
	}
	for i := range samples {
		select {
		case numbers <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(numbers)
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return times, nil
}

// tokenWatch tells when the Connections of a namespace have their tokens.
type tokenWatch struct {
	mu      sync.Mutex // guards waiting
	waiting map[string]chan<- time.Time
}

// watchTokens watches until the context ends.
func watchTokens(ctx context.Context, kube *cluster.Cluster, namespace string) *tokenWatch {
	t := &tokenWatch{waiting: map[string]chan<- time.Time{}}
	go func() {
		// An API server may end a watch at any time.
		for ctx.Err() == nil {
			if err := t.watch(ctx, kube, namespace); err != nil && ctx.Err() == nil {
				progress("watching Connections: %v; once more", err)
			}
		}
	}()
	return t
}

// watch lists and then watches until the watch ends.
func (t *tokenWatch) watch(ctx context.Context, kube *cluster.Cluster, namespace string) error {
	var existing v1alpha1.ConnectionList
	if err := kube.Client.List(ctx, &existing, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range existing.Items {
		t.saw(&existing.Items[i])
	}
	w, err := kube.Client.Watch(ctx, &v1alpha1.ConnectionList{}, &client.ListOptions{
		Namespace: namespace, Raw: &metav1.ListOptions{ResourceVersion: existing.ResourceVersion},
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		switch object := event.Object.(type) {
		case *v1alpha1.Connection:
			t.saw(object)
		default:
			return apierrors.FromObject(object)
		}
	}
	return io.EOF
}

func (t *tokenWatch) saw(connection *v1alpha1.Connection) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if waiting, found := t.waiting[connection.Name]; found && connection.Status.Token != "" {
		waiting <- now
		delete(t.waiting, connection.Name)
	}
}

// time creates a Connection and returns how long its token took. The Connection is deleted, and
// gone, before it returns; that is not in the time.
func (t *tokenWatch) time(ctx context.Context, kube *cluster.Cluster, namespace, session, name string) (time.Duration, error) {
	token := make(chan time.Time, 1)
	t.mu.Lock()
	t.waiting[name] = token
	t.mu.Unlock()
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.ConnectionSpec{SessionName: session},
	}
	start := time.Now()
	if err := kube.Client.Create(ctx, connection); err != nil {
		return 0, fmt.Errorf("creating a Connection: %w", err)
	}
	var took time.Duration
	select {
	case at := <-token:
		took = at.Sub(start)
	case <-time.After(30 * time.Second):
		return 0, fmt.Errorf("waiting for the token of %s: none after 30 s", name)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if err := kube.Client.Delete(ctx, connection); err != nil {
		return 0, fmt.Errorf("deleting a Connection: %w", err)
	}
	return took, wait.Poll(ctx, 30*time.Second, func() error { return kube.Gone(connection) })
}

// floorKind is a custom resource that nobody watches, of about the size of a Connection.
var floorKind = schema.GroupVersionKind{Group: "measure.mediarooms.dev", Version: "v1", Kind: "Floor"}

// createFloor makes the custom resource; the returned function removes it.
func createFloor(ctx context.Context, kube *cluster.Cluster) (remove func() error, err error) {
	object := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	return defineFloor(ctx, kube, "floors", floorKind, []any{map[string]any{
		"name": floorKind.Version, "served": true, "storage": true,
		"subresources": map[string]any{"status": map[string]any{}},
		"schema": map[string]any{"openAPIV3Schema": map[string]any{
			"type": "object", "properties": map[string]any{"spec": object, "status": object},
		}},
	}})
}

// defineFloor makes a custom resource of some versions; the returned function removes it.
func defineFloor(ctx context.Context, kube *cluster.Cluster, plural string, kind schema.GroupVersionKind, versions []any) (remove func() error, err error) {
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1",
		"kind":       "CustomResourceDefinition",
		"metadata":   map[string]any{"name": plural + "." + kind.Group},
		"spec": map[string]any{
			"group": kind.Group, "scope": "Namespaced", "versions": versions,
			"names": map[string]any{"plural": plural, "singular": strings.ToLower(kind.Kind), "kind": kind.Kind, "listKind": kind.Kind + "List"},
		},
	}}
	if err := client.IgnoreAlreadyExists(kube.Client.Create(ctx, definition)); err != nil {
		return nil, fmt.Errorf("creating the floor's resource: %w", err)
	}
	remove = func() error {
		return client.IgnoreNotFound(kube.Client.Delete(context.WithoutCancel(ctx), definition))
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	if err := wait.Poll(ctx, 20*time.Second, func() error { return kube.Client.List(ctx, list) }); err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for the floor's resource: %w", err), remove())
	}
	return remove, nil
}

// timeFloor makes an object of the floor and returns how long that took. It is deleted outside of
// that time.
func timeFloor(ctx context.Context, kube *cluster.Cluster, namespace, name string) (time.Duration, error) {
	start := time.Now()
	if err := makeFloor(ctx, kube, floorKind, namespace, name); err != nil {
		return 0, err
	}
	took := time.Since(start)
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(floorKind)
	object.SetNamespace(namespace)
	object.SetName(name)
	return took, kube.Client.Delete(ctx, object)
}

// makeFloor creates an object and updates its status.
func makeFloor(ctx context.Context, kube *cluster.Cluster, kind schema.GroupVersionKind, namespace, name string) error {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"sessionName": "room"}}}
	object.SetGroupVersionKind(kind)
	object.SetNamespace(namespace)
	object.SetName(name)
	if err := kube.Client.Create(ctx, object); err != nil {
		return err
	}
	condition := func(kind string) any {
		return map[string]any{"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": metav1.Now().UTC().Format(time.RFC3339)}
	}
	object.Object["status"] = map[string]any{
		"token": kube.GatewayURL + "?sessionId=room&token=tok_Afdsa654645tytrytrewy342342",
		"state": "Pending", "connectionID": "con_Measured1",
		"conditions": []any{condition("Accepted"), condition("Programmed"), condition("Ready")},
	}
	return kube.Client.Status().Update(ctx, object)
}
