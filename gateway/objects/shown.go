package objects

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/creation"
	"mediarooms.dev/mediarooms/internal/token"
)

// Exists says whether callers are shown a Session: it is not being closed, and is the one that has
// its session id.
func Exists(session *v1alpha1.Session) bool {
	return session.DeletionTimestamp.IsZero() && !hasReason(session.Status.Conditions, v1alpha1.ConditionAccepted, v1alpha1.ReasonSessionIDInUse)
}

func hasReason(conditions []metav1.Condition, kind, reason string) bool {
	for _, condition := range conditions {
		if condition.Type == kind {
			return condition.Status == metav1.ConditionFalse && strings.EqualFold(condition.Reason, reason)
		}
	}
	return false
}

// Listed says whether callers are shown a Connection: its user has not left, and it is not being
// deleted.
func Listed(connection *v1alpha1.Connection) bool {
	return connection.DeletionTimestamp.IsZero() && connection.Status.State != v1alpha1.ConnectionStateDisconnected
}

// ConnectionID returns the identifier of a Connection that clients see, also before its status has
// it.
func ConnectionID(connection *v1alpha1.Connection) string {
	return token.ConnectionID(string(connection.UID))
}

// byCreation orders objects by their creation, as lists show them.
func byCreation[T any, P interface {
	*T
	client.Object
}](objects []T) {
	slices.SortFunc(objects, func(a, b T) int {
		if difference := creation.Milliseconds(P(&a)) - creation.Milliseconds(P(&b)); difference != 0 {
			return int(max(min(difference, 1), -1))
		}
		return strings.Compare(P(&a).GetName(), P(&b).GetName())
	})
}
