//go:build e2e

package conformance

import (
	"fmt"
	"slices"
	"testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// changes are the guest's events connectionPropertyChanged: property, old and new value.
func changes(g *guest) []string {
	var changes []string
	for _, e := range g.events() {
		if e.Name == "connectionPropertyChanged" {
			changes = append(changes, fmt.Sprintf("%s %s->%s", e.Property, e.OldValue, e.NewValue))
		}
	}
	return changes
}

func TestANewRoleIsToldAndHoldsAtOnce(t *testing.T) {
	t.Parallel()
	covers(t, "3.14-connectionPropertyChanged", "8.2-role", "8.2-record", "8.2-both", "8.2-demoted", "9-23", "9-44", "7.1-publishVideo", "7.1-force",
		"5.2-forceUnpublishByServer")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "changed", v1alpha1.RoleSubscriber)
	b := r.enter(t, "other", v1alpha1.RolePublisher)
	b.publish(browser.Publication{})
	want := []string{}
	patch := func(spec string, told ...string) {
		t.Helper()
		kubectl(t, "patch", "connection", a.object, "--type=merge", "-p", `{"spec":`+spec+`}`)
		want = append(want, told...)
		wait.For(t, patience, "the client to be told", func() error {
			// Two changes at once come in any order.
			got := changes(a)
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				return fmt.Errorf("it was told %q, want %q", got, want)
			}
			return nil
		})
	}

	_, err := a.PublishWith(browser.Publication{})
	if failure := a.failure(err); failure.Name != denied {
		t.Errorf("publishing as a subscriber gave %v", failure)
	}
	patch(`{"role":"Publisher"}`, `role "SUBSCRIBER"->"PUBLISHER"`)
	a.publish(browser.Publication{})
	b.gets("streamCreated", about(a))
	b.receives(a)
	if failure := a.failure(a.ForceUnpublish(b.id())); failure.Name != denied {
		t.Errorf("forcing as a publisher gave %v", failure)
	}
	patch(`{"role":"Moderator"}`, `role "PUBLISHER"->"MODERATOR"`)
	a.must(a.ForceUnpublish(b.id()))
	b.getsOwn("streamDestroyed", func(e browser.Event) bool { return e.Reason == "forceUnpublishByUser" })
	patch(`{"record":false}`, "record true->false")
	patch(`{"record":false,"role":"Moderator"}`)
	// A publisher who may not publish any more loses the stream.
	patch(`{"record":true,"role":"Subscriber"}`, "record false->true", `role "MODERATOR"->"SUBSCRIBER"`)
	a.getsOwn("streamDestroyed", func(e browser.Event) bool { return e.Reason == "forceUnpublishByServer" })
	b.gets("streamDestroyed", func(e browser.Event) bool { return e.ConnectionID == a.id() && e.Reason == "forceUnpublishByServer" })
	_, err = a.PublishWith(browser.Publication{})
	if failure := a.failure(err); failure.Name != denied {
		t.Errorf("publishing after the demotion gave %v", failure)
	}
	now, err := a.Joined()
	a.must(err)
	if now.Role != "SUBSCRIBER" || !now.Record {
		t.Errorf("the client has role %s and record %t", now.Role, now.Record)
	}
	if n := b.count("connectionPropertyChanged"); n != 0 {
		t.Errorf("the other client was told %d times", n)
	}
	for _, g := range []*guest{a, b} {
		g.never("connectionDestroyed", "sessionDisconnected", "reconnecting", "exception")
	}
}

func TestFiltersAndSpeechToTextAreAnsweredAsByAServerWithoutThem(t *testing.T) {
	t.Parallel()
	covers(t, "2.13-applyFilter", "2.21-subscribeToSpeechToText", "2.21-unsubscribeFromSpeechToText", "7.1-applyFilter",
		"7.1-speech-to-text", "8.3-absent", "6-401", "6-997", "3.7-filter", "5.5-applyFilter")
	reserve(t, 2)
	r := newRoom(t, nil)
	a := r.enter(t, "publisher", v1alpha1.RolePublisher)
	b := r.enter(t, "moderator", v1alpha1.RoleModerator)
	a.publish(browser.Publication{})
	b.gets("streamCreated", about(a))
	for _, g := range []*guest{a, b} {
		// The package asks for no other filter method while no filter is applied.
		failure := g.failure(g.Filter(a.id(), "applyFilter", "GStreamerFilter", map[string]any{"command": "videobalance saturation=0.0"}))
		if failure.Name != denied {
			t.Errorf("%s: applyFilter gave %v, want %s", g.Name, failure, denied)
		}
		wantText(t, "the error", failure.Message, "You don't have permissions to apply a filter")
		for what, err := range map[string]error{
			"subscribe": g.SubscribeToSpeechToText(a.id(), "en-US"), "unsubscribe": g.UnsubscribeFromSpeechToText(a.id()),
		} {
			const text = "Speech To Text requires OpenVidu Pro/Enterprise edition. Code: 997"
			if failure := g.failure(err); failure.Code != 997 || failure.Message != text {
				t.Errorf("%s: %s gave %v, want 997 %q", g.Name, what, failure, text)
			}
		}
		g.undisturbed()
		if n := g.count("streamPropertyChanged"); n != 0 {
			t.Errorf("%s saw %d streams change", g.Name, n)
		}
	}
}
