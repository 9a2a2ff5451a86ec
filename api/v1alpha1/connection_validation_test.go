package v1alpha1_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

const minimalConnection = `
apiVersion: mediarooms.dev/v1alpha1
kind: Connection
metadata: {namespace: default, name: guest-1}
spec: {sessionName: demo}
`

const (
	iceScheme       = "`url` must start with stun:, stuns:, turn: or turns:"
	iceQuery        = "`url` may end only in ?transport=udp or ?transport=tcp, and only for turn: and turns:"
	iceHost         = "`url` must have a host name, an IPv4 address or an IPv6 address in brackets, and its port, if any, must be from 1 to 65535"
	iceIPv4         = "`url` must have a valid IPv4 address"
	iceIPv6         = "`url` must have a valid IPv6 address between the brackets"
	iceStun         = "`username`, `credential` and `staticAuthSecret` may not be set for a stun: or stuns: `url`"
	iceTurn         = "`username` and `credential`, or `staticAuthSecret`, must be set for a turn: or turns: `url`"
	iceBoth         = "`username` and `credential` may not be set together with `staticAuthSecret`"
	streamIDMessage = "spec.moderation.endedStreamIDs[0]: Invalid value: %: `endedStreamIDs` may contain only identifiers of streams, such as str_CAM_A1b2_con_C3d4E5f6G7"
	rtspURIMessage  = "spec.ipCam.rtspURI: Invalid value: \"%\": `rtspURI` must be a URL that starts with rtsp://, rtsps://, http://, https:// or file://"
)

// iceServers returns the change that makes one ICE server the whole list at a path.
func iceServers(path, url string, fields ...string) change {
	server := map[string]any{"url": url}
	for i := 0; i < len(fields); i += 2 {
		server[fields[i]] = fields[i+1]
	}
	return change{path: []any{server}}
}

// iceServerCreations tries the rules of an ICE server in the list at a path.
func iceServerCreations(path string) map[string]creation {
	table := make(map[string]creation)
	for _, url := range []string{
		"stun:a", "stun:turn.example.org", "stuns:turn.example.org:5349", "stun:192.0.2.1", "stun:192.0.2.1:65535", "stun:[2001:db8::1]",
		"stun:[2001:db8::1]:3478",
	} {
		table[path+" has "+url] = creation{change: iceServers(path, url)}
	}
	for _, url := range []string{
		"turn:turn.example.org", "turns:turn.example.org:443?transport=tcp", "turn:192.0.2.1:1?transport=udp", "turn:[2001:db8::1]:3478?transport=tcp",
	} {
		table[path+" has "+url] = creation{change: iceServers(path, url, "username", "u", "credential", "c")}
		table[path+" has a shared secret for "+url] = creation{change: iceServers(path, url, "staticAuthSecret", "s")}
	}
	for url, want := range map[string]string{
		"http://turn.example.org": iceScheme, "stunturn:host": iceScheme, "TURN:turn.example.org": iceScheme, "turn.example.org": iceScheme,
		"stun:host?transport=udp": iceQuery, "turn:host?transport=tls": iceQuery, "turn:host?x=1&transport=tcp": iceQuery,
		"turn:host?transport=tcp?": iceQuery,
		"stun:host:0":              iceHost, "stun:host:65536": iceHost, "stun:host:99999": iceHost, "stun:host:port": iceHost, "stun:host:1:2": iceHost,
		"stun:host:":       iceHost,
		"stun:2001:db8::1": iceHost, "stun:[2001:db8::1": iceHost, "stun:2001:db8::1]": iceHost, "stun:-host": iceHost, "stun:ho st": iceHost,
		"stun://host": iceHost, "stun:ho_st": iceHost, "stun:höst": iceHost, "stun:u@host": iceHost,
		"stun:192.0.2.256": iceIPv4, "stun:192.0.2:80": iceIPv4, "stun:1234": iceIPv4,
		"stun:[2001:db8::1::2]": iceIPv6, "stun:[::ffff:1.2.3.4.5]:80": iceIPv6,
	} {
		var fields []string
		if strings.HasPrefix(url, "turn:") {
			fields = []string{"username", "u", "credential", "c"}
		}
		table[path+" has "+url] = creation{
			change: iceServers(path, url, fields...),
			want:   fmt.Sprintf("%s[0].url: Invalid value: %q: %s", path, url, want),
		}
	}
	item := path + "[0]: Invalid value: "
	return merged(table,
		map[string]creation{
			path + " has no url":                        {change: change{path: []any{map[string]any{"username": "u"}}}, want: path + "[0].url: Required value"},
			path + " has an unknown field":              {change: iceServers(path, "stun:host", "urls", "stun:host"), want: "unknown field \"" + path + "[0].urls\""},
			path + " has stun with a username":          {change: iceServers(path, "stun:host", "username", "u"), want: item + iceStun},
			path + " has stuns with a credential":       {change: iceServers(path, "stuns:host", "credential", "c"), want: item + iceStun},
			path + " has stun with a shared secret":     {change: iceServers(path, "stun:host", "staticAuthSecret", "s"), want: item + iceStun},
			path + " has turn with nothing":             {change: iceServers(path, "turn:host"), want: item + iceTurn},
			path + " has turns with only a username":    {change: iceServers(path, "turns:host", "username", "u"), want: item + iceTurn},
			path + " has turn with only a credential":   {change: iceServers(path, "turn:host", "credential", "c"), want: item + iceTurn},
			path + " has turn with both ways":           {change: iceServers(path, "turn:host", "username", "u", "credential", "c", "staticAuthSecret", "s"), want: item + iceBoth},
			path + " has a shared secret and a user":    {change: iceServers(path, "turn:host", "username", "u", "staticAuthSecret", "s"), want: item + iceBoth},
			path + " is a text instead of ICE servers":  {change: change{path: []any{"stun:host"}}, want: path + "[0] in body must be of type object: \"string\""},
			path + " has the same server twice is fine": {change: change{path: []any{map[string]any{"url": "stun:host"}, map[string]any{"url": "stun:host"}}}},
		},
		list(path, 16, func(i int) any { return map[string]any{"url": fmt.Sprintf("stun:host-%d", i)} }),
		text(path+"[].url", func(v any) change { return change{path: []any{map[string]any{"url": v}}} }, 512, ": Invalid value: \"\": `url` must ",
			func(n int) string { return "stun:" + strings.Repeat("a", n-5) }),
		text(path+"[].username", func(v any) change {
			return change{path: []any{map[string]any{"url": "turn:host", "username": v, "credential": "c"}}}
		}, 512, tooShort, nil),
		text(path+"[].credential", func(v any) change {
			return change{path: []any{map[string]any{"url": "turn:host", "username": "u", "credential": v}}}
		}, 512, tooShort, nil),
		text(path+"[].staticAuthSecret", func(v any) change {
			return change{path: []any{map[string]any{"url": "turn:host", "staticAuthSecret": v}}}
		}, 512, tooShort, nil),
	)
}

// streamIDs tries identifiers of streams.
func streamIDs() map[string]creation {
	table := make(map[string]creation)
	ids := func(id string) change { return change{"spec.moderation.endedStreamIDs": []any{id}} }
	for _, id := range []string{
		"str_CAM_A1b2_con_C3d4E5f6G7", "str_SCR_Zzz9_con_my_own-id", "str_MIC_A000_con_C3d4E5f6G7", "str_IPC_QXYZ_ipc_IPCAM_rtsp_ABCD_host_554_live",
	} {
		table["a stream is "+id] = creation{change: ids(id)}
	}
	for _, id := range []string{
		"con_C3d4E5f6G7", "str_CAM_A1b2", "str_cam_A1b2_con_C3d4E5f6G7", "str_CAM_a1b2_con_C3d4E5f6G7", "str_CAM_A1b_con_C3d4E5f6G7",
		"str_CAM_A1b2_con_", "str_CAM_A1b2_con_C3d4/5f6G7", " str_CAM_A1b2_con_C3d4E5f6G7", "str_CAM_A1b2_con_C3d4E5f6G7\n",
	} {
		table[fmt.Sprintf("a stream is %q", id)] = creation{change: ids(id), want: message(streamIDMessage, strconv.Quote(id))}
	}
	return table
}

// camera sets a field of spec.ipCam in a Connection of type IPCam.
func camera(field string) set {
	return func(v any) change {
		cam := map[string]any{"rtspURI": "rtsp://cam"}
		cam[field] = v
		return change{"spec.type": "IPCam", "spec.ipCam": cam}
	}
}

var connectionValidation = kind{
	base: minimalConnection,
	creations: merged(
		map[string]creation{
			"a Connection names its Session":     {},
			"there is no spec":                   {change: change{"spec": removed}, want: "spec: Required value"},
			"there is no sessionName":            {change: change{"spec": map[string]any{}}, want: "spec.sessionName: Required value"},
			"there is a misspelt field":          {change: change{"spec.rolee": "Publisher"}, want: "unknown field \"spec.rolee\""},
			"the name has a dot":                 {change: change{"metadata.name": "guest.1"}, want: sessionNameMessage},
			"the name has an emoji":              {change: change{"metadata.name": "guest-🙂"}, want: "metadata.name: Invalid value: \"guest-🙂\""},
			"sessionName is in upper case":       {change: change{"spec.sessionName": "Demo"}, want: "spec.sessionName: Invalid value: \"Demo\": `sessionName` must be the name of a Session object: lower-case letters, digits and `-`, with a letter or digit at both ends"},
			"sessionName has a slash":            {change: change{"spec.sessionName": "other/demo"}, want: "`sessionName` must be the name of a Session object"},
			"data is a text of 10,000 emoji":     {change: change{"spec.data": strings.Repeat("🙂", 10000)}},
			"data is an object":                  {change: change{"spec.data": map[string]any{"name": "Ann"}}, want: "unknown field \"spec.data.name\""},
			"customIceServers are null":          {change: change{"spec.customIceServers": nil}},
			"bandwidth is empty":                 {change: change{"spec.bandwidth": map[string]any{}}},
			"bandwidth is false":                 {change: change{"spec.bandwidth": false}, want: "spec.bandwidth in body must be of type object: \"boolean\""},
			"kurentoOptions are there":           {change: change{"spec.kurentoOptions": map[string]any{}}, want: "unknown field \"spec.kurentoOptions\""},
			"tokenSecretName has dots":           {change: change{"spec.tokenSecretName": "guest-1.token"}},
			"tokenSecretName has an empty part":  {change: change{"spec.tokenSecretName": "guest..token"}, want: "spec.tokenSecretName: Invalid value: \"guest..token\": `tokenSecretName` must be the name of a Secret: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"},
			"tokenSecretName has an underscore":  {change: change{"spec.tokenSecretName": "guest_token"}, want: "`tokenSecretName` must be the name of a Secret"},
			"type is IPCam without ipCam":        {change: change{"spec.type": "IPCam"}, want: "spec.ipCam: Invalid value: `ipCam` must be set when `type` is IPCam"},
			"ipCam is there without type":        {change: change{"spec.ipCam": map[string]any{"rtspURI": "rtsp://cam"}}, want: "spec.ipCam: Invalid value: `ipCam` may be set only when `type` is IPCam"},
			"type is IPCam and ipCam has no URI": {change: change{"spec.type": "IPCam", "spec.ipCam": map[string]any{}}, want: "spec.ipCam.rtspURI: Required value"},
			"the camera has a user and a query":  {change: camera("rtspURI")("rtsp://user:pass@192.0.2.7:554/live?ch=1")},
			"the camera has rtsps":               {change: camera("rtspURI")("rtsps://cam.example.org/live")},
			"the camera has http":                {change: camera("rtspURI")("http://cam.example.org/live.mjpg")},
			"the camera has https":               {change: camera("rtspURI")("https://cam.example.org/live.mjpg")},
			"the camera is a file":               {change: camera("rtspURI")("file:///videos/loop.mp4")},
			"the camera has another scheme":      {change: camera("rtspURI")("filse://cam"), want: message(rtspURIMessage, "filse://cam")},
			"the camera has no scheme":           {change: camera("rtspURI")("NOT_A_URL"), want: message(rtspURIMessage, "NOT_A_URL")},
			"the camera's URL has a space":       {change: camera("rtspURI")("rtsp://cam/a b"), want: message(rtspURIMessage, "rtsp://cam/a b")},
			"the camera's URL has a bad escape":  {change: camera("rtspURI")("rtsp://cam%zz/"), want: strings.Replace(rtspURIMessage, "%", "rtsp://cam%zz/", 1)},
			"a user may not set the status":      {change: change{"status": map[string]any{"state": "Active"}}},
		},
		iceServerCreations("spec.customIceServers"),
		text("spec.sessionName", nil, 63, ": Invalid value: \"\": `sessionName` must ", nil),
		map[string]creation{
			"spec.type is WebRTC": {change: change{"spec.type": "WebRTC"}},
			"spec.type is WEBRTC": {
				change: change{"spec.type": "WEBRTC"}, bound: "spec.type enum",
				want: "spec.type: Unsupported value: \"WEBRTC\": supported values: ",
			},
		},
		enum("spec.role", nil, "Subscriber", "Publisher", "Moderator", "PublisherOnly"),
		text("spec.data", nil, 10000, tooShort, nil),
		boolean("spec.record", nil),
		map[string]creation{
			"moderation is empty":             {change: change{"spec.moderation": map[string]any{}}},
			"moderation is null":              {change: change{"spec.moderation": nil}},
			"nothing may be published":        {change: change{"spec.moderation.publish": []any{}}},
			"a kind is named twice":           {change: change{"spec.moderation.publish": []any{"Audio", "Audio"}}, want: "spec.moderation.publish[1]: Duplicate value: \"Audio\""},
			"every kind is named, and one is": {change: change{"spec.moderation.publish": []any{"Audio", "Video", "Audio"}}, bound: "spec.moderation.publish maxItems 2", want: "spec.moderation.publish: Too many: 3: must have at most 2 items"},
			"both kinds may be published":     {change: change{"spec.moderation.publish": []any{"Video", "Audio"}}},
			"a stream is ended twice":         {change: change{"spec.moderation.endedStreamIDs": []any{"str_CAM_A1b2_con_a", "str_CAM_A1b2_con_a"}}, want: "spec.moderation.endedStreamIDs[1]: Duplicate value: \"str_CAM_A1b2_con_a\""},
		},
		enum("spec.moderation.publish[]", func(v any) change { return change{"spec.moderation.publish": []any{v}} }, "Audio", "Video"),
		streamIDs(),
		list("spec.moderation.endedStreamIDs", 16, func(i int) any { return fmt.Sprintf("str_CAM_A1b2_con_%d", i) }),
		text("spec.moderation.endedStreamIDs[]", func(v any) change { return change{"spec.moderation.endedStreamIDs": []any{v}} }, 256,
			": Invalid value: \"\": `endedStreamIDs` may ", func(n int) string { return "str_CAM_A1b2_con_" + strings.Repeat("a", n-17) }),
		integer("spec.bandwidth.videoMaxRecvKbps", nil, 0, 1000000),
		integer("spec.bandwidth.videoMaxSendKbps", nil, 0, 1000000),
		text("spec.ipCam.rtspURI", camera("rtspURI"), 2048, ": Invalid value: \"\": `rtspURI` must ", func(n int) string { return "rtsp://" + strings.Repeat("a", n-7) }),
		boolean("spec.ipCam.adaptativeBitrate", camera("adaptativeBitrate")),
		boolean("spec.ipCam.onlyPlayWithSubscribers", camera("onlyPlayWithSubscribers")),
		integer("spec.ipCam.networkCacheMilliseconds", camera("networkCacheMilliseconds"), 0, 600000),
		text("spec.tokenSecretName", nil, 253, ": Invalid value: \"\": `tokenSecretName` must ", nil),
		integer("spec.tokenRotation", nil, 0, 1000000),
		enum("spec.whenDisconnected", nil, "Keep", "Delete"),
	),
	updates: map[string]update{
		"sessionName is changed": {
			after: change{"spec.sessionName": "other"},
			want:  "spec.sessionName: Invalid value: `sessionName` may not be changed after creation",
		},
		"type is changed": {
			after: change{"spec.type": "IPCam", "spec.ipCam": map[string]any{"rtspURI": "rtsp://cam"}},
			want:  "spec.type: Invalid value: `type` may not be changed after creation",
		},
		"type is unset, back to its default": {
			before: change{"spec.type": "IPCam", "spec.ipCam": map[string]any{"rtspURI": "rtsp://cam"}},
			after:  change{"spec.type": removed, "spec.ipCam": removed},
			want:   "`type` may not be changed after creation",
		},
		"data is changed": {
			before: change{"spec.data": "one"}, after: change{"spec.data": "two"},
			want: "spec.data: Invalid value: `data` may not be changed, set or unset after creation",
		},
		"data is set":   {after: change{"spec.data": "two"}, want: "`data` may not be changed, set or unset after creation"},
		"data is unset": {before: change{"spec.data": "one"}, after: change{"spec.data": removed}, want: "`data` may not be changed, set or unset after creation"},
		"ipCam is unset": {
			before: change{"spec.type": "IPCam", "spec.ipCam": map[string]any{"rtspURI": "rtsp://cam"}},
			after:  change{"spec.ipCam": removed},
			want:   "`ipCam` must be set when `type` is IPCam",
		},
		"type WebRTC is written out": {before: change{"spec.type": removed}, after: change{"spec.type": "WebRTC"}},
		"nothing is changed":         {before: change{"spec.data": "one"}},
		"all that may be changed is changed": {
			before: change{"spec.data": "one"},
			after: change{
				"spec.role": "Moderator", "spec.record": false, "spec.moderation": map[string]any{"publish": []any{"Audio"}}, "spec.tokenRotation": int64(1), "spec.tokenSecretName": "guest-1",
				"spec.whenDisconnected": "Delete", "spec.bandwidth": map[string]any{"videoMaxSendKbps": int64(500)},
				"spec.customIceServers": []any{map[string]any{"url": "stun:host"}},
			},
		},
		"moderation is lifted": {
			before: change{"spec.moderation": map[string]any{"publish": []any{}, "endedStreamIDs": []any{"str_CAM_A1b2_con_a"}}},
			after:  change{"spec.moderation": removed},
		},
		"the camera is changed": {
			before: change{"spec.type": "IPCam", "spec.ipCam": map[string]any{"rtspURI": "rtsp://cam"}},
			after:  change{"spec.ipCam.rtspURI": "rtsp://other"},
		},
	},
}

func TestConnectionValidation(t *testing.T) { testValidation(t, connectionValidation) }
