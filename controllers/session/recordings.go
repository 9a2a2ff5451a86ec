package session

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// recordings returns the Recordings of this very Session, by creation.
func (r *Reconciler) recordings(ctx context.Context, session *v1alpha1.Session) ([]*v1alpha1.Recording, error) {
	var list v1alpha1.RecordingList
	err := r.Client.List(ctx, &list, client.InNamespace(session.Namespace), client.MatchingFields{v1alpha1.SessionNameField: session.Name},
		client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if err != nil {
		return nil, fmt.Errorf("listing Recordings: %w", err)
	}
	var own []*v1alpha1.Recording
	for i := range list.Items {
		if list.Items[i].Status.SessionUID == string(session.UID) {
			own = append(own, &list.Items[i])
		}
	}
	slices.SortFunc(own, func(a, b *v1alpha1.Recording) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	return own, nil
}

// recorded says that a recording of the Session runs, or is about to.
func recorded(o observed) bool {
	return slices.ContainsFunc(o.recordings, func(r *v1alpha1.Recording) bool {
		return r.Status.Reason == "" && (r.Status.State == v1alpha1.RecordingStateStarting || r.Status.State == v1alpha1.RecordingStateStarted)
	})
}

// roomRecordings returns what clients are told of recordings: of the one that runs, and of the last
// that has ended. One that did not start is not told of. It is pure.
func roomRecordings(o observed) []*controlv1.Recording {
	roles := notified(o.pool)
	if len(roles) == 0 {
		return nil
	}
	var running, ended *controlv1.Recording
	for _, r := range o.recordings {
		if r.Status.StartedTime == nil {
			continue
		}
		told := &controlv1.Recording{Id: r.Status.RecordingID, Name: cmp.Or(r.Spec.Name, r.Status.RecordingID), Reason: r.Status.Reason, Roles: roles}
		if told.Stopped = r.Status.Reason != "" || r.Status.State != v1alpha1.RecordingStateStarted; told.Stopped {
			ended = told
		} else {
			running = told
		}
	}
	var all []*controlv1.Recording
	for _, told := range []*controlv1.Recording{running, ended} {
		if told != nil {
			all = append(all, told)
		}
	}
	return all
}

// notified returns the roles that are told of recordings (openvidu-rpc 7.5).
func notified(pool *v1alpha1.MediaPool) []controlv1.Role {
	if pool == nil || pool.Spec.Egress == nil {
		return nil
	}
	switch pool.Spec.Egress.Notification {
	case v1alpha1.RecordingNotificationNone:
		return nil
	case v1alpha1.RecordingNotificationModerators:
		return []controlv1.Role{controlv1.Role_ROLE_MODERATOR}
	case v1alpha1.RecordingNotificationAll:
		return []controlv1.Role{controlv1.Role_ROLE_SUBSCRIBER, controlv1.Role_ROLE_PUBLISHER, controlv1.Role_ROLE_MODERATOR}
	}
	return []controlv1.Role{controlv1.Role_ROLE_PUBLISHER, controlv1.Role_ROLE_MODERATOR}
}
