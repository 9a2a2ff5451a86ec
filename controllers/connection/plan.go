package connection

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/rooms"
)

// action is one write of a pass. Actions are ordered.
type action struct {
	kind actionKind
	// reason is why, for the log.
	reason string
}

type actionKind string

const (
	// admit asks for a place. Unless there is one, what follows is not done.
	admit actionKind = "Admit"
	// require has the room sent to the pod with this generation.
	require actionKind = "Require"
	// adopt adds the finalizer. It also takes off what earlier versions added, an owner reference
	// to the Session: GitOps tools and backups take objects with an owner for somebody else's.
	adopt actionKind = "Adopt"
	// writeSecret writes the token's Secret.
	writeSecret actionKind = "WriteSecret"
	// dropSecret deletes the Secret that the token was in before.
	dropSecret actionKind = "DropSecret"
	// release frees the place of a user that has left.
	release actionKind = "Release"
	// expire frees the place of a token that has expired, and has the pod forget it.
	expire actionKind = "Expire"
	// remove deletes the Connection.
	remove actionKind = "Remove"
)

// plan is what to write before the status, and after it.
type plan struct {
	first, then []action
}

// makePlan decides what to write, apart from the status. It is pure.
//
// Somebody waits for the token, so nothing that can wait is written before it. The place is asked
// for and the pod is told first, and one status write then holds the token and that it works. The
// finalizer follows: a Connection that goes in between is missing in the next Room, so its user is
// out or its token worthless all the same; what the finalizer adds is that the deletion waits until
// the pod has confirmed that.
func makePlan(o observed) plan {
	c := o.connection
	if !mayEnter(o) {
		return plan{}
	}
	state := participant.State(c.Status.State, o.room.Seen)
	var actions []action
	if o.admission != rooms.Admitted {
		actions = append(actions, action{admit, "it holds no place in the room"})
	}
	if o.room.Programmed < c.Generation && c.Status.State != v1alpha1.ConnectionStateDisconnected {
		actions = append(actions, action{require, "the media pod does not know this generation"})
	}
	if c.Spec.TokenSecretName != "" && o.tokenURL != "" && !secretInUse(o) && !secretWritten(o) {
		actions = append(actions, action{writeSecret, "the Secret does not hold the token"})
	}
	if o.outdated != nil && metav1.IsControlledBy(o.outdated, c) && !secretInUse(o) {
		actions = append(actions, action{dropSecret, "the Connection names another Secret now, or none"})
	}
	if state == v1alpha1.ConnectionStateDisconnected || lost(o) && state == v1alpha1.ConnectionStateActive {
		if o.room.Admitted && hasExpired(c.Status) {
			actions = append(actions, action{expire, "nobody has used the token in time"})
		}
		actions = append(actions, action{release, "the user has left"})
		// Once status says so: whoever watches sees the end before the object goes.
		if c.Spec.WhenDisconnected == v1alpha1.WhenDisconnectedDelete && c.Status.State == v1alpha1.ConnectionStateDisconnected {
			actions = append(actions, action{remove, "the user has left and whenDisconnected is Delete"})
		}
	}
	p := plan{first: actions}
	if !adopted(o) {
		p.then = append(p.then, action{adopt, "it lacks the finalizer, or has a Session as its owner"})
	}
	return p
}

// mayEnter says whether a Connection may be in the room, if there is a place.
func mayEnter(o observed) bool {
	return o.session != nil && o.session.DeletionTimestamp.IsZero() && o.connection.Spec.Type != v1alpha1.ConnectionTypeIPCam
}

// adopted says whether the finalizer is there, and no Session as an owner.
func adopted(o observed) bool {
	return slices.Contains(o.connection.Finalizers, v1alpha1.ConnectionFinalizer) &&
		!slices.ContainsFunc(o.connection.OwnerReferences, isSession)
}

func isSession(owner metav1.OwnerReference) bool {
	return owner.Kind == "Session" && owner.APIVersion == v1alpha1.GroupVersion.String()
}

// secretInUse says whether the token's Secret belongs to something else.
func secretInUse(o observed) bool {
	return o.secret != nil && !metav1.IsControlledBy(o.secret, o.connection)
}

// secretWritten says whether the token's Secret holds the token.
func secretWritten(o observed) bool {
	return o.secret != nil && string(o.secret.Data[tokenField]) == o.tokenURL
}
