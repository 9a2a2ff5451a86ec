package participant

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// Evict returns the status of a participant that is put out: with a reason and at a time, unless it
// was out before.
func Evict(status v1alpha1.ConnectionStatus, reason reasons.Reason, at metav1.Time) v1alpha1.ConnectionStatus {
	out := *status.DeepCopy()
	if out.State != v1alpha1.ConnectionStateActive {
		return out
	}
	out.State = v1alpha1.ConnectionStateDisconnected
	out.DisconnectedTime, out.DisconnectReason = &at, string(reason)
	out.Publishers, out.Subscribers = nil, nil
	return out
}
