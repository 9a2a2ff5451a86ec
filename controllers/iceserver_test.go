package controllers_test

import (
	"fmt"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// An ICE server on a media address would take UDP away from Chromium. Clients are not told it; who
// named it is.
func TestICEServersOnMediaAddressesAreNotToldAndSaid(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(nil)
	session := w.session("demo", nil)
	w.ready(session)
	host := w.host(session)
	advertised := host.Config().GetAdvertised()[0]
	onMedia := v1alpha1.IceServer{URL: fmt.Sprintf("stun:%s:%d", advertised.GetIp(), advertised.GetUdpPort())}
	elsewhere := v1alpha1.IceServer{URL: "stun:stun.example.org"}

	guest := w.connection("guest", "demo", func(spec *v1alpha1.ConnectionSpec) { spec.CustomIceServers = []v1alpha1.IceServer{onMedia, elsewhere} })
	w.ready(guest)
	for _, c := range host.Room(string(session.UID)).GetConnections() {
		if servers := c.GetIceServers(); len(servers) != 1 || servers[0].GetUrl() != elsewhere.URL {
			t.Errorf("the client is told %v", servers)
		}
	}
	said := "customIceServers[0] (" + onMedia.URL + ")"
	if c := meta.FindStatusCondition(guest.Status.Conditions, v1alpha1.ConditionAccepted); !strings.Contains(c.Message, said) {
		t.Errorf("Accepted says %q", c.Message)
	}
	w.warned(guest, said)

	w.eventually("the pool names a server on its media address", func() error {
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		pool.Spec.IceServers = []v1alpha1.IceServer{onMedia}
		return w.Update(w.Context(), pool)
	})
	w.eventually("the pool's condition says so", func() error {
		if err := w.Get(w.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(pool.Status.Conditions, v1alpha1.ConditionAccepted); !strings.Contains(c.Message, "iceServers[0] ("+onMedia.URL+")") {
			return fmt.Errorf("it says %q", c.Message)
		}
		return nil
	})
	w.warned(pool, "iceServers[0] ("+onMedia.URL+")")
}

// warned waits for the Event that says which ICE servers clients are not told.
func (w *world) warned(about client.Object, text string) {
	w.Helper()
	w.eventually("an Event warns about "+about.GetName(), func() error {
		var list eventsv1.EventList
		if err := w.List(w.Context(), &list); err != nil {
			return err
		}
		for _, event := range list.Items {
			if event.Regarding.UID == about.GetUID() && event.Reason == "IceServersIgnored" && event.Type == "Warning" && strings.Contains(event.Note, text) {
				return nil
			}
		}
		return fmt.Errorf("there is none among %d", len(list.Items))
	})
}
