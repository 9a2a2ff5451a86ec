package wait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPollLooksUntilTheConditionHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		looks := 0
		took := For(t, time.Minute, "a second to pass", True(func() bool { looks++; return time.Since(start) >= time.Second }))
		if took < time.Second || took > time.Second+lastPause {
			t.Errorf("it took %v", took)
		}
		if most := int(time.Second/lastPause) + 10; looks > most {
			t.Errorf("it looked %d times, at most %d are needed", looks, most)
		}
	})
}

func TestForKnowsHowLongProcessorsWereWaitedFor(t *testing.T) {
	for report, want := range map[string]time.Duration{
		"some avg10=51.42 avg60=50.94 avg300=59.02 total=400790587\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n": 400790587 * time.Microsecond,
		"full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n":                                                            0,
		"some total=many": 0,
		"":                0,
	} {
		if got := parseStall(report); got != want {
			t.Errorf("%q is %v, want %v", report, got, want)
		}
	}
}

func TestForEndsAfterItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, ended := time.Now(), fatal{TB: t}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("it went on")
				}
			}()
			For(&ended, time.Minute, "something", func() error { return errors.New("no pod") })
		}()
		if took := time.Since(start); took < time.Minute || took > mostGrace*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// fatal is a test that can be seen to end.
type fatal struct{ testing.TB }

func (fatal) Fatalf(string, ...any) { panic("the test has ended") }

func TestPollGivesTheLastErrorWhenTheTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		missing := errors.New("no pod")
		start := time.Now()
		if err := Poll(t.Context(), time.Minute, func() error { return missing }); !errors.Is(err, missing) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Poll(ctx, time.Minute, func() error { return missing }); !errors.Is(err, missing) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v when the context has ended", err)
		}
	})
}
