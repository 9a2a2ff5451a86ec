package signalling

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"mediarooms.dev/mediarooms/mediapod/room"
)

// Bounds of what waits to be written to a client. Beyond them what the client can do without is
// dropped (room.Expendable), so that nobody loses its socket by what others say. One that lets more
// pile up all the same is dropped itself.
const (
	maxQueued      = 4096
	maxQueuedBytes = 16 << 20
	writeTimeout   = 10 * time.Second
	lingerTime     = 10 * time.Second
)

// Bounds of what a client has not confirmed, which is what may be on its way. Beyond them the
// oldest is forgotten, of bytes the oldest that the client can do without: one that comes back has
// received it, or never confirms anything.
const (
	maxUnconfirmed      = 512
	maxUnconfirmedBytes = 4 << 20
)

// outgoing is one message to a client: an encoded answer, one that is encoded when it is written,
// or a notification; or one to the gateway.
type outgoing struct {
	answer       []byte
	gateway      []byte
	long         LongAnswer
	notification room.Notification
}

func (m outgoing) weight() int {
	if m.notification != nil {
		return m.notification.Weight()
	}
	return len(m.answer) + len(m.gateway) + m.long.Weight
}

// transport is the part of a WebSocket that an outbox needs.
type transport interface {
	writeText(ctx context.Context, data []byte) error
	writeBinary(ctx context.Context, data []byte) error
	writeParts(ctx context.Context, parts iter.Seq2[[]byte, error]) error
	// confirm returns when the client has received everything that was written before.
	confirm(ctx context.Context) error
	// drop ends the socket at once.
	drop(cause error)
	// expended counts notifications that were dropped for want of space.
	expended(count int)
}

// outbox is the queue of everything that goes to one client, and what its participant's room.Sink
// is. Queuing never blocks; run writes.
//
// It remembers notifications until the client has confirmed them, by the pong to a WebSocket ping
// (RFC 6455 5.5.3), which browsers answer by themselves, so that what was on its way when a network
// broke is told again on the next socket.
type outbox struct {
	transport transport
	encode    func(room.Notification) ([][]byte, error)
	wake      chan struct{} // holds an element when run has something to do

	mu          sync.Mutex // guards what follows
	queue       []outgoing
	queuedBytes int
	unconfirmed []room.Notification // on their way, oldest first; nil is one that was forgotten
	expendable  int                 // bytes of those that the client can do without
	written     int                 // how many notifications were ever written
	confirmed   int                 // how many of them were confirmed or forgotten
	confirming  bool                // a ping is on its way
	released    bool
	moved       bool // nothing is queued any more
	overflowed  bool
	ending      error // why the socket ends once everything is written; nil when it does not
}

func newOutbox(transport transport, encode func(room.Notification) ([][]byte, error)) *outbox {
	return &outbox{transport: transport, encode: encode, wake: make(chan struct{}, 1)}
}

// notify queues a notification.
func (o *outbox) notify(notification room.Notification) {
	o.push(outgoing{notification: notification})
}

// reply queues an encoded answer.
func (o *outbox) reply(answer []byte) {
	o.push(outgoing{answer: answer})
}

// replyInParts queues an answer that may be large.
func (o *outbox) replyInParts(answer LongAnswer) {
	o.push(outgoing{long: answer})
}

// tellGateway queues a message for the gateway.
func (o *outbox) tellGateway(message []byte) {
	o.push(outgoing{gateway: message})
}

// move has run return errMoved once everything that is queued is written, and takes no more.
func (o *outbox) move() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.moved, o.ending = true, errMoved
	o.signal()
}

// release has run return, and returns the notifications that the client is not known to have
// received.
func (o *outbox) release() []room.Notification {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.released = true
	missed := slices.DeleteFunc(o.unconfirmed, func(n room.Notification) bool { return n == nil })
	for _, message := range o.queue {
		if message.notification != nil {
			missed = append(missed, message.notification)
		}
	}
	o.queue, o.unconfirmed = nil, nil
	o.signal()
	return missed
}

// end has run return the cause once everything that is queued is written.
func (o *outbox) end(cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ending = cause
	o.signal()
}

func (o *outbox) push(message outgoing) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.released || o.moved {
		return
	}
	o.queue = append(o.queue, message)
	o.queuedBytes += message.weight()
	if o.full() {
		o.dropExpendable()
		o.overflowed = o.overflowed || o.full()
	}
	o.signal()
}

// full reports whether more waits than may. The outbox is locked.
func (o *outbox) full() bool {
	return len(o.queue) > maxQueued || o.queuedBytes > maxQueuedBytes
}

// dropExpendable drops what the client can do without, the oldest first. It makes more space than
// is needed now, so that it is not asked for every time. The outbox is locked.
func (o *outbox) dropExpendable() {
	before := len(o.queue)
	left := before
	o.queue = slices.DeleteFunc(o.queue, func(m outgoing) bool {
		if left <= maxQueued*3/4 && o.queuedBytes <= maxQueuedBytes*3/4 || m.notification == nil || !room.Expendable(m.notification) {
			return false
		}
		left--
		o.queuedBytes -= m.weight()
		return true
	})
	o.transport.expended(before - left)
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
	if o.overflowed {
		o.transport.drop(errNotReading)
	}
}

// run writes what is queued until the context ends, the outbox is released or the socket breaks.
// Confirmations run in the given group.
func (o *outbox) run(ctx context.Context, group *sync.WaitGroup) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-o.wake:
		}
		for {
			message, more, err := o.next()
			if err != nil {
				return err
			}
			if !more {
				break
			}
			if err := o.write(ctx, message); err != nil {
				return err
			}
		}
		o.confirmWritten(ctx, group)
	}
}

// next takes the oldest message. A notification counts as on its way from then on.
func (o *outbox) next() (outgoing, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.released {
		return outgoing{}, false, errTakenOver
	}
	if len(o.queue) == 0 {
		o.queue = nil
		return outgoing{}, false, o.ending
	}
	message := o.queue[0]
	o.queue[0] = outgoing{}
	o.queue = o.queue[1:]
	o.queuedBytes -= message.weight()
	if message.notification != nil {
		o.keep(message.notification)
	}
	return message, true, nil
}

// keep remembers a notification until it is confirmed. The outbox is locked.
func (o *outbox) keep(notification room.Notification) {
	o.unconfirmed = append(o.unconfirmed, notification)
	if len(o.unconfirmed) > maxUnconfirmed {
		o.forget(1)
	}
	if !room.Expendable(notification) {
		return
	}
	o.expendable += notification.Weight()
	for i, oldest := range o.unconfirmed[:len(o.unconfirmed)-1] {
		if o.expendable <= maxUnconfirmedBytes {
			return
		}
		o.lose(oldest)
		if room.Expendable(oldest) {
			o.unconfirmed[i] = nil
		}
	}
}

// lose counts a notification as no longer kept. The outbox is locked.
func (o *outbox) lose(notification room.Notification) {
	if room.Expendable(notification) {
		o.expendable -= notification.Weight()
	}
}

func (o *outbox) write(ctx context.Context, message outgoing) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if message.gateway != nil {
		return o.transport.writeBinary(ctx, message.gateway)
	}
	if message.long.Parts != nil {
		return o.transport.writeParts(ctx, message.long.Parts)
	}
	if message.notification != nil {
		return o.writeNotification(ctx, message.notification)
	}
	return o.transport.writeText(ctx, message.answer)
}

// writeNotification writes all messages of a notification, which then counts as written.
func (o *outbox) writeNotification(ctx context.Context, notification room.Notification) error {
	messages, err := o.encode(notification)
	if err != nil {
		return err
	}
	if len(messages) == 0 {
		o.skip()
		return nil
	}
	for _, message := range messages {
		if err := o.transport.writeText(ctx, message); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written++
	return nil
}

// skip forgets the newest notification: it is none that the client's protocol tells. That it is on
// its way is what next has noted.
func (o *outbox) skip() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last := len(o.unconfirmed) - 1; last >= 0 {
		o.lose(o.unconfirmed[last])
		o.unconfirmed = o.unconfirmed[:last]
	}
}

// confirmWritten asks the client what it has received, unless it was asked and has not answered
// yet. It asks again when more was written meanwhile.
func (o *outbox) confirmWritten(ctx context.Context, group *sync.WaitGroup) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.confirming || o.written <= o.confirmed {
		return
	}
	o.confirming = true
	group.Go(func() {
		for {
			upTo, more := o.awaitingConfirmation()
			if !more {
				return
			}
			if err := o.transport.confirm(ctx); err != nil {
				return
			}
			o.confirmUpTo(upTo)
		}
	})
}

// awaitingConfirmation returns how many notifications were ever written, and whether any of them is
// not confirmed.
func (o *outbox) awaitingConfirmation() (int, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.written <= o.confirmed {
		o.confirming = false
		return 0, false
	}
	return o.written, true
}

func (o *outbox) confirmUpTo(count int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(min(count-o.confirmed, len(o.unconfirmed)))
}

// forget drops the oldest unconfirmed notifications. The outbox is locked.
func (o *outbox) forget(n int) {
	if n <= 0 {
		return
	}
	o.confirmed += n
	for _, notification := range o.unconfirmed[:n] {
		o.lose(notification)
	}
	clear(o.unconfirmed[:n])
	o.unconfirmed = o.unconfirmed[n:]
}
