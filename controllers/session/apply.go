package session

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/finalizer"
	"mediarooms.dev/mediarooms/controllers/rooms"
)

// apply carries the actions out, up to the first error, and leaves in o what has come of them.
func (r *Reconciler) apply(ctx context.Context, o *observed, actions []action) error {
	logger := log.FromContext(ctx)
	moved := false
	for _, a := range actions {
		logger.V(1).Info("Applying", "action", string(a.kind), "reason", a.reason)
		var err error
		switch a.kind {
		case addFinalizer:
			err = finalizer.Ensure(ctx, r.Client, FieldOwner, o.session, v1alpha1.SessionFinalizer)
		case unassign:
			logger.Info("Taking the room off its pod", "pod", o.room.Pod, "reason", a.reason)
			r.Rooms.Unassign(o.session.UID, o.room.Pod)
		case assign:
			r.assign(ctx, o, a.sent)
		case move:
			moved = r.move(ctx, o, a)
		case handOver:
			moved = r.handOver(ctx, o, a)
		case protect:
			r.protect(ctx, o, a)
		case unprotect:
			r.Rooms.Unprotect(o.session.UID)
		case send:
			if !moved {
				r.send(o, o.room.Pod, a.sent)
			}
		case giveUp:
			logger.Info("Giving up users", "users", len(a.users), "reason", a.reason)
			r.Rooms.GiveUp(o.session.UID, a.users)
			r.Events.GiveUp(o.session.UID)
		case release:
			r.release(o.session.UID)
		case remove:
			logger.Info("Deleting the Session", "reason", a.reason)
			err = client.IgnoreNotFound(r.Client.Delete(ctx, o.session, client.Preconditions{UID: &o.session.UID}))
		case collect:
			logger.Info("Deleting the Session", "reason", a.reason)
			err = r.collect(ctx, o)
		}
		if err != nil {
			return err
		}
	}
	r.look(o)
	return nil
}

// assign reserves capacity and sends the room there.
func (r *Reconciler) assign(ctx context.Context, o *observed, sent *sent) {
	session := rooms.Session{UID: o.session.UID, Name: client.ObjectKeyFromObject(o.session), Pool: o.pool.Name}
	pod, placed := r.Rooms.Assign(session, o.candidates, o.pool.Spec.Placement)
	if !placed {
		placementFailures.Inc()
		return
	}
	r.send(o, pod, sent)
	log.FromContext(ctx).Info("Placed the room", "pod", pod, "pool", o.pool.Name)
}

// move reserves capacity on another pod and sends the room there, if there is one; the pod before
// closes it.
func (r *Reconciler) move(ctx context.Context, o *observed, a action) bool {
	pod, moved := r.Rooms.Move(o.session.UID, o.room.Pod, o.candidates, o.pool.Spec.Placement)
	if moved {
		r.send(o, pod, a.sent)
		log.FromContext(ctx).Info("Moved the room", "from", o.room.Pod, "to", pod, "reason", a.reason)
	}
	return moved
}

// handOver puts the room on its standby and sends it there; the pod before gives it up when the
// standby asks for it.
func (r *Reconciler) handOver(ctx context.Context, o *observed, a action) bool {
	pod, moved := r.Rooms.HandOver(o.session.UID, o.room.Pod)
	if moved {
		r.send(o, pod, a.sent)
		log.FromContext(ctx).Info("Handing the room over", "from", o.room.Pod, "to", pod, "reason", a.reason)
	}
	return moved
}

// protect has a pod follow the room, if there is one. The next pass tells the room's own pod.
func (r *Reconciler) protect(ctx context.Context, o *observed, a action) {
	host := rooms.Host{Pod: o.pod.Name, Node: o.pod.Node, UID: o.pod.UID, Address: o.pod.Address}
	if pod, found := r.Rooms.Protect(o.session.UID, host, a.candidates, a.keep); found {
		log.FromContext(ctx).Info("Chose a standby", "pod", o.pod.Name, "standby", pod, "reason", a.reason)
	}
}

// send hands the room over to be sent to the pod that it is on.
func (r *Reconciler) send(o *observed, pod string, sent *sent) {
	r.Rooms.Send(pod, sent.room, sent.names, o.room.Sending.Need)
	r.Identities.Keep(o.session.UID, sent.names)
}
