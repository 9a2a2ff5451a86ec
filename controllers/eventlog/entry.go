package eventlog

import (
	"container/list"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// Entry is one event of one Session. Everything that is exported never changes.
type Entry struct {
	// ID is the same whenever the event is delivered, and that of no other event.
	ID string
	// Name of the event.
	Name v1alpha1.WebhookEvent
	// Tenant is the namespace of the Session.
	Tenant  string
	Session types.UID
	// Room is the room's identity, Event what has happened in it.
	Room  *controlv1.RoomIdentity
	Event *controlv1.RoomEvent
	// Received is when the operator took it in.
	Received time.Time

	weight int // about how many bytes the entry takes

	// The rest is guarded by the mutex of the Log.
	source   *source
	sequence uint64
	waiting  []Recipient   // who has it to deliver
	settled  bool          // nobody has, or it was dropped
	place    *list.Element // among what waits of the tenant; nil when settled
	// placeOfSignal is that among its signals; nil when it is none.
	placeOfSignal *list.Element
}

// Recipient delivers events to somebody. Its methods are called with the Log locked: they only
// note, and call nobody back.
type Recipient interface {
	// Offer hands over an event, in order per Session, and reports whether the recipient takes it.
	// One that does calls Log.Done with it once it has dealt with it.
	Offer(*Entry) bool
	// Drop takes back an event that is too old to be kept any longer. One that is being delivered
	// right now may be finished; Done is then without effect.
	Drop(*Entry)
}
