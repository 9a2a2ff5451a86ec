package main

import (
	"fmt"
	"slices"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// The load: 1.5 Mbps of video, as a browser sends it, and in small rooms 500 kbps.
const (
	framesPerSecond  = 30
	packetsPerFrame  = 6
	packetBytes      = 1040
	smallRoomPackets = 2 // of a frame
)

// video is a stream whose frames have so many packets.
func video(packets int) roomclient.Stream {
	return roomclient.Stream{VideoFrameRate: framesPerSecond, Video: roomclient.Fixed(packets, packetBytes)}
}

// videoText is that stream in words.
func videoText(packets int) string {
	return fmt.Sprintf("%.1f Mbps of video in %d bursts of %d packets of %d bytes a second",
		float64(framesPerSecond*packets*packetBytes*8)/1e6, framesPerSecond, packets, packetBytes)
}

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

// quantile returns the value that the share q of the values does not exceed. values must not be
// empty.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
