package desired

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/token"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// state is one that all Connections are in.
func state(s v1alpha1.ConnectionState) func(*v1alpha1.Connection) v1alpha1.ConnectionState {
	return func(*v1alpha1.Connection) v1alpha1.ConnectionState { return s }
}

func input(connections ...v1alpha1.Connection) Input {
	out := Input{
		Session: &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "tenant", Name: "demo", UID: "uid", Generation: 3}},
		IceServers: []v1alpha1.IceServer{
			{URL: "stun:stun.example.org"}, {URL: "turn:turn.example.org", StaticAuthSecret: "very secret"},
		},
		State: state(v1alpha1.ConnectionStatePending), Keys: token.Keys{Current: make([]byte, 32)},
		Identity: func(c *v1alpha1.Connection) Identity { return identify(token.Keys{Current: make([]byte, 32)}, c) }, DefaultNamespace: "default", Now: now,
	}
	for i := range connections {
		out.Connections = append(out.Connections, &connections[i])
	}
	return out
}

func TestRoom(t *testing.T) {
	in := input()
	room := Room(in)
	if room.Key != "tenant.demo" || room.SessionId != "demo" || room.Generation != 3 || room.ForcedVideoCodec != "" || room.ForceMute {
		t.Errorf("it is %v", room)
	}
	if in.ForceMute = true; !Room(in).ForceMute {
		t.Error("nobody is to be mute on the next pod")
	}
	in.Session.Namespace, in.Session.Spec.SessionID, in.Session.Spec.ForcedVideoCodec = "default", "Demo_1", v1alpha1.ForcedVideoCodecVP8
	if room = Room(in); room.Key != "Demo_1" || room.SessionId != "Demo_1" || room.ForcedVideoCodec != "VP8" {
		t.Errorf("it is %v", room)
	}
	for _, codec := range []v1alpha1.ForcedVideoCodec{v1alpha1.ForcedVideoCodecNone, v1alpha1.ForcedVideoCodecMediaServerPreferred} {
		in.Session.Spec.ForcedVideoCodec = codec
		if room = Room(in); room.ForcedVideoCodec != "" {
			t.Errorf("%s forces %q", codec, room.ForcedVideoCodec)
		}
	}
}

func TestConnectionInRoom(t *testing.T) {
	c := v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: "guest", Generation: 2}}
	c.Spec = v1alpha1.ConnectionSpec{
		Role: v1alpha1.RoleModerator, Data: "data", Record: ptr.To(false),
		Bandwidth: bandwidth(700, 900),
	}
	in := input(c)
	in.State = state(v1alpha1.ConnectionStateActive)
	presence := &controlv1.Presence{ClientData: "client"}
	in.Presence = func(*v1alpha1.Connection) *controlv1.Presence { return presence }
	got := Room(in).Connections[0]
	if got.Presence != presence {
		t.Errorf("the user is told of as %v", got.Presence)
	}
	in.State = state(v1alpha1.ConnectionStatePending)
	if waiting := Room(in).Connections[0]; waiting.Presence != nil || waiting.Spent {
		t.Errorf("who waits is told of as %v", waiting)
	}
	digest := sha256.Sum256([]byte(token.Derive(make([]byte, 32), "guest", 0)))
	if got.Uid != "guest" || got.Generation != 2 || got.Role != controlv1.Role_ROLE_MODERATOR || got.ServerData != "data" || got.Record || !got.Spent ||
		got.MaxPublishKbps != 700 || got.MaxReceiveKbps != 900 || !slices.Equal(got.TokenSha256, digest[:]) {
		t.Errorf("it is %v", got)
	}
	for role, want := range map[v1alpha1.Role]*controlv1.Connection{
		v1alpha1.RolePublisher: {Role: controlv1.Role_ROLE_PUBLISHER}, v1alpha1.RoleSubscriber: {Role: controlv1.Role_ROLE_SUBSCRIBER},
		v1alpha1.RolePublisherOnly: {Role: controlv1.Role_ROLE_PUBLISHER, ReceivesNothing: true},
	} {
		c.Spec.Role = role
		if got := Room(input(c)).Connections[0]; got.Role != want.Role || got.ReceivesNothing != want.ReceivesNothing {
			t.Errorf("%s is told as %v", role, got)
		}
	}
}

// Of whoever has left a pod needs to know no more than that.
func TestWhoHasLeftTakesNoSpace(t *testing.T) {
	c := v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: "guest", Generation: 2}}
	c.Spec.Data = strings.Repeat("x", 10000)
	for range 16 {
		c.Spec.CustomIceServers = append(c.Spec.CustomIceServers, v1alpha1.IceServer{URL: "turn:turn.example.org", Username: strings.Repeat("u", 512)})
	}
	in := input(c)
	in.State = state(v1alpha1.ConnectionStateDisconnected)
	got := Room(in).Connections[0]
	if size := proto.Size(got); size > 200 || got.Uid != "guest" || got.Generation != 2 || !got.Spent || len(got.TokenSha256) == 0 || got.ConnectionId == "" {
		t.Errorf("it is %d bytes: %v", size, got)
	}
}

type fixedKeys token.Keys

func (k fixedKeys) SigningKeys(context.Context) (token.Keys, error) { return token.Keys(k), nil }

// A pod that hands an identity back can change nothing of it.
func TestAnIdentityIsKnownByItsProof(t *testing.T) {
	key := make([]byte, token.MinKeySize)
	proofs := Proofs{Keys: fixedKeys{Current: key}}
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "tenant", Name: "demo", UID: "uid"}}
	whole := RoomIdentity(session)
	whole.Proof = proof(key, whole)
	if vouched, err := proofs.Vouches(t.Context(), whole); !vouched || err != nil {
		t.Errorf("its own: %t, %v", vouched, err)
	}
	rotated := Proofs{Keys: fixedKeys{Current: bytes.Repeat([]byte{1}, token.MinKeySize), Previous: key}}
	if vouched, err := rotated.Vouches(t.Context(), whole); !vouched || err != nil {
		t.Errorf("its own, from before the signing key was rotated: %t, %v", vouched, err)
	}
	for name, forge := range map[string]func(*controlv1.RoomIdentity){
		"another tenant":       func(i *controlv1.RoomIdentity) { i.Tenant = "victim" },
		"another name":         func(i *controlv1.RoomIdentity) { i.Name = "other" },
		"another session id":   func(i *controlv1.RoomIdentity) { i.SessionId = "other" },
		"another Session":      func(i *controlv1.RoomIdentity) { i.Uid = "other" },
		"another time":         func(i *controlv1.RoomIdentity) { i.CreatedUnixMs++ },
		"names that move over": func(i *controlv1.RoomIdentity) { i.Tenant, i.Name = "tenantd", "emo" },
		"no proof":             func(i *controlv1.RoomIdentity) { i.Proof = nil },
		"half a proof":         func(i *controlv1.RoomIdentity) { i.Proof = i.Proof[:16] },
		"nothing at all":       func(i *controlv1.RoomIdentity) { proto.Reset(i) },
	} {
		forged := proto.CloneOf(whole)
		forge(forged)
		if vouched, err := proofs.Vouches(t.Context(), forged); vouched || err != nil {
			t.Errorf("%s: %t, %v", name, vouched, err)
		}
	}
	if vouched, err := proofs.Vouches(t.Context(), nil); vouched || err != nil {
		t.Errorf("none: %t, %v", vouched, err)
	}
}

func bandwidth(send, receive int32) v1alpha1.VideoBandwidth {
	return v1alpha1.VideoBandwidth{VideoMaxSendKbps: &send, VideoMaxRecvKbps: &receive}
}

func TestBandwidth(t *testing.T) {
	for sentence, test := range map[string]struct {
		pool          v1alpha1.VideoBandwidth
		own           v1alpha1.VideoBandwidth
		send, receive int32
	}{
		"nobody says anything": {},
		"the pool says":        {pool: bandwidth(1, 2), send: 1, receive: 2},
		"what the Connection leaves out is the pool's": {
			pool: bandwidth(1, 2),
			own:  v1alpha1.VideoBandwidth{VideoMaxSendKbps: ptr.To(int32(7))}, send: 7, receive: 2,
		},
		"a Connection may have no limit": {
			pool: bandwidth(1, 2),
			own:  bandwidth(0, 0),
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			c := v1alpha1.Connection{Spec: v1alpha1.ConnectionSpec{Bandwidth: test.own}}
			in := input(c)
			in.Bandwidth = test.pool
			if got := Room(in).Connections[0]; got.MaxPublishKbps != test.send || got.MaxReceiveKbps != test.receive {
				t.Errorf("it may send %d kbps and receive %d", got.MaxPublishKbps, got.MaxReceiveKbps)
			}
		})
	}
}

func TestModeration(t *testing.T) {
	const audio, video = v1alpha1.MediaKindAudio, v1alpha1.MediaKindVideo
	for sentence, test := range map[string]struct {
		spec v1alpha1.Moderation
		want *controlv1.Moderation
	}{
		"nothing is said":           {},
		"both kinds are allowed":    {v1alpha1.Moderation{Publish: []v1alpha1.MediaKind{video, audio}}, &controlv1.Moderation{}},
		"only audio is allowed":     {v1alpha1.Moderation{Publish: []v1alpha1.MediaKind{audio}}, &controlv1.Moderation{VideoBlocked: true}},
		"only video is allowed":     {v1alpha1.Moderation{Publish: []v1alpha1.MediaKind{video}}, &controlv1.Moderation{AudioBlocked: true}},
		"an empty list is nothing":  {v1alpha1.Moderation{Publish: []v1alpha1.MediaKind{}}, &controlv1.Moderation{AudioBlocked: true, VideoBlocked: true}},
		"only a stream is to end":   {v1alpha1.Moderation{EndedStreamIDs: []string{"a", "b"}}, &controlv1.Moderation{EndedStreamIds: []string{"a", "b"}}},
		"no stream is to end (yet)": {v1alpha1.Moderation{EndedStreamIDs: []string{}}, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			c := v1alpha1.Connection{Spec: v1alpha1.ConnectionSpec{Moderation: test.spec}}
			if got := Room(input(c)).Connections[0].Moderation; !proto.Equal(got, test.want) {
				t.Errorf("it is %v, want %v", got, test.want)
			}
		})
	}
}

func TestIceServers(t *testing.T) {
	own := v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: "own"}}
	own.Spec.CustomIceServers = []v1alpha1.IceServer{{URL: "turn:own.example.org", Username: "u", Credential: "c"}}
	room := Room(input(v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: "a"}}, own))
	if servers := room.Connections[1].IceServers; len(servers) != 1 || servers[0].Username != "u" || servers[0].Credential != "c" {
		t.Errorf("who brings servers gets %v", servers)
	}
	servers := room.Connections[0].IceServers
	if len(servers) != 2 || servers[0].Url != "stun:stun.example.org" || servers[0].Username != "" {
		t.Fatalf("who brings none gets %v", servers)
	}
	expiry, user, _ := strings.Cut(servers[1].Username, ":")
	seconds, err := strconv.ParseInt(expiry, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Unix(seconds, 0).Sub(now); left < credentialLife || left > credentialLife+Period {
		t.Errorf("the credentials hold for %s", left)
	}
	if user == "" || servers[1].Credential == "" || strings.Contains(room.String(), "very secret") {
		t.Errorf("the server is %v", servers[1])
	}
	again := input(v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: "a"}})
	again.Now = now.Add(time.Minute)
	if Room(again).Connections[0].IceServers[1].Username != servers[1].Username {
		t.Error("they change all the time")
	}
}

func TestSignallingURL(t *testing.T) {
	for public, want := range map[string]string{
		"http://localhost:4443":      "ws://localhost:4443",
		"https://rooms.example.org/": "wss://rooms.example.org",
		"wss://rooms.example.org":    "wss://rooms.example.org",
	} {
		if got := SignallingURL(&v1alpha1.MediaPool{Spec: v1alpha1.MediaPoolSpec{PublicURL: public}}); got != want {
			t.Errorf("%s gives %s, want %s", public, got, want)
		}
	}
}
