package transport

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPermitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPermit()
		steps := []struct {
			what string
			do   func()
			want bool
		}{
			{"new", func() {}, true},
			{"until later", func() { p.Until(time.Now().Add(time.Second)) }, true},
			{"a moment before the end", func() { time.Sleep(time.Second - time.Nanosecond) }, true},
			{"at the end", func() { time.Sleep(time.Nanosecond) }, false},
			{"longer", func() { p.Until(time.Now().Add(time.Second)) }, true},
			{"ended", p.End, false},
			{"for ever", p.ForEver, true},
			{"a year later", func() { time.Sleep(365 * 24 * time.Hour) }, true},
		}
		for _, step := range steps {
			if step.do(); p.valid() != step.want {
				t.Errorf("%s: %v", step.what, p.valid())
			}
		}
		if !(*Permit)(nil).valid() {
			t.Error("no permit is no limit")
		}
	})
}

func TestWithoutAPermitNothingIsEncrypted(t *testing.T) {
	for _, profile := range profiles {
		k, _ := testKeys(t, profile)
		p := NewPermit()
		p.End()
		b := newBurst()
		k.seal(b, indexed(7, 3), p)
		if n := len(b.packets()); n != 0 {
			t.Errorf("%d packets were encrypted", n)
		}
		if _, err := k.sealControl([]byte{0x80, 201, 0, 1, 0, 0, 0, 5}, p); !errors.Is(err, errFrozen) {
			t.Errorf("RTCP: %v", err)
		}
		if len(k.sent.export()) != 0 {
			t.Error("indices were used")
		}
	}
}

// Whatever the other process knows, what it goes on with was not used here.
func TestIndicesOfTwoProcessesDoNotMeet(t *testing.T) {
	report := []byte{0x80, 201, 0, 1, 0, 0, 0, 5}
	for _, profile := range profiles {
		k, _ := testKeys(t, profile)
		packets := func(k *keys, from uint16, n int) (through int) {
			for i := range n {
				b := newBurst()
				k.seal(b, indexed(from+uint16(i), 1), nil)
				through += len(b.packets())
			}
			return through
		}
		reports := func(k *keys, n int) (last uint64) {
			for range n {
				if raw, err := k.sealControl(report, nil); err == nil {
					last = k.controlIndex(raw)
				}
			}
			return last
		}
		var nothing, early, late State
		k.export(&nothing)
		packets(k, 100, 10)
		reports(k, 10)
		k.export(&early)
		k.release(early)
		if n, last := packets(k, 110, 2*Block), reports(k, 2*Block); n != Block || last != 10+Block {
			t.Errorf("%d packets and RTCP up to %d go beyond what was told, want %d", n, last, Block)
		}
		k.export(&late)
		k.release(late)
		if n, last := packets(k, 110+Block, 2*Block), reports(k, 2*Block); n != Block || last != 10+2*Block {
			t.Errorf("%d packets more, and RTCP up to %d", n, last)
		}
		next, err := importKeys(late, Block, 100)
		if err != nil {
			t.Fatal(err)
		}
		if n := packets(next, 109+2*Block, 1); n != 0 {
			t.Error("an index is used twice")
		}
		if n, first := packets(next, 110+2*Block, 1), reports(next, 1); n != 1 || first != 11+2*Block {
			t.Errorf("%d packets go through first, and RTCP %d", n, first)
		}
	}
}

// What begins after the other process was told last is bounded, too.
func TestIndicesOfNewStreamsAreBounded(t *testing.T) {
	for _, profile := range profiles {
		k, _ := testKeys(t, profile)
		var before State
		k.export(&before)
		k.release(before)
		b := newBurst()
		for i := range 2 * Block {
			k.seal(b, indexed(uint16(i), 1), nil)
			if i == 0 { // told again, before it knows of the stream
				k.release(before)
			}
			b.data, b.sizes = b.data[:0], b.sizes[:0]
		}
		if got := k.sent.export()[5]; got != Block-1 {
			t.Errorf("the highest index is %d", got)
		}
		reports := 0
		for range 2 * Block {
			if _, err := k.sealControl([]byte{0x80, 201, 0, 1, 0, 0, 0, 5}, nil); err == nil {
				reports++
			}
		}
		next, err := importKeys(before, Block, 100)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := next.sealControl([]byte{0x80, 201, 0, 1, 0, 0, 0, 5}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if first := next.controlIndex(raw); int(first) <= reports {
			t.Errorf("RTCP goes on with %d after %d reports", first, reports)
		}
	}
}
