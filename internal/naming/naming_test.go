package naming

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestRoutingKeyIsUniqueOverTheCluster(t *testing.T) {
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a-b"}}
	if got := RoutingKeyOf(session, "default"); got != "a-b" {
		t.Errorf("default tenant, by its name: %s", got)
	}
	session.Spec.SessionID = "a_B"
	if got := RoutingKeyOf(session, "default"); got != "a_B" {
		t.Errorf("default tenant: %s", got)
	}
	session.Namespace = "team"
	if got := RoutingKeyOf(session, "default"); got != "team.a_B" {
		t.Errorf("other tenant: %s", got)
	}
}

func TestHolder(t *testing.T) {
	session := func(uid, name string, age time.Duration, pod string) v1alpha1.Session {
		return v1alpha1.Session{
			ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))},
			Status:     v1alpha1.SessionStatus{PodName: pod},
		}
	}
	for sentence, test := range map[string]struct {
		sessions []v1alpha1.Session
		want     types.UID
	}{
		"there is none":                      {nil, ""},
		"there is one":                       {[]v1alpha1.Session{session("a", "x", 0, "")}, "a"},
		"the older has it":                   {[]v1alpha1.Session{session("a", "x", 0, "pod"), session("b", "y", time.Second, "")}, "b"},
		"of one second, the placed has it":   {[]v1alpha1.Session{session("a", "x", 0, ""), session("b", "y", 0, "pod")}, "b"},
		"of one second, names do not matter": {[]v1alpha1.Session{session("b", "x", 0, ""), session("a", "y", 0, "")}, "a"},
		"nor do they of placed ones":         {[]v1alpha1.Session{session("b", "x", 0, "p"), session("a", "y", 0, "q"), session("c", "w", 0, "")}, "a"},
	} {
		for range len(test.sessions) + 1 {
			got := types.UID("")
			if holder := Holder(test.sessions, Placed); holder != nil {
				got = holder.UID
			}
			if got != test.want {
				t.Errorf("%s: got %q, want %q", sentence, got, test.want)
			}
			if len(test.sessions) > 0 { // in any order
				test.sessions = append(slices.Clone(test.sessions[1:]), test.sessions[0])
			}
		}
	}
}

func TestPoolOf(t *testing.T) {
	pool := func(name string, standard bool, age time.Duration) v1alpha1.MediaPool {
		p := v1alpha1.MediaPool{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Time{Time: now.Add(-age)}}}
		if standard {
			p.Annotations = map[string]string{v1alpha1.DefaultPoolAnnotation: "true"}
		}
		return p
	}
	pools := []v1alpha1.MediaPool{pool("young", true, time.Hour), pool("old", true, 2*time.Hour), pool("other", false, 3*time.Hour)}
	for sentence, test := range map[string]struct {
		spec, status string
		pools        []v1alpha1.MediaPool
		want         string
	}{
		"the oldest default pool counts":                 {"", "", pools, "old"},
		"a named pool is taken":                          {"other", "", pools, "other"},
		"a named pool that does not exist is not there":  {"missing", "", pools, ""},
		"a Session stays in the pool that it was put on": {"", "young", pools, "young"},
		"a Session whose pool is gone gets the default":  {"", "gone", pools, "old"},
		"without a default there is none":                {"", "", pools[2:], ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := &v1alpha1.Session{Spec: v1alpha1.SessionSpec{PoolName: test.spec}, Status: v1alpha1.SessionStatus{PoolName: test.status}}
			got := ""
			if p := PoolOf(s, test.pools); p != nil {
				got = p.Name
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
