package browser

// Media is what is sent or received of one stream, from the browser's statistics. A figure is 0 as
// long as the browser does not report it.
type Media struct {
	// Subscribed says whether there is a receiving peer connection.
	Subscribed bool   `json:"subscribed"`
	ICEState   string `json:"iceState"`
	Video      Video  `json:"video"`
	Audio      struct {
		Packets int64 `json:"packets"`
		Bytes   int64 `json:"bytes"`
		// Energy is totalAudioEnergy of the decoded audio (W3C webrtc-stats).
		Energy  float64 `json:"energy"`
		Samples int64   `json:"samples"`
		Codec   string  `json:"codec"`
	} `json:"audio"`
	// Layers are all encodings of the video that is sent, empty for what is received.
	Layers []Video `json:"layers"`
}

// Video is one encoding of a video.
type Video struct {
	FramesDecoded int64 `json:"framesDecoded"`
	FramesEncoded int64 `json:"framesEncoded"`
	Width         int   `json:"width"`
	Height        int   `json:"height"`
	Packets       int64 `json:"packets"`
	Bytes         int64 `json:"bytes"`
	Lost          int64 `json:"lost"`
	// Codec is a MIME type: video/VP8.
	Codec string `json:"codec"`
	// RID is the layer of simulcast, empty without it.
	RID string `json:"rid"`
	// TargetBitrate is what the encoder aims at, in bit/s.
	TargetBitrate float64 `json:"targetBitrate"`
}

// Gaps are the longest times in which nothing new came.
type Gaps struct {
	VideoMilliseconds float64 `json:"videoMs"`
	AudioMilliseconds float64 `json:"audioMs"`
}

// Stream is what a participant knows of a published stream.
type Stream struct {
	StreamID    string `json:"streamId"`
	HasAudio    bool   `json:"hasAudio"`
	HasVideo    bool   `json:"hasVideo"`
	AudioActive bool   `json:"audioActive"`
	VideoActive bool   `json:"videoActive"`
	// TypeOfVideo is CAMERA, SCREEN or CUSTOM, empty without video.
	TypeOfVideo string `json:"typeOfVideo"`
	FrameRate   int    `json:"frameRate"`
	// Dimensions is JSON with width and height, empty when they are not known.
	Dimensions string `json:"dimensions"`
}

// Publication says what to publish; its zero value is the fake camera at 320x240 and 15 fps with
// the fake microphone.
type Publication struct {
	// Resolution is WIDTHxHEIGHT.
	Resolution string `json:"resolution,omitempty"`
	FrameRate  int    `json:"frameRate,omitempty"`
	// AudioSource is nil for the microphone, false for none, "screen" for what the shared tab
	// plays.
	AudioSource any `json:"audioSource,omitempty"`
	// VideoSource is nil for the page's own camera, false for none, "screen", or "canvas" for a
	// track that the page draws.
	VideoSource any `json:"videoSource,omitempty"`
	// Audio and Video say whether they are on at first; nil is on.
	Audio *bool `json:"audio,omitempty"`
	Video *bool `json:"video,omitempty"`
	// Simulcast asks for layers; nil leaves it to the server.
	Simulcast *bool `json:"simulcast,omitempty"`
	// Loopback shows what the server sends back (Publisher.subscribeToRemote).
	Loopback bool `json:"loopback,omitempty"`
	// Filter is one that is to be applied from the start, in the package's own form.
	Filter map[string]any `json:"filter,omitempty"`
}
