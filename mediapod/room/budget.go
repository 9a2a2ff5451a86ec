package room

import (
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what is told in a room on behalf of its participants by signals and changes of streams, and likewise of the server's signals. What
// is told to several counts once for each, since that is what it costs.
const (
	toldPerSecond, toldAtOnce           = 20000, 100000
	toldBytesPerSecond, toldBytesAtOnce = 16 << 20, 64 << 20
	// One participant has a part of it, so that it can't silence the others.
	onesPart, onesPartAtOnce = 4, 2
)

// Bounds of how often a participant may publish, which all others are told as well.
const (
	streamsPerSecond, streamsAtOnce = 1, 60
)

// budget is what somebody may still have others told. It belongs to a room and is guarded by its mutex.
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
func (b budget) spend(notification Notification, recipients int) *Error {
	now, bytes := time.Now(), recipients*notification.Weight()
	switch {
	case !b.messages.AllowN(now, recipients):
		return refuse(CodeGeneric, "Too many messages: at most %g per second, counted once per recipient, from one %s", float64(b.messages.Limit()), b.whose)
	case !b.bytes.AllowN(now, bytes):
		return refuse(CodeGeneric, "Too many bytes: at most %d per second and %d at once, counted once per recipient, from one %s",
			int(b.bytes.Limit()), b.bytes.Burst(), b.whose)
	}
	return nil
}

// spend takes a notification of the participant to so many recipients off: of what it may have told, and of what all may. The room is locked.
func (p *Participant) spend(notification Notification, recipients int) *Error {
	if over := p.budget.spend(notification, recipients); over != nil {
		return over
	}
	return p.room.participantsBudget.spend(notification, recipients)
}
