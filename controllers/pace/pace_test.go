package pace

import (
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestDelay(t *testing.T) {
	var p Pace
	if d := p.Delay("a", Lazy, now); d != 0 {
		t.Errorf("the first write waits %s", d)
	}
	p.Wrote("a", now)
	if d := p.Delay("a", Lazy, now.Add(Interval/4)); d != Interval*3/4 {
		t.Errorf("the second waits %s", d)
	}
	if d := p.Delay("a", Urgent, now); d != 0 {
		t.Errorf("one that somebody waits for waits %s", d)
	}
	if d := p.Delay("b", Lazy, now); d != 0 {
		t.Errorf("one of another object waits %s", d)
	}
	if d := p.Delay("a", Lazy, now.Add(2*Interval)); d != 0 {
		t.Errorf("one a while later waits %s", d)
	}
}

func TestAwaiting(t *testing.T) {
	var p Pace
	if d := p.Delay("a", Awaiting, now); d != Patience {
		t.Errorf("it waits %s", d)
	}
	if d := p.Delay("a", Awaiting, now.Add(Patience/5)); d != Patience*4/5 {
		t.Errorf("asking again has it wait %s", d)
	}
	if d := p.Delay("a", Awaiting, now.Add(Patience)); d != 0 {
		t.Errorf("the answer did not come and it waits %s", d)
	}
	p.Wrote("a", now.Add(Patience))
	if d := p.Delay("a", Awaiting, now.Add(time.Hour)); d != Patience {
		t.Errorf("the next time it waits %s", d)
	}
}

func TestBegun(t *testing.T) {
	var p Pace
	p.Begun("a", now)
	if begun := p.Begun("a", now.Add(time.Minute)); !begun.Equal(now) {
		t.Errorf("it begins anew at %s", begun)
	}
	p.Forget("a")
	if begun := p.Begun("a", now.Add(time.Minute)); begun.Equal(now) {
		t.Error("an object that is gone is remembered")
	}
}
