package fleet

import (
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/podtest"
)

func TestSurvey(t *testing.T) {
	before := newFixture(t)
	before.start()
	pods := make(map[string]*podtest.Pod)
	for _, name := range []string{"a", "b", "c"} {
		pods[name] = before.pod(name)
		before.rooms.set("room-"+name, 1)
		before.room("room-"+name, name)
		before.eventually(name+" has its room", func() bool { return before.Room("room-"+name).Generation == 1 })
	}
	before.cancel()
	<-before.done

	// Another leader, to whom b does not answer; d is not what it should be.
	after := newFixture(t)
	after.config.Credentials = before.config.Credentials
	for n, name := range []string{"a", "b", "c", "d"} {
		pod := Pod{Name: name, UID: "uid-" + name, Pool: "pool", Address: address(n + 1)}
		if name == "d" {
			pod.Address = address(1)
		}
		after.Track(pod)
	}
	pods["b"].Mute(true)
	begun := time.Now()
	found := after.Survey(t.Context())
	if took := time.Since(begun); took > surveyBound+time.Second {
		t.Errorf("it took %s", took)
	}
	if len(found) != 2 || len(found["room-a"]) != 1 || found["room-a"][0].Name != "a" || len(found["room-c"]) != 1 ||
		found["room-c"][0].Name != "c" || found["room-c"][0].Pool != "pool" {
		t.Errorf("found are %v", found)
	}
	for name, pod := range pods {
		if closed := pod.Closed(); len(closed) != 0 {
			t.Errorf("%s has closed %v", name, closed)
		}
	}
}
