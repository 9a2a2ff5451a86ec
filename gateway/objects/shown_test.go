package objects

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestWhatCallersAreShown(t *testing.T) {
	now := ptr.To(metav1.Now())
	for _, test := range []struct {
		name       string
		connection v1alpha1.Connection
		want       bool
	}{
		{"new", v1alpha1.Connection{}, true},
		{"active", v1alpha1.Connection{Status: v1alpha1.ConnectionStatus{State: v1alpha1.ConnectionStateActive}}, true},
		{"its user has left", v1alpha1.Connection{Status: v1alpha1.ConnectionStatus{State: v1alpha1.ConnectionStateDisconnected}}, false},
		{"being deleted", v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: now}}, false},
	} {
		if got := Listed(&test.connection); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
	rival := v1alpha1.Session{Status: v1alpha1.SessionStatus{Conditions: []metav1.Condition{
		{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSessionIDInUse},
	}}}
	if Exists(&rival) || !Exists(&v1alpha1.Session{}) {
		t.Error("a Session whose id belongs to another one exists, or an ordinary one does not")
	}
}
