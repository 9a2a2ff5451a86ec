package main

import (
	"fmt"
	"slices"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// The load: 1.5 Mbps of video, as a browser sends it.
const (
	framesPerSecond = 30
	packetsPerFrame = 6
	packetBytes     = 1040
)

// load is what the publisher sends.
var load = roomclient.Stream{
	VideoFrameRate: framesPerSecond, Video: roomclient.Fixed(packetsPerFrame, packetBytes),
}

// loadText is the load in words.
var loadText = fmt.Sprintf("1 publisher, %.1f Mbps video in %d bursts of %d packets of %d bytes a second",
	float64(framesPerSecond*packetsPerFrame*packetBytes*8)/1e6, framesPerSecond, packetsPerFrame, packetBytes)

// cost is what a sender of media costs.
type cost struct {
	// microseconds of CPU, user and system, per packet sent.
	microseconds float64
	// lost is the share of packets that did not arrive.
	lost float64
}

func median(values []float64) float64 {
	return quantile(values, 0.5)
}

// quantile returns the value that the share q of the values does not exceed. values must not be empty.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
