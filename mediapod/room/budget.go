package room

import (
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what participants have others notified of, by signals and changes of streams, and
// likewise of the server's signals. A notification of several counts once for each, since that is
// what it costs.
const (
	toldPerSecond, toldAtOnce           = 20000, 100000
	toldBytesPerSecond, toldBytesAtOnce = 16 << 20, 64 << 20
	// One participant has a part of it, so that it can't silence the others.
	onesPart, onesPartAtOnce = 4, 2
)

// Bounds of how often a participant may publish, which all others are notified of as well.
const (
	streamsPerSecond, streamsAtOnce = 1, 60
)

// budget is what somebody may still have others notified of. It belongs to a room and is guarded
// by its mutex.
type budget struct {
	whose           string // in the words of an error
	messages, bytes *rate.Limiter
}

func newRoomBudget(whose string) budget {
	return budget{
		whose:    whose,
		messages: rate.NewLimiter(toldPerSecond, toldAtOnce),
		bytes:    rate.NewLimiter(toldBytesPerSecond, toldBytesAtOnce),
	}
}

func newParticipantBudget() budget {
	return budget{
		whose:    "participant",
		messages: rate.NewLimiter(toldPerSecond/onesPart, toldAtOnce/onesPart),
		bytes:    rate.NewLimiter(toldBytesPerSecond/onesPart, toldBytesAtOnce/onesPartAtOnce),
	}
}

// spend takes a notification to so many recipients off.
func (b budget) spend(notification Notification, recipients int) error {
	now, bytes := time.Now(), recipients*notification.Weight()
	switch {
	case !b.messages.AllowN(now, recipients):
		return overLimit("too many messages: at most %g per second, counted once per recipient, from one %s",
			float64(b.messages.Limit()), b.whose)
	case !b.bytes.AllowN(now, bytes):
		return overLimit("too many bytes: at most %d per second and %d at once, counted once per recipient, from one %s",
			int(b.bytes.Limit()), b.bytes.Burst(), b.whose)
	}
	return nil
}

// spend takes a notification of the participant to so many recipients off: of its own budget, and
// of that of all. The room is locked.
func (p *Participant) spend(notification Notification, recipients int) error {
	if err := p.budget.spend(notification, recipients); err != nil {
		return err
	}
	return p.room.participantsBudget.spend(notification, recipients)
}
