package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/loadtest"
)

func TestJudgingACall(t *testing.T) {
	for name, test := range map[string]struct {
		totals  loadtest.Totals
		verdict Verdict
		text    string
	}{
		"good": {
			loadtest.Totals{Joins: loadtest.Attempts{Succeeded: 2}, Video: loadtest.Streams{Frames: 90, Expected: 1000, Missed: 5}},
			OK, "media goes over UDP, 90 pictures in 3s, 0.5 % of packets lost",
		},
		"loss": {
			loadtest.Totals{Joins: loadtest.Attempts{Succeeded: 2}, Video: loadtest.Streams{Frames: 90, Expected: 1000, Missed: 50, Repaired: 10}},
			Warning, "media goes over UDP, and 4.0 % of the packets are lost",
		},
		"no picture": {loadtest.Totals{Joins: loadtest.Attempts{Succeeded: 2}}, Problem, "both have joined, and no picture came"},
		"no join": {
			loadtest.Totals{
				Joins:     loadtest.Attempts{Succeeded: 1, Failed: 1, Errors: map[string]int{"b": 1}},
				Publishes: loadtest.Attempts{Failed: 1, Errors: map[string]int{"a": 1}},
			}, Problem, "joining did not work: a; b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := &examination{Installation: Installation{Call: &Call{Duration: 3 * time.Second}}}
			e.judge(&test.totals)
			if len(e.report.Findings) != 1 || e.report.Findings[0].Verdict != test.verdict || e.report.Findings[0].Text != test.text {
				t.Errorf("it found %+v", e.report.Findings)
			}
		})
	}
}

func TestConnectionTrouble(t *testing.T) {
	for want, err := range map[string]error{
		"the name rooms.example.org can't be resolved here": &net.OpError{Err: &net.DNSError{Name: "rooms.example.org", IsNotFound: true}},
		"nobody listens there":                              &net.OpError{Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"there was no answer within 10s":                    fmt.Errorf("asking: %w", context.DeadlineExceeded),
		"something else":                                    errors.New("something else"),
	} {
		if what, remedy := connectionTrouble(err); what != want || remedy == "" {
			t.Errorf("got %q, %q, want %q", what, remedy, want)
		}
	}
}

func TestSeries(t *testing.T) {
	for want, words := range map[string]string{"a": "a", "a and b": "a b", "a, b and c": "a b c"} {
		if got := series(strings.Fields(words)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
