package control

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"testing"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/room"
)

func TestTranslation(t *testing.T) {
	digest := sha256.Sum256([]byte("tok"))
	got, err := desiredRoom(&controlv1.Room{
		Uid: "u", Key: "k", SessionId: "s", Generation: 3, ForcedVideoCodec: "VP8", AllowTranscoding: true,
		Tenant: "t", Name: "n", CreatedUnixMs: 1700000000123, EndsWhenEmpty: true, Known: true,
		Recordings: []*controlv1.Recording{{Id: "s~1", Name: "daily", Stopped: true, Reason: "automaticStop", Roles: []controlv1.Role{controlv1.Role_ROLE_MODERATOR}}},
		Connections: []*controlv1.Connection{{
			Uid: "c", Generation: 4, ConnectionId: "con_A", TokenSha256: digest[:], RpcSessionId: "rpc", Spent: true, Role: 99, ServerData: "data", Record: true,
			IceServers: []*controlv1.IceServer{{Url: "turn:h", Username: "u", Credential: "c"}}, MaxPublishKbps: 5, MaxReceiveKbps: 6,
			Moderation: &controlv1.Moderation{AudioBlocked: true, VideoBlocked: true, EndedStreamIds: []string{"str_1", "str_2"}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := room.Desired{
		UID: "u", Key: "k", SessionID: "s", Generation: 3, ForcedVideoCodec: "VP8", AllowTranscoding: true,
		Tenant: "t", Name: "n", Created: time.UnixMilli(1700000000123), EndsWhenEmpty: true, Known: true,
		Recordings: []room.Recording{{ID: "s~1", Name: "daily", Stopped: true, Reason: "automaticStop", Roles: []room.Role{room.Moderator}}},
		Connections: []room.Connection{{
			UID: "c", Generation: 4, ID: "con_A", Token: digest, PrivateID: "rpc", Spent: true, Role: room.Subscriber, ServerData: "data", Record: true,
			ICEServers: []room.ICEServer{{URL: "turn:h", Username: "u", Credential: "c"}}, MaxPublishKbps: 5, MaxReceiveKbps: 6,
			Moderation: room.Moderation{AudioBlocked: true, VideoBlocked: true, EndedStreamIDs: []string{"str_1", "str_2"}},
		}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for told, want := range map[int]int32{30: 30, 0: 0, -1: 0} {
		status := connectionStatus(room.ConnectionSnapshot{Published: []room.Stream{{StreamOptions: room.StreamOptions{FrameRate: told}}}})
		if got := status.GetPublishers()[0].GetFrameRate(); got != want {
			t.Errorf("a frame rate of %d is reported as %d, want %d", told, got, want)
		}
	}
	for seconds, want := range map[int32]time.Duration{0: 0, 5: 5 * time.Second, -1: 0} {
		if config, err := podConfig(&controlv1.PodConfig{NetworkQualityIntervalSeconds: seconds}); err != nil || config.NetworkQualityInterval != want {
			t.Errorf("an interval of %d s is %v, %v", seconds, config.NetworkQualityInterval, err)
		}
	}
	for name, message := range map[string]*controlv1.PodConfig{
		"a name for an address": {Advertised: []*controlv1.TransportAddress{{Ip: "example.org"}}},
		"a port above 65535":    {Advertised: []*controlv1.TransportAddress{{Ip: "192.0.2.1", UdpPort: 65536}}},
		"a negative port":       {Advertised: []*controlv1.TransportAddress{{Ip: "192.0.2.1", TcpPort: -1}}},
	} {
		if _, err := podConfig(message); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// What a pod tells of who is in a room is what the next one restores.
func TestAPresenceIsWhatWasReported(t *testing.T) {
	digest := sha256.Sum256([]byte("tok"))
	at := time.UnixMilli(1700000000123)
	stream := room.Stream{ID: "str_A_con_a", Created: at, StreamOptions: room.StreamOptions{
		HasAudio: true, HasVideo: true, VideoActive: true, TypeOfVideo: "SCREEN", FrameRate: -1,
		VideoDimensions: media.Dimensions{Width: 640, Height: 480}, Loopback: true,
	}}
	microphone := room.Stream{ID: "str_B_con_b", Created: at, StreamOptions: room.StreamOptions{HasAudio: true, AudioActive: true}}
	before := []room.ConnectionSnapshot{
		{
			UID: "a", State: room.Active, ActiveTime: at, Client: room.Client{Metadata: "data", Platform: "browser", Address: "192.0.2.1"},
			Published: []room.Stream{stream}, Received: []room.Reception{{SubscriptionID: "con_b", StreamID: "str_B_con_b", Began: at.Add(time.Second)}},
		},
		{UID: "b", State: room.Active, ActiveTime: at, Published: []room.Stream{microphone}, Received: []room.Reception{{SubscriptionID: "con_a", StreamID: "str_A_con_a"}}},
		{UID: "c", State: room.Pending},
	}
	message := &controlv1.Room{Uid: "u", Key: "k"}
	for _, snapshot := range before {
		c := &controlv1.Connection{Uid: snapshot.UID, ConnectionId: "con_" + snapshot.UID, TokenSha256: digest[:]}
		if seen := connectionStatus(snapshot); snapshot.State == room.Active {
			c.Spent, c.Presence = true, &controlv1.Presence{
				ActiveUnixMs: seen.GetActiveUnixMs(), ClientData: seen.GetClientData(), Ip: seen.GetIp(), Platform: seen.GetPlatform(),
				Publishers: seen.GetPublishers(), Subscribers: append(seen.GetSubscribers(), "str_gone"), SubscribedUnixMs: seen.GetSubscribedUnixMs(),
			}
		}
		message.Connections = append(message.Connections, c)
	}
	desired, err := desiredRoom(message)
	if err != nil {
		t.Fatal(err)
	}
	for i, snapshot := range before {
		want := &room.Presence{Activated: snapshot.ActiveTime, Client: snapshot.Client, Published: snapshot.Published, Received: snapshot.Received}
		if snapshot.State == room.Pending {
			want = nil
		}
		if got := desired.Connections[i].Presence; !reflect.DeepEqual(got, want) {
			t.Errorf("%s was %+v, and is restored as %+v", snapshot.UID, want, got)
		}
	}
	if connectionStatus(room.ConnectionSnapshot{Restored: true}).GetRestored() != true {
		t.Error("that somebody is away is not told")
	}
}
