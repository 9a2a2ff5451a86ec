package participant

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

var (
	now    = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	before = now.Add(-time.Hour)
)

const (
	pending      = controlv1.ConnectionState_CONNECTION_STATE_PENDING
	active       = controlv1.ConnectionState_CONNECTION_STATE_ACTIVE
	disconnected = controlv1.ConnectionState_CONNECTION_STATE_DISCONNECTED
)

func TestFold(t *testing.T) {
	stream := func(id string, at time.Time) *controlv1.PublishedStream {
		return &controlv1.PublishedStream{StreamId: id, CreatedUnixMs: at.UnixMilli(), HasVideo: true}
	}
	for sentence, test := range map[string]struct {
		status v1alpha1.ConnectionStatus
		seen   *controlv1.ConnectionStatus
		want   func(s v1alpha1.ConnectionStatus) bool
	}{
		"nothing is seen: it waits for its user": {
			want: func(s v1alpha1.ConnectionStatus) bool { return s.State == v1alpha1.ConnectionStatePending },
		},
		"a user who came in is active since then, to the second": {
			seen: &controlv1.ConnectionStatus{State: active, ActiveUnixMs: before.UnixMilli(), ClientData: "c", Ip: "1.2.3.4", Platform: "p"},
			want: func(s v1alpha1.ConnectionStatus) bool {
				return s.State == v1alpha1.ConnectionStateActive && s.ActiveTime.Time.Equal(before.Truncate(time.Second)) &&
					s.ClientData == "c" && s.IP == "1.2.3.4" && s.Platform == "p"
			},
		},
		"streams are ordered by creation, and each is there once": {
			seen: &controlv1.ConnectionStatus{State: active, Publishers: []*controlv1.PublishedStream{
				stream("b", now), stream("a", before), stream("b", now), stream("", now),
			}, Subscribers: []string{"x", "y", "x", ""}},
			want: func(s v1alpha1.ConnectionStatus) bool {
				return len(s.Publishers) == 2 && s.Publishers[0].StreamID == "a" && len(s.Subscribers) == 2 && s.Subscribers[1].StreamID == "y"
			},
		},
		"a frame rate that was not announced is absent": {
			seen: &controlv1.ConnectionStatus{State: active, Publishers: []*controlv1.PublishedStream{
				{StreamId: "a", FrameRate: -1}, {StreamId: "b", FrameRate: 0}, {StreamId: "c", FrameRate: 30},
			}},
			want: func(s v1alpha1.ConnectionStatus) bool {
				return s.Publishers[0].FrameRate == 0 && s.Publishers[1].FrameRate == 0 && s.Publishers[2].FrameRate == 30
			},
		},
		"a state never goes back": {
			status: v1alpha1.ConnectionStatus{State: v1alpha1.ConnectionStateDisconnected, DisconnectReason: "disconnect", DisconnectedTime: &metav1.Time{Time: before}},
			seen:   &controlv1.ConnectionStatus{State: active, Publishers: []*controlv1.PublishedStream{stream("a", now)}},
			want: func(s v1alpha1.ConnectionStatus) bool {
				return s.State == v1alpha1.ConnectionStateDisconnected && s.DisconnectReason == "disconnect" && s.Publishers == nil &&
					s.DisconnectedTime.Time.Equal(before)
			},
		},
		"an active user of whom the pod says nothing yet stays as it was": {
			status: v1alpha1.ConnectionStatus{State: v1alpha1.ConnectionStateActive, Publishers: []v1alpha1.PublisherStatus{{StreamID: "a"}}},
			want: func(s v1alpha1.ConnectionStatus) bool {
				return s.State == v1alpha1.ConnectionStateActive && len(s.Publishers) == 1
			},
		},
		"a user who left has a time and a reason, and no streams": {
			status: v1alpha1.ConnectionStatus{State: v1alpha1.ConnectionStateActive, Publishers: []v1alpha1.PublisherStatus{{StreamID: "a"}}},
			seen:   &controlv1.ConnectionStatus{State: disconnected, DisconnectedUnixMs: before.UnixMilli(), DisconnectReason: "networkDisconnect"},
			want: func(s v1alpha1.ConnectionStatus) bool {
				return s.State == v1alpha1.ConnectionStateDisconnected && s.DisconnectReason == "networkDisconnect" && s.Publishers == nil &&
					s.DisconnectedTime.Time.Equal(before.Truncate(time.Second))
			},
		},
		"a user whom the new pod has never seen was on a pod that crashed": {
			status: v1alpha1.ConnectionStatus{State: v1alpha1.ConnectionStateActive},
			seen:   &controlv1.ConnectionStatus{State: disconnected},
			want: func(s v1alpha1.ConnectionStatus) bool {
				return s.DisconnectReason == "nodeCrashed" && s.DisconnectedTime.Time.Equal(now.Truncate(time.Second))
			},
		},
		"a status that was lost is rebuilt from what the pod knows": {
			seen: &controlv1.ConnectionStatus{State: active, ActiveUnixMs: before.UnixMilli(), Publishers: []*controlv1.PublishedStream{stream("a", before)}},
			want: func(s v1alpha1.ConnectionStatus) bool {
				return s.State == v1alpha1.ConnectionStateActive && s.ActiveTime.Time.Equal(before.Truncate(time.Second)) && len(s.Publishers) == 1
			},
		},
		"what is too long is cut, between characters": {
			seen: &controlv1.ConnectionStatus{State: active, ClientData: strings.Repeat("ä", maxClientData), Ip: strings.Repeat("1", 100)},
			want: func(s v1alpha1.ConnectionStatus) bool {
				return len(s.ClientData) == maxClientData && strings.HasSuffix(s.ClientData, "ä") && len(s.IP) == maxIP
			},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := Fold(test.status, test.seen, now); !test.want(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestCrash(t *testing.T) {
	waiting := &controlv1.ConnectionStatus{State: pending}
	Crash(waiting, now)
	if waiting.State != pending {
		t.Error("a token that was not used is not spent by a crash")
	}
	left := &controlv1.ConnectionStatus{State: disconnected, DisconnectReason: "disconnect"}
	Crash(left, now)
	if left.DisconnectReason != "disconnect" {
		t.Error("who had left before did so for another reason")
	}
	in := &controlv1.ConnectionStatus{State: active, ActiveUnixMs: 1, Subscribers: []string{"a"}}
	Crash(in, now)
	if in.State != disconnected || in.DisconnectReason != "nodeCrashed" || in.DisconnectedUnixMs != now.UnixMilli() || in.Subscribers != nil {
		t.Errorf("got %v", in)
	}
}

// What the next pod is told of a user is what the pod before said, or else what status says.
// checkFilled checks that a test gives a value to each field of messages that a Presence has, or
// is to have: none may be forgotten.
func checkFilled(t *testing.T, messages ...proto.Message) {
	t.Helper()
	told := (&controlv1.Presence{}).ProtoReflect().Descriptor().Fields()
	for _, message := range messages {
		filled := message.ProtoReflect()
		fields := filled.Descriptor().Fields()
		for i := range fields.Len() {
			field := fields.Get(i)
			_, isStatus := message.(*controlv1.ConnectionStatus)
			if (!isStatus || told.ByName(field.Name()) != nil) && !filled.Has(field) {
				t.Errorf("%s has no %s", filled.Descriptor().Name(), field.Name())
			}
		}
	}
}

func TestPresence(t *testing.T) {
	stream := &controlv1.PublishedStream{
		StreamId: "a", CreatedUnixMs: before.UnixMilli(), HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true, TypeOfVideo: "SCREEN", FrameRate: 15,
		VideoDimensions: `{"width":640,"height":480}`, Loopback: true, Name: "Anna", Initials: "A", MuteForced: true,
	}
	seen := &controlv1.ConnectionStatus{
		State: active, ActiveUnixMs: before.UnixMilli(), ClientData: "c", Ip: "1.2.3.4", Platform: "p", Publishers: []*controlv1.PublishedStream{stream},
		Subscribers: []string{"b"}, SubscribedUnixMs: []int64{now.UnixMilli()}, Withheld: []*controlv1.Withheld{{StreamId: "b", Video: true}},
	}
	checkFilled(t, seen, stream)
	got := Presence(v1alpha1.ConnectionStatus{ClientData: "old"}, seen)
	want := &controlv1.Presence{
		ActiveUnixMs: before.UnixMilli(), ClientData: "c", Ip: "1.2.3.4", Platform: "p", Publishers: []*controlv1.PublishedStream{stream},
		Subscribers: []string{"b"}, SubscribedUnixMs: []int64{now.UnixMilli()}, Withheld: []*controlv1.Withheld{{StreamId: "b", Video: true}},
	}
	checkFilled(t, want)
	if !proto.Equal(got, want) {
		t.Errorf("by the pod it is\n%v, want\n%v", got, want)
	}

	status := Fold(v1alpha1.ConnectionStatus{}, seen, now)
	got = Presence(status, nil)
	want.ActiveUnixMs = before.Truncate(time.Second).UnixMilli()
	want.Publishers[0] = proto.CloneOf(stream)
	// What a status does not hold is lost with an operator that ends together with the pod.
	want.Publishers[0].CreatedUnixMs, want.Publishers[0].Loopback, want.SubscribedUnixMs = want.ActiveUnixMs, false, nil
	want.Publishers[0].Name, want.Publishers[0].Initials, want.Publishers[0].MuteForced, want.Withheld = "", "", false, nil
	if !proto.Equal(got, want) {
		t.Errorf("by the status it is\n%v, want\n%v", got, want)
	}
	if got := Presence(v1alpha1.ConnectionStatus{}, nil); got.GetActiveUnixMs() != 0 {
		t.Errorf("by nothing it is %v", got)
	}
}
