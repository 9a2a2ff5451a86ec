package recording

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/finalizer"
	"mediarooms.dev/mediarooms/controllers/status"
)

// apply carries the actions out, up to the first error.
func (r *Reconciler) apply(ctx context.Context, o observed, p plan) error {
	for _, a := range p.actions {
		log.FromContext(ctx).V(1).Info("Applying", "action", string(a.kind), "reason", a.reason)
		var err error
		switch a.kind {
		case addFinalizer:
			err = finalizer.Ensure(ctx, r.Client, FieldOwner, o.recording, v1alpha1.RecordingFinalizer)
		case claimSession:
			err = r.claim(ctx, o, p)
		case put:
			r.Workers.Put(p.pool, client.ObjectKeyFromObject(o.recording), a.job)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// claim writes what the Recording has taken, before anything is done by it. Others see it in the
// cache later, and here at once.
func (r *Reconciler) claim(ctx context.Context, o observed, p plan) error {
	before := r.claims[o.recording.UID]
	r.claims[o.recording.UID] = claim{
		namespace: o.recording.Namespace, recordingID: p.recordingID, session: p.session, room: desired.RoomIdentity(o.session),
	}
	_, _, err := r.statuses.Write(ctx, o.recording, makeStatus(o, p, false), status.Urgent)
	if err != nil {
		r.claims[o.recording.UID] = before
		if before.session == types.UID("") {
			delete(r.claims, o.recording.UID)
		}
	}
	return err
}
