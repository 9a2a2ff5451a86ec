package participant

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

func TestEvict(t *testing.T) {
	at := metav1.Time{Time: now}
	in := v1alpha1.ConnectionStatus{State: v1alpha1.ConnectionStateActive, Publishers: []v1alpha1.PublisherStatus{{StreamID: "a"}}}
	out := Evict(in, reasons.ForceDisconnectByServer, at)
	if out.State != v1alpha1.ConnectionStateDisconnected || out.DisconnectReason != "forceDisconnectByServer" ||
		!out.DisconnectedTime.Equal(&at) || out.Publishers != nil {
		t.Errorf("who is in gets %+v", out)
	}
	if again := Evict(out, reasons.SessionClosedByServer, metav1.Time{Time: before}); again.DisconnectReason != "forceDisconnectByServer" {
		t.Errorf("who is out gets %+v", again)
	}
	if waiting := Evict(v1alpha1.ConnectionStatus{State: v1alpha1.ConnectionStatePending}, "x", at); waiting.DisconnectReason != "" {
		t.Errorf("who never came gets %+v", waiting)
	}
}
