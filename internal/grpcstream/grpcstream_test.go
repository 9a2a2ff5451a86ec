package grpcstream

import (
	"context"
	"errors"
	"io"
	"testing"

	"go.uber.org/goleak"
)

// No goroutine outlives its test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatComesIsPassedOnAndThenTheEnd(t *testing.T) {
	n := 0
	messages, failed := Receive(t.Context(), func() (int, error) {
		if n++; n > 3 {
			return 0, io.EOF
		}
		return n, nil
	})
	for want := 1; want <= 3; want++ {
		if got := <-messages; got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	if err := <-failed; !errors.Is(err, io.EOF) {
		t.Errorf("it ended by %v", err)
	}
}

// Nobody reads any more when a stream is over.
func TestAStreamThatIsOverHoldsNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, failed := Receive(ctx, func() (int, error) { return 1, nil })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended by %v", err)
	}
}
