package peer

import (
	"io"
	"sync"
	"time"

	"mediarooms.dev/mediarooms/mediapod/sfu"
)

const (
	// gatherTime is how long the first packets of a video frame wait for the rest of it at most: what goes to one receiver together costs
	// a fraction of what it costs packet by packet.
	gatherTime = 500 * time.Microsecond
	// arrivalPackets is how many packets of a stream wait to be read at most; what is beyond is lost.
	arrivalPackets = 512
	// packetBytes is the most that an incoming packet has.
	packetBytes = 1500
)

// arrival is what has arrived of one incoming RTP stream and was not read yet. Pion's session writes it, decrypted. Reading waits until a video frame
// is complete, by its marker (RFC 7741, section 4.1; RFC 9628, section 4.1; RFC 6184, section 5.1), or gatherTime is over. One timer per
// frame does that, none per packet.
type arrival struct {
	timer *time.Timer // releases what waits

	mu       sync.Mutex // guards the fields below
	wake     *sync.Cond // of mu; something was released, or the stream is closed
	waiting  [][]byte   // oldest first
	released int        // how many of those that wait may be read
	spare    [][]byte   // buffers for packets to come
	eager    bool       // nothing waits for what comes after it
	closed   bool
}

var _ io.ReadWriteCloser = (*arrival)(nil)

func newArrival() *arrival {
	a := &arrival{}
	a.wake = sync.NewCond(&a.mu)
	a.timer = time.AfterFunc(time.Hour, a.release)
	a.timer.Stop()
	return a
}

// Write takes a packet. It does not keep raw.
func (a *arrival) Write(raw []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return 0, io.ErrClosedPipe
	case len(raw) < 2 || len(raw) > packetBytes || len(a.waiting) == arrivalPackets:
		return len(raw), nil // lost
	}
	var buffer []byte
	if n := len(a.spare); n > 0 {
		buffer, a.spare = a.spare[n-1], a.spare[:n-1]
	}
	a.waiting = append(a.waiting, append(buffer[:0], raw...))
	switch held := len(a.waiting) - a.released; {
	case a.eager || raw[1]&0x80 != 0 || held == sfu.MaxBurst:
		a.timer.Stop()
		a.released = len(a.waiting)
		a.wake.Signal()
	case held == 1:
		a.timer.Reset(gatherTime)
	}
	return len(raw), nil
}

func (a *arrival) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.released = len(a.waiting)
	a.wake.Signal()
}

// Read takes the oldest packet out.
func (a *arrival) Read(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.released == 0 && !a.closed {
		a.wake.Wait()
	}
	if len(a.waiting) == 0 {
		return 0, io.EOF
	}
	packet := a.waiting[0]
	a.waiting = a.waiting[:copy(a.waiting, a.waiting[1:])]
	a.released = max(a.released-1, 0)
	a.spare = append(a.spare, packet)
	if len(packet) > len(b) {
		return 0, io.ErrShortBuffer
	}
	return copy(b, packet), nil
}

// hurry lets packets be read as soon as they come: audio has one per frame.
func (a *arrival) hurry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.eager = true
	a.released = len(a.waiting)
	a.wake.Signal()
}

// ready reports whether Read would return a packet without waiting.
func (a *arrival) ready() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.released > 0
}

// Close ends the stream. What has arrived can still be read.
func (a *arrival) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.timer.Stop()
	a.wake.Broadcast()
	return nil
}
