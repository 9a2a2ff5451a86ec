package reasons

import "testing"

func TestParseLeaving(t *testing.T) {
	for reported, want := range map[string]struct {
		cause  Cause
		reason Reason
	}{
		"disconnect":              {ClientDisconnected, Disconnect},
		"forceDisconnectByUser":   {ForceDisconnected, ForceDisconnectByUser},
		"forceDisconnectByServer": {ForceDisconnected, ForceDisconnectByServer},
		"sessionClosedByServer":   {ForceDisconnected, SessionClosedByServer},
		"networkDisconnect":       {NetworkDisconnected, NetworkDisconnect},
		"nodeCrashed":             {NetworkDisconnected, NodeCrashed},
		"openviduServerStopped":   {ForceDisconnected, ServerStopped},
		"":                        {NetworkDisconnected, Unknown},
		"something new":           {NetworkDisconnected, Unknown},
		"unsubscribe":             {NetworkDisconnected, Unknown}, // nobody leaves for that
	} {
		if reason := ParseLeaving(reported); reason != want.reason || reason.Cause() != want.cause {
			t.Errorf("%q is %s, %s; want %s, %s", reported, reason.Cause(), reason, want.cause, want.reason)
		}
	}
	for _, reason := range Leaving() {
		if same := ParseLeaving(string(reason)); same != reason || same.Cause() == "" {
			t.Errorf("%q is %q, %q", reason, same.Cause(), same)
		}
	}
	if cause := Reason("something new").Cause(); cause != NetworkDisconnected {
		t.Errorf("the cause of what is not known is %q", cause)
	}
}

func TestSessionEnd(t *testing.T) {
	for _, reason := range Leaving() {
		if got := SessionEnd(false, reason); got != SessionClosedByServer {
			t.Errorf("closed with somebody in it, after %s: %s", reason, got)
		}
	}
	for last, want := range map[Reason]Reason{
		"":                      LastParticipantLeft, // before this process looked
		Disconnect:              LastParticipantLeft,
		ForceDisconnectByUser:   LastParticipantLeft,
		ForceDisconnectByServer: LastParticipantLeft,
		NetworkDisconnect:       LastParticipantLeft,
		SessionClosedByServer:   SessionClosedByServer,
		ServerStopped:           ServerStopped,
		NodeCrashed:             NodeCrashed,
	} {
		if got := SessionEnd(true, last); got != want {
			t.Errorf("empty after %q: %s, want %s", last, got, want)
		}
	}
}
