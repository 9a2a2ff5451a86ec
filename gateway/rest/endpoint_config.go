package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/rest/openapi"
)

// version is the version of OpenVidu whose API this is.
const version = "2.32.2"

// configJSON is the configuration as far as there is something like it here: exactly these keys,
// which are those of a server without CDR and webhook (openvidu-rest 2.16).
type configJSON struct {
	Version          string `json:"VERSION"`
	Domain           string `json:"DOMAIN_OR_PUBLIC_IP"`
	HTTPSPort        int    `json:"HTTPS_PORT"`
	PublicURL        string `json:"OPENVIDU_PUBLICURL"`
	CDR              bool   `json:"OPENVIDU_CDR"`
	MaxRecvBandwidth int32  `json:"OPENVIDU_STREAMS_VIDEO_MAX_RECV_BANDWIDTH"`
	MinRecvBandwidth int32  `json:"OPENVIDU_STREAMS_VIDEO_MIN_RECV_BANDWIDTH"`
	MaxSendBandwidth int32  `json:"OPENVIDU_STREAMS_VIDEO_MAX_SEND_BANDWIDTH"`
	MinSendBandwidth int32  `json:"OPENVIDU_STREAMS_VIDEO_MIN_SEND_BANDWIDTH"`
	ForcedVideoCodec string `json:"OPENVIDU_STREAMS_FORCED_VIDEO_CODEC"`
	AllowTranscoding bool   `json:"OPENVIDU_STREAMS_ALLOW_TRANSCODING"`
	Simulcast        bool   `json:"OPENVIDU_WEBRTC_SIMULCAST"`
	GarbageInterval  int    `json:"OPENVIDU_SESSIONS_GARBAGE_INTERVAL"`
	GarbageThreshold int    `json:"OPENVIDU_SESSIONS_GARBAGE_THRESHOLD"`
	RecordingModule  bool   `json:"OPENVIDU_RECORDING"`
	*recordingConfigJSON
	WebhookDelivering bool `json:"OPENVIDU_WEBHOOK"`
}

// recordingConfigJSON is there when recordings are switched on.
type recordingConfigJSON struct {
	Version         string `json:"OPENVIDU_RECORDING_VERSION"`
	Path            string `json:"OPENVIDU_RECORDING_PATH"`
	PublicAccess    bool   `json:"OPENVIDU_RECORDING_PUBLIC_ACCESS"`
	Notification    string `json:"OPENVIDU_RECORDING_NOTIFICATION"`
	CustomLayout    string `json:"OPENVIDU_RECORDING_CUSTOM_LAYOUT"`
	AutoStopTimeout int32  `json:"OPENVIDU_RECORDING_AUTOSTOP_TIMEOUT"`
}

// Folders of the reference. Applications show them; nothing is there.
const (
	recordingPath    = "/opt/openvidu/recordings/"
	customLayoutPath = "/opt/openvidu/custom-layout/"
)

var notifications = enum[v1alpha1.RecordingNotification]{
	{"publisher_moderator", v1alpha1.RecordingNotificationPublishersAndModerators}, {"none", v1alpha1.RecordingNotificationNone},
	{"moderator", v1alpha1.RecordingNotificationModerators}, {"all", v1alpha1.RecordingNotificationAll},
}

// recordingConfig returns how the first of some pools records; nil without any.
func recordingConfig(pools []v1alpha1.MediaPool) *recordingConfigJSON {
	if len(pools) == 0 {
		return nil
	}
	egress := pools[0].Spec.Egress
	return &recordingConfigJSON{
		Version: version, Path: recordingPath, PublicAccess: egress.Access == v1alpha1.RecordingAccessPublic,
		Notification: notifications.name(egress.Notification), CustomLayout: customLayoutPath, AutoStopTimeout: ptr.Deref(egress.AutoStopSeconds, v1alpha1.DefaultAutoStopSeconds),
	}
}

// readConfig serves GET /config (openvidu-rest 2.16).
func (a *API) readConfig(ctx context.Context, c *call) (reply, error) {
	pool, err := a.objects.DefaultPool(ctx)
	if err != nil {
		return reply{}, err
	}
	recording, err := a.objects.RecordingPools(ctx, c.namespace)
	if err != nil {
		return reply{}, err
	}
	public := publicURL(pool, c.r)
	return reply{http.StatusOK, configJSON{
		RecordingModule: len(recording) > 0, recordingConfigJSON: recordingConfig(recording),
		Version:   version,
		Domain:    public.Hostname(),
		HTTPSPort: portOf(public),
		PublicURL: public.String(),
		// The server receives what the participant sends.
		MaxRecvBandwidth: ptr.Deref(pool.Spec.Bandwidth.VideoMaxSendKbps, 0),
		MaxSendBandwidth: ptr.Deref(pool.Spec.Bandwidth.VideoMaxRecvKbps, 0),
		ForcedVideoCodec: videoCodecs.name(v1alpha1.ForcedVideoCodecMediaServerPreferred),
		GarbageInterval:  int(a.garbageInterval.Seconds()),
		GarbageThreshold: int(a.garbageThreshold.Seconds()),
	}}, nil
}

// readVersion serves GET /config/openvidu-version.
func (a *API) readVersion(context.Context, *call) (reply, error) {
	return reply{http.StatusOK, plainText(version)}, nil
}

// readPublicURL serves GET /config/openvidu-publicurl, which needs no credentials.
func (a *API) readPublicURL(ctx context.Context, c *call) (reply, error) {
	pool, err := a.objects.DefaultPool(ctx)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, plainText(publicURL(pool, c.r).String() + "/")}, nil
}

// readRecordingModule serves GET /config/openvidu-recording.
func (a *API) readRecordingModule(ctx context.Context, c *call) (reply, error) {
	pools, err := a.objects.RecordingPools(ctx, c.namespace)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, plainText(strconv.FormatBool(len(pools) > 0))}, nil
}

// readRecordingPath serves GET /config/openvidu-recording-path: the reference's default.
func (a *API) readRecordingPath(context.Context, *call) (reply, error) {
	return reply{http.StatusOK, plainText(recordingPath)}, nil
}

// readCDRModule serves GET /config/openvidu-cdr.
func (a *API) readCDRModule(context.Context, *call) (reply, error) {
	return reply{http.StatusOK, plainText("false")}, nil
}

// publicURL returns where clients reach the gateway, with neither path nor the port that goes
// without saying: what the default pool says, or else where this very request has reached it.
func publicURL(pool *v1alpha1.MediaPool, r *http.Request) *url.URL {
	found, err := url.Parse(pool.Spec.PublicURL)
	if err != nil || found.Host == "" {
		found = &url.URL{Scheme: "http", Host: r.Host}
		if r.TLS != nil {
			found.Scheme = "https"
		}
	}
	public := &url.URL{Scheme: "https", Host: found.Host}
	if found.Scheme == "http" || found.Scheme == "ws" {
		public.Scheme = "http"
	}
	if found.Port() == strconv.Itoa(defaultPorts[public.Scheme]) {
		public.Host = strings.TrimSuffix(public.Host, ":"+found.Port())
	}
	return public
}

var defaultPorts = map[string]int{"https": 443, "http": 80}

func portOf(public *url.URL) int {
	if port, err := strconv.Atoi(public.Port()); err == nil {
		return port
	}
	return defaultPorts[public.Scheme]
}

// healthJSON is how the installation is (openvidu-rest 2.20).
type healthJSON struct {
	Status                 string   `json:"status"`
	DisconnectedMediaNodes []string `json:"disconnectedMediaNodes"`
}

// readHealth serves GET /health: rooms can be had as long as one media pod is ready.
func (a *API) readHealth(ctx context.Context, _ *call) (reply, error) {
	ready, err := a.pods.Ready(ctx)
	if err != nil {
		return reply{}, fmt.Errorf("looking at the media pods: %w", err)
	}
	if len(ready) == 0 {
		return reply{http.StatusServiceUnavailable, healthJSON{Status: "DOWN", DisconnectedMediaNodes: []string{}}}, nil
	}
	return reply{http.StatusOK, healthJSON{Status: "UP", DisconnectedMediaNodes: []string{}}}, nil
}

// readDescription serves GET /openapi.json, which the reference does not have.
func (a *API) readDescription(context.Context, *call) (reply, error) {
	return reply{http.StatusOK, jsonText(openapi.Document())}, nil
}

// listCDR serves GET /openvidu/cdr (openvidu-rest 2.17): there are no files.
func (a *API) listCDR(context.Context, *call) (reply, error) {
	return reply{http.StatusOK, []string{}}, nil
}

// readCDR serves GET /openvidu/cdr/FILE: there are no files.
func (a *API) readCDR(context.Context, *call) (reply, error) {
	return reply{status: http.StatusNotFound}, nil
}

// disabled serves the endpoints of modules that are not there, as a server does whose configuration
// has switched them off (openvidu-rest 2.11, 2.19).
func (a *API) disabled(context.Context, *call) (reply, error) {
	return reply{status: http.StatusNotImplemented}, nil
}

// acceptCertificate serves GET /openvidu/accept-certificate: who sees this page has accepted the
// certificate.
func (a *API) acceptCertificate(context.Context, *call) (reply, error) {
	const page = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Mediarooms</title></head><body><p>Your browser has accepted the certificate. You can close this page.</p></body></html>
`
	return reply{http.StatusOK, hyperText(page)}, nil
}
