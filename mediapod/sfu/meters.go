package sfu

import (
	"time"

	"mediarooms.dev/mediarooms/mediapod/rtp/layers"
	"mediarooms.dev/mediarooms/mediapod/rtp/rate"
	"mediarooms.dev/mediarooms/mediapod/rtp/temporal"
)

// meters measure how much a layer brings. Whoever has them guards them.
type meters struct {
	all      rate.Meter
	upper    [temporal.Max - 1]rate.Meter // of the temporal layers above the lowest
	observed int64                        // bytes since observedAt
	// observedAt is the time of the last call of observe.
	observedAt time.Time
	frames     uint64
	newest     uint32                   // the timestamp of the newest packet
	pictures   [temporal.Max]rate.Meter // by temporal layer
}

// add counts a packet of so many bytes and of that temporal layer.
func (m *meters) add(bytes int, timestamp uint32, layer uint8, at time.Time) {
	m.all.Add(bytes, at)
	if layer > 0 {
		m.upper[layer-1].Add(bytes, at)
	}
	m.observed += int64(bytes)
	if m.frames == 0 || timestamp != m.newest {
		m.frames++
		m.newest = timestamp
		m.pictures[layer].Add(1, at)
	}
}

// observe returns the average bitrate since it was last called.
func (m *meters) observe(now time.Time) (kbps int) {
	if passed := now.Sub(m.observedAt); passed > 0 {
		kbps = int(m.observed * 8 * int64(time.Millisecond) / int64(passed))
	}
	m.observed, m.observedAt = 0, now
	return kbps
}

// rates returns the bitrates and frame rates of now.
func (m *meters) rates(now time.Time) (measured layers.Layer) {
	measured.Kbps = m.all.Kbps(now)
	up := measured.Kbps
	for t := layers.Temporal - 1; t > 0; t-- {
		measured.UpTo[t] = up
		up = max(up-m.upper[t-1].Kbps(now), 0)
	}
	measured.UpTo[0] = up
	all := 0
	for t := range layers.Temporal {
		all += m.pictures[t].PerSecond(now)
		measured.FPS[t] = all
	}
	return measured
}
