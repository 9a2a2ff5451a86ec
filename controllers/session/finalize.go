package session

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/eventlog"
	"mediarooms.dev/mediarooms/controllers/finalizer"
)

// closeBound is how long a deletion waits for the media pod, and goneBound for that and until the
// Connections are gone.
const (
	closeBound = 10 * time.Second
	goneBound  = 25 * time.Second
)

// silent says that nobody is told of a Session's end (openvidu-rest section 8): it was deleted
// because nobody ever joined it.
func silent(s *v1alpha1.Session) bool {
	return s.Annotations[v1alpha1.CollectedAnnotation] == "true"
}

// finalize closes the room, then removes the Connections that there were, unless they are to stay,
// then lets the Session go. Each step waits for the one before, up to its bound.
func (r *Reconciler) finalize(ctx context.Context, o observed) (ctrl.Result, error) {
	s := o.session
	if !o.finalizing() {
		r.release(s.UID) // somebody else's finalizer holds it
		return ctrl.Result{}, nil
	}
	begun := r.waits.Begun(s, o.now)
	closed := r.Rooms.Close(s.UID, silent(s))
	if wait := begun.Add(closeBound).Sub(o.now); !closed && wait > 0 {
		again, err := r.writeDeleting(ctx, s, "the media pod has closed the room")
		return ctrl.Result{RequeueAfter: soonest(again, wait)}, err
	}
	if !closed {
		r.Recorder.Eventf(s, nil, corev1.EventTypeWarning, eventNotClosed, actionClosing,
			"Media pod %s did not confirm within %s that the room is closed; deleting anyway", o.room.Pod, closeBound)
	}
	if o.room.Known && o.rival == nil {
		// It comes last: what the pod has told is told.
		r.Events.Conclude(eventlog.Conclusion{Room: desired.RoomIdentity(s), Emptied: emptied(o), Silent: silent(s)})
	}
	// From here on no Connection has a room to be put out of.
	r.release(s.UID)
	stay := r.orphans.has(s.UID)
	for _, c := range o.connections {
		if stay {
			break
		}
		if err := r.Client.Delete(ctx, c, client.Preconditions{UID: &c.UID}); client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("deleting Connection %s: %w", c.Name, err)
		}
	}
	if wait := begun.Add(goneBound).Sub(o.now); o.leaves() && !stay && wait > 0 {
		again, err := r.writeDeleting(ctx, s, "the Connections are gone")
		return ctrl.Result{RequeueAfter: soonest(again, wait)}, err
	}
	if err := finalizer.Remove(ctx, r.Client, FieldOwner, s, v1alpha1.SessionFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	r.waits.Forget(client.ObjectKeyFromObject(s))
	return ctrl.Result{}, nil
}
