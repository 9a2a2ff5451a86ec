package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
)

// podFigures are what a media pod with a number of subscribers costs.
type podFigures struct {
	cost
	// per subscriber: bytes of memory, resident and in Go's heap, and goroutines.
	resident, heap, goroutines float64
}

// measureMedia prints what forwarding costs.
func measureMedia(ctx context.Context, o options) (err error) {
	folder, err := os.MkdirTemp("", "mediarooms-measure-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	progress("building the media pod")
	program, err := buildPod(ctx, folder)
	if err != nil {
		return err
	}
	l, err := newLink(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()

	forwarding := newTable("N", "sender", "us per packet", "of the floor", "lost")
	memory := newTable("N", "resident memory", "of it Go heap", "goroutines")
	for _, n := range o.subscribers {
		floor := 0.0
		for _, kind := range floorKinds {
			progress("%d receivers: %s", n, kind.text)
			c, err := measureFloor(ctx, l, o, kind.kind, n)
			if err != nil {
				return err
			}
			if floor == 0 {
				floor = c.microseconds
			}
			forwarding.cost(n, kind.text, c, floor)
		}
		figures, err := measurePod(ctx, l, o, program, folder, n)
		if err != nil {
			return fmt.Errorf("measuring a media pod with %d subscribers: %w", n, err)
		}
		forwarding.cost(n, "media pod", figures.cost, floor)
		memory.row(n, kilobytes(figures.resident), kilobytes(figures.heap), fmt.Sprintf("%.1f", figures.goroutines))
	}
	return errors.Join(
		forwarding.print(fmt.Sprintf("Forwarding: %s, to N receivers.\n"+
			"CPU of the sending process (user + system) per packet sent, in the steady state; median of %d windows of %v.",
			loadText, o.windows, o.window)),
		memory.print("What a subscriber takes in the media pod, beyond a pod with the publisher alone."))
}

// cost adds a row.
func (t *table) cost(n int, sender string, c cost, floor float64) {
	t.row(n, sender, fmt.Sprintf("%.1f", c.microseconds), fmt.Sprintf("%.2f", c.microseconds/floor), fmt.Sprintf("%.2f %%", c.lost*100))
}

func kilobytes(bytes float64) string {
	return fmt.Sprintf("%.0f kB", bytes/1e3)
}

// room is the load on a pod.
type room struct {
	pod         *pod
	media       *roomclient.Media
	clients     []*roomclient.Client
	publisher   *roomclient.Publisher
	subscribers []*roomclient.Subscriber
}

// measurePod starts a fresh media pod and measures it with a publisher and subscribers.
func measurePod(ctx context.Context, l *link, o options, program, folder string, subscribers int) (f podFigures, err error) {
	progress("%d subscribers: starting a media pod", subscribers)
	p, err := startPod(ctx, l, program, folder, subscribers+1)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	r := &room{pod: p}
	defer r.close()
	if r.media, err = roomclient.NewMedia(func(name string) bool { return name == l.client }); err != nil {
		return f, err
	}
	if err := r.publish(ctx); err != nil {
		return f, err
	}
	alone, err := r.takes(ctx)
	if err != nil {
		return f, err
	}
	start := time.Now()
	if err := r.subscribeAll(ctx, subscribers); err != nil {
		return f, err
	}
	progress("%d subscribers: all joined after %.1f s; measuring %d windows of %v", subscribers, time.Since(start).Seconds(),
		o.windows, o.window)
	if f.cost, err = r.cost(ctx, o); err != nil {
		return f, err
	}
	with, err := r.takes(ctx)
	if err != nil {
		return f, err
	}
	n := float64(subscribers)
	f.resident = (with.resident - alone.resident) / n
	f.heap = (with.heap - alone.heap) / n
	f.goroutines = (with.goroutines - alone.goroutines) / n
	return f, nil
}

func (r *room) publish(ctx context.Context) error {
	client, err := r.pod.join(ctx, 0)
	if err != nil {
		return fmt.Errorf("joining as the publisher: %w", err)
	}
	r.clients = append(r.clients, client)
	r.publisher, err = client.Publish(ctx, r.media, load)
	return err
}

// joinsAtATime is how many subscribers join at a time: most of a join is waiting.
const joinsAtATime = 8

func (r *room) subscribeAll(ctx context.Context, subscribers int) error {
	var mu sync.Mutex // guards what r and errs hold
	var errs []error
	var group sync.WaitGroup
	slots := make(chan struct{}, joinsAtATime)
	for i := range subscribers {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			client, subscriber, err := r.subscribe(ctx, i+1)
			mu.Lock()
			defer mu.Unlock()
			if client != nil {
				r.clients = append(r.clients, client)
			}
			if subscriber != nil {
				r.subscribers = append(r.subscribers, subscriber)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("subscriber %d: %w", i+1, err))
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// subscribe joins and receives. It returns what it opened also with an error.
func (r *room) subscribe(ctx context.Context, number int) (*roomclient.Client, *roomclient.Subscriber, error) {
	client, err := r.pod.join(ctx, number)
	if err != nil {
		return nil, nil, err
	}
	subscriber, err := client.Subscribe(ctx, r.media, r.publisher.StreamID)
	if err != nil {
		return client, nil, err
	}
	return client, subscriber, cluster.Poll(ctx, 10*time.Second, func() error {
		if subscriber.VideoPackets() == 0 {
			return errors.New("no video comes")
		}
		return nil
	})
}

// close ends all clients; the pod is ended by others.
func (r *room) close() {
	if r.publisher != nil {
		_ = r.publisher.Close() // nothing is measured any more
	}
	for _, subscriber := range r.subscribers {
		_ = subscriber.Close()
	}
	for _, client := range r.clients {
		client.Close()
	}
}

// received is how many packets all subscribers have got.
func (r *room) received() int64 {
	var sum int64
	for _, subscriber := range r.subscribers {
		sum += subscriber.VideoPackets()
	}
	return sum
}

// cost measures windows of time in the steady state.
func (r *room) cost(ctx context.Context, o options) (cost, error) {
	pid := r.pod.process.Process.Pid
	var figures []float64
	var sent, received int64
	// The joins' work is over after a second.
	if err := pause(ctx, time.Second); err != nil {
		return cost{}, err
	}
	for range o.windows {
		cpuBefore, err := cpuTime(pid)
		if err != nil {
			return cost{}, err
		}
		receivedBefore, sentBefore := r.received(), r.publisher.Packets()
		if err := pause(ctx, o.window); err != nil {
			return cost{}, err
		}
		cpuAfter, err := cpuTime(pid)
		if err != nil {
			return cost{}, err
		}
		packets := r.received() - receivedBefore
		if packets == 0 {
			return cost{}, errors.New("nothing was forwarded")
		}
		figures = append(figures, float64((cpuAfter-cpuBefore).Microseconds())/float64(packets))
		received += packets
		sent += (r.publisher.Packets() - sentBefore) * int64(len(r.subscribers))
	}
	return cost{microseconds: median(figures), lost: max(0, 1-float64(received)/float64(sent))}, nil
}

// pause lets time go by in which something is measured.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// taken is what a process takes.
type taken struct {
	resident, heap, goroutines float64
}

// takes reads what the pod takes. Of the heap the least of some seconds counts: after a collection.
func (r *room) takes(ctx context.Context) (taken, error) {
	var t taken
	var err error
	for i := range 20 {
		metrics, err := r.pod.metrics(ctx)
		if err != nil {
			return t, err
		}
		if heap := metrics["go_memstats_heap_alloc_bytes"]; i == 0 || heap < t.heap {
			t.heap = heap
		}
		t.goroutines = metrics["go_goroutines"]
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return t, err
		}
	}
	t.resident, err = residentBytes(r.pod.process.Process.Pid)
	return t, err
}
