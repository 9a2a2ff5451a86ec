package control

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/room"
)

func TestTranslation(t *testing.T) {
	digest := sha256.Sum256([]byte("tok"))
	got, err := desiredRoom(&controlv1.Room{
		Uid: "u", Key: "k", SessionId: "s", Generation: 3, ForcedVideoCodec: "VP8", AllowTranscoding: true,
		Tenant: "t", Name: "n", CreatedUnixMs: 1700000000123, EndsWhenEmpty: true, Known: true,
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
