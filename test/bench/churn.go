package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"mediarooms.dev/mediarooms/loadtest"
	"mediarooms.dev/mediarooms/test/cluster"
)

// What comes and goes: in each of the rooms one publisher stays, and the subscribers change.
const (
	churnRooms       = 4
	churnSubscribers = 10
	churnStay        = 8 * time.Second
	churnPoints      = 10  // measurements during the time, at least
	churnWarmUp      = 0.1 // share of the time that the trend leaves out
)

// measureChurn prints what a media pod takes while participants come and go.
func measureChurn(ctx context.Context, o options) (err error) {
	b, err := newLaboratory(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	return b.withPod(ctx, func(p *pod) error { return b.churn(ctx, p) })
}

func (b *laboratory) churn(ctx context.Context, p *pod) error {
	media, err := b.media(nil)
	if err != nil {
		return err
	}
	run, err := start(ctx, loadtest.Setup{Target: p, Media: media, Load: loadtest.Load{
		Rooms: churnRooms, Publishers: 1, Subscribers: churnSubscribers, Stay: churnStay, Ramp: churnStay, Stream: video(smallRoomPackets),
	}})
	if err != nil {
		return err
	}
	defer run.Close()
	table := newTable("minutes", "joins", "failed", "resident memory", "Go heap", "goroutines", "open files", "present")
	var times []float64
	var samples []taken
	begun := time.Now()
	for {
		t, err := p.takes(ctx)
		if err != nil {
			return err
		}
		totals := run.Totals()
		passed := time.Since(begun)
		progress("%.1f min: %s; %s resident, %.0f goroutines", passed.Minutes(), totals.Line(churnRooms*(churnSubscribers+1)),
			kilobytes(t.resident), t.goroutines)
		table.row(fmt.Sprintf("%.1f", passed.Minutes()), strconv.Itoa(totals.Joins.Succeeded), strconv.Itoa(totals.Joins.Failed), kilobytes(t.resident),
			kilobytes(t.heap), fmt.Sprintf("%.0f", t.goroutines), fmt.Sprintf("%.0f", t.files), strconv.Itoa(totals.Present))
		if passed.Seconds() >= churnWarmUp*b.options.churn.Seconds() {
			times, samples = append(times, passed.Minutes()), append(samples, t)
		}
		if passed >= b.options.churn {
			break
		}
		if err := pause(ctx, min(b.options.churn/churnPoints, b.options.churn-passed)); err != nil {
			return err
		}
	}
	run.Close()
	after, err := p.settles(ctx)
	if err != nil {
		return err
	}
	trend := func(what func(t taken) float64) float64 {
		values := make([]float64, len(samples))
		for i, s := range samples {
			values[i] = what(s)
		}
		return slope(times, values)
	}
	table.row("empty", "", "", kilobytes(after.resident), kilobytes(after.heap), fmt.Sprintf("%.0f", after.goroutines), fmt.Sprintf("%.0f", after.files), "0")
	table.row("trend/min", "", "", kilobytes(trend(func(t taken) float64 { return t.resident })), kilobytes(trend(func(t taken) float64 { return t.heap })),
		fmt.Sprintf("%.2f", trend(func(t taken) float64 { return t.goroutines })), fmt.Sprintf("%.2f", trend(func(t taken) float64 { return t.files })), "")
	return table.print(fmt.Sprintf("Continuous joins and leaves: %d rooms with a publisher and %d subscribers that stay %v on average.\n"+
		"The trend is the slope of a straight line through all measurements but those of the first tenth.", churnRooms, churnSubscribers, churnStay))
}

// Times for a pod to become empty: clients that vanished may come back for a while, and a process
// that does nothing collects its garbage every two minutes.
const (
	emptyTime   = 30 * time.Second
	lingerTime  = 15 * time.Second // in which what belonged to those who left ends
	collectTime = lingerTime + 150*time.Second
)

// settles waits until the pod has no participants and has collected its garbage, and returns what
// it takes then.
func (p *pod) settles(ctx context.Context) (taken, error) {
	if _, err := p.until(ctx, emptyTime, func(m cluster.Metrics) bool { return m["mediarooms_participants"] == 0 }); err != nil {
		return taken{}, fmt.Errorf("waiting until everybody has left: %w", err)
	}
	since := float64(time.Now().Add(lingerTime).Unix())
	_, err := p.until(ctx, collectTime, func(m cluster.Metrics) bool { return m["go_memstats_last_gc_time_seconds"] > since })
	if err != nil {
		return taken{}, fmt.Errorf("waiting for a collection of garbage: %w", err)
	}
	return p.takes(ctx)
}

// until waits until what the pod says of itself is as a condition says.
func (p *pod) until(ctx context.Context, patience time.Duration, condition func(m cluster.Metrics) bool) (cluster.Metrics, error) {
	for deadline := time.Now().Add(patience); ; {
		metrics, err := p.metrics(ctx)
		if err != nil || condition(metrics) {
			return metrics, err
		}
		if time.Now().After(deadline) {
			return metrics, fmt.Errorf("not so after %v", patience)
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return metrics, err
		}
	}
}

// slope is that of the straight line which fits the points best; 0 when there are too few.
func slope(x, y []float64) float64 {
	n := float64(len(x))
	if n < 2 {
		return 0
	}
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx += x[i]
		sy += y[i]
		sxx += x[i] * x[i]
		sxy += x[i] * y[i]
	}
	if d := n*sxx - sx*sx; d != 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}
