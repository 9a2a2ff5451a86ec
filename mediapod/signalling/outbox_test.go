package signalling

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// wire is a transport of a test. Its client reads while reading is closed, and confirms when told.
type wire struct {
	mu       sync.Mutex // guards what follows
	written  []string
	dropped  error
	lost     int           // notifications
	blocked  chan struct{} // writes wait for it, when set
	confirms chan struct{}
}

func (w *wire) writeText(ctx context.Context, data []byte) error {
	if w.blocked != nil {
		select {
		case <-w.blocked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written = append(w.written, string(data))
	return nil
}

func (w *wire) writeBinary(ctx context.Context, data []byte) error {
	return w.writeText(ctx, append([]byte("binary "), data...))
}

func (w *wire) writeParts(ctx context.Context, parts iter.Seq2[[]byte, error]) error {
	var message []byte
	for part, err := range parts {
		if err != nil {
			return err
		}
		message = append(message, part...)
	}
	return w.writeText(ctx, message)
}

func (w *wire) confirm(ctx context.Context) error {
	select {
	case <-w.confirms:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *wire) drop(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped = cause
}

func (w *wire) expended(count int) { w.lost += count }

func encodeAny(n room.Notification) ([][]byte, error) {
	return [][]byte{fmt.Appendf(nil, "%#v", n)}, nil
}

func ended(id string) room.Notification {
	return room.ParticipantUnpublished{ConnectionID: id, Reason: reasons.Unpublish}
}

// A notification that is several messages is written, confirmed and returned as one.
func TestOutboxTakesAllMessagesOfANotificationForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{confirms: make(chan struct{})}
		o := newOutbox(w, func(room.Notification) ([][]byte, error) {
			return [][]byte{[]byte("comes"), []byte("sends")}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = o.run(ctx, &group) })
		o.notify(ended("1"))
		synctest.Wait()
		w.confirms <- struct{}{}
		synctest.Wait()
		o.notify(ended("2"))
		synctest.Wait()
		cancel()
		group.Wait()
		if missed := o.release(); len(missed) != 1 || missed[0] != ended("2") {
			t.Errorf("got %v", missed)
		}
		if got := strings.Join(w.written, " "); got != "comes sends comes sends" {
			t.Errorf("written: %s", got)
		}
	})
}

func TestOutboxReturnsWhatWasNotConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{confirms: make(chan struct{})}
		o := newOutbox(w, encodeAny)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = o.run(ctx, &group) })

		o.notify(ended("1"))
		o.notify(ended("2"))
		synctest.Wait()
		o.notify(ended("3")) // while the client is asked about the first two
		synctest.Wait()
		w.confirms <- struct{}{}
		synctest.Wait() // asked about the third
		o.reply([]byte("answer"))
		synctest.Wait()
		cancel() // the socket breaks
		group.Wait()
		o.notify(ended("4"))

		missed := o.release()
		if len(missed) != 2 || missed[0] != ended("3") || missed[1] != ended("4") {
			t.Errorf("got %v", missed)
		}
		if len(w.written) != 4 {
			t.Errorf("written: %q", w.written)
		}
		o.notify(ended("5"))
		if missed := o.release(); len(missed) != 0 {
			t.Errorf("got %v of a released outbox", missed)
		}
	})
}

// What a room has told before another pod goes on with it still comes, and nothing else does.
func TestOutboxOfARoomThatMovesIsWrittenToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{confirms: make(chan struct{})}
		o := newOutbox(w, encodeAny)
		o.notify(ended("1"))
		o.tellGateway([]byte("resumption"))
		o.move()
		o.notify(ended("2"))
		o.reply([]byte("refused"))
		var group sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		if err := o.run(ctx, &group); !errors.Is(err, errMoved) {
			t.Errorf("it ends with %v", err)
		}
		cancel()
		group.Wait()
		if len(w.written) != 2 || w.written[1] != "binary resumption" {
			t.Errorf("written: %q", w.written)
		}
	})
}

func spoken(data string) room.Notification {
	return room.SignalReceived{Signal: room.Signal{Data: &data}}
}

// Whoever reads slowly, or not for a moment, loses signals before it loses its socket.
func TestASlowClientLosesSignalsAndNotItsSocket(t *testing.T) {
	for name, size := range map[string]int{"many": 1, "large": 1 << 18} {
		t.Run(name, func(t *testing.T) {
			w := &wire{}
			o := newOutbox(w, encodeAny) // nothing is written
			data := strings.Repeat("x", size)
			for i := range 10000 {
				if i%10 == 0 && i < 5000 {
					o.notify(ended(fmt.Sprint(i)))
				}
				o.notify(spoken(data))
				if i%10 == 5 && i < 5000 {
					o.reply([]byte("{}"))
				}
			}
			if w.dropped != nil || w.lost == 0 {
				t.Fatalf("the socket ends with %v, %d signals are lost", w.dropped, w.lost)
			}
			bytes, others, signals := 0, 0, 0
			for _, m := range o.queue {
				bytes += m.weight()
				switch m.notification.(type) {
				case room.ParticipantUnpublished:
					others++
				case room.SignalReceived:
					signals++
				}
			}
			if bytes != o.queuedBytes || bytes > maxQueuedBytes || len(o.queue) > maxQueued || others != 500 || signals+w.lost != 10000 {
				t.Errorf("%d messages of %d bytes, counted %d; %d others, %d signals, %d lost", len(o.queue), bytes, o.queuedBytes, others, signals, w.lost)
			}
			for range maxQueued {
				o.notify(ended("x"))
			}
			if !errors.Is(w.dropped, errNotReading) {
				t.Errorf("with too much that matters the socket ends with %v", w.dropped)
			}
		})
	}
}

func TestOutboxForgetsWhatAClientThatNeverConfirmsHasHadLongSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{confirms: make(chan struct{})}
		o := newOutbox(w, encodeAny)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = o.run(ctx, &group) })
		for range 3 * maxUnconfirmed {
			o.notify(ended("x"))
			synctest.Wait()
		}
		if missed := o.release(); len(missed) != maxUnconfirmed {
			t.Errorf("%d notifications are kept", len(missed))
		}
		cancel()
		group.Wait()
	})
}

// What a client never confirms takes little memory, however large it is, and what the client can't
// do without is kept all the same.
func TestLargeSignalsThatNobodyConfirmsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{confirms: make(chan struct{})}
		o := newOutbox(w, encodeAny)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = o.run(ctx, &group) })
		o.notify(ended("first"))
		for range 3 {
			for range 20 {
				o.notify(spoken(strings.Repeat("x", 1<<20)))
				synctest.Wait()
			}
			w.confirms <- struct{}{} // the first ones only
			synctest.Wait()
			o.notify(ended("x"))
			synctest.Wait()
		}
		bytes, others := 0, 0
		for _, notification := range o.release() {
			if room.Expendable(notification) {
				bytes += notification.Weight()
			} else {
				others++
			}
		}
		if bytes > maxUnconfirmedBytes || bytes < maxUnconfirmedBytes/2 || others == 0 {
			t.Errorf("%d bytes of signals and %d others are kept", bytes, others)
		}
		cancel()
		group.Wait()
	})
}

func TestAClientThatDoesNotReadIsDropped(t *testing.T) {
	for name, fill := range map[string]func(*outbox){
		"many messages": func(o *outbox) {
			for range maxQueued + 2 {
				o.notify(ended("x"))
			}
		},
		"big messages": func(o *outbox) {
			data := strings.Repeat("x", 1<<20)
			for range maxQueuedBytes/len(data) + 1 {
				o.notify(room.ParticipantJoined{Participant: room.Announcement{ClientData: data}})
			}
		},
		"big answers": func(o *outbox) {
			for range maxQueuedBytes>>20 + 2 {
				o.reply(make([]byte, 1<<20))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{blocked: make(chan struct{})}
				o := newOutbox(w, encodeAny)
				ctx, cancel := context.WithCancel(t.Context())
				var group sync.WaitGroup
				group.Go(func() { _ = o.run(ctx, &group) })
				fill(o)
				if !errors.Is(w.dropped, errNotReading) {
					t.Errorf("dropped: %v", w.dropped)
				}
				cancel()
				group.Wait()
			})
		})
	}
}

func TestAWriteThatTakesTooLongEndsTheSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{blocked: make(chan struct{})}
		o := newOutbox(w, encodeAny)
		var group sync.WaitGroup
		o.notify(ended("x"))
		began := time.Now()
		if err := o.run(t.Context(), &group); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != writeTimeout {
			t.Errorf("after %v", took)
		}
	})
}
