package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"mediarooms.dev/mediarooms/loadtest"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// scene is what a media pod is measured with.
type scene struct {
	// name of its row in tables.
	name string
	load loadtest.Load
	// receivers are the subscriptions that there are then.
	receivers int
	// packets of a frame.
	packets int
}

// joinPace is the time between two joins, which leaves the machine time to serve each.
const joinPace = 25 * time.Millisecond

// small rooms: 20 of 4, all sending.
const (
	smallRooms      = 20
	smallRoomPeople = 4
)

func scenes(o options) []scene {
	var all []scene
	for _, n := range o.subscribers {
		all = append(all, scene{
			name: fmt.Sprint(n), receivers: n, packets: packetsPerFrame,
			load: loadtest.Load{Rooms: 1, Publishers: 1, Subscribers: n, Stream: video(packetsPerFrame), Ramp: time.Duration(n) * joinPace},
		})
	}
	return append(all, scene{
		name: fmt.Sprintf("%d x %d", smallRooms, smallRoomPeople), receivers: smallRooms * smallRoomPeople * (smallRoomPeople - 1),
		packets: smallRoomPackets,
		load: loadtest.Load{
			Rooms: smallRooms, Publishers: smallRoomPeople, Mutual: true, Stream: video(smallRoomPackets),
			Ramp: smallRooms * smallRoomPeople * 2 * joinPace,
		},
	})
}

// podFigures are what a media pod costs with a load, and how it serves it.
type podFigures struct {
	cost
	// per subscription, or in small rooms per participant: bytes of memory, resident and in Go's
	// heap, and goroutines.
	resident, heap, goroutines float64
	totals                     loadtest.Totals
	// alone are the times of joins one after another, with all others in the room.
	alone roomclient.Histogram
	// allocations of memory per packet sent, of all that the pod does in the time.
	allocations float64
	// clientMicroseconds of CPU that the load itself takes per packet received, in this process.
	clientMicroseconds float64
}

// laboratory is where media pods are measured.
type laboratory struct {
	*link
	options options
	folder  string
	program string // the media pod
}

// newLaboratory builds the media pod and a link to it. close must be called.
func newLaboratory(ctx context.Context, o options) (_ *laboratory, err error) {
	b := &laboratory{options: o}
	if b.folder, err = os.MkdirTemp("", "mediarooms-measure-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(b.folder))
		}
	}()
	progress("building the media pod")
	if b.program, err = buildPod(ctx, b.folder); err != nil {
		return nil, err
	}
	b.link, err = newLink(ctx)
	return b, err
}

func (b *laboratory) close() error {
	return errors.Join(b.link.close(), os.RemoveAll(b.folder))
}

// decrypted is of how many packets one is decrypted, so that the load costs little more than live
// receivers: none of the bursts here has a factor in common with it.
const decrypted = 7

// media makes peer connections over the link. path may be nil; the packets of a path are all
// decrypted.
func (b *laboratory) media(path *roomclient.Path) (*roomclient.Media, error) {
	options := roomclient.MediaOptions{Device: b.client, Feedback: b.options.feedback, Path: path}
	if path == nil {
		options.Sample = decrypted
	}
	return roomclient.NewMediaWith(options)
}

// measureMedia prints what forwarding costs, and how well it is done.
func measureMedia(ctx context.Context, o options) (err error) {
	b, err := newLaboratory(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	forwarding := newTable("N", "sender", "us per packet", "of the floor", "lost", "allocations per packet")
	memory := newTable("N", "resident memory", "of it Go heap", "goroutines")
	quality := newTable("N", "delay p50", "p99", "p99.9", "join alone p50", "max", "joins at 40/s p50", "p99", "joined", "freezes", "over UDP", "load's own us per packet")
	for _, s := range scenes(o) {
		floor := 0.0
		for _, kind := range floorKinds {
			progress("%s: %s", s.name, kind.text)
			c, err := measureFloor(ctx, b.link, o, kind.kind, s.receivers, s.packets)
			if err != nil {
				return err
			}
			if floor == 0 {
				floor = c.microseconds
			}
			forwarding.cost(s.name, kind.text, c, floor, "")
		}
		f, err := b.measure(ctx, s)
		if err != nil {
			return fmt.Errorf("measuring a media pod with %s: %w", s.name, err)
		}
		forwarding.cost(s.name, "media pod", f.cost, floor, fmt.Sprintf("%.2f", f.allocations))
		memory.row(s.name, kilobytes(f.resident), kilobytes(f.heap), fmt.Sprintf("%.1f", f.goroutines))
		quality.quality(s.name, f)
	}
	return errors.Join(
		forwarding.print(fmt.Sprintf("Forwarding: 1 publisher, %s, to N receivers; in %d rooms of %d all send, %s each.\n"+
			"CPU of the sending process (user + system) per packet sent, in the steady state; median of %d windows of %v.",
			videoText(packetsPerFrame), smallRooms, smallRoomPeople, videoText(smallRoomPackets), o.windows, o.window)),
		memory.print("What a subscriber takes in the media pod, beyond a pod with the publisher alone; in small rooms, what a participant takes."),
		quality.print("One-way delay of packets through the pod in the same windows, and the time of joins from the opening of the socket to the first frame."))
}

// cost adds a row.
func (t *table) cost(n, sender string, c cost, floor float64, allocations string) {
	t.row(n, sender, fmt.Sprintf("%.2f", c.microseconds), fmt.Sprintf("%.2f", c.microseconds/floor), fmt.Sprintf("%.3f %%", c.lost*100), allocations)
}

// quality adds a row.
func (t *table) quality(n string, f podFigures) {
	delay, joins := &f.totals.Video.Delay, &f.totals.Joins
	t.row(n, milliseconds(delay.Quantile(0.5)), milliseconds(delay.Quantile(0.99)), milliseconds(delay.Quantile(0.999)),
		milliseconds(f.alone.Quantile(0.5)), milliseconds(f.alone.Max()),
		milliseconds(joins.Time.Quantile(0.5)), milliseconds(joins.Time.Quantile(0.99)),
		fmt.Sprintf("%d of %d", joins.Succeeded, joins.Succeeded+joins.Failed), fmt.Sprint(f.totals.Video.Freezes),
		fmt.Sprintf("%d of %d", f.totals.UDP, f.totals.UDP+f.totals.TCP),
		fmt.Sprintf("%.1f", f.clientMicroseconds))
}

func kilobytes(bytes float64) string { return fmt.Sprintf("%.0f kB", bytes/1e3) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1e3) }

// measure starts a fresh media pod and measures it.
func (b *laboratory) measure(ctx context.Context, s scene) (f podFigures, err error) {
	progress("%s: starting a media pod", s.name)
	p, err := startPod(ctx, b.link, b.program, b.folder)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	media, err := b.media(nil)
	if err != nil {
		return f, err
	}
	// What is there before counts as nothing: of one large room, a pod with the publisher.
	load, people := s.load, s.load.Rooms*s.load.Publishers
	if load.Subscribers > 0 {
		publisher := load
		publisher.Subscribers, publisher.Ramp = 0, 0
		publishing, err := start(ctx, loadtest.Setup{Load: publisher, Target: p, Media: media})
		if err != nil {
			return f, err
		}
		defer publishing.Close()
		load.Publishers, people = 0, load.Subscribers
	}
	alone, err := p.takes(ctx)
	if err != nil {
		return f, err
	}
	begun := time.Now()
	run, err := start(ctx, loadtest.Setup{Load: load, Target: p, Media: media})
	if err != nil {
		return f, err
	}
	defer run.Close()
	progress("%s: all joined after %.1f s; measuring %d windows of %v", s.name, time.Since(begun).Seconds(), b.options.windows, b.options.window)
	if err := b.steady(ctx, p, run, &f); err != nil {
		return f, err
	}
	with, err := p.takes(ctx)
	if err != nil {
		return f, err
	}
	if f.alone, err = b.joinsAlone(ctx, p, media); err != nil {
		return f, err
	}
	n := float64(people)
	f.resident = (with.resident - alone.resident) / n
	f.heap = (with.heap - alone.heap) / n
	f.goroutines = (with.goroutines - alone.goroutines) / n
	return f, nil
}

const (
	joinsAlone     = 10
	joinsAlonePace = 600 * time.Millisecond // longer than the time in which a pod asks for one key frame only
)

// joinsAlone joins the first room some times, one after another, and leaves it.
func (b *laboratory) joinsAlone(ctx context.Context, p *pod, media *roomclient.Media) (roomclient.Histogram, error) {
	var times roomclient.Histogram
	for range joinsAlone {
		if err := pause(ctx, joinsAlonePace); err != nil {
			return times, err
		}
		took, err := joinAlone(ctx, p, media)
		if err != nil {
			return times, fmt.Errorf("joining alone: %w", err)
		}
		times.Add(took)
	}
	return times, nil
}

// joinAlone returns the time from the opening of the socket to the first frame.
func joinAlone(ctx context.Context, p *pod, media *roomclient.Media) (time.Duration, error) {
	admission, err := p.Admit(ctx, 0, false)
	if err != nil {
		return 0, err
	}
	defer p.Left(0, admission)
	opened := time.Now()
	s, leave, err := subscribe(ctx, admission, media)
	if err != nil {
		return 0, err
	}
	defer leave()
	select {
	case <-s.Begun():
		return s.Video().FirstFrame.Sub(opened), nil
	case <-time.After(10 * time.Second):
		return 0, errors.New("no frame after 10 s")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// start plays a load and waits until everybody has joined; an error if somebody could not.
func start(ctx context.Context, setup loadtest.Setup) (*loadtest.Run, error) {
	run, err := loadtest.Start(ctx, setup)
	if err != nil {
		return nil, err
	}
	if err := run.WaitJoined(ctx); err != nil {
		run.Close()
		return nil, err
	}
	if totals := run.Totals(); totals.Joins.Failed > 0 {
		run.Close()
		return nil, fmt.Errorf("%d participants could not join: %v", totals.Joins.Failed, totals.Joins.Errors)
	}
	return run, nil
}

// settleTime is after how long the work of joins is over.
const settleTime = 2 * time.Second

// steady measures windows of time in the steady state.
func (b *laboratory) steady(ctx context.Context, p *pod, run *loadtest.Run, f *podFigures) error {
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	pid := p.process.Process.Pid
	var figures, own []float64
	run.Mark()
	allocationsBefore, err := p.allocations(ctx)
	if err != nil {
		return err
	}
	before := run.Totals().Video.Packets
	for range b.options.windows {
		cpuBefore, err := cpuTime(pid)
		if err != nil {
			return err
		}
		ownBefore, err := cpuTime(os.Getpid())
		if err != nil {
			return err
		}
		if err := pause(ctx, b.options.window); err != nil {
			return err
		}
		cpuAfter, err := cpuTime(pid)
		if err != nil {
			return err
		}
		ownAfter, err := cpuTime(os.Getpid())
		if err != nil {
			return err
		}
		after := run.Totals().Video.Packets
		if after == before {
			return errors.New("nothing was forwarded")
		}
		packets := float64(after - before)
		figures = append(figures, (cpuAfter-cpuBefore).Seconds()*1e6/packets)
		own = append(own, (ownAfter-ownBefore).Seconds()*1e6/packets)
		before = after
	}
	allocations, err := p.allocations(ctx)
	if err != nil {
		return err
	}
	f.totals = run.Totals()
	f.allocations = (allocations - allocationsBefore) / float64(f.totals.Video.Packets)
	f.cost = cost{microseconds: median(figures), lost: f.totals.Video.Lost()}
	f.clientMicroseconds = median(own)
	return nil
}

// allocations is how many the pod has made so far.
func (p *pod) allocations(ctx context.Context) (float64, error) {
	metrics, err := p.metrics(ctx)
	return metrics["go_memstats_mallocs_total"], err
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
	resident, heap, goroutines, files float64
}

// takes reads what the pod takes. Of the heap the least of some seconds counts: after a collection.
func (p *pod) takes(ctx context.Context) (taken, error) {
	var t taken
	for i := range 20 {
		metrics, err := p.metrics(ctx)
		if err != nil {
			return t, err
		}
		if heap := metrics["go_memstats_heap_alloc_bytes"]; i == 0 || heap < t.heap {
			t.heap = heap
		}
		t.goroutines, t.files = metrics["go_goroutines"], metrics["process_open_fds"]
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return t, err
		}
	}
	var err error
	t.resident, err = residentBytes(p.process.Process.Pid)
	return t, err
}
