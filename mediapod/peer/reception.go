package peer

import (
	"time"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// pausedKbps is what less of is no picture, for each layer: browsers send a few black frames for a
// muted track, which Chromium makes 20 kbps of, and nothing for a paused one.
const pausedKbps = 35

// Reception implements media.Publication.
func (p *Publication) Reception() (media.Reception, bool) {
	observed, ok := p.stream.Reception(time.Now())
	if !ok {
		return media.Reception{}, false
	}
	r := media.Reception{Lost: observed.Lost, Jitter: observed.Jitter, RoundTrip: observed.RoundTrip}
	if p.options.HasVideo && observed.VideoKbps >= pausedKbps*observed.Layers {
		r.VideoKbps, r.TargetKbps = observed.VideoKbps, targetKbps(p.options)
	}
	return r, true
}

// aims are the bitrates that libwebrtc's encoders aim for, by the size of the picture, when the
// network carries them.
var aims = []struct{ pixels, kbps int }{
	{320 * 180, 200}, {480 * 270, 450}, {640 * 360, 700}, {640 * 480, 900}, {960 * 540, 1200}, {1280 * 720, 2500}, {1920 * 1080, 4000},
}

// maxSide is the greatest width or height that is believed.
const maxSide = 16384

// targetKbps returns what a publisher should send at least: half of the aim for its size, since a
// calm picture needs no more, but not more than it may.
func targetKbps(options media.PublicationOptions) int {
	pixels := 640 * 480
	if size := options.VideoDimensions; size.Width >= 1 && size.Height >= 1 {
		pixels = min(size.Width, maxSide) * min(size.Height, maxSide)
	}
	kbps := aims[0].kbps
	for _, aim := range aims {
		if pixels >= aim.pixels {
			kbps = aim.kbps
		}
	}
	kbps /= 2
	if options.MaxVideoKbps > 0 {
		kbps = min(kbps, options.MaxVideoKbps)
	}
	return kbps
}
