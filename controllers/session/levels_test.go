package session

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
	"mediarooms.dev/mediarooms/controllers/rooms"
	"mediarooms.dev/mediarooms/controllers/status"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

func TestServiceLevels(t *testing.T) {
	told := &controlv1.RoomLevels{Joins: 3, FailedJoins: 1, MedianJoinMs: 240, WorstLossPercent: 2, SinceUnixMs: now.UnixMilli() + 987}
	shown := &v1alpha1.ServiceLevels{Joins: 3, FailedJoins: 1, MedianJoinMilliseconds: 240, WorstLossPercent: 2, SinceTime: metav1.NewTime(now)}
	for sentence, test := range map[string]struct {
		change func(o *observed)
		want   *v1alpha1.ServiceLevels
		wait   time.Duration
	}{
		"as the pod says": {func(*observed) {}, shown, 0},
		"a silent minute": {func(o *observed) { o.room.Levels = nil }, nil, 0},
		"on no pod":       {func(o *observed) { nowhere(o); o.room.Levels = told }, nil, 0},
		"figures can't be": {func(o *observed) {
			o.room.Levels = &controlv1.RoomLevels{Joins: -1, WorstLossPercent: 101, SinceUnixMs: now.UnixMilli()}
		}, &v1alpha1.ServiceLevels{WorstLossPercent: 100, SinceTime: metav1.NewTime(now)}, 0},
		"a pod that is cut off": {
			func(o *observed) { o.pod.State, o.pod.CutOff = fleet.Broken, now.Add(-20*time.Second) }, shown, 40 * time.Second,
		},
		"a pod that was cut off a minute ago": {
			func(o *observed) { o.pod.State, o.pod.CutOff = fleet.Broken, now.Add(-time.Minute) }, nil, 0,
		},
		"the leader is new: what was said holds": {
			func(o *observed) {
				o.session.Status = makeStatus(*o, true)
				o.pod.State, o.room = fleet.Connecting, rooms.View{Known: true, Assignment: o.room.Assignment}
			}, shown, 0,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := placed()
			o.room.Levels = told
			test.change(&o)
			if got := makeStatus(o, true).ServiceLevels; !equality.Semantic.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if got := untilStale(o); got != test.wait {
				t.Errorf("it waits %v, want %v", got, test.wait)
			}
		})
	}
}

// Nobody waits for figures, and those that do not change are not written again.
func TestServiceLevelsAreNoHurry(t *testing.T) {
	o := placed()
	before := makeStatus(o, true)
	o.room.Levels = &controlv1.RoomLevels{Joins: 1, SinceUnixMs: now.UnixMilli()}
	after := makeStatus(o, true)
	if got := urgencyOf(before, after, o); got != status.Lazy || equality.Semantic.DeepEqual(before, after) {
		t.Errorf("figures are of urgency %d: %+v", got, after.ServiceLevels)
	}
	o.session.Status, o.now = after, now.Add(time.Hour)
	if got := makeStatus(o, true); !equality.Semantic.DeepEqual(got, after) {
		t.Errorf("deriving it again gives %+v", got)
	}
}
