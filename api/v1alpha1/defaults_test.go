package v1alpha1_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// TestDefaults stores the smallest object of each kind and compares all that the schema adds.
func TestDefaults(t *testing.T) {
	for sentence, test := range map[string]struct {
		base   string
		change change
		// want is the spec that is stored.
		want       string
		conditions []string
	}{
		"a Session that is only a name": {
			base: minimalSession,
			want: `{recordingMode: Manual, forcedVideoCodec: MediaServerPreferred, allowTranscoding: false, whenEmpty: Keep}`,
			conditions: []string{
				v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady,
			},
		},
		"a Session with empty recording properties": {
			base:   minimalSession,
			change: change{"spec.defaultRecordingProperties": map[string]any{}},
			want: `
recordingMode: Manual
forcedVideoCodec: MediaServerPreferred
allowTranscoding: false
whenEmpty: Keep
defaultRecordingProperties:
  hasAudio: true
  hasVideo: true
  outputMode: Composed
  recordingLayout: BestFit
  resolution: 1280x720
  frameRate: 25
  ignoreFailedStreams: false
`,
			conditions: []string{
				v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady,
			},
		},
		"a Connection that names its Session": {
			base: minimalConnection,
			want: `{sessionName: demo, type: WebRTC, role: Publisher, record: true, tokenRotation: 0, whenDisconnected: Keep}`,
			conditions: []string{
				v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady,
			},
		},
		"a Connection of a camera": {
			base:   minimalConnection,
			change: change{"spec.type": "IPCam", "spec.ipCam": map[string]any{"rtspURI": "rtsp://cam"}},
			want: `
sessionName: demo
type: IPCam
role: Publisher
record: true
tokenRotation: 0
whenDisconnected: Keep
ipCam: {rtspURI: "rtsp://cam", adaptativeBitrate: true, onlyPlayWithSubscribers: true, networkCacheMilliseconds: 2000}
`,
			conditions: []string{
				v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady,
			},
		},
		"a MediaPool with a publicURL": {
			base: minimalMediaPool,
			want: `
publicURL: http://localhost:4443
minPods: 1
maxPods: 10
warmSessions: 1
capacity: {sessions: 50, connections: 500}
placement: Packed
exposure: {type: HostPort}
reconnectWindowSeconds: 10
drainSeconds: 60
`,
			conditions: []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionReady, v1alpha1.ConditionProgressing},
		},
		"a MediaPool with empty objects": {
			base:   minimalMediaPool,
			change: change{"spec.bandwidth": map[string]any{}, "spec.networkQuality": map[string]any{}},
			want: `
publicURL: http://localhost:4443
minPods: 1
maxPods: 10
warmSessions: 1
capacity: {sessions: 50, connections: 500}
placement: Packed
exposure: {type: HostPort}
bandwidth: {}
networkQuality: {intervalSeconds: 5}
reconnectWindowSeconds: 10
drainSeconds: 60
`,
			conditions: []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionReady, v1alpha1.ConditionProgressing},
		},
		"a Webhook with a url": {
			base:       minimalWebhook,
			want:       `{url: "https://app.example.org/events", format: OpenVidu, timeoutSeconds: 10, retrySeconds: 86400, tlsVerification: Full}`,
			conditions: []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionReady},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			stored := object(t, test.base, test.change)
			create(t.Context(), t, stored)
			var want map[string]any
			if err := yaml.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			got, _, _ := unstructured.NestedMap(stored.Object, "spec")
			if g, w := asJSON(t, got), asJSON(t, want); g != w {
				t.Errorf("spec is\n%s\nwant\n%s", g, w)
			}
			conditions, _, _ := unstructured.NestedSlice(stored.Object, "status", "conditions")
			var types []string
			for _, c := range conditions {
				condition := c.(map[string]any)
				types = append(types, condition["type"].(string))
				if condition["status"] != "Unknown" || condition["reason"] != v1alpha1.ReasonPending {
					t.Errorf("condition %v before anybody has decided", condition)
				}
			}
			if !reflect.DeepEqual(types, test.conditions) {
				t.Errorf("conditions %v, want %v", types, test.conditions)
			}
		})
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestGoTypesKeepTheObject fails when a client that uses the Go types writes something else than it
// has read, or a field of the schema is missing in the types.
func TestGoTypesKeepTheObject(t *testing.T) {
	for name, test := range map[string]struct {
		base, spec, status string
		typed              client.Object
	}{
		"Session": {
			base: minimalSession, typed: &v1alpha1.Session{},
			spec: `
sessionID: Room_1
poolName: pool
recordingMode: Always
forcedVideoCodec: H264
allowTranscoding: true
maxConnections: 7
whenEmpty: Delete
standby: None
defaultRecordingProperties:
  name: daily
  hasAudio: false
  hasVideo: true
  outputMode: Individual
  recordingLayout: Custom
  customLayout: layouts/one
  resolution: 640x480
  frameRate: 30
  ignoreFailedStreams: true
`,
			status: `
conditions: [{type: Ready, status: "True", reason: Ready, message: m, lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1}]
observedGeneration: 1
sessionID: Room_1
url: wss://rooms.example.org
poolName: pool
podName: pod
nodeName: node
standbyPodName: pod-2
standbyNodeName: node-2
activeConnections: 2
pendingConnections: 1
publishers: 2
recording: true
mediaConnections: {udp: 5, tcp: 1}
serviceLevels: {joins: 3, failedJoins: 1, medianJoinMilliseconds: 240, worstLossPercent: 2, sinceTime: "2026-01-01T00:00:00Z"}
`,
		},
		"Connection": {
			base: minimalConnection, typed: &v1alpha1.Connection{},
			spec: `
sessionName: demo
type: IPCam
role: Moderator
moderation: {publish: [], endedStreamIDs: [str_CAM_A1b2_con_C3d4E5f6G7]}
data: '{"name":"Ann"}'
record: false
customIceServers:
- {url: "stun:host"}
- {url: "turn:host", username: u, credential: c}
- {url: "turns:host", staticAuthSecret: s}
bandwidth:
  videoMaxRecvKbps: 4
  videoMaxSendKbps: 0
ipCam: {rtspURI: "rtsp://cam", adaptativeBitrate: false, onlyPlayWithSubscribers: false, networkCacheMilliseconds: 0}
tokenSecretName: guest-1
tokenRotation: 3
whenDisconnected: Delete
`,
			status: `
conditions: [{type: Ready, status: "True", reason: Active, message: m, lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1}]
observedGeneration: 1
connectionID: con_Abc
token: wss://rooms.example.org?sessionId=demo&token=tok_A
tokenSecretName: guest-1
state: Disconnected
createdTime: "2026-01-01T00:00:00Z"
activeTime: "2026-01-01T00:00:01Z"
disconnectedTime: "2026-01-01T00:00:02Z"
disconnectReason: disconnect
clientData: c
serverData: s
ip: 192.0.2.7
platform: Chrome
publishers:
- streamID: str_1
  createdTime: "2026-01-01T00:00:01Z"
  hasAudio: true
  hasVideo: true
  audioActive: false
  videoActive: false
  typeOfVideo: CAMERA
  frameRate: 30
  videoDimensions: '{"width":640,"height":480}'
subscribers: [{streamID: str_2}]
`,
		},
		"Webhook": {
			base: minimalWebhook, typed: &v1alpha1.Webhook{},
			spec: `
url: https://app.example.org/events
className: team-a
events: [participantJoined, participantLeft]
headers: [{name: X-Team, value: video}, {name: Authorization, secretKey: authorization}]
timeoutSeconds: 5
retrySeconds: 0
tlsVerification: Full
format: OpenTok
caBundle: "-----BEGIN CERTIFICATE-----"
`,
			status: `
conditions: [{type: Ready, status: "True", reason: Ready, message: m, lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1}]
observedGeneration: 1
pendingEvents: 3
lastDeliveryTime: "2026-01-01T00:00:00Z"
`,
		},
		"Recording": {
			base: minimalRecording, typed: &v1alpha1.Recording{},
			spec: `
sessionName: demo
outputMode: Individual
name: monday
hasAudio: false
hasVideo: true
layout: Custom
customLayoutURL: https://example.org/layout
resolution: 640x480
frameRate: 30
ignoreFailedStreams: true
maxDurationSeconds: 60
stop: true
onDelete: DeleteFiles
`,
			status: `
conditions: [{type: Ready, status: "True", reason: Ready, message: m, lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1}]
observedGeneration: 1
state: Ready
recordingID: demo~1
sessionID: demo
sessionUID: u
poolName: default
reason: automaticStop
startedTime: "2026-01-01T00:00:00Z"
idleSinceTime: "2026-01-01T00:00:00Z"
durationSeconds: 7
sizeBytes: 123
size: 123B
url: https://rooms.example.org/openvidu/recordings/demo~1/monday.zip
location: s3://rooms/a/demo~1/u/
files:
- {name: a.webm, sizeBytes: 7, contentType: video/webm, streamID: s, connectionID: c, startOffsetMilliseconds: 3, durationMilliseconds: 4, hasAudio: true, hasVideo: true}
`,
		},
		"MediaPool": {
			base: minimalMediaPool, typed: &v1alpha1.MediaPool{},
			spec: `
publicURL: https://rooms.example.org
className: team-a
minPods: 0
maxPods: 3
warmSessions: 0
capacity: {sessions: 5, connections: 50}
placement: Spread
standby: Warm
allowedNamespaces: {matchLabels: {plan: paid}, matchExpressions: [{key: team, operator: In, values: [a]}]}
exposure: {type: HostNetwork, portRange: {first: 20000, last: 20100}, publicAddress: 192.0.2.7}
iceServers: [{url: "stun:host"}]
bandwidth: {videoMaxSendKbps: 1000, videoMaxRecvKbps: 2000}
networkQuality: {intervalSeconds: 7}
egress: {storage: {claimName: recordings, s3: {endpoint: "https://s3.example.org", bucket: rooms, region: eu, prefix: a, pathStyle: false, secretName: s3}}, resources: {limits: {memory: 1Gi}}, notification: All, access: Public, autoStopSeconds: 0, compositor: {image: composes}}
reconnectWindowSeconds: 20
pendingConnectionSeconds: 60
drainSeconds: 30
template:
  metadata: {labels: {team: video}, annotations: {note: x}}
  image: mediarooms:v1
  resources: {limits: {memory: 1Gi}}
  nodeSelector: {media: "true"}
  tolerations: [{key: media, operator: Exists}]
  affinity: {}
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
  priorityClassName: media
  imagePullSecrets: [{name: registry}]
`,
			status: `
conditions: [{type: Ready, status: "True", reason: Ready, message: m, lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1}]
observedGeneration: 1
pods: 3
readyPods: 2
sessions: 1
freeSessions: 9
`,
		},
		"MediaPool with Services": {
			base: minimalMediaPool, typed: &v1alpha1.MediaPool{},
			spec: `
publicURL: https://rooms.example.org
className: team-a
minPods: 0
maxPods: 3
warmSessions: 0
capacity: {sessions: 5, connections: 50}
placement: Spread
standby: Warm
allowedNamespaces: {matchLabels: {plan: paid}, matchExpressions: [{key: team, operator: In, values: [a]}]}
exposure: {type: LoadBalancer, publicAddress: 192.0.2.7, service: {annotations: {a: b}, loadBalancerClass: a/b, externalTrafficPolicy: Cluster, perProtocol: true}}
iceServers: [{url: "stun:host"}]
bandwidth: {videoMaxSendKbps: 1000, videoMaxRecvKbps: 2000}
networkQuality: {intervalSeconds: 7}
egress: {storage: {sizeLimit: 20Gi, s3: {endpoint: "http://192.0.2.1", bucket: rooms, region: eu, prefix: a, pathStyle: true, secretName: s3}}, resources: {limits: {memory: 1Gi}}, notification: None, access: Authenticated, autoStopSeconds: 60, compositor: {image: composes}}
reconnectWindowSeconds: 20
pendingConnectionSeconds: 60
drainSeconds: 30
template:
  metadata: {labels: {team: video}, annotations: {note: x}}
  image: mediarooms:v1
  resources: {limits: {memory: 1Gi}}
  nodeSelector: {media: "true"}
  tolerations: [{key: media, operator: Exists}]
  affinity: {}
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
  priorityClassName: media
  imagePullSecrets: [{name: registry}]
`,
			status: `
conditions: [{type: Ready, status: "True", reason: Ready, message: m, lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1}]
observedGeneration: 1
pods: 3
readyPods: 2
sessions: 1
freeSessions: 9
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var spec, status map[string]any
			if err := yaml.Unmarshal([]byte(test.spec), &spec); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal([]byte(test.status), &status); err != nil {
				t.Fatal(err)
			}
			schema := readCRD(t, strings.Fields(name)[0]).Spec.Versions[0].Schema.OpenAPIV3Schema
			checkComplete(t, "spec", schema.Properties["spec"], spec)
			checkComplete(t, "status", schema.Properties["status"], status)

			stored := object(t, test.base, change{"spec": spec})
			create(t.Context(), t, stored)
			if err := unstructured.SetNestedField(stored.Object, status, "status"); err != nil {
				t.Fatal(err)
			}
			if err := apiClient.Status().Update(t.Context(), stored, client.FieldValidation("Strict")); err != nil {
				t.Fatalf("writing the status: %v", err)
			}

			if err := apiClient.Get(t.Context(), client.ObjectKeyFromObject(stored), test.typed); err != nil {
				t.Fatal(err)
			}
			written, err := json.Marshal(test.typed)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]any{}
			if err := json.Unmarshal(written, &got); err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"spec", "status"} {
				if g, w := asJSON(t, got[part]), asJSON(t, map[string]any{"spec": spec, "status": status}[part]); g != w {
					t.Errorf("%s is\n%s\nwant\n%s", part, g, w)
				}
			}
		})
	}
}

// exclusive are fields of which an object has one.
var exclusive = map[string]string{"portRange": "service", "service": "portRange", "claimName": "sizeLimit", "sizeLimit": "claimName"}

// checkComplete fails when a field of the schema is missing in the value; only the last item of a
// list is looked into for fields that exclude each other in others.
func checkComplete(t *testing.T, path string, schema apiextensionsv1.JSONSchemaProps, value map[string]any) {
	t.Helper()
	for name, property := range schema.Properties {
		field, ok := value[name]
		if _, instead := value[exclusive[name]]; !ok && instead {
			continue
		}
		if !ok {
			t.Errorf("the test lacks %s.%s", path, name)
			continue
		}
		inner, ok := field.(map[string]any)
		switch {
		case name == "affinity" || name == "resources":
		case ok && len(property.Properties) > 0:
			checkComplete(t, path+"."+name, property, inner)
		}
	}
}
