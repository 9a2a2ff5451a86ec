//go:build e2e

package conformance

import (
	"context"
	"fmt"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// denied is what the package makes of the code 401.
const denied = "OPENVIDU_PERMISSION_DENIED"

func TestAModeratorThrowsParticipantsOut(t *testing.T) {
	t.Parallel()
	covers(t, "2.11-forceDisconnect", "5.1-forceDisconnectByUser", "3.4-participantLeft", "3.5-participantEvicted", "5.3-connectionDestroyed",
		"5.3-streamDestroyed-remote", "5.3-streamDestroyed-local", "5.3-sessionDisconnected", "7.1-force", "9-13", "9-45")
	reserve(t, 3)
	r := newRoom(t, nil)
	a := r.enter(t, "moderator", v1alpha1.RoleModerator)
	b := r.enter(t, "target", v1alpha1.RolePublisher)
	c := r.enter(t, "witness", v1alpha1.RoleSubscriber)
	b.publish(browser.Publication{})
	c.receives(b)
	a.must(a.ForceDisconnect(b.id()))
	const reason = "forceDisconnectByUser"
	for _, g := range []*guest{a, c} {
		g.gets("streamDestroyed", func(e browser.Event) bool { return e.StreamID == b.stream.StreamID && e.Reason == reason })
		g.gets("connectionDestroyed", func(e browser.Event) bool { return e.ConnectionID == b.id() && e.Reason == reason })
		g.never("sessionDisconnected", "reconnecting")
	}
	b.getsOwn("streamDestroyed", func(e browser.Event) bool { return e.Reason == reason })
	b.gets("sessionDisconnected", func(e browser.Event) bool { return e.Reason == reason })
	b.never("reconnecting", "connectionDestroyed")
	wantDisconnected(t, b, reason)
	// A moderator may throw itself out as well.
	a.must(a.ForceDisconnect(a.id()))
	a.gets("sessionDisconnected", func(e browser.Event) bool { return e.Reason == reason })
	c.gets("connectionDestroyed", func(e browser.Event) bool { return e.ConnectionID == a.id() && e.Reason == reason })
	for _, g := range []*guest{a, b} {
		if n := g.count("sessionDisconnected"); n != 1 {
			t.Errorf("%s was disconnected %d times", g.Name, n)
		}
	}
}

// wantDisconnected waits until the Connection's status says why its user left.
func wantDisconnected(t *testing.T, g *guest, reason string) {
	t.Helper()
	wait.For(t, patience, "the status of "+g.object+" to say why its user left", func() error {
		connection, err := kube.Connection(cluster.DefaultTenant, g.object)
		if err != nil {
			return err
		}
		if s := connection.Status; s.State != v1alpha1.ConnectionStateDisconnected || s.DisconnectReason != reason {
			return fmt.Errorf("state %s, reason %q", s.State, s.DisconnectReason)
		}
		return nil
	})
}

func TestAModeratorEndsStreams(t *testing.T) {
	t.Parallel()
	covers(t, "2.12-forceUnpublish", "5.2-forceUnpublishByUser", "3.3-participantUnpublished", "5.3-streamDestroyed-local", "9-45")
	reserve(t, 3)
	r := newRoom(t, nil)
	a := r.enter(t, "moderator", v1alpha1.RoleModerator)
	b := r.enter(t, "target", v1alpha1.RolePublisher)
	c := r.enter(t, "witness", v1alpha1.RoleSubscriber)
	b.publish(browser.Publication{})
	c.receives(b)
	a.must(a.ForceUnpublish(b.id()))
	const reason = "forceUnpublishByUser"
	for _, g := range []*guest{a, c} {
		g.gets("streamDestroyed", func(e browser.Event) bool { return e.StreamID == b.stream.StreamID && e.Reason == reason })
	}
	b.getsOwn("streamDestroyed", func(e browser.Event) bool { return e.Reason == reason })
	// Its connection stays, and it may publish again.
	b.publish(browser.Publication{})
	c.gets("streamCreated", func(e browser.Event) bool { return e.StreamID == b.stream.StreamID })
	c.receives(b)
	for _, g := range []*guest{a, b, c} {
		g.never("connectionDestroyed", "sessionDisconnected", "reconnecting", "exception")
	}
}

func TestOthersMayNotForce(t *testing.T) {
	t.Parallel()
	covers(t, "2.11-errors", "2.12-errors", "7.1-force", "7.1-publishVideo", "2.3-errors", "6-401", "9-44")
	reserve(t, 3)
	r := newRoom(t, nil)
	target := r.enter(t, "target", v1alpha1.RolePublisher)
	target.publish(browser.Publication{})
	for _, role := range []v1alpha1.Role{v1alpha1.RolePublisher, v1alpha1.RoleSubscriber} {
		g := r.enter(t, string(role), role)
		g.gets("streamCreated", about(target))
		for call, err := range map[string]error{
			"forceDisconnect": g.ForceDisconnect(target.id()), "forceUnpublish": g.ForceUnpublish(target.id()),
			"forceDisconnect of itself": g.ForceDisconnect(g.id()),
		} {
			if failure := g.failure(err); failure.Name != denied {
				t.Errorf("%s: %s gave %v, want %s", g.Name, call, failure, denied)
			}
		}
		if role == v1alpha1.RoleSubscriber {
			_, err := g.PublishWith(browser.Publication{})
			if failure := g.failure(err); failure.Name != denied {
				t.Errorf("%s: publish gave %v, want %s", g.Name, failure, denied)
			}
		}
		g.receives(target)
		g.undisturbed()
	}
	target.undisturbed()
}

func TestDeletingAConnectionThrowsItsUserOut(t *testing.T) {
	t.Parallel()
	covers(t, "5.1-forceDisconnectByServer", "5.3-sessionDisconnected", "5.3-connectionDestroyed", "5.3-streamDestroyed-remote", "5.3-streamDestroyed-local")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "witness", v1alpha1.RoleSubscriber)
	b := r.enter(t, "target", v1alpha1.RolePublisher)
	b.publish(browser.Publication{})
	a.receives(b)
	kubectl(t, "delete", "connection", b.object)
	const reason = "forceDisconnectByServer"
	b.getsOwn("streamDestroyed", func(e browser.Event) bool { return e.Reason == reason })
	b.gets("sessionDisconnected", func(e browser.Event) bool { return e.Reason == reason })
	a.gets("streamDestroyed", func(e browser.Event) bool { return e.StreamID == b.stream.StreamID && e.Reason == reason })
	a.gets("connectionDestroyed", func(e browser.Event) bool { return e.ConnectionID == b.id() && e.Reason == reason })
	a.never("sessionDisconnected", "reconnecting")
	if _, err := kube.Connection(cluster.DefaultTenant, b.object); !apierrors.IsNotFound(err) {
		t.Errorf("kubectl delete has returned, and looking for the Connection gives %v", err)
	}
}

// kubectl runs it in the default tenant; it must succeed.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	output, err := kube.Kubectl(t.Context(), append([]string{"-n", cluster.DefaultTenant}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func TestModerationOfAConnectionCutsItsStreams(t *testing.T) {
	t.Parallel()
	covers(t, "5.2-forceUnpublishByServer", "3.3-participantUnpublished", "5.3-streamDestroyed-local", "5.3-streamDestroyed-remote")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "witness", v1alpha1.RolePublisher)
	b := r.enter(t, "target", v1alpha1.RolePublisher)
	const reason = "forceUnpublishByServer"
	publish := func() {
		t.Helper()
		b.publish(browser.Publication{})
		a.gets("streamCreated", func(e browser.Event) bool { return e.StreamID == b.stream.StreamID })
		a.receives(b)
	}
	ended := func() {
		t.Helper()
		a.gets("streamDestroyed", func(e browser.Event) bool { return e.StreamID == b.stream.StreamID && e.Reason == reason })
		b.getsOwn("streamDestroyed", func(e browser.Event) bool { return e.StreamID == b.stream.StreamID && e.Reason == reason })
	}
	moderate := func(moderation string) {
		t.Helper()
		kubectl(t, "patch", "connection", b.object, "--type=merge", "-p", `{"spec":{"moderation":`+moderation+`}}`)
	}

	// One stream is cut; another one may follow.
	publish()
	moderate(`{"endedStreamIDs":["` + b.stream.StreamID + `"]}`)
	ended()
	publish()
	// Video is blocked: the stream ends, another one with video is refused, and sound alone may be
	// sent.
	moderate(`{"publish":["Audio"]}`)
	ended()
	_, err := b.PublishWith(browser.Publication{})
	if failure := b.failure(err); failure.Name != denied {
		t.Errorf("publishing blocked video gave %v, want %s", failure, denied)
	}
	b.publish(browser.Publication{VideoSource: false})
	a.gets("streamCreated", func(e browser.Event) bool { return e.StreamID == b.stream.StreamID })
	a.receives(b)
	// Everything is blocked, and then nothing any more.
	moderate(`{"publish":[]}`)
	ended()
	_, err = b.PublishWith(browser.Publication{VideoSource: false})
	if failure := b.failure(err); failure.Name != denied {
		t.Errorf("publishing blocked audio gave %v, want %s", failure, denied)
	}
	moderate(`{"publish":null}`)
	wait.For(t, patience, "the target to be allowed again", func() error {
		var err error
		b.stream, err = b.PublishWith(browser.Publication{})
		return err
	})
	a.gets("streamCreated", func(e browser.Event) bool { return e.StreamID == b.stream.StreamID })
	a.receives(b)
	for _, g := range []*guest{a, b} {
		g.never("connectionDestroyed", "sessionDisconnected", "reconnecting", "exception")
	}
}

func TestDeletingASessionThrowsEverybodyOut(t *testing.T) {
	t.Parallel()
	covers(t, "5.1-sessionClosedByServer", "5.3-sessionDisconnected", "7.2-session")
	reserve(t, 3)
	r := newRoom(t, nil)
	guests := []*guest{}
	for _, name := range []string{"a", "b", "c"} {
		guests = append(guests, r.enter(t, name, v1alpha1.RolePublisher))
	}
	unused := r.open(t, "late", nil)
	guests[0].publish(browser.Publication{})
	guests[1].receives(guests[0])
	guests[2].receives(guests[0])
	kubectl(t, "delete", "session", r.name)
	const reason = "sessionClosedByServer"
	left := 0
	for _, g := range guests {
		g.gets("sessionDisconnected", func(e browser.Event) bool { return e.Reason == reason })
		if n := g.count("sessionDisconnected"); n != 1 {
			t.Errorf("%s was disconnected %d times", g.Name, n)
		}
		for _, e := range g.events() {
			if e.Name == "connectionDestroyed" {
				left++
				if e.Reason != reason {
					t.Errorf("%s saw %+v", g.Name, e)
				}
			}
		}
		g.never("reconnecting")
	}
	guests[0].getsOwn("streamDestroyed", func(e browser.Event) bool { return e.Reason == reason })
	// One after another: the last one sees both others leave, the first one nobody.
	if left != 3 {
		t.Errorf("they saw each other leave %d times, want 2+1+0", left)
	}
	_, err := unused.JoinWith(unused.token, browser.JoinOptions{})
	if failure := unused.failure(err); !slices.Contains([]int{202, 203}, failure.Code) {
		t.Errorf("joining the deleted Session gave %v", failure)
	}
	var session v1alpha1.Session
	err = kube.Client.Get(context.Background(), client.ObjectKey{Namespace: cluster.DefaultTenant, Name: r.name}, &session)
	if !apierrors.IsNotFound(err) {
		t.Errorf("kubectl delete has returned, and looking for the Session gives %v", err)
	}
}

func TestLeavingIsToldToTheOthersAndNobodyElseIsDisturbed(t *testing.T) {
	t.Parallel()
	covers(t, "2.2-leaveRoom", "5.1-disconnect", "1.9-4102", "9-19")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "witness", v1alpha1.RoleSubscriber)
	b := r.enter(t, "leaver", v1alpha1.RolePublisher)
	b.publish(browser.Publication{})
	a.receives(b)
	b.must(b.Leave())
	b.getsOwn("streamDestroyed", func(e browser.Event) bool { return e.Reason == "disconnect" })
	b.gets("sessionDisconnected", func(e browser.Event) bool { return e.Reason == "disconnect" })
	a.gets("streamDestroyed", func(e browser.Event) bool { return e.StreamID == b.stream.StreamID && e.Reason == "disconnect" })
	a.gets("connectionDestroyed", func(e browser.Event) bool { return e.ConnectionID == b.id() && e.Reason == "disconnect" })
	wantDisconnected(t, b, "disconnect")
	for _, f := range append(a.page.Frames(), b.page.Frames()...) {
		if f.Method == "participantUnpublished" || f.Method == "participantEvicted" {
			t.Errorf("a voluntary leave sent %s", f.Method)
		}
	}
	if n := b.count("sessionDisconnected"); n != 1 {
		t.Errorf("%s was disconnected %d times", b.Name, n)
	}
	var states []int
	b.must(b.Evaluate("window.probes.sockets.map((socket) => socket.readyState)", &states))
	if len(states) != 1 {
		t.Errorf("%s opened %d sockets", b.Name, len(states))
	}
}
