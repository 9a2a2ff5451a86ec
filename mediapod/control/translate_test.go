package control

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/protobuf/encoding/protowire"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/media/mediatest"
	"mediarooms.dev/mediarooms/mediapod/room"
)

func TestTranslation(t *testing.T) {
	digest := sha256.Sum256([]byte("tok"))
	got, err := desiredRoom(&controlv1.Room{
		Uid: "u", Key: "k", SessionId: "s", Generation: 3, ForcedVideoCodec: "VP8", AllowTranscoding: true,
		Tenant: "t", Name: "n", CreatedUnixMs: 1700000000123, EndsWhenEmpty: true, Known: true, ForceMute: true,
		Recordings: []*controlv1.Recording{{Id: "s~1", Name: "daily", Stopped: true, Reason: "automaticStop", Roles: []controlv1.Role{controlv1.Role_ROLE_MODERATOR}}},
		Connections: []*controlv1.Connection{{
			Uid: "c", Generation: 4, ConnectionId: "con_A", TokenSha256: digest[:], RpcSessionId: "rpc", Spent: true, Role: 99, ServerData: "data", Record: true,
			IceServers: []*controlv1.IceServer{{Url: "turn:h", Username: "u", Credential: "c"}}, MaxPublishKbps: 5, MaxReceiveKbps: 6,
			Moderation: &controlv1.Moderation{AudioBlocked: true, VideoBlocked: true, EndedStreamIds: []string{"str_1", "str_2"}},
		}, {
			Uid: "d", ConnectionId: "con_D", TokenSha256: digest[:], RpcSessionId: "rpc d", Role: controlv1.Role_ROLE_PUBLISHER, ReceivesNothing: true,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := room.Desired{
		UID: "u", Key: "k", SessionID: "s", Generation: 3, ForcedVideoCodec: "VP8", AllowTranscoding: true,
		Tenant: "t", Name: "n", Created: time.UnixMilli(1700000000123), EndsWhenEmpty: true, Known: true, ForceMute: true,
		Recordings: []room.Recording{{ID: "s~1", Name: "daily", Stopped: true, Reason: "automaticStop", Roles: []room.Role{room.Moderator}}},
		Connections: []room.Connection{{
			UID: "c", Generation: 4, ID: "con_A", Token: digest, PrivateID: "rpc", Spent: true, Role: room.Subscriber, ServerData: "data", Record: true,
			ICEServers: []room.ICEServer{{URL: "turn:h", Username: "u", Credential: "c"}}, MaxPublishKbps: 5, MaxReceiveKbps: 6,
			Moderation: room.Moderation{AudioBlocked: true, VideoBlocked: true, EndedStreamIDs: []string{"str_1", "str_2"}},
		}, {
			UID: "d", ID: "con_D", Token: digest, PrivateID: "rpc d", Role: room.PublisherOnly,
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
		VideoDimensions: media.Dimensions{Width: 640, Height: 480}, Loopback: true, Name: "Anna", Initials: "A",
	}, MuteForced: true}
	microphone := room.Stream{ID: "str_B_con_b", Created: at, StreamOptions: room.StreamOptions{HasAudio: true, AudioActive: true}}
	small := media.Delivery{NoAudio: true, MaxSize: media.Dimensions{Width: 320, Height: 180}, MaxFrameRate: 7}
	before := []room.ConnectionSnapshot{
		{
			UID: "a", State: room.Active, ActiveTime: at, Client: room.Client{Metadata: "data", Platform: "browser", Address: "192.0.2.1"},
			Published: []room.Stream{stream}, Received: []room.Reception{{SubscriptionID: "con_b", StreamID: "str_B_con_b", Lasting: true, Began: at.Add(time.Second), Delivery: small}},
		},
		{UID: "b", State: room.Active, ActiveTime: at, Published: []room.Stream{microphone}, Received: []room.Reception{{SubscriptionID: "con_a", StreamID: "str_A_con_a", Lasting: true, Delivery: media.Delivery{NoVideo: true}}}},
		{UID: "c", State: room.Pending},
	}
	message := &controlv1.Room{Uid: "u", Key: "k"}
	for _, snapshot := range before {
		c := &controlv1.Connection{Uid: snapshot.UID, ConnectionId: "con_" + snapshot.UID, TokenSha256: digest[:]}
		if seen := connectionStatus(snapshot); snapshot.State == room.Active {
			c.Spent, c.Presence = true, &controlv1.Presence{
				ActiveUnixMs: seen.GetActiveUnixMs(), ClientData: seen.GetClientData(), Ip: seen.GetIp(), Platform: seen.GetPlatform(),
				Publishers: seen.GetPublishers(), Subscribers: append(seen.GetSubscribers(), "str_gone"), SubscribedUnixMs: seen.GetSubscribedUnixMs(),
				Withheld: seen.GetWithheld(),
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

// fill gives random values to the fields of a struct, and to those of structs in it.
func fill(into reflect.Value, random *rand.Rand) {
	switch into.Kind() {
	case reflect.Bool:
		into.SetBool(random.IntN(2) == 0)
	case reflect.Int:
		into.SetInt(1 + random.Int64N(1000))
	case reflect.String:
		into.SetString(string(rune('a' + random.IntN(26))))
	case reflect.Struct:
		if into.Type() == reflect.TypeFor[time.Time]() {
			into.Set(reflect.ValueOf(time.UnixMilli(1700000000000 + random.Int64N(1e9))))
			return
		}
		for i := range into.NumField() {
			fill(into.Field(i), random)
		}
	default:
		panic("no value for " + into.Type().String())
	}
}

// randomRoom is a room that somebody is in, with all that may be known of it.
func randomRoom(random *rand.Rand) room.Snapshot {
	snapshot := room.Snapshot{UID: "u", ForceMute: random.IntN(2) == 0, Connections: make([]room.ConnectionSnapshot, 1+random.IntN(4))}
	publishers := map[string]string{} // by stream
	var streams []string
	for i := range snapshot.Connections {
		c := &snapshot.Connections[i]
		c.UID, c.State = fmt.Sprint("uid-", i), room.Active
		fill(reflect.ValueOf(&c.ActiveTime).Elem(), random)
		fill(reflect.ValueOf(&c.Client).Elem(), random)
		for n := range random.IntN(4) {
			var stream room.Stream
			fill(reflect.ValueOf(&stream).Elem(), random)
			stream.ID = fmt.Sprintf("str_%d_con_uid-%d", n, i)
			if n > 0 {
				stream.ID += "_more"
			}
			stream.MuteForced = stream.MuteForced && stream.AudioActive // else it is mute
			c.Published = append(c.Published, stream)
			streams = append(streams, stream.ID)
			publishers[stream.ID] = "con_" + c.UID
		}
	}
	for i := range snapshot.Connections {
		for _, at := range random.Perm(len(streams))[:random.IntN(len(streams)+1)] {
			var reception room.Reception
			fill(reflect.ValueOf(&reception).Elem(), random)
			reception.StreamID, reception.SubscriptionID, reception.Lasting = streams[at], room.LastingID(streams[at], publishers[streams[at]]), true
			snapshot.Connections[i].Received = append(snapshot.Connections[i].Received, reception)
		}
	}
	return snapshot
}

// nextRoom is the room for another pod, as an operator gives it that has heard of the state.
func nextRoom(seen *controlv1.RoomStatus) *controlv1.Room {
	digest := sha256.Sum256([]byte("tok"))
	next := &controlv1.Room{Uid: seen.GetUid(), Key: "k", ForceMute: seen.GetForceMute()}
	for _, c := range seen.GetConnections() {
		next.Connections = append(next.Connections, &controlv1.Connection{
			Uid: c.GetUid(), ConnectionId: "con_" + c.GetUid(), TokenSha256: digest[:], Spent: true, Role: controlv1.Role_ROLE_PUBLISHER,
			Presence: &controlv1.Presence{
				ActiveUnixMs: c.GetActiveUnixMs(), ClientData: c.GetClientData(), Ip: c.GetIp(), Platform: c.GetPlatform(), Publishers: c.GetPublishers(),
				Subscribers: c.GetSubscribers(), SubscribedUnixMs: c.GetSubscribedUnixMs(), Withheld: c.GetWithheld(),
			},
		})
	}
	return next
}

// Whatever is known of a room is known on the next pod, and on the one after that. Each field has
// some value in some of these rooms: none is forgotten on the way.
func TestWhatIsKnownOfARoomIsRestored(t *testing.T) {
	for seed := range uint64(200) {
		want := randomRoom(rand.New(rand.NewPCG(seed, 0)))
		for i := range want.Connections {
			want.Connections[i].Restored = true
		}
		got := want
		for pod := range 2 {
			desired, err := desiredRoom(nextRoom(roomStatus(got, 0)))
			if err != nil {
				t.Fatal(err)
			}
			rooms := room.NewRegistry(&mediatest.Engine{}, logr.Discard())
			rooms.Apply(desired)
			if got, _ = rooms.Snapshot("u"); !reflect.DeepEqual(got, want) {
				t.Errorf("seed %d: on pod %d it is\n%+v, want\n%+v", seed, pod, got, want)
			}
			rooms.Stop()
			rooms.Wait()
		}
	}
}

// Neighbouring versions work together: what one lacks is as if nobody had asked for it, and what it
// does not know it leaves out.
func TestARoomOfAnotherVersion(t *testing.T) {
	told := roomStatus(randomRoom(rand.New(rand.NewPCG(1, 0))), 0)
	next := nextRoom(told)
	next.ForceMute = false
	for _, c := range next.GetConnections() {
		c.Presence.Withheld = nil
		for _, stream := range c.GetPresence().GetPublishers() {
			stream.Name, stream.Initials, stream.MuteForced = "", "", false
		}
		c.Presence.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	}
	desired, err := desiredRoom(next)
	if err != nil {
		t.Fatal(err)
	}
	if desired.ForceMute {
		t.Error("everybody is to be mute")
	}
	for i, c := range desired.Connections {
		if len(c.Presence.Published) != len(told.GetConnections()[i].GetPublishers()) || len(c.Presence.Received) != len(told.GetConnections()[i].GetSubscribers()) {
			t.Errorf("%s is restored with %+v", c.UID, c.Presence)
		}
		for _, reception := range c.Presence.Received {
			if reception.Delivery != (media.Delivery{}) {
				t.Errorf("%s does not get everything: %+v", c.UID, reception)
			}
		}
	}
}
