package participant

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestDisconnection(t *testing.T) {
	// The reasons of openvidu-rpc 5.1, in its order.
	for reported, want := range map[string]struct {
		cause  Cause
		reason string
	}{
		"disconnect":              {ClientDisconnected, "disconnect"},
		"forceDisconnectByUser":   {ForceDisconnected, "forceDisconnectByUser"},
		"forceDisconnectByServer": {ForceDisconnected, "forceDisconnectByServer"},
		"sessionClosedByServer":   {ForceDisconnected, "sessionClosedByServer"},
		"networkDisconnect":       {NetworkDisconnected, "networkDisconnect"},
		"nodeCrashed":             {NetworkDisconnected, "nodeCrashed"},
		"openviduServerStopped":   {ForceDisconnected, "openviduServerStopped"},
		"":                        {NetworkDisconnected, "unknown"},
		"something new":           {NetworkDisconnected, "unknown"},
	} {
		if cause, reason := Disconnection(reported); cause != want.cause || reason != want.reason {
			t.Errorf("%q is %s, %s; want %s, %s", reported, cause, reason, want.cause, want.reason)
		}
	}
	for reason := range causes {
		if cause, same := Disconnection(reason); cause == "" || same != reason {
			t.Errorf("%q is %q, %q", reason, cause, same)
		}
	}
}

func TestEvict(t *testing.T) {
	at := metav1.Time{Time: now}
	in := v1alpha1.ConnectionStatus{State: v1alpha1.ConnectionStateActive, Publishers: []v1alpha1.PublisherStatus{{StreamID: "a"}}}
	out := Evict(in, ReasonForceDisconnectByServer, at)
	if out.State != v1alpha1.ConnectionStateDisconnected || out.DisconnectReason != ReasonForceDisconnectByServer ||
		!out.DisconnectedTime.Equal(&at) || out.Publishers != nil {
		t.Errorf("who is in gets %+v", out)
	}
	if again := Evict(out, ReasonSessionClosedByServer, metav1.Time{Time: before}); again.DisconnectReason != ReasonForceDisconnectByServer {
		t.Errorf("who is out gets %+v", again)
	}
	if waiting := Evict(v1alpha1.ConnectionStatus{State: v1alpha1.ConnectionStatePending}, "x", at); waiting.DisconnectReason != "" {
		t.Errorf("who never came gets %+v", waiting)
	}
}
