package controllers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/fleet"
)

func TestInherit(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	session := v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "demo", UID: "uid"}}
	session.Status.PodName, session.Status.PoolName = "pod", "pool"
	session.Spec.MaxConnections = ptr.To(int32(3))
	guest := func(name string, age int, change func(c *v1alpha1.Connection)) v1alpha1.Connection {
		c := v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.Time{Time: start.Add(-time.Duration(age) * time.Hour)},
		}}
		c.Spec.SessionName = "demo"
		if change != nil {
			change(&c)
		}
		return c
	}
	hasToken := func(c *v1alpha1.Connection) { c.Status.ConnectionID = "con_X" }
	waits := v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "waits", UID: "waits"}}
	hosted := map[types.UID][]fleet.Pod{
		"uid": {{Name: "a", Pool: "other"}, {Name: "liar", Pool: "other"}}, "wiped": {{Name: "host", Pool: "pool"}, {Name: "second", Pool: "pool"}},
	}
	placed := inherit([]v1alpha1.Session{session, waits}, []v1alpha1.Connection{
		guest("young-with-token", 1, hasToken),
		guest("older", 3, nil),
		guest("oldest", 4, nil),
		guest("younger", 2, nil),
		guest("gone", 9, func(c *v1alpha1.Connection) { c.Status.State = v1alpha1.ConnectionStateDisconnected }),
		guest("going", 9, func(c *v1alpha1.Connection) { c.DeletionTimestamp = &metav1.Time{Time: start} }),
		guest("camera", 9, func(c *v1alpha1.Connection) { c.Spec.Type = v1alpha1.ConnectionTypeIPCam }),
		guest("of-another", 9, func(c *v1alpha1.Connection) { c.Spec.SessionName = "other" }),
	}, hosted)
	if len(placed) != 1 || placed[0].Pod != "pod" || placed[0].Session.Pool != "pool" || placed[0].Session.UID != "uid" {
		t.Fatalf("placed are %+v", placed)
	}
	var names []string
	for _, g := range placed[0].Connections {
		names = append(names, g.Name.Name)
	}
	// Three places: who has a token first, then by age.
	if want := []string{"young-with-token", "oldest", "older"}; !slices.Equal(names, want) {
		t.Errorf("guests are %v, want %v", names, want)
	}
	// A Session whose status was lost is where its room is.
	wiped := v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "wiped", UID: "wiped"}}
	found := inherit([]v1alpha1.Session{waits, wiped}, nil, hosted)
	if len(found) != 1 || found[0].Pod != "host" || found[0].Session.Pool != "pool" || found[0].Session.UID != "wiped" {
		t.Errorf("found are %+v", found)
	}
	// One whose standby hosts the room was taken over; else the standby stays what it was.
	session.Status.StandbyPodName = "standby"
	if stays := inherit([]v1alpha1.Session{session}, nil, hosted); stays[0].Pod != "pod" || stays[0].Standby != "standby" {
		t.Errorf("with a standby it is %+v", stays[0])
	}
	session.Status.StandbyPodName = "liar"
	if taken := inherit([]v1alpha1.Session{session}, nil, hosted); taken[0].Pod != "liar" || taken[0].Standby != "" {
		t.Errorf("with a standby that hosts the room it is %+v", taken[0])
	}
	session.Status.StandbyPodName = ""
	// Who has a token keeps the place, also beyond the limit.
	session.Spec.MaxConnections = ptr.To(int32(1))
	var many []v1alpha1.Connection
	for n := range 5 {
		many = append(many, guest(fmt.Sprint("guest-", n), n, hasToken))
	}
	if placed := inherit([]v1alpha1.Session{session}, many, nil); len(placed[0].Connections) != 5 {
		t.Errorf("%d of 5 keep their places", len(placed[0].Connections))
	}
}
