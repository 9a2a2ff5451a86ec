package room

import (
	"testing"

	"mediarooms.dev/mediarooms/internal/reasons"
)

// told reports whether a watch has something to say, which it says once.
func told(w *Watch) bool {
	select {
	case <-w.Changed():
		return true
	default:
		return false
	}
}

func TestAWatchSeesWhatIsSent(t *testing.T) {
	s := newScene(t, "A", "B")
	watch := s.registry.Watch(s.desired.UID)
	defer watch.Close()
	other := s.registry.Watch("another")
	defer other.Close()
	s.join("A")
	if sent, found := s.registry.Sent(s.desired.UID); !found || len(sent) != 0 {
		t.Errorf("before anything is published there is %v, %t", sent, found)
	}
	told(watch)
	streamID := s.publish("A")
	if !told(watch) {
		t.Error("the watch does not tell of a stream")
	}
	sent, _ := s.registry.Sent(s.desired.UID)
	if len(sent) != 1 || sent[0].Stream.ID != streamID || sent[0].ConnectionID != s.users["A"].ConnectionID() ||
		sent[0].ClientData != "client A" || sent[0].Publication == nil {
		t.Errorf("there is %+v", sent)
	}
	off := false
	s.must(s.users["A"].ChangeStream(StreamChange{AudioActive: &off}))
	if sent, _ = s.registry.Sent(s.desired.UID); !told(watch) || sent[0].Stream.AudioActive {
		t.Error("the watch does not tell of a stream that is muted")
	}
	s.must(s.users["A"].Unpublish())
	if sent, _ = s.registry.Sent(s.desired.UID); !told(watch) || len(sent) != 0 {
		t.Errorf("after the end there is %+v", sent)
	}
	s.registry.Remove(s.desired.UID, reasons.SessionClosedByServer)
	if _, found := s.registry.Sent(s.desired.UID); !told(watch) || found {
		t.Error("the watch does not tell that the room is gone")
	}
	if told(other) {
		t.Error("a watch tells of another room")
	}
	watch.Close()
	watch.Close()
	if len(s.registry.watchers.byUID) != 1 {
		t.Errorf("%d rooms are watched", len(s.registry.watchers.byUID))
	}
}
