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
