package keyframe

import "testing"

func TestTheSizeOfAPicture(t *testing.T) {
	sps := []byte{
		0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0xf0, 0x11, 0x7e, 0xf0, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x18, 0x32, 0x48,
	}
	for name, c := range map[string]struct {
		codec         string
		payload       []byte
		width, height int
	}{
		"VP8":                                {"VP8", []byte{0x90, 0xe0, 0x81, 0x02, 0x01, 0x20, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x00, 0x45, 0xd0, 0x02}, 1280, 720},
		"VP8 without a start code":           {"VP8", []byte{0x10, 0, 0, 0, 0x9d, 0x01, 0x2b, 0x40, 0x01, 0xb4, 0x00}, 0, 0},
		"VP8 that is cut":                    {"VP8", []byte{0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4}, 0, 0},
		"VP9":                                {"VP9", []byte{0x08, 0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0b, 0x36, 0x00}, 320, 180},
		"VP9 that is cut":                    {"VP9", []byte{0x08, 0x82, 0x49}, 0, 0},
		"H264":                               {"H264", sps, 960, 540},
		"H264 in a packet of several units":  {"H264", append([]byte{0x78, 0, 1, 0x09, 0, byte(len(sps))}, sps...), 960, 540},
		"H264 with a unit that is too large": {"H264", append([]byte{0x78, 0, 99}, sps...), 0, 0},
		"H264 that is cut":                   {"H264", sps[:4], 0, 0},
		"nothing":                            {"H264", nil, 0, 0},
		"audio":                              {"opus", []byte{1, 2, 3}, 0, 0},
	} {
		if width, height := Size(c.codec, c.payload); width != c.width || height != c.height {
			t.Errorf("%s: %dx%d, want %dx%d", name, width, height, c.width, c.height)
		}
	}
}
