package objects

import (
	"errors"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

var (
	// ErrWaitedTooLong means that something that was waited for has not come in time.
	ErrWaitedTooLong = errors.New("waited too long")
	// ErrTenantNotSeen means that the gateway does not see the Connections of a tenant.
	ErrTenantNotSeen = errors.New("the tenant's connections can't be seen. Is mediarooms-rest bound in its namespace?")
	// ErrClosing means that the Session is being closed, or has gone.
	ErrClosing = errors.New("the session is being closed")
	// ErrExists means that another Session has the session id.
	ErrExists = errors.New("there is a session with this id")
)

// Refusal is why a Connection has got no token.
type Refusal int

// The reasons.
const (
	// RefusalFull: the Session has all the Connections that it may have.
	RefusalFull Refusal = iota
	// RefusalNoCapacity: the Session's media pod has no place, or no media pod has one for the
	// Session.
	RefusalNoCapacity
	// RefusalLate: there was no token in time.
	RefusalLate
)

// RefusedError says why a Connection has got no token.
type RefusedError struct {
	// Reason is why.
	Reason Refusal
	// Message is what the Connection's condition says; "" when nothing is known.
	Message string
}

// Error implements error.
func (e *RefusedError) Error() string {
	return "the Connection has got no token: " + e.Message
}

// refusal is why a Connection gets no place, nil when that is not decided, or may change while the
// caller waits.
func refusal(connection *v1alpha1.Connection) error {
	accepted := meta.FindStatusCondition(connection.Status.Conditions, v1alpha1.ConditionAccepted)
	switch {
	case accepted == nil || accepted.Status != metav1.ConditionFalse:
		return nil
	case accepted.Reason == v1alpha1.ReasonSessionFull:
		return &RefusedError{RefusalFull, accepted.Message}
	case accepted.Reason == v1alpha1.ReasonNoCapacity:
		return &RefusedError{RefusalNoCapacity, accepted.Message}
	}
	return nil
}

// noToken says why a Connection has no token, as far as its conditions know.
func noToken(connection *v1alpha1.Connection) error {
	accepted := meta.FindStatusCondition(connection.Status.Conditions, v1alpha1.ConditionAccepted)
	if accepted == nil || accepted.Status == metav1.ConditionUnknown {
		return &RefusedError{Reason: RefusalLate}
	}
	return &RefusedError{RefusalLate, accepted.Message}
}
