package controllers

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/desired"
	"mediarooms.dev/mediarooms/controllers/participant"
	"mediarooms.dev/mediarooms/controllers/rooms"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/events"
)

// recall has the log of events know what the status of the objects says, so that what a media pod
// that is lost meanwhile can't end itself ends all the same.
func (l *leader) recall(sessions []v1alpha1.Session, connections []v1alpha1.Connection, placed []rooms.Reservation) {
	where := make(map[types.UID]string, len(placed))
	for _, p := range placed {
		where[p.Session.UID] = p.Pod
	}
	guests := make(map[types.NamespacedName][]*v1alpha1.Connection)
	for i := range connections {
		c := &connections[i]
		if c.Status.State == v1alpha1.ConnectionStateActive {
			name := types.NamespacedName{Namespace: c.Namespace, Name: c.Spec.SessionName}
			guests[name] = append(guests[name], c)
		}
	}
	for i := range sessions {
		s := &sessions[i]
		pod, programmed := where[s.UID], meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionProgrammed)
		if pod != "" && programmed {
			l.events.Inherit(desired.RoomIdentity(s), pod, begun(guests[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}]))
		}
	}
}

// begun returns the events that the status of a Session's active Connections stands for. It is
// pure. Times are as precise as there.
func begun(active []*v1alpha1.Connection) []*controlv1.RoomEvent {
	at := func(t *metav1.Time) int64 {
		if t == nil {
			return 0
		}
		return t.UnixMilli()
	}
	slices.SortFunc(active, func(a, b *v1alpha1.Connection) int { return int(at(a.Status.ActiveTime) - at(b.Status.ActiveTime)) })
	var begun []*controlv1.RoomEvent
	add := func(event *controlv1.RoomEvent) {
		event.Sequence = uint64(len(begun) + 1)
		begun = append(begun, event)
	}
	type published struct {
		by     string
		stream *controlv1.PublishedStream
	}
	streams := make(map[string]published)
	sends := func(unixMs int64, connection *controlv1.WebrtcConnection) {
		add(events.WebRTCConnectionCreated(time.UnixMilli(unixMs), connection))
	}
	for _, c := range active {
		s := c.Status
		add(events.ParticipantJoined(time.UnixMilli(at(s.ActiveTime)), &controlv1.ParticipantIdentity{
			ConnectionId: s.ConnectionID, Ip: s.IP, Platform: s.Platform, ClientData: s.ClientData, ServerData: c.Spec.Data,
		}))
		for _, stream := range participant.Published(s) {
			streams[stream.GetStreamId()] = published{s.ConnectionID, stream}
			sends(stream.CreatedUnixMs, &controlv1.WebrtcConnection{ConnectionId: s.ConnectionID, Stream: stream})
		}
	}
	for _, c := range active {
		for _, received := range c.Status.Subscribers {
			from, known := streams[received.StreamID]
			if !known {
				continue
			}
			// When it began is not in the status: not before both were there.
			sends(max(at(c.Status.ActiveTime), from.stream.CreatedUnixMs), &controlv1.WebrtcConnection{
				ConnectionId: c.Status.ConnectionID, ReceivingFrom: from.by, Stream: from.stream,
			})
		}
	}
	return begun
}
