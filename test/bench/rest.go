package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// callers are the numbers of callers at the same time.
var callers = []int{1, 8, 32}

const (
	// restRounds is how often the floor and the REST API take turns: the machine may be busier at
	// one time than at another.
	restRounds = 2
	// restRound is how long a turn takes.
	restRound = 2 * time.Second
	// restPassword is the password of a tenant that exists while this runs.
	restPassword = "measuring-the-rest-api"
)

// measureREST prints how many connections the REST API gives out, and how long one takes, beside
// the floors: a bare create and a status update by as many callers, of an object without a schema,
// and of one with a Connection's.
func measureREST(ctx context.Context, _ options) (err error) {
	kube, err := cluster.Open()
	if err != nil {
		return err
	}
	bench, remove, err := newRESTBench(ctx, kube)
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return err
	}
	removeFloor, err := createFloor(ctx, kube)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeFloor()) }()
	removeTyped, err := createTypedFloor(ctx, kube)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeTyped()) }()
	table := newTable("callers", "what", "per second", "p50", "p99", "throughput: of the floor", "of the typed floor", "p99: of the floor", "of the typed floor")
	for _, n := range callers {
		c, err := bench.compare(ctx, n)
		if err != nil {
			return err
		}
		table.turns(n, "floor: bare create + status update", &c.floor, c)
		table.turns(n, "typed floor: the same with a Connection's schema, which nobody watches", &c.typed, c)
		table.turns(n, "POST /sessions/{id}/connection", &c.connections, c)
	}
	return table.print(fmt.Sprintf("REST: connections with their tokens, by callers that ask again and again for %v; all in one session.", restRounds*restRound))
}

// turns is what came of some turns.
type turns struct {
	milliseconds []float64
	took         time.Duration
}

func (t turns) perSecond() float64 { return float64(len(t.milliseconds)) / t.took.Seconds() }

// comparison is what came of the turns of a number of callers.
type comparison struct {
	floor, typed, connections turns
}

// turns adds a row.
func (t *table) turns(callers int, what string, measured *turns, c comparison) {
	p50, p99 := quantile(measured.milliseconds, 0.5), quantile(measured.milliseconds, 0.99)
	throughput := func(of turns) string { return fmt.Sprintf("%.2f", measured.perSecond()/of.perSecond()) }
	tail := func(of turns) string { return fmt.Sprintf("%.2f", p99/quantile(of.milliseconds, 0.99)) }
	t.row(strconv.Itoa(callers), what, fmt.Sprintf("%.0f", measured.perSecond()), fmt.Sprintf("%.1f ms", p50), fmt.Sprintf("%.1f ms", p99),
		throughput(c.floor), throughput(c.typed), tail(c.floor), tail(c.typed))
}

// restBench is a tenant of its own, and a pool whose pod has room for all that is asked for.
type restBench struct {
	kube      *cluster.Cluster
	namespace string
	pool      string
	client    *http.Client
	made      atomic.Int64 // objects of the floor so far
}

// newRESTBench makes the tenant and the pool; remove, which is never nil, removes what there is of
// them.
func newRESTBench(ctx context.Context, kube *cluster.Cluster) (*restBench, func() error, error) {
	b := &restBench{kube: kube, client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	var made []client.Object
	remove := func() error {
		b.client.CloseIdleConnections()
		cleanUp, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		var err error
		for _, object := range made {
			err = errors.Join(err, client.IgnoreNotFound(kube.Client.Delete(cleanUp, object)))
		}
		for _, object := range made {
			err = errors.Join(err, wait.Poll(cleanUp, time.Minute, func() error { return kube.Gone(object) }))
		}
		return err
	}
	create := func(object client.Object) error {
		if err := kube.Client.Create(ctx, object); err != nil {
			return fmt.Errorf("creating %T: %w", object, err)
		}
		made = append([]client.Object{object}, made...)
		return nil
	}
	pool := &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "measure-"},
		Spec: v1alpha1.MediaPoolSpec{
			PublicURL: kube.GatewayURL, MinPods: ptr.To[int32](1), MaxPods: 1,
			Capacity: v1alpha1.PodCapacity{Sessions: 100, Connections: 100000},
		},
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "measure-"}}
	if err := errors.Join(create(pool), create(namespace)); err != nil {
		return nil, remove, err
	}
	b.pool, b.namespace = pool.Name, namespace.Name
	if err := kube.AllowREST(ctx, b.namespace, restPassword); err != nil {
		return nil, remove, err
	}
	err := wait.Poll(ctx, 2*time.Minute, func() error {
		read, err := kube.Pool(b.pool)
		if err != nil {
			return err
		}
		if read.Status.FreeSessions < 1 {
			return errors.New("the pool has no room")
		}
		return b.call(ctx, http.MethodGet, "sessions", nil, nil)
	})
	if err != nil {
		return nil, remove, fmt.Errorf("waiting for a media pod and the gateway: %w", err)
	}
	return b, remove, nil
}

// compare has callers make connections, and objects of the floors, by turns.
func (b *restBench) compare(ctx context.Context, callers int) (c comparison, err error) {
	var session struct {
		ID string `json:"id"`
	}
	if err := b.call(ctx, http.MethodPost, "sessions", map[string]any{"mediaNode": map[string]any{"id": b.pool}}, &session); err != nil {
		return c, err
	}
	path := "sessions/" + session.ID + "/connection"
	connect := func(ctx context.Context) error {
		var made struct {
			Token string `json:"token"`
		}
		if err := b.call(ctx, http.MethodPost, path, map[string]any{}, &made); err != nil {
			return err
		}
		if made.Token == "" {
			return errors.New("a connection has no token")
		}
		return nil
	}
	floorOf := func(kind schema.GroupVersionKind) func(context.Context) error {
		return func(ctx context.Context) error {
			return makeFloor(ctx, b.kube, kind, b.namespace, fmt.Sprintf("floor-%d", b.made.Add(1)))
		}
	}
	// The first one waits for the room, and opens what stays open.
	if err := connect(ctx); err != nil {
		return c, err
	}
	for range restRounds {
		for _, turn := range []struct {
			what string
			of   *turns
			do   func(context.Context) error
		}{
			{"floor", &c.floor, floorOf(floorKind)}, {"typed floor", &c.typed, floorOf(typedFloorKind)}, {"connections", &c.connections, connect},
		} {
			progress("%d callers: %s", callers, turn.what)
			if err := turn.of.take(ctx, callers, turn.do); err != nil {
				return c, fmt.Errorf("measuring %s: %w", turn.what, err)
			}
		}
	}
	return c, b.call(ctx, http.MethodDelete, "sessions/"+session.ID, nil, nil)
}

// typedFloorKind is a custom resource with the schema of a Connection that nobody watches.
var typedFloorKind = schema.GroupVersionKind{Group: floorKind.Group, Version: v1alpha1.GroupVersion.Version, Kind: "Connection"}

// createTypedFloor makes the custom resource; the returned function removes it.
func createTypedFloor(ctx context.Context, kube *cluster.Cluster) (remove func() error, err error) {
	original := &unstructured.Unstructured{}
	original.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if err := kube.Client.Get(ctx, client.ObjectKey{Name: "connections." + v1alpha1.GroupVersion.Group}, original); err != nil {
		return nil, fmt.Errorf("reading the definition of Connections: %w", err)
	}
	versions, _, err := unstructured.NestedSlice(original.Object, "spec", "versions")
	if err != nil {
		return nil, fmt.Errorf("reading the definition of Connections: %w", err)
	}
	return defineFloor(ctx, kube, "connections", typedFloorKind, versions)
}

// take has callers do something again and again for a turn.
func (t *turns) take(ctx context.Context, callers int, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // guards t
	start := time.Now()
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for time.Since(start) < restRound && ctx.Err() == nil {
				begun := time.Now()
				if err := do(ctx); err != nil {
					cancel(err)
					return
				}
				took := time.Since(begun)
				mu.Lock()
				t.milliseconds = append(t.milliseconds, float64(took.Microseconds())/1e3)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	t.took += time.Since(start)
	return context.Cause(ctx)
}

// call makes one request as the tenant, and reads the answer unless answer is nil.
func (b *restBench) call(ctx context.Context, method, path string, body, answer any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, b.kube.GatewayURL+"/openvidu/api/"+path, content)
	if err != nil {
		return err
	}
	request.SetBasicAuth("OPENVIDUAPP", restPassword)
	request.Header.Set("Content-Type", "application/json")
	response, err := b.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the answer to %s %s: %w", method, path, err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}
