package rest

import (
	"context"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
)

// Enums of a connection.
var (
	connectionTypes = enum[v1alpha1.ConnectionType]{{"WEBRTC", v1alpha1.ConnectionTypeWebRTC}, {"IPCAM", v1alpha1.ConnectionTypeIPCam}}
	roles           = enum[v1alpha1.Role]{
		{"PUBLISHER", v1alpha1.RolePublisher},
		{"SUBSCRIBER", v1alpha1.RoleSubscriber},
		{"MODERATOR", v1alpha1.RoleModerator},
	}
)

const (
	maxData         = 10000
	maxBandwidth    = 1000000
	maxNetworkCache = 600000
	maxFilters      = 64
	maxFilterName   = 128
	maxURI          = 2048
)

var cameraSchemes = []string{"file", "rtsp", "rtsps", "http", "https"}

// parseConnection reads the body of POST /sessions/ID/connection. Fields of the other type are
// ignored.
func parseConnection(
	ctx context.Context, body map[string]any, sessionName string, hosts resolver, now time.Time,
) (v1alpha1.ConnectionSpec, echo, error) {
	var remembered echo
	f := &fields{values: body}
	spec := v1alpha1.ConnectionSpec{
		SessionName:      sessionName,
		Type:             choose(f, "type", connectionTypes, v1alpha1.ConnectionTypeWebRTC),
		Record:           f.flag("record"),
		WhenDisconnected: v1alpha1.WhenDisconnectedDelete,
	}
	spec.Data, _ = f.text("data")
	if utf8.RuneCountInString(spec.Data) > maxData {
		f.fail("'data' may not be longer than %d characters", maxData)
	}
	if f.err != nil {
		return spec, remembered, f.err
	}
	if spec.Type == v1alpha1.ConnectionTypeIPCam {
		spec.IPCam = parseCamera(f)
		return spec, remembered, f.err
	}
	spec.Role = choose(f, "role", roles, v1alpha1.RolePublisher)
	if options := f.object("kurentoOptions"); options != nil {
		var err error
		spec.Bandwidth, remembered.KurentoOptions, err = parseKurentoOptions(options)
		if err != nil && f.err == nil {
			f.err = err
		}
	}
	servers := f.list("customIceServers")
	if f.err != nil {
		return spec, remembered, f.err
	}
	var err error
	spec.CustomIceServers, err = parseIceServers(ctx, servers, hosts, now)
	return spec, remembered, err
}

func parseCamera(f *fields) *v1alpha1.IPCam {
	camera := &v1alpha1.IPCam{
		AdaptativeBitrate:       f.flag("adaptativeBitrate"),
		OnlyPlayWithSubscribers: f.flag("onlyPlayWithSubscribers"),
	}
	if cache := f.bounded("networkCache", 0, maxNetworkCache); cache != nil {
		milliseconds := int32(*cache) //nolint:gosec // Within its bounds, or the request fails.
		camera.NetworkCacheMilliseconds = &milliseconds
	}
	camera.RTSPURI, _ = f.text("rtspUri")
	if len(camera.RTSPURI) > maxURI {
		f.fail("'rtspUri' may not be longer than %d characters", maxURI)
	} else if parsed, err := url.Parse(camera.RTSPURI); err != nil || !slices.Contains(cameraSchemes, parsed.Scheme) {
		f.fail("'rtspUri' must be a URI with one of the schemes file, rtsp, rtsps, http and https")
	}
	return camera
}

// parseKurentoOptions returns the limits, and what only clients of this API know.
func parseKurentoOptions(values map[string]any) (v1alpha1.VideoBandwidth, *kurentoJSON, error) {
	f := &fields{values: values, prefix: "kurentoOptions."}
	bandwidth := func(key string) *int32 {
		kbps := f.bounded(key, 0, maxBandwidth)
		if kbps == nil {
			return nil
		}
		narrow := int32(*kbps) //nolint:gosec // Within its bounds, or the request fails.
		return &narrow
	}
	limits := v1alpha1.VideoBandwidth{
		VideoMaxSendKbps: bandwidth("videoMaxSendBandwidth"),
		VideoMaxRecvKbps: bandwidth("videoMaxRecvBandwidth"),
	}
	remembered := &kurentoJSON{
		VideoMinRecvBandwidth: bandwidth("videoMinRecvBandwidth"),
		VideoMinSendBandwidth: bandwidth("videoMinSendBandwidth"),
	}
	filters := f.list("allowedFilters")
	if len(filters) > maxFilters {
		f.fail("'%sallowedFilters' may not have more than %d elements", f.prefix, maxFilters)
	}
	for _, filter := range filters {
		name, ok := filter.(string)
		if !ok || name == "" || len(name) > maxFilterName {
			f.fail("'%sallowedFilters' must contain strings of 1 to %d characters", f.prefix, maxFilterName)
			break
		}
		remembered.AllowedFilters = append(remembered.AllowedFilters, name)
	}
	return limits, remembered, f.err
}

// connectionJSON is a connection as REST shows it: exactly these keys, in this order, null where
// there is nothing (openvidu-rest 3.4).
type connectionJSON struct {
	ID                      string           `json:"id"`
	Object                  string           `json:"object"`
	Status                  string           `json:"status"`
	ConnectionID            string           `json:"connectionId"`
	SessionID               string           `json:"sessionId"`
	CreatedAt               int64            `json:"createdAt"`
	Type                    string           `json:"type"`
	Record                  bool             `json:"record"`
	Role                    *string          `json:"role"`
	KurentoOptions          *kurentoJSON     `json:"kurentoOptions"`
	CustomIceServers        []iceServerJSON  `json:"customIceServers"`
	RTSPURI                 *string          `json:"rtspUri"`
	AdaptativeBitrate       *bool            `json:"adaptativeBitrate"`
	OnlyPlayWithSubscribers *bool            `json:"onlyPlayWithSubscribers"`
	NetworkCache            *int32           `json:"networkCache"`
	ServerData              string           `json:"serverData"`
	Token                   *string          `json:"token"`
	ActiveAt                *int64           `json:"activeAt"`
	Location                *string          `json:"location"`
	IP                      *string          `json:"ip"`
	Platform                *string          `json:"platform"`
	ClientData              *string          `json:"clientData"`
	Publishers              []publisherJSON  `json:"publishers"`
	Subscribers             []subscriberJSON `json:"subscribers"`
}

type kurentoJSON struct {
	VideoMaxRecvBandwidth *int32   `json:"videoMaxRecvBandwidth,omitempty"`
	VideoMinRecvBandwidth *int32   `json:"videoMinRecvBandwidth,omitempty"`
	VideoMaxSendBandwidth *int32   `json:"videoMaxSendBandwidth,omitempty"`
	VideoMinSendBandwidth *int32   `json:"videoMinSendBandwidth,omitempty"`
	AllowedFilters        []string `json:"allowedFilters,omitempty"`
}

type iceServerJSON struct {
	URL        string `json:"url"`
	Username   string `json:"username,omitempty"`
	Credential string `json:"credential,omitempty"`
}

type publisherJSON struct {
	CreatedAt    int64            `json:"createdAt"`
	StreamID     string           `json:"streamId"`
	MediaOptions mediaOptionsJSON `json:"mediaOptions"`
}

// mediaOptionsJSON is what a stream has (openvidu-rest 3.5). A key that says something about audio
// or video is absent, not null, without it.
type mediaOptionsJSON struct {
	HasAudio        bool           `json:"hasAudio"`
	AudioActive     *bool          `json:"audioActive,omitempty"`
	HasVideo        bool           `json:"hasVideo"`
	VideoActive     *bool          `json:"videoActive,omitempty"`
	TypeOfVideo     *string        `json:"typeOfVideo,omitempty"`
	FrameRate       nullable       `json:"frameRate,omitzero"`
	VideoDimensions nullable       `json:"videoDimensions,omitzero"`
	Filter          map[string]any `json:"filter"`
}

type subscriberJSON struct {
	CreatedAt int64  `json:"createdAt"`
	StreamID  string `json:"streamId"`
}

// active says whether a Connection's user is in the room.
func active(connection *v1alpha1.Connection) bool {
	return connection.Status.State == v1alpha1.ConnectionStateActive
}

// projectConnection returns a Connection as REST shows it.
func projectConnection(connection *v1alpha1.Connection, sessionID string) connectionJSON {
	spec, status := &connection.Spec, &connection.Status
	created := createdAt(connection)
	id := objects.ConnectionID(connection)
	projected := connectionJSON{
		ID:               id,
		Object:           "connection",
		Status:           "pending",
		ConnectionID:     id,
		SessionID:        sessionID,
		CreatedAt:        created,
		Type:             connectionTypes.name(spec.Type),
		Record:           orTrue(spec.Record),
		CustomIceServers: projectIceServers(spec.CustomIceServers),
		ServerData:       spec.Data,
	}
	if spec.Type == v1alpha1.ConnectionTypeIPCam {
		projectCamera(&projected, spec.IPCam)
	} else {
		role := roles.name(spec.Role)
		projected.Role = &role
		projected.KurentoOptions = projectKurentoOptions(connection)
		if status.Token != "" {
			projected.Token = &status.Token
		}
	}
	if !active(connection) {
		return projected
	}
	projected.Status = "active"
	activeAt := milliseconds(status.ActiveTime, created)
	location := "unknown" // as in the reference without a database of addresses
	projected.ActiveAt, projected.Location = &activeAt, &location
	projected.IP, projected.Platform = &status.IP, &status.Platform
	if spec.Type == v1alpha1.ConnectionTypeWebRTC {
		projected.ClientData = &status.ClientData
	}
	projected.Publishers = projectPublishers(status.Publishers, activeAt)
	projected.Subscribers = projectSubscribers(status.Subscribers, activeAt)
	return projected
}

func projectCamera(projected *connectionJSON, camera *v1alpha1.IPCam) {
	if camera == nil {
		return
	}
	adaptative, onlyPlay := orTrue(camera.AdaptativeBitrate), orTrue(camera.OnlyPlayWithSubscribers)
	projected.RTSPURI, projected.AdaptativeBitrate, projected.OnlyPlayWithSubscribers = &camera.RTSPURI, &adaptative, &onlyPlay
	projected.NetworkCache = camera.NetworkCacheMilliseconds
}

func projectIceServers(servers []v1alpha1.IceServer) []iceServerJSON {
	projected := make([]iceServerJSON, 0, len(servers))
	for _, server := range servers {
		projected = append(projected, iceServerJSON{URL: server.URL, Username: server.Username, Credential: server.Credential})
	}
	return projected
}

func projectPublishers(publishers []v1alpha1.PublisherStatus, activeAt int64) []publisherJSON {
	projected := make([]publisherJSON, 0, len(publishers))
	for i := range publishers {
		publisher := &publishers[i]
		media := mediaOptionsJSON{HasAudio: publisher.HasAudio, HasVideo: publisher.HasVideo, Filter: map[string]any{}}
		if publisher.HasAudio {
			media.AudioActive = &publisher.AudioActive
		}
		if publisher.HasVideo {
			media.VideoActive, media.TypeOfVideo = &publisher.VideoActive, &publisher.TypeOfVideo
			media.FrameRate = null(publisher.FrameRate)
			media.VideoDimensions = null(publisher.VideoDimensions)
		}
		projected = append(projected, publisherJSON{
			CreatedAt:    max(publisher.CreatedTime.UnixMilli(), activeAt),
			StreamID:     publisher.StreamID,
			MediaOptions: media,
		})
	}
	return projected
}

// projectSubscribers returns what a participant receives. When a subscription began is not
// observed; it is shown as of the participant's joining.
func projectSubscribers(subscribers []v1alpha1.SubscriberStatus, activeAt int64) []subscriberJSON {
	projected := make([]subscriberJSON, 0, len(subscribers))
	for _, subscriber := range subscribers {
		projected = append(projected, subscriberJSON{CreatedAt: activeAt, StreamID: subscriber.StreamID})
	}
	return projected
}
