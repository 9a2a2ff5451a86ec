package session

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/naming"
)

// Whom the operator gives a session id to is whom the gateway takes clients to: naming.Holder.
func TestRivalsFollowTheHolder(t *testing.T) {
	session := func(uid types.UID, name, pod string) v1alpha1.Session {
		return v1alpha1.Session{
			ObjectMeta: metav1.ObjectMeta{UID: uid, Name: name, CreationTimestamp: metav1.Time{Time: now}},
			Status:     v1alpha1.SessionStatus{PodName: pod},
		}
	}
	for sentence, same := range map[string][]v1alpha1.Session{
		"none is placed":    {session("b", "first", ""), session("a", "second", "")},
		"one is placed":     {session("a", "first", ""), session("b", "second", "pod")},
		"both are placed":   {session("b", "first", "p"), session("a", "second", "q")},
		"there is no other": {session("a", "first", "")},
	} {
		holder := naming.Holder(same, naming.Placed)
		for i := range same {
			others := append([]v1alpha1.Session(nil), same[:i]...) // the cache may not have this one
			others = append(others, same[i+1:]...)
			got := rival(&same[i], others, naming.Placed)
			if same[i].UID == holder.UID && got != nil || same[i].UID != holder.UID && (got == nil || got.UID != holder.UID) {
				t.Errorf("%s: %s, which %s has, gives way to %v", sentence, same[i].Name, holder.Name, got)
			}
		}
	}
}
