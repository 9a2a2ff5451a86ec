package connection

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/placement"
)

// action is one write of a pass. Actions are ordered.
type action struct {
	kind actionKind
	// reason is why, for the log.
	reason string
}

type actionKind string

const (
	// tell sends the room to the pod again.
	tell actionKind = "Tell"
	// adopt adds the finalizer and the owner reference to the Session.
	adopt actionKind = "Adopt"
	// writeSecret writes the token's Secret.
	writeSecret actionKind = "WriteSecret"
	// dismiss frees the place of a user that has left.
	dismiss actionKind = "Dismiss"
	// remove deletes the Connection.
	remove actionKind = "Remove"
)

// makePlan decides what to write, apart from the status. It is pure.
//
// The pod is told first, so that it answers while the finalizer is written, and one status write then holds the
// token and that it works. Nothing is lost if the Connection goes in between: it is then missing in the next Room, and
// the finalizer is there only to make the deletion wait for that.
func makePlan(o observed) []action {
	c := o.connection
	if o.session == nil || !o.session.DeletionTimestamp.IsZero() || o.verdict != placement.Admitted {
		return nil
	}
	var actions []action
	if o.view.Programmed < c.Generation {
		actions = append(actions, action{tell, "the media pod does not know this generation"})
	}
	if !adopted(o) {
		actions = append(actions, action{adopt, "the Connection has to wait for its eviction when it is deleted"})
	}
	state := participant.State(c.Status.State, o.view.Seen)
	if c.Spec.TokenSecretName != "" && o.tokenURL != "" && !secretInUse(o) && !secretWritten(o) {
		actions = append(actions, action{writeSecret, "the Secret does not hold the token"})
	}
	if state == v1alpha1.ConnectionStateDisconnected || lost(o) && state == v1alpha1.ConnectionStateActive {
		actions = append(actions, action{dismiss, "the user has left"})
		// Once status says so: whoever watches sees the end before the object goes.
		if c.Spec.WhenDisconnected == v1alpha1.WhenDisconnectedDelete && c.Status.State == v1alpha1.ConnectionStateDisconnected {
			actions = append(actions, action{remove, "the user has left and whenDisconnected is Delete"})
		}
	}
	return actions
}

// adopted says whether the finalizer and the owner reference are there.
func adopted(o observed) bool {
	return slices.Contains(o.connection.Finalizers, v1alpha1.ConnectionFinalizer) &&
		slices.ContainsFunc(o.connection.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == o.session.UID })
}

// secretInUse says whether the token's Secret belongs to something else.
func secretInUse(o observed) bool {
	return o.secret != nil && !metav1.IsControlledBy(o.secret, o.connection)
}

// secretWritten says whether the token's Secret holds the token.
func secretWritten(o observed) bool {
	return o.secret != nil && string(o.secret.Data[tokenField]) == o.tokenURL
}
