package connection

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// expiresAt returns when the token of a Connection becomes worthless; zero when it does not, or was
// used.
func expiresAt(o observed) time.Time {
	accepted := meta.FindStatusCondition(o.connection.Status.Conditions, v1alpha1.ConditionAccepted)
	if o.pool == nil || o.pool.Spec.PendingConnectionSeconds == 0 || accepted == nil || accepted.Status != metav1.ConditionTrue ||
		participant.State(o.connection.Status.State, o.room.Seen) != v1alpha1.ConnectionStatePending {
		return time.Time{}
	}
	return accepted.LastTransitionTime.Add(time.Duration(o.pool.Spec.PendingConnectionSeconds) * time.Second)
}

// expired says that the time of an unused token is over.
func expired(o observed) bool {
	at := expiresAt(o)
	return !at.IsZero() && !o.now.Before(at)
}

// untilExpiry returns in what time the token expires; 0 when it does not, or has.
func untilExpiry(o observed) time.Duration {
	at := expiresAt(o)
	if at.IsZero() {
		return 0
	}
	return max(0, at.Sub(o.now))
}

// hasExpired says that the token of a Connection has expired.
func hasExpired(status v1alpha1.ConnectionStatus) bool {
	return status.DisconnectReason == string(reasons.TokenExpired)
}

// pending returns the Connections whose tokens nobody has used.
func (r *Reconciler) pending(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1alpha1.ConnectionList
	if err := r.Client.List(ctx, &list, client.DisableReadYourWritesConsistency); err != nil {
		// The cache fails only while it stops.
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if list.Items[i].Status.State == v1alpha1.ConnectionStatePending {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}

// expiryChanges leaves out everything of a pool but how long unused tokens keep their places.
func expiryChanges() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.MediaPool)
			after, ok2 := e.ObjectNew.(*v1alpha1.MediaPool)
			return ok && ok2 && before.Spec.PendingConnectionSeconds != after.Spec.PendingConnectionSeconds
		},
	}
}
