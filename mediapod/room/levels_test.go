package room

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mediarooms.dev/mediarooms/mediapod/levels"
	"mediarooms.dev/mediarooms/mediapod/media"
)

// levelsNow measures, and returns what is told then and whether that has changed.
func (s *scene) levelsNow() (Levels, bool) {
	s.t.Helper()
	s.registry.TakeChanged()
	s.registry.MeasureLevels()
	changed := len(s.registry.TakeChanged()) > 0
	snapshot, found := s.registry.Snapshot(s.desired.UID)
	if !found {
		s.t.Fatal("there is no room")
	}
	return snapshot.Levels, changed
}

// enter joins over a socket that was opened a while ago.
func (s *scene) enter(token string, took time.Duration) error {
	room, _ := s.registry.Lookup(s.desired.Key)
	request := JoinRequest{Token: token, Opened: time.Now().Add(-took)}
	return room.Join(request, &recorder{scene: s, name: token, reading: true}, func(Joined) {})
}

func TestServiceLevelsAreOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "A", "B", "C")
		expect := func(when string, want levels.Figures, change bool) {
			t.Helper()
			got, changed := s.levelsNow()
			if got.Figures != want || changed != change {
				t.Errorf("%s: %+v, changed %v; want %+v, %v", when, got, changed, want, change)
			}
			if change && !got.Since.Equal(time.Now()) {
				t.Errorf("%s: since %v", when, got.Since)
			}
		}
		expect("an idle room", levels.Figures{}, false)
		s.must(s.enter("tok_A", 100*time.Millisecond))
		s.must(s.enter("tok_B", 300*time.Millisecond))
		if err := s.enter("tok_A", time.Second); !errors.Is(err, ErrToken) {
			t.Fatalf("a used token: %v", err)
		}
		figures := levels.Figures{Joins: 2, Failed: 1, MedianJoin: 100 * time.Millisecond}
		expect("after two joins", figures, true)
		expect("without news", figures, false)
		time.Sleep(70 * time.Second)
		expect("a minute later", levels.Figures{}, true)
		expect("after that", levels.Figures{}, false)
	})
}

func TestServiceLevelsHaveTheWorstLoss(t *testing.T) {
	for name, interval := range map[string]time.Duration{"measured for clients": 5 * time.Second, "measured for nobody else": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, "A", "B")
				s.registry.SetNetworkQualityInterval(interval)
				s.join("A")
				s.join("B")
				s.receive("B", s.publish("A"))
				time.Sleep(70 * time.Second) // the joins
				synctest.Wait()
				step := func(when string, want int) {
					t.Helper()
					time.Sleep(10 * time.Second)
					synctest.Wait()
					if got, _ := s.levelsNow(); got.Figures != (levels.Figures{LostPercent: want}) {
						t.Errorf("%s: %+v", when, got)
					}
				}
				publication, subscription := s.engine.Publications()[0], s.engine.Subscriptions()[0]
				publication.SetReception(&media.Reception{Lost: 0.04})
				step("on the way to the pod", 5)
				publication.SetReception(&media.Reception{})
				subscription.Lose(0.08)
				step("on the way to a subscriber", 10)
				subscription.Lose(0)
				step("for as long as it is of the last minute", 10)
				time.Sleep(time.Minute)
				step("a minute later", 0)
			})
		})
	}
}

// A standby that goes on with a room knows what the last minute was like.
func TestServiceLevelsOutliveThePod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newScene(t, "A", "B")
		before.must(before.enter("tok_A", time.Second))
		before.levelsNow()
		time.Sleep(5 * time.Second)
		after := before.loseAtOnce(t)
		want := levels.Figures{Joins: 1, MedianJoin: time.Second}
		if snapshot, _ := after.registry.Snapshot(after.desired.UID); snapshot.Levels.Figures != want {
			t.Errorf("after the loss %+v, want %+v", snapshot.Levels, want)
		}
		third := after.loseAtOnce(t)
		if got, _ := third.levelsNow(); got.Figures != want {
			t.Errorf("after another loss %+v, want %+v", got, want)
		}
		time.Sleep(70 * time.Second)
		if got, changed := third.levelsNow(); got.Figures != (levels.Figures{}) || !changed {
			t.Errorf("a minute later %+v", got)
		}
	})
}

// Who is hidden is no user, and is counted nowhere.
func TestServiceLevelsAreOfUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, "A")
		s.join("A")
		s.intrude("R", asRecorder)
		if got, _ := s.levelsNow(); got.Joins != 1 || got.MedianJoin != 0 {
			t.Errorf("%+v", got)
		}
	})
}
