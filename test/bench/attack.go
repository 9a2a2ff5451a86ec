package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"mediarooms.dev/mediarooms/loadtest"
)

// measureAttacks prints what a call in another room of the pod notices of each attack, and of all
// at once.
func measureAttacks(ctx context.Context, o options) (err error) {
	b, err := newLaboratory(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	t := attackTables{
		effects: newTable("attack", "longest gap of another room's video", "lost", "memory, most", "Go heap then", "cut off"),
		reasons: newTable("attack", "lines", "in the log"),
	}
	baseline := attack{"nobody attacks", func(ctx context.Context, _ *attacker) error { <-ctx.Done(); return ctx.Err() }}
	for _, what := range append([]attack{baseline}, attacks...) {
		if !strings.Contains(what.name, o.attacks) {
			continue
		}
		if err := b.attack(ctx, t, what.name, false, what); err != nil {
			return fmt.Errorf("attacking by %s: %w", what.name, err)
		}
	}
	for _, all := range []struct {
		name     string
		together bool
	}{{"all of them at once, at 10 Mbps", true}, {"all of them at once, each at 10 Mbps", false}} {
		if !strings.Contains(all.name, o.attacks) {
			continue
		}
		if err := b.attack(ctx, t, all.name, all.together, attacks...); err != nil {
			return fmt.Errorf("attacking by all: %w", err)
		}
	}
	if err := t.effects.print(fmt.Sprintf("Attacks by one participant at 10 Mbps for %v, each on a pod of its own; who is cut off comes again.\n"+
		"Memory is what the pod has beyond what it had before. Wanted: no gap over 300 ms, at most 64 MiB.", o.attack)); err != nil {
		return err
	}
	return t.reasons.print("What the pods' logs say, but for who joins and leaves. Wanted: why the attacker is cut off, in one line each.")
}

// attackTables are what is found out of attacks.
type attackTables struct {
	effects, reasons *table
}

// callRoom is the room of the call that nobody attacks. Each attack has a room of its own.
const callRoom = 0

// attack plays attacks at the same time, together over one uplink or each over one of its own.
func (b *laboratory) attack(ctx context.Context, t attackTables, name string, together bool, attacks ...attack) error {
	progress("%s", name)
	var log *bytes.Buffer
	var row []string
	err := b.withPod(ctx, func(p *pod) error {
		log = &p.log
		media, err := b.media(nil)
		if err != nil {
			return err
		}
		call, err := start(ctx, loadtest.Setup{Target: p, Media: media, Load: loadtest.Load{
			Rooms: callRoom + 1, Publishers: 1, Subscribers: 1, Stream: video(packetsPerFrame),
		}})
		if err != nil {
			return err
		}
		defer call.Close()
		attackers := make([]*attacker, len(attacks))
		shared := &uplink{}
		for i := range attackers {
			attackers[i] = &attacker{laboratory: b, uplink: shared, pod: p, media: media, room: callRoom + 1 + i}
			if !together {
				attackers[i].uplink = &uplink{}
			}
			leave, err := attackers[i].accomplice(ctx)
			if err != nil {
				return err
			}
			defer leave()
		}
		if err := pause(ctx, settleTime); err != nil {
			return err
		}
		before, err := p.takes(ctx)
		if err != nil {
			return err
		}
		call.Mark()
		var playing sync.WaitGroup
		for i, what := range attacks {
			playing.Go(func() { attackers[i].run(ctx, what, b.options.attack) })
		}
		most, err := b.mostMemory(ctx, p)
		playing.Wait()
		if err != nil {
			return err
		}
		totals := call.Totals()
		cutOff := int64(0)
		for i, a := range attackers {
			cutOff += a.cutOff.Load()
			if failed := a.failed.Load(); failed != nil {
				progress("%s has failed: %v", attacks[i].name, *failed)
			}
		}
		row = []string{
			name, milliseconds(totals.Video.Longest), fmt.Sprintf("%.3f %%", totals.Video.LostAtFirst()*100),
			megabytes(most.resident - before.resident), megabytes(most.heap), fmt.Sprint(cutOff),
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.effects.row(row...)
	t.reason(name, log.String())
	return nil
}

func megabytes(bytes float64) string { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }

// mostMemory returns the most that the pod takes during an attack.
func (b *laboratory) mostMemory(ctx context.Context, p *pod) (taken, error) {
	var most taken
	for end := time.Now().Add(b.options.attack); time.Now().Before(end); {
		resident, err := residentBytes(p.process.Process.Pid)
		if err != nil {
			return most, err
		}
		if resident > most.resident {
			metrics, err := p.metrics(ctx)
			if err != nil {
				return most, err
			}
			most = taken{resident: resident, heap: metrics["go_memstats_heap_inuse_bytes"]}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return most, err
		}
	}
	return most, nil
}

// routine are the lines of a log that are of no attack.
var routine = []string{
	"Media pod started", "Configured by the operator", "Control stream opened", "Participant joined", "Participant left",
}

// reason lists what a log says, and how often.
func (t attackTables) reason(name, log string) {
	said := map[string]int{}
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Reason, Error, Text string }
		if json.Unmarshal([]byte(line), &entry) != nil {
			entry.Msg = strings.TrimSpace(line)
		}
		if !slices.Contains(routine, entry.Msg) {
			said[strings.Join(slices.DeleteFunc([]string{entry.Msg, entry.Reason, entry.Error, entry.Text}, func(s string) bool { return s == "" }), ": ")]++
		}
	}
	if len(said) == 0 {
		t.reasons.row(name, "0", "")
	}
	for line, times := range said {
		t.reasons.row(name, fmt.Sprint(times), line)
	}
}
