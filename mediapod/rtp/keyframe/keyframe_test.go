package keyframe

import (
	"testing"
	"time"
)

func TestWhereADecoderCanStart(t *testing.T) {
	for name, c := range map[string]struct {
		codec   string
		payload []byte
		want    bool
	}{
		"VP8 keyframe":                                 {"VP8", []byte{0x10, 0x00, 0x9d}, true},
		"VP8 delta frame":                              {"VP8", []byte{0x10, 0x01, 0x9d}, false},
		"VP8 later packet of a keyframe":               {"VP8", []byte{0x00, 0x00}, false},
		"VP8 second partition":                         {"VP8", []byte{0x11, 0x00}, false},
		"VP8 keyframe with 15-bit picture ID, TL0, T":  {"VP8", []byte{0x90, 0xe0, 0x81, 0x02, 0x01, 0x20, 0x00}, true},
		"VP8 delta with 15-bit picture ID, TL0, T":     {"VP8", []byte{0x90, 0xe0, 0x81, 0x02, 0x01, 0x20, 0x01}, false},
		"VP8 keyframe with 7-bit picture ID":           {"VP8", []byte{0x90, 0x80, 0x01, 0x00}, true},
		"VP8 truncated":                                {"VP8", []byte{0x90, 0x80}, false},
		"VP9 keyframe":                                 {"VP9", []byte{0x88, 0x01}, true},
		"VP9 inter picture":                            {"VP9", []byte{0xc8, 0x01}, false},
		"VP9 later packet of a keyframe":               {"VP9", []byte{0x84, 0x01}, false},
		"VP9 keyframe, lowest spatial layer":           {"VP9", []byte{0xa8, 0x81, 0x02, 0x00, 0x00}, true},
		"VP9 keyframe, upper spatial layer":            {"VP9", []byte{0xa8, 0x01, 0x02, 0x00}, false},
		"H264 parameter set":                           {"H264", []byte{0x67, 0x42}, true},
		"H264 STAP-A with parameter sets":              {"H264", []byte{0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68}, true},
		"H264 STAP-A with the parameter set not first": {"H264", []byte{0x78, 0, 1, 0x09, 0, 2, 0x67, 0x42}, true},
		"H264 STAP-A without":                          {"H264", []byte{0x78, 0, 1, 0x61}, false},
		"H264 STAP-A with a wrong size":                {"H264", []byte{0x78, 9, 1, 0x67}, false},
		"H264 slice":                                   {"H264", []byte{0x61, 0x00}, false},
		"H264 first fragment of a parameter set":       {"H264", []byte{0x7c, 0x87}, true},
		"H264 fragment of a slice":                     {"H264", []byte{0x7c, 0x85}, false},
		"nothing in VP8":                               {"VP8", nil, false},
		"nothing in VP9":                               {"VP9", nil, false},
		"nothing in H264":                              {"H264", nil, false},
	} {
		if got := For(c.codec)(c.payload); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if For("opus") != nil {
		t.Error("audio has keyframes")
	}
}

func FuzzDetectors(f *testing.F) {
	f.Add([]byte{0x90, 0xe0, 0x81, 0x02, 0x01, 0x20, 0x00})
	f.Add([]byte{0xa8, 0x81, 0x02, 0x00, 0x00})
	f.Add([]byte{0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68})
	f.Add([]byte{0x7c, 0x87})
	f.Fuzz(func(t *testing.T, payload []byte) {
		VP8(payload)
		VP9(payload)
		H264(payload)
		for _, codec := range []string{"VP8", "VP9", "H264"} {
			Size(codec, payload)
		}
	})
}

func TestRequestsAreMerged(t *testing.T) {
	var r Requests
	epoch := time.Unix(1_000_000, 0)
	sent := 0
	for i := range 100 { // a hundred receivers ask within 100 ms
		if r.Request(epoch.Add(time.Duration(i) * time.Millisecond)) {
			sent++
		}
	}
	if sent != 1 {
		t.Errorf("%d requests went upstream", sent)
	}
	if r.Due(epoch.Add(Interval - 1)) {
		t.Error("repeated too soon")
	}
	if !r.Due(epoch.Add(Interval)) {
		t.Error("a request that was not answered is not repeated")
	}
	r.Arrived()
	if r.Due(epoch.Add(time.Hour)) {
		t.Error("repeated after the keyframe came")
	}
	if r.Request(epoch.Add(Interval + time.Millisecond)) {
		t.Error("a new request goes upstream within the interval")
	}
	if !r.Due(epoch.Add(2 * Interval)) {
		t.Error("a request within the interval is lost")
	}
}

func TestARequestCanWait(t *testing.T) {
	var r Requests
	epoch := time.Unix(1_000_000, 0)
	later := epoch.Add(60 * time.Millisecond)
	r.RequestFrom(later)
	if r.Due(later.Add(-1)) {
		t.Error("asked too soon")
	}
	if !r.Due(later) {
		t.Error("not asked")
	}
	r.RequestFrom(later.Add(time.Hour))
	if !r.Due(later.Add(Interval)) {
		t.Error("a request that was not answered waits for another one")
	}
	r.Arrived()
	r.RequestFrom(later.Add(time.Hour))
	if !r.Request(later.Add(2 * Interval)) {
		t.Error("who needs it now has to wait, too")
	}
}

func TestAnExpectedKeyframeIsAskedForOnlyWhenItIsLate(t *testing.T) {
	epoch := time.Unix(1_000_000, 0)
	var r Requests
	r.Expect(epoch)
	if r.Due(epoch.Add(Interval - 1)) {
		t.Error("asked too soon")
	}
	if !r.Due(epoch.Add(Interval)) {
		t.Error("not asked")
	}
}

func TestAKeyframeThatCameByItselfDoesNotDelayARequest(t *testing.T) {
	epoch := time.Unix(1_000_000, 0)
	var r Requests
	r.Expect(epoch)
	r.Arrived()
	if !r.Request(epoch.Add(time.Millisecond)) {
		t.Error("not asked")
	}
	r.Arrived()
	if r.Request(epoch.Add(2 * time.Millisecond)) {
		t.Error("asked twice within the interval")
	}
}
