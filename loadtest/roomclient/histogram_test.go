package roomclient

import (
	"testing"
	"time"
)

func TestEveryDurationIsBelowTheUpperEndOfItsBucketAndNotFarBelow(t *testing.T) {
	for microseconds := uint64(0); microseconds < 60_000_000; microseconds += 1 + microseconds/97 {
		b := bucket(microseconds)
		if microseconds >= upper(b) {
			t.Fatalf("%d us is in bucket %d, which ends at %d", microseconds, b, upper(b))
		}
		if b > 0 && microseconds < upper(b-1) {
			t.Fatalf("%d us is in bucket %d, but the one before ends at %d", microseconds, b, upper(b-1))
		}
		if width := upper(b) - microseconds; width > microseconds/subBuckets+1 {
			t.Fatalf("%d us is %d us from the end of its bucket", microseconds, width)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for i := range 1000 {
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := h.Quantile(q); got < want || got > want*17/16 {
			t.Errorf("quantile %v is %v", q, got)
		}
	}
	before := h
	h.Add(time.Minute)
	if since := h.Since(&before); since.Count() != 1 || since.Quantile(0.5) < 56*time.Second {
		t.Errorf("since then: %d, %v", since.Count(), since.Quantile(0.5))
	}
	var sum Histogram
	sum.Merge(&h)
	sum.Merge(&before)
	if sum.Count() != 2001 || sum.Max() != time.Minute {
		t.Errorf("merged: %d, %v", sum.Count(), sum.Max())
	}
}
