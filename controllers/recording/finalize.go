package recording

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/egress"
	"mediarooms.dev/mediarooms/controllers/finalizer"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// endBound is how long a deletion waits for the worker.
const endBound = 30 * time.Second

// finalize ends the recording, then has the worker forget it, with its files if they are to go, and
// lets the object go when the worker was told, or the bound is reached. Files that are to stay are
// finished first.
func (r *Reconciler) finalize(ctx context.Context, o observed) (ctrl.Result, error) {
	recording, name := o.recording, client.ObjectKeyFromObject(o.recording)
	if !controllerutil.ContainsFinalizer(recording, v1alpha1.RecordingFinalizer) {
		r.Workers.Drop(recording.UID)
		r.Workers.Settle(name)
		return ctrl.Result{}, nil
	}
	ended, wait := true, r.waits.Begun(recording, o.now).Add(endBound).Sub(o.now)
	if recording.Status.SessionUID != "" {
		p := plan{
			state: recording.Status.State, recordingID: recording.Status.RecordingID, sessionID: recording.Status.SessionID,
			session: types.UID(recording.Status.SessionUID), pool: recording.Status.PoolName, reason: reasons.Reason(recording.Status.Reason),
		}
		p.end(o)
		p.accepted = acceptance(o)
		ended = r.finish(o, p, name)
		r.Workers.Settle(name)
		if _, err := r.writeStatus(ctx, o, p, nil); err != nil {
			return ctrl.Result{}, err
		}
	}
	if !ended && wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	if err := finalizer.Remove(ctx, r.Client, FieldOwner, recording, v1alpha1.RecordingFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	if !ended {
		r.Recorder.Eventf(recording, nil, corev1.EventTypeWarning, eventNotEnded, actionEnding,
			"The recorder of MediaPool %s did not answer within %s; deleted anyway, and its files stay", recording.Status.PoolName, endBound)
	}
	r.Workers.Settle(name)
	r.Workers.Drop(recording.UID)
	r.waits.Forget(name)
	delete(r.claims, recording.UID)
	return ctrl.Result{}, nil
}

// finish has the worker end a recording and forget it, and says whether it was told. A pool that is
// gone has no worker to be told.
func (r *Reconciler) finish(o observed, p plan, name types.NamespacedName) bool {
	if o.pool == nil {
		return true
	}
	job := o.job(p)
	job.Stop, job.Source = true, nil
	job.DeleteFiles = o.recording.Spec.OnDelete == v1alpha1.OnDeleteDeleteFiles
	said := o.worker.Status
	over := said != nil && final(states[said.GetState()]) || said == nil && o.worker.State == egress.Synced && final(o.recording.Status.State)
	if !job.DeleteFiles && !over {
		r.Workers.Put(p.pool, name, job)
		return false
	}
	return r.Workers.Remove(p.pool, name, job)
}
