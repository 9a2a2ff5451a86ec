// Package participant is the authority on how what a media pod observes of a participant becomes
// the status of its Connection. The state only moves forward: Pending, Active, Disconnected.
package participant

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/reasons"
)

// Bounds of the lists and texts in status, as in the schema, in bytes: what a pod reports must not
// make a status that the API server refuses.
const (
	maxPublishers  = 16
	maxSubscribers = 10000
	maxClientData  = 65536
	maxPlatform    = 4096
	maxDimensions  = 1024
	maxName        = 256
	maxIP          = 64
)

// State returns how far a Connection has come, by its status and by what a pod observed (nil when
// nothing).
func State(status v1alpha1.ConnectionState, seen *controlv1.ConnectionStatus) v1alpha1.ConnectionState {
	state := v1alpha1.ConnectionStatePending
	switch seen.GetState() {
	case controlv1.ConnectionState_CONNECTION_STATE_ACTIVE:
		state = v1alpha1.ConnectionStateActive
	case controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED:
		state = v1alpha1.ConnectionStateDisconnected
	}
	if rank(status) > rank(state) {
		return status
	}
	return state
}

func rank(state v1alpha1.ConnectionState) int {
	switch state {
	case v1alpha1.ConnectionStateActive:
		return 1
	case v1alpha1.ConnectionStateDisconnected:
		return 2
	}
	return 0
}

// Crash changes what was observed of a participant whose pod was lost, and who is given up at a
// time: who was in the room is out.
func Crash(seen *controlv1.ConnectionStatus, at time.Time) {
	if seen.GetState() != controlv1.ConnectionState_CONNECTION_STATE_ACTIVE {
		return
	}
	seen.State = controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED
	seen.DisconnectedUnixMs = at.UnixMilli()
	seen.DisconnectReason = string(reasons.NodeCrashed)
	seen.Publishers, seen.Subscribers = nil, nil
}

// Presence returns what the next pod of a room is told of a participant who is in it: by what the
// pod before has said, or else by the status.
func Presence(status v1alpha1.ConnectionStatus, seen *controlv1.ConnectionStatus) *controlv1.Presence {
	if seen.GetState() == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE {
		return &controlv1.Presence{
			ActiveUnixMs: seen.GetActiveUnixMs(), ClientData: seen.GetClientData(), Ip: seen.GetIp(), Platform: seen.GetPlatform(),
			Publishers: seen.GetPublishers(), Subscribers: seen.GetSubscribers(), SubscribedUnixMs: seen.GetSubscribedUnixMs(),
			Withheld: seen.GetWithheld(),
		}
	}
	presence := &controlv1.Presence{ClientData: status.ClientData, Ip: status.IP, Platform: status.Platform, Publishers: Published(status)}
	if status.ActiveTime != nil {
		presence.ActiveUnixMs = status.ActiveTime.UnixMilli()
	}
	for _, received := range status.Subscribers {
		presence.Subscribers = append(presence.Subscribers, received.StreamID)
	}
	return presence
}

// Published returns the streams that a status tells of.
func Published(status v1alpha1.ConnectionStatus) []*controlv1.PublishedStream {
	streams := make([]*controlv1.PublishedStream, 0, len(status.Publishers))
	for _, p := range status.Publishers {
		streams = append(streams, &controlv1.PublishedStream{
			StreamId: p.StreamID, CreatedUnixMs: p.CreatedTime.UnixMilli(), HasAudio: p.HasAudio, HasVideo: p.HasVideo,
			AudioActive: p.AudioActive, VideoActive: p.VideoActive, TypeOfVideo: p.TypeOfVideo, FrameRate: p.FrameRate,
			VideoDimensions: p.VideoDimensions,
		})
	}
	return streams
}

// Fold returns the status with what a pod observed folded in. Conditions, token and what comes from
// the spec stay as they are.
func Fold(status v1alpha1.ConnectionStatus, seen *controlv1.ConnectionStatus, now time.Time) v1alpha1.ConnectionStatus {
	out := *status.DeepCopy()
	out.State = State(status.State, seen)
	if out.State == v1alpha1.ConnectionStatePending {
		return out
	}
	if seen != nil {
		if seen.ActiveUnixMs != 0 {
			out.ActiveTime = instant(seen.ActiveUnixMs)
		}
		out.ClientData = text(seen.ClientData, out.ClientData, maxClientData)
		out.IP = text(seen.Ip, out.IP, maxIP)
		out.Platform = text(seen.Platform, out.Platform, maxPlatform)
	}
	if out.State == v1alpha1.ConnectionStateActive {
		// An Active state that no pod confirms yet keeps what it had: the pod may be about to say
		// so.
		if seen.GetState() == controlv1.ConnectionState_CONNECTION_STATE_ACTIVE {
			out.Publishers, out.Subscribers = publishers(seen.Publishers), subscribers(seen.Subscribers)
		}
		return out
	}
	out.Publishers, out.Subscribers = nil, nil
	if out.DisconnectedTime == nil {
		out.DisconnectedTime = &metav1.Time{Time: now.Truncate(time.Second)}
		if seen.GetDisconnectedUnixMs() != 0 {
			out.DisconnectedTime = instant(seen.DisconnectedUnixMs)
		}
	}
	if out.DisconnectReason == "" {
		// A pod that reports a spent token's user without a reason has never seen that user: the
		// pod before it is gone.
		out.DisconnectReason = text(seen.GetDisconnectReason(), string(reasons.NodeCrashed), maxName)
	}
	return out
}

// instant is a time as the API stores it, in whole seconds.
func instant(unixMs int64) *metav1.Time {
	return &metav1.Time{Time: time.UnixMilli(unixMs).Truncate(time.Second)}
}

// text returns what was observed, bounded, or else what was known.
func text(observed, known string, bound int) string {
	if observed == "" {
		return known
	}
	return strings.ToValidUTF8(observed[:min(len(observed), bound)], "")
}

// validID says whether an identifier fits into status.
func validID(id string) bool {
	return id != "" && len(id) <= maxName
}

func publishers(streams []*controlv1.PublishedStream) []v1alpha1.PublisherStatus {
	streams = slices.Clone(streams)
	slices.SortStableFunc(streams, func(a, b *controlv1.PublishedStream) int {
		return int(a.CreatedUnixMs - b.CreatedUnixMs)
	})
	var out []v1alpha1.PublisherStatus
	for _, stream := range streams {
		known := slices.ContainsFunc(out, func(p v1alpha1.PublisherStatus) bool { return p.StreamID == stream.StreamId })
		if known || !validID(stream.StreamId) || len(out) == maxPublishers {
			continue
		}
		out = append(out, v1alpha1.PublisherStatus{
			StreamID:    stream.StreamId,
			CreatedTime: *instant(stream.CreatedUnixMs),
			HasAudio:    stream.HasAudio,
			HasVideo:    stream.HasVideo,
			AudioActive: stream.AudioActive,
			VideoActive: stream.VideoActive,
			TypeOfVideo: text(stream.TypeOfVideo, "", maxName),
			// A publisher that announced none is reported as 0, and by older pods as -1.
			FrameRate:       max(0, stream.FrameRate),
			VideoDimensions: text(stream.VideoDimensions, "", maxDimensions),
		})
	}
	return out
}

func subscribers(streams []string) []v1alpha1.SubscriberStatus {
	known := make(map[string]bool, len(streams))
	var out []v1alpha1.SubscriberStatus
	for _, id := range streams {
		if known[id] || !validID(id) || len(out) == maxSubscribers {
			continue
		}
		known[id] = true
		out = append(out, v1alpha1.SubscriberStatus{StreamID: id})
	}
	return out
}
