package class

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

func TestWhoOwnsWhat(t *testing.T) {
	pools := make([]v1alpha1.MediaPool, 3)
	for i, class := range []string{"", "one", "two"} {
		pools[i].Name, pools[i].Spec.ClassName = "pool"+class, class
	}
	session := func(pool string, deleted bool) *v1alpha1.Session {
		s := &v1alpha1.Session{Spec: v1alpha1.SessionSpec{PoolName: pool}}
		if deleted {
			now := metav1.Now()
			s.DeletionTimestamp = &now
		}
		return s
	}
	gone := &v1alpha1.Connection{}
	now := metav1.Now()
	gone.DeletionTimestamp = &now
	var waiting v1alpha1.Recording
	begun := v1alpha1.Recording{Status: v1alpha1.RecordingStatus{PoolName: "pooltwo"}}
	left := v1alpha1.Recording{
		ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Status: v1alpha1.RecordingStatus{PoolName: "gone"},
	}
	all := []Name{"", "one", "two"}
	for sentence, test := range map[string]struct {
		owns func(Name) bool
		want []Name
	}{
		"a pool without a class": {func(n Name) bool { return n.OwnsPool(&pools[0]) }, all[:1]},
		"a pool of a class":      {func(n Name) bool { return n.OwnsPool(&pools[1]) }, all[1:2]},
		"a Webhook of a class": {func(n Name) bool {
			return n.OwnsWebhook(&v1alpha1.Webhook{Spec: v1alpha1.WebhookSpec{ClassName: "two"}})
		}, all[2:]},
		"a Session without a pool":                     {func(n Name) bool { return n.OwnsSession(session("", false), pools) }, all[:1]},
		"a Session without a pool that goes":           {func(n Name) bool { return n.OwnsSession(session("", true), pools) }, all[:1]},
		"a Session of a pool":                          {func(n Name) bool { return n.OwnsSession(session("poolone", false), pools) }, all[1:2]},
		"a Session of a pool that goes":                {func(n Name) bool { return n.OwnsSession(session("poolone", true), pools) }, all[1:2]},
		"a Session of a pool that there is not":        {func(n Name) bool { return n.OwnsSession(session("none", false), pools) }, all[:1]},
		"one of these that goes":                       {func(n Name) bool { return n.OwnsSession(session("none", true), pools) }, all},
		"a Connection goes with its Session":           {func(n Name) bool { return n.OwnsConnection(gone, session("pooltwo", false), pools) }, all[2:]},
		"a Connection without a Session":               {func(n Name) bool { return n.OwnsConnection(&v1alpha1.Connection{}, nil, pools) }, all[:1]},
		"a Connection without a Session that goes":     {func(n Name) bool { return n.OwnsConnection(gone, nil, pools) }, all},
		"a Recording goes with its Session":            {func(n Name) bool { return n.OwnsRecording(&waiting, session("poolone", false), pools) }, all[1:2]},
		"a Recording goes with the pool that records":  {func(n Name) bool { return n.OwnsRecording(&begun, session("poolone", false), pools) }, all[2:]},
		"a Recording without a Session":                {func(n Name) bool { return n.OwnsRecording(&waiting, nil, pools) }, all[:1]},
		"a Recording without its pool that goes":       {func(n Name) bool { return n.OwnsRecording(&left, nil, pools) }, all},
		"a Connection whose Session's pool is missing": {func(n Name) bool { return n.OwnsConnection(gone, session("none", false), pools) }, all[:1]},
	} {
		for _, name := range all {
			want := false
			for _, owner := range test.want {
				want = want || owner == name
			}
			if got := test.owns(name); got != want {
				t.Errorf("%s is owned by the class %q: %v, want %v", sentence, name, got, want)
			}
		}
	}
}
