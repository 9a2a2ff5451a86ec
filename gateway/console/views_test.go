package console

import (
	"encoding/json"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// A room is told as one object of figures, with the service levels of the last minute when there
// are any.
func TestARoomAsItIsTold(t *testing.T) {
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "demo"}}
	session.Status = v1alpha1.SessionStatus{
		PodName: "pod", StandbyPodName: "other", ActiveConnections: 3, PendingConnections: 1, Publishers: 2,
		MediaConnections: v1alpha1.MediaConnections{UDP: 5, TCP: 1},
	}
	const before = `{"namespace":"acme","name":"demo","id":"demo","state":"waiting","pod":"pod","standby":"other",` +
		`"people":3,"pending":1,"streams":2,"udp":5,"tcp":1,"served":`
	for _, test := range []struct {
		levels *v1alpha1.ServiceLevels
		served string
	}{
		{nil, `{"joins":0,"failed":0,"lossPercent":0}`},
		{
			&v1alpha1.ServiceLevels{Joins: 4, FailedJoins: 1, MedianJoinMilliseconds: 420, WorstLossPercent: 2},
			`{"joins":4,"failed":1,"milliseconds":420,"lossPercent":2}`,
		},
	} {
		session.Status.ServiceLevels = test.levels
		got, err := json.Marshal(roomOf(session))
		if want := before + test.served + `,"recording":false,"created":0}`; err != nil || string(got) != want {
			t.Errorf("it is told as %s, %v; want %s", got, err, want)
		}
	}
}
