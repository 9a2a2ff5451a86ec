// Package desired is the authority on what a media pod is told of a room: the complete desired
// state, a pure function of the API objects, what pods have observed, and the signing key.
package desired

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/creation"
	"mediarooms.dev/mediarooms/internal/naming"
	"mediarooms.dev/mediarooms/internal/token"
)

// TURN credentials are made for the period that starts at a multiple of Period, and hold for a day
// after its end. A Room that was sent so long ago is sent again, so that a client that joins gets
// most of a day.
const (
	Period         = 6 * time.Hour
	credentialLife = 24 * time.Hour
)

// Input is everything that a Room depends on.
type Input struct {
	Session *v1alpha1.Session
	// IceServers of the pool, for Connections that bring none.
	IceServers []v1alpha1.IceServer
	// Media is where no ICE server may be; nil is nowhere.
	Media *MediaAddresses
	// Bandwidth of the pool, for Connections that do not say.
	Bandwidth v1alpha1.VideoBandwidth
	// Connections that may be in the room, or have been in it.
	Connections []*v1alpha1.Connection
	// State says how far a Connection has come, as far as status or any pod knows.
	State func(*v1alpha1.Connection) v1alpha1.ConnectionState
	// Presence returns what the pod is told of a user who is in the room, nil for nothing: the pod
	// has told of that user itself.
	Presence func(*v1alpha1.Connection) *controlv1.Presence
	// Identity gives what is derived of a Connection.
	Identity func(*v1alpha1.Connection) Identity
	// Standby is the pod that follows the room, nil when there is none.
	Standby *controlv1.RoomStandby
	// Recordings are what clients are told of. Recorded says that one of them runs: the Session
	// does not go with its last user then.
	Recordings []*controlv1.Recording
	Recorded   bool
	// Keys by which the pod is given a proof of whose room it is.
	Keys token.Keys
	// ForceMute says that streams have to be muted, as the pod before has said.
	ForceMute bool
	// Begun says that the beginning of the Session was told of.
	Begun bool
	// DefaultNamespace is the tenant whose routing keys carry no namespace.
	DefaultNamespace string
	Now              time.Time
}

// Room returns the desired state of a room, without its revision.
func Room(in Input) *controlv1.Room {
	session := in.Session
	room := &controlv1.Room{
		Uid:              string(session.UID),
		Generation:       session.Generation,
		Key:              naming.RoutingKeyOf(session, in.DefaultNamespace),
		SessionId:        naming.SessionID(session),
		AllowTranscoding: session.Spec.AllowTranscoding,
		Tenant:           session.Namespace,
		Name:             session.Name,
		CreatedUnixMs:    creation.Milliseconds(session),
		EndsWhenEmpty:    session.Spec.WhenEmpty == v1alpha1.WhenEmptyDelete && !in.Recorded,
		Known:            in.Begun,
		Proof:            proof(in.Keys.Current, RoomIdentity(session)),
		Standby:          in.Standby,
		Recordings:       in.Recordings,
		ForceMute:        in.ForceMute,
	}
	switch codec := session.Spec.ForcedVideoCodec; codec {
	case v1alpha1.ForcedVideoCodecVP8, v1alpha1.ForcedVideoCodecVP9, v1alpha1.ForcedVideoCodecH264:
		room.ForcedVideoCodec = string(codec)
	}
	for _, c := range in.Connections {
		room.Connections = append(room.Connections, connection(c, in))
	}
	slices.SortFunc(room.Connections, func(a, b *controlv1.Connection) int { return cmp.Compare(a.Uid, b.Uid) })
	return room
}

func connection(c *v1alpha1.Connection, in Input) *controlv1.Connection {
	identity, state := in.Identity(c), in.State(c)
	out := &controlv1.Connection{
		Uid:             string(c.UID),
		Generation:      c.Generation,
		ConnectionId:    identity.connectionID,
		TokenSha256:     identity.tokenDigest[:],
		RpcSessionId:    identity.rpcSessionID,
		Spent:           state != v1alpha1.ConnectionStatePending,
		Role:            role(c.Spec.Role),
		Record:          ptr.Deref(c.Spec.Record, true),
		ReceivesNothing: c.Spec.Role == v1alpha1.RolePublisherOnly,
	}
	if state == v1alpha1.ConnectionStateDisconnected {
		return out // nobody is told anything of it any more
	}
	if state == v1alpha1.ConnectionStateActive {
		out.Presence = in.Presence(c)
	}
	out.ServerData, out.Moderation = c.Spec.Data, moderation(c.Spec.Moderation)
	servers := in.Media.Usable(c.Spec.CustomIceServers)
	if len(servers) == 0 {
		servers = in.Media.Usable(in.IceServers)
	}
	for _, server := range servers {
		out.IceServers = append(out.IceServers, iceServer(server, out.ConnectionId, in.Now))
	}
	// "Send" and "Recv" are the participant's.
	// A 0 that is set lifts the pool's limit.
	own, pool := c.Spec.Bandwidth, in.Bandwidth
	out.MaxPublishKbps = ptr.Deref(own.VideoMaxSendKbps, ptr.Deref(pool.VideoMaxSendKbps, 0))
	out.MaxReceiveKbps = ptr.Deref(own.VideoMaxRecvKbps, ptr.Deref(pool.VideoMaxRecvKbps, 0))
	return out
}

// moderation returns what a participant may not publish, nil when it is nothing. A list that is
// absent allows all kinds, an empty one none.
func moderation(m v1alpha1.Moderation) *controlv1.Moderation {
	if m.Publish == nil && len(m.EndedStreamIDs) == 0 {
		return nil
	}
	return &controlv1.Moderation{
		AudioBlocked:   m.Publish != nil && !slices.Contains(m.Publish, v1alpha1.MediaKindAudio),
		VideoBlocked:   m.Publish != nil && !slices.Contains(m.Publish, v1alpha1.MediaKindVideo),
		EndedStreamIds: m.EndedStreamIDs,
	}
}

func role(role v1alpha1.Role) controlv1.Role {
	switch role {
	case v1alpha1.RoleSubscriber:
		return controlv1.Role_ROLE_SUBSCRIBER
	case v1alpha1.RoleModerator:
		return controlv1.Role_ROLE_MODERATOR
	}
	return controlv1.Role_ROLE_PUBLISHER
}

// iceServer writes a server as the client gets it. A static-auth secret becomes credentials that
// hold for a day (the TURN REST scheme: the username starts with the expiry, the credential is the
// base64 of its HMAC-SHA-1), and stays here itself.
func iceServer(server v1alpha1.IceServer, user string, now time.Time) *controlv1.IceServer {
	out := &controlv1.IceServer{Url: server.URL, Username: server.Username, Credential: server.Credential}
	if server.StaticAuthSecret != "" {
		expiry := now.Truncate(Period).Add(Period + credentialLife)
		out.Username = strconv.FormatInt(expiry.Unix(), 10) + ":" + user
		mac := hmac.New(sha1.New, []byte(server.StaticAuthSecret))
		mac.Write([]byte(out.Username))
		out.Credential = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return out
}

// RoomIdentity names a room for its events.
func RoomIdentity(session *v1alpha1.Session) *controlv1.RoomIdentity {
	return &controlv1.RoomIdentity{
		Uid: string(session.UID), Tenant: session.Namespace, Name: session.Name, SessionId: naming.SessionID(session),
		CreatedUnixMs: creation.Milliseconds(session),
	}
}

// SignallingURL returns the base of a pool's token URLs: its public URL with the scheme ws or wss.
func SignallingURL(pool *v1alpha1.MediaPool) string {
	url := strings.TrimSuffix(pool.Spec.PublicURL, "/")
	if rest, ok := strings.CutPrefix(url, "http"); ok {
		return "ws" + rest
	}
	return url
}
