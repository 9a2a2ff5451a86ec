package controllers_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/connection"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// visits returns what the event log of a Session says of comings and goings, in the order of names.
func (w *world) visits(session *v1alpha1.Session) []eventsv1.Event {
	w.Helper()
	var list eventsv1.EventList
	if err := w.List(w.Context(), &list, client.InNamespace(tenantNamespace)); err != nil {
		w.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool {
		return e.Regarding.UID != session.UID || e.Reason != "UserJoined" && !strings.HasSuffix(e.Reason, "Disconnected")
	})
}

// counted returns the values of the counters of visits, by name and labels.
func counted(t testing.TB) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(connection.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		if name := family.GetName(); name == "mediarooms_visits_total" || name == "mediarooms_disconnections_total" {
			for _, metric := range family.GetMetric() {
				key := strings.TrimPrefix(name, "mediarooms_")
				for _, label := range metric.GetLabel() {
					key += " " + label.GetValue()
				}
				values[key] = metric.GetCounter().GetValue()
			}
		}
	}
	return values
}

// counted waits until the counters, which follow the status, have grown so much since.
func (w *world) counted(since, want map[string]float64) {
	w.Helper()
	w.eventually("the visits are counted", func() error {
		if got := increments(w, since); !maps.Equal(got, want) {
			return fmt.Errorf("counted are %v, want %v", got, want)
		}
		return nil
	})
}

// increments returns what has been counted since.
func increments(t testing.TB, since map[string]float64) map[string]float64 {
	t.Helper()
	now := counted(t)
	for key, value := range since {
		now[key] -= value
	}
	maps.DeleteFunc(now, func(_ string, value float64) bool { return value == 0 })
	return now
}

func TestVisits(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("visited", nil)
	w.ready(session)
	pod := w.host(session)
	came := time.Now().Add(-6 * time.Minute).Truncate(time.Second) // who left long ago is not sent
	join := func(name string) *v1alpha1.Connection {
		c := w.connection(name, "visited", func(s *v1alpha1.ConnectionSpec) { s.Data = "secret of the server" })
		w.ready(c)
		pod.Date(string(c.UID), came, came.Add(5*time.Minute))
		w.join(pod, c, "secret of the client")
		w.state(c, v1alpha1.ConnectionStateActive)
		return c
	}
	leave := func(c *v1alpha1.Connection, reason reasons.Reason) {
		w.leave(pod, c, reason)
		w.state(c, v1alpha1.ConnectionStateDisconnected)
	}
	guests := make(map[string]*v1alpha1.Connection)

	// A status that is lost is rebuilt, and nothing is recorded again. It is counted again: that is
	// known when the counters are read, just after the status.
	since := counted(t)
	early := join("early")
	leave(early, "disconnect")
	base := early.DeepCopy()
	early.Status = v1alpha1.ConnectionStatus{}
	if err := w.Status().Patch(t.Context(), early, client.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
	w.state(early, v1alpha1.ConnectionStateDisconnected)
	guests["early"] = early
	w.counted(since, map[string]float64{"visits_total": 2, "disconnections_total ClientDisconnected disconnect": 2})

	since = counted(t)
	for _, name := range []string{"left", "kicked", "cut", "deleted", "stays"} {
		guests[name] = join(name)
	}
	leave(guests["left"], "disconnect")
	leave(guests["kicked"], "forceDisconnectByUser")
	leave(guests["cut"], "networkDisconnect")
	w.delete(guests["deleted"])
	w.gone(guests["deleted"])

	want := map[string]string{
		"early": "ClientDisconnected disconnect",
		"left":  "ClientDisconnected disconnect", "kicked": "ForceDisconnected forceDisconnectByUser",
		"cut": "NetworkDisconnected networkDisconnect", "deleted": "ForceDisconnected forceDisconnectByServer",
	}
	got := make(map[string]string)
	joins := 0
	for _, event := range w.visits(session) {
		guest := guests[event.Related.Name]
		if event.Related.UID != guest.UID || event.Type != corev1.EventTypeNormal || event.Regarding.Kind != "Session" {
			t.Errorf("the Event is %+v", event)
		}
		if !strings.HasPrefix(event.Note, fmt.Sprintf("Connection %s (%s) ", guest.Name, guest.Status.ConnectionID)) ||
			strings.Contains(event.Note, "secret") || strings.Contains(event.Note, "tok_") {
			t.Errorf("it says %q", event.Note)
		}
		if event.Reason == "UserJoined" {
			joins++
			if !event.EventTime.Time.Equal(came) {
				t.Errorf("%s came at %s, want %s", guest.Name, event.EventTime, came)
			}
			continue
		}
		if _, again := got[guest.Name]; again {
			t.Errorf("%s left twice", guest.Name)
		}
		got[guest.Name] = event.Reason + " " + event.Note[strings.LastIndex(event.Note, " ")+1:]
		if guest.Name == "left" && !strings.HasSuffix(event.Note, " has left after 5m0s: disconnect") {
			t.Errorf("it says %q", event.Note)
		}
	}
	if !maps.Equal(got, want) || joins != len(guests) {
		t.Errorf("%d have come, and left have %v, want %v", joins, got, want)
	}

	// Everybody who is still there is put out with the room.
	w.delete(session)
	w.gone(session)
	for _, event := range w.visits(session) {
		if event.Related.Name == "stays" && event.Reason != "UserJoined" && !strings.HasSuffix(event.Note, "sessionClosedByServer") {
			t.Errorf("%s says %s", event.Reason, event.Note)
		}
	}
	wantCounts := map[string]float64{
		"visits_total": 5, "disconnections_total ClientDisconnected disconnect": 1, "disconnections_total ForceDisconnected forceDisconnectByUser": 1,
		"disconnections_total NetworkDisconnected networkDisconnect": 1, "disconnections_total ForceDisconnected forceDisconnectByServer": 1,
		"disconnections_total ForceDisconnected sessionClosedByServer": 1,
	}
	w.counted(since, wantCounts)
}

// TestBurstOfLeaves has everybody leave at once, while the operator is away and then while it is
// there: nobody is lost, nobody is counted twice.
func TestBurstOfLeaves(t *testing.T) {
	w := newWorld(t)
	w.pool(nil)
	session := w.session("crowded", nil)
	w.ready(session)
	pod := w.host(session)
	since := counted(t)
	const crowd = 60
	var guests []*v1alpha1.Connection
	for n := range crowd {
		guests = append(guests, w.connection(fmt.Sprintf("guest-%d", n), "crowded", nil))
	}
	for n, guest := range guests {
		w.ready(guest)
		w.join(pod, guest, "")
		if n < crowd/6 {
			w.state(guest, v1alpha1.ConnectionStateActive)
		}
	}
	for _, guest := range guests {
		w.state(guest, v1alpha1.ConnectionStateActive)
	}
	w.stop()
	for _, guest := range guests[:crowd/6] {
		w.leave(pod, guest, "disconnect")
	}
	w.startOperator()
	for _, guest := range guests[:crowd/6] {
		w.state(guest, v1alpha1.ConnectionStateDisconnected)
	}
	for _, guest := range guests[crowd/6:] {
		w.leave(pod, guest, "networkDisconnect")
	}
	for _, guest := range guests {
		w.state(guest, v1alpha1.ConnectionStateDisconnected)
	}
	log := make(map[string]int)
	for _, event := range w.visits(session) {
		log[event.Reason]++
	}
	if want := map[string]int{"UserJoined": crowd, "ClientDisconnected": crowd / 6, "NetworkDisconnected": crowd - crowd/6}; !maps.Equal(log, want) {
		t.Errorf("the log has %v, want %v", log, want)
	}
	want := map[string]float64{
		"visits_total": crowd, "disconnections_total ClientDisconnected disconnect": crowd / 6,
		"disconnections_total NetworkDisconnected networkDisconnect": crowd - crowd/6,
	}
	w.counted(since, want)
}

// TestChangeAtRunTime changes Connections and the pool while somebody is in the room.
func TestChangeAtRunTime(t *testing.T) {
	w := newWorld(t)
	pool := w.pool(nil)
	session := w.session("demo", nil)
	guest := w.connection("guest", "demo", nil)
	w.ready(session)
	w.ready(guest)
	pod := w.host(session)
	w.join(pod, guest, "")
	busy := w.connection("busy", "demo", nil)
	w.ready(busy)
	w.join(pod, busy, "")
	w.state(guest, v1alpha1.ConnectionStateActive)

	// Status writes have a pace; what a pod is told has none. The status is kept busy meanwhile.
	const rounds = 20
	begun := time.Now()
	for n := range rounds {
		role := v1alpha1.RoleSubscriber
		if n%2 == 0 {
			role = v1alpha1.RoleModerator
		}
		if n < 10 {
			w.publish(pod, busy, fmt.Sprintf("str_CAM_A%03d_con_a", n))
		}
		w.change(guest, func() { guest.Spec.Role = role })
		w.eventually("the pod knows", func() error {
			if told := w.desired(session, guest); told.GetGeneration() != guest.Generation || !strings.EqualFold(string(role), told.Role.String()[len("ROLE_"):]) {
				return fmt.Errorf("it knows %v", told)
			}
			return nil
		})
	}
	if took := time.Since(begun); took > rounds*time.Second/2 {
		t.Errorf("%d changes took %s", rounds, took)
	}

	record, stream := false, "str_CAM_A000_con_a"
	w.change(guest, func() {
		guest.Spec.Record = &record
		guest.Spec.Moderation = v1alpha1.Moderation{Publish: []v1alpha1.MediaKind{}, EndedStreamIDs: []string{stream}}
	})
	w.eventually("the pod knows of the moderation", func() error {
		told := w.desired(session, guest)
		if m := told.GetModeration(); told.Record || !m.GetAudioBlocked() || !m.GetVideoBlocked() || !slices.Equal(m.EndedStreamIds, []string{stream}) {
			return fmt.Errorf("it knows %v", told)
		}
		return nil
	})
	w.change(guest, func() {
		guest.Spec.Moderation = v1alpha1.Moderation{Publish: []v1alpha1.MediaKind{v1alpha1.MediaKindAudio}}
	})
	w.eventually("the pod knows of another moderation", func() error {
		if m := w.desired(session, guest).GetModeration(); m.GetAudioBlocked() || !m.GetVideoBlocked() || len(m.GetEndedStreamIds()) != 0 {
			return fmt.Errorf("it knows %v", m)
		}
		return nil
	})

	if err := w.Get(context.Background(), client.ObjectKeyFromObject(pool), pool); err != nil {
		t.Fatal(err)
	}
	w.change(pool, func() {
		pool.Spec.NetworkQuality = &v1alpha1.NetworkQuality{IntervalSeconds: 7}
		pool.Spec.Bandwidth = v1alpha1.VideoBandwidth{VideoMaxSendKbps: ptr.To[int32](900), VideoMaxRecvKbps: ptr.To[int32](800)}
	})
	w.eventually("the pod knows what the pool says", func() error {
		told := w.desired(session, guest)
		if interval := pod.Config().NetworkQualityIntervalSeconds; interval != 7 || told.MaxPublishKbps != 900 || told.MaxReceiveKbps != 800 {
			return fmt.Errorf("it knows %v and %v", pod.Config(), told)
		}
		return nil
	})
	if w.host(session) != pod || pod.Streams() != 1 {
		t.Error("the pod was replaced, or the stream to it")
	}
}
