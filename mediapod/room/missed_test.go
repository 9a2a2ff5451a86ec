package room

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// back lets B come back and returns what it is told.
func (s *scene) back(name string) []Notification {
	s.t.Helper()
	link := &recorder{scene: s, name: name} // what comes stays unread
	s.must(s.registry.Resume("", "rpc-"+name, link, func(Resumed) {}))
	link.mu.Lock()
	defer link.mu.Unlock()
	return slices.Clone(link.unread)
}

func names(notifications []Notification) string {
	var kinds []string
	for _, n := range notifications {
		if _, signal := n.(SignalReceived); !signal {
			kinds = append(kinds, strings.TrimPrefix(fmt.Sprintf("%T", n), "room."))
		}
	}
	return strings.Join(kinds, " ")
}

// Nobody is thrown out for having been told too much by others, and all that matters is told.
func TestWhoIsAwayIsNotThrownOutByOthers(t *testing.T) {
	big := strings.Repeat("x", 1<<20-100)
	for name, c := range map[string]struct {
		flood func(s *scene, i int) error
		times int
		least int // signals that are told all the same
	}{
		"small signals to all": {
			func(s *scene, i int) error { return s.users["A"].Signal(nil, Signal{Data: text(fmt.Sprint(i))}) }, 3000, maxMissed / 2,
		},
		"large signals": {
			func(s *scene, i int) error {
				return s.users["A"].Signal([]string{"con_B"}, Signal{Type: text(big), Data: text(fmt.Sprint(i))})
			}, 30, 8,
		},
		"changes of its stream": {
			func(s *scene, i int) error {
				active := i%2 == 0
				return s.users["A"].ChangeStream(StreamChange{AudioActive: &active})
			}, 3000, 0,
		},
		"changes that nobody knows": {
			func(s *scene, i int) error {
				return s.users["A"].ChangeStream(StreamChange{Property: fmt.Sprint("p", i), Value: strings.Repeat("1", 4<<10)})
			}, 1500, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, "A", "B", "C", "D")
				for _, who := range []string{"A", "B", "C"} {
					s.join(who).link.reading = false
				}
				s.publish("A")
				s.users["B"].Suspend(s.users["B"].link)
				s.join("D").link.reading = false
				for i := range c.times / 2 {
					if err := c.flood(s, i); err != nil {
						t.Fatalf("%d: %v", i, err)
					}
					time.Sleep(time.Millisecond)
				}
				s.publish("C")
				s.must(s.users["D"].Leave())
				for i := range c.times / 2 {
					if err := c.flood(s, c.times/2+i); err != nil {
						t.Fatalf("%d: %v", i, err)
					}
					time.Sleep(time.Millisecond)
				}
				told := s.back("B")
				signals, last := 0, ""
				changed := told[:0:0]
				for _, n := range told {
					switch n := n.(type) {
					case SignalReceived:
						signals++
						last = *n.Data
					case StreamChanged:
						if n.Change.AudioActive != nil {
							changed = append(changed, n)
						}
						continue
					}
				}
				told = slices.DeleteFunc(told, func(n Notification) bool { _, is := n.(StreamChanged); return is })
				// B has not confirmed that A has published either.
				if got, want := names(told), "ParticipantJoined ParticipantPublished ParticipantJoined ParticipantPublished ParticipantLeft"; got != want {
					t.Errorf("B was told %s, want %s", got, want)
				}
				if signals < c.least || c.least > 0 && last != fmt.Sprint(c.times-1) {
					t.Errorf("B was told %d signals, the last is %s", signals, last)
				}
				if name == "changes of its stream" {
					if last, ok := changed[len(changed)-1].(StreamChanged); !ok || *last.Change.AudioActive {
						t.Errorf("the last change is %+v", last)
					}
				}
				if c.least > 0 && s.registry.Expended() == 0 {
					t.Error("nobody counts what was dropped")
				}
			})
		})
	}
}

func TestMissedKeepsItsBounds(t *testing.T) {
	var m missed
	for i := range 5000 {
		switch i % 5 {
		case 0:
			m.add([]Notification{SignalReceived{Signal: Signal{Data: text(strings.Repeat("x", i*10))}}})
		case 1:
			active := true
			m.add([]Notification{StreamChanged{StreamID: "s", Change: StreamChange{AudioActive: &active}}})
		case 2:
			m.add([]Notification{StreamChanged{StreamID: "s", Change: StreamChange{Property: fmt.Sprint(i)}}})
		case 3:
			m.add([]Notification{StreamRenewed{SDPOffer: strings.Repeat("x", 1<<16)}})
		case 4:
			if i < 2500 {
				m.add([]Notification{ParticipantLeft{ConnectionID: fmt.Sprint(i)}})
			}
		}
		bytes := 0
		for _, n := range m.notifications {
			bytes += n.Weight()
		}
		if bytes != m.bytes || bytes > maxMissedBytes || len(m.notifications) > maxMissed {
			t.Fatalf("after %d: %d notifications of %d bytes, counted %d", i, len(m.notifications), bytes, m.bytes)
		}
	}
	if m.tooMuch {
		t.Error("it is too much")
	}
}
