package fleet

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// Outbox is what the pods are to be sent of rooms: messages, of each room the last one, and
// acknowledgements of events. Those who fill it need not know the Fleet, which empties it. Safe for
// concurrent use.
type Outbox struct {
	mu     sync.Mutex // guards what follows
	queues map[string]*queue
}

// queue is what one pod is to be sent.
type queue struct {
	// wake has one element when there is something to send.
	wake chan struct{}
	// rooms is nil while no stream is open: one that begins names all rooms.
	rooms map[types.UID]*controlv1.OperatorMessage
	acks  map[types.UID]uint64 // room -> sequence
}

// NewOutbox returns an outbox for no pods.
func NewOutbox() *Outbox {
	return &Outbox{queues: make(map[string]*queue)}
}

// Has says whether a pod is talked to: it is tracked, and not lost.
func (o *Outbox) Has(pod string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queues[pod] != nil
}

// Send queues a message about a room, in place of an earlier one that was not sent yet: a pod hosts
// a room, or follows it, or has nothing to do with it, and the last message says which. Without a
// stream it does nothing: the next one begins with all rooms.
func (o *Outbox) Send(pod string, session types.UID, message *controlv1.OperatorMessage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if q := o.queues[pod]; q != nil && q.rooms != nil {
		q.rooms[session] = message
		signal(q.wake)
	}
}

// Withdraw drops a message about a room that was not sent yet.
func (o *Outbox) Withdraw(pod string, session types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if q := o.queues[pod]; q != nil {
		delete(q.rooms, session)
	}
}

// Acknowledge tells a pod, if it is there, that it may forget the events of a room up to a
// sequence. What a broken stream loses is acknowledged with the room's next event, or told again to
// the next leader.
func (o *Outbox) Acknowledge(pod string, session types.UID, sequence uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if q := o.queues[pod]; q != nil {
		q.acks[session] = max(q.acks[session], sequence)
		signal(q.wake)
	}
}

// open begins to take what is for a pod, and signals to wake when there is something.
func (o *Outbox) open(pod string, wake chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queues[pod] = &queue{wake: wake, acks: make(map[types.UID]uint64)}
}

// shut drops what is for a pod, for good.
func (o *Outbox) shut(pod string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.queues, pod)
}

// collect begins to keep messages for a stream that is open now. What is queued from now on goes
// after whatever is read from now on.
func (o *Outbox) collect(pod string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if q := o.queues[pod]; q != nil {
		q.rooms = make(map[types.UID]*controlv1.OperatorMessage)
	}
}

// drop has messages not be kept any more, since the stream has ended.
func (o *Outbox) drop(pod string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if q := o.queues[pod]; q != nil {
		q.rooms = nil
	}
}

// take returns what is queued for a pod, once.
func (o *Outbox) take(pod string) []*controlv1.OperatorMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.queues[pod]
	if q == nil {
		return nil
	}
	messages := make([]*controlv1.OperatorMessage, 0, len(q.rooms)+len(q.acks))
	for _, message := range q.rooms {
		messages = append(messages, message)
	}
	clear(q.rooms)
	for uid, sequence := range q.acks {
		messages = append(messages, &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_AckEvents{
			AckEvents: &controlv1.AckEvents{Uid: string(uid), Sequence: sequence},
		}})
	}
	clear(q.acks)
	return messages
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
