package loadtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

func TestWhatWasBeforeAMarkDoesNotCount(t *testing.T) {
	seen := roomclient.Reception{Packets: 100, Bytes: 100_000, Expected: 110, Missed: 10, Repaired: 4, Frames: 30, Layer: 1, Longest: time.Second}
	seen.Delay.Add(time.Second)
	var before Totals
	before.Video.reception(&seen)
	before.Joins.succeed(time.Millisecond)

	seen.Packets, seen.Bytes, seen.Expected, seen.Missed, seen.Repaired, seen.Frames, seen.Longest = 300, 300_000, 310, 12, 6, 90, 40*time.Millisecond
	seen.Delay.Add(2 * time.Millisecond)
	var after Totals
	after.Video.reception(&seen)
	after.Joins.succeed(time.Millisecond)
	after.subtract(&before)
	after.Elapsed = 2 * time.Second
	v := &after.Video
	if v.Packets != 200 || v.Expected != 200 || v.Missed != 2 || v.Frames != 60 || v.Streams != 1 || v.Layers[1] != 1 || v.Longest != 40*time.Millisecond {
		t.Errorf("%+v", v)
	}
	if v.Lost() != 0 || v.LostAtFirst() != 0.01 {
		t.Errorf("lost %v, at first %v", v.Lost(), v.LostAtFirst())
	}
	if v.Delay.Count() != 1 || v.Delay.Max() > 3*time.Millisecond {
		t.Errorf("delay: %d, at most %v", v.Delay.Count(), v.Delay.Max())
	}
	if after.Joins.Succeeded != 1 {
		t.Error("joins count from the start")
	}
	load := Load{Rooms: 1, Publishers: 1, Subscribers: 1, Stream: roomclient.Stream{Video: Simulcast(1500)}}
	if r := NewReport(load, &after); r.Video.Mbps != 0.8 || r.Video.FramesPerSecond != 30 || len(r.Video.Layers) != 3 || r.Audio != nil {
		t.Errorf("%+v", r.Video)
	}
}

func TestErrorsAreCountedAndBounded(t *testing.T) {
	var a Attempts
	if a.Success() != 1 {
		t.Error("nothing was tried, and nothing has failed")
	}
	for i := range 100 {
		a.fail(fmt.Errorf("number %d: %s", i, strings.Repeat("x", 1000)))
	}
	a.fail(errors.New("\xff"))
	a.succeedWithout()
	if len(a.Errors) > maxErrors+1 || a.Failed != 101 || a.Errors["others"] != 81 {
		t.Errorf("%d different errors of %d", len(a.Errors), a.Failed)
	}
	for text := range a.Errors {
		if len(text) > maxErrorBytes {
			t.Errorf("%d bytes", len(text))
		}
	}
}

func TestEachLimitIsChecked(t *testing.T) {
	report := &Report{
		Joins: AttemptsReport{Success: 0.9, Milliseconds: Quantiles{P50: 100, P99: 200}},
		Video: &StreamsReport{
			Packets: 10, Lost: 0.1, Mbps: 1, Freezes: 3, LongestGapMillis: 500, DelayMilliseconds: Quantiles{P50: 1, P99: 5, P999: 9},
		},
		Audio: &StreamsReport{Mbps: 1},
	}
	for want, change := range map[string]struct{ kept, missed func(l *Limits) }{
		"join success":  {func(l *Limits) { l.MinJoinSuccess = 0.9 }, func(l *Limits) { l.MinJoinSuccess = 1 }},
		"join p50":      {func(l *Limits) { l.MaxJoinP50 = 100 * time.Millisecond }, func(l *Limits) { l.MaxJoinP50 = 99 * time.Millisecond }},
		"join p99":      {func(l *Limits) { l.MaxJoinP99 = 200 * time.Millisecond }, func(l *Limits) { l.MaxJoinP99 = 0 }},
		"loss":          {func(l *Limits) { l.MaxLoss = 0.1 }, func(l *Limits) { l.MaxLoss = 0 }},
		"delay p50":     {func(l *Limits) { l.MaxDelayP50 = time.Millisecond }, func(l *Limits) { l.MaxDelayP50 = 999 * time.Microsecond }},
		"delay p99":     {func(l *Limits) { l.MaxDelayP99 = 5 * time.Millisecond }, func(l *Limits) { l.MaxDelayP99 = time.Millisecond }},
		"delay p99.9":   {func(l *Limits) { l.MaxDelayP999 = 9 * time.Millisecond }, func(l *Limits) { l.MaxDelayP999 = time.Millisecond }},
		"the longest":   {func(l *Limits) { l.MaxGap = 500 * time.Millisecond }, func(l *Limits) { l.MaxGap = time.Millisecond }},
		"the number of": {func(l *Limits) { l.MaxFreezes = 3 }, func(l *Limits) { l.MaxFreezes = 0 }},
		"the bitrate":   {func(l *Limits) { l.MinMbps = 2 }, func(l *Limits) { l.MinMbps = 2.1 }},
	} {
		kept, missed := NoLimits(), NoLimits()
		change.kept(&kept)
		change.missed(&missed)
		if got := kept.Check(report); len(got) != 0 {
			t.Errorf("%s: %v", want, got)
		}
		if got := missed.Check(report); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: %v", want, got)
		}
	}
}

func TestTokensOfASessionAreForOneRoom(t *testing.T) {
	tokens, err := ReadTokens(strings.NewReader(
		"wss://h?sessionId=a&token=1\nwss://h?sessionId=b&token=2\n\nwss://h?sessionId=a&token=3\n"), "wss://pod:7444", nil)
	if err != nil || tokens.Rooms() != 2 {
		t.Fatal(tokens, err)
	}
	for _, want := range []string{"wss://h?sessionId=a&token=1", "wss://h?sessionId=a&token=3"} {
		if options, err := tokens.Admit(t.Context(), 0, true); err != nil || options.Token != want || options.Endpoint != "wss://pod:7444" {
			t.Errorf("%+v, %v", options, err)
		}
	}
	if _, err := tokens.Admit(t.Context(), 0, true); err == nil {
		t.Error("a third token of two")
	}
	if _, err := ReadTokens(strings.NewReader(""), "", nil); err == nil {
		t.Error("no tokens are no error")
	}
}

func TestTheReportTellsWhatPeerConnectionsGoOver(t *testing.T) {
	var all, one Totals
	for _, protocol := range []string{"udp", "tcp", "", "udp"} {
		one.route(protocol)
	}
	all.add(&one)
	all.add(&one)
	report := NewReport(Load{}, &all)
	if report.Transports != (TransportsReport{UDP: 4, TCP: 2}) {
		t.Errorf("got %+v", report.Transports)
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "4 peer connections over UDP, 2 over TCP\n") {
		t.Errorf("got %s", text.String())
	}
}
