// Package sfu is the single authority on how packets get from a publisher to its subscribers: which
// layer each subscriber gets, what is sent again, and what RTCP says about it. It knows RTP and
// RTCP, and nothing of how peers are connected.
//
// Glossary. A Publisher is one published stream, whoever sends it and however often its connection
// is replaced. It has one Track for each Kind. A Feed is what one connection of the publisher sends
// of a track. A Layer is one incoming RTP stream of a feed, that is, one SSRC; with simulcast a
// feed has several, of the same picture at different bitrates. A Subscriber is one receiver of a
// publisher; it has one Forwarder, that is, one outgoing RTP stream, for each track that it
// receives.
//
//	                            Track
//	packets -> Layer.Write -----> Forwarder -> PacketWriter
//	           ring, NACK   \---> Forwarder -> PacketWriter   (of another Subscriber)
//	packets -> Layer.Write -----> Forwarder -> PacketWriter
//	           (another layer)
//
// A forwarder forwards one layer, its source. The track aims it at the layer that suits its
// receiver best, its target, and it changes over at the target's next keyframe.
//
// Packets are forwarded by the goroutine that brings them, those that came together to one receiver
// after the other. That goroutine reads the layer's receivers from a snapshot, so subscribers share
// no lock, and it allocates nothing. Locks are per layer and per subscriber, and none of them is
// held across a write. A layer without receivers costs its bookkeeping only, and nothing of it is
// asked for.
package sfu

import (
	"errors"
	"sync/atomic"

	"github.com/pion/rtcp"
)

// ErrClosed marks a publisher or subscriber that has ended.
var ErrClosed = errors.New("publisher or subscriber is closed")

// PacketWriter sends packets of one outgoing RTP stream to one receiver. It must not keep the
// packets. It is called concurrently.
type PacketWriter interface {
	// WriteRTP sends at most MaxBurst packets, in order, and returns how many of them were taken.
	WriteRTP(packets []Outgoing) int
}

// ControlWriter sends RTCP to one peer. It is called concurrently.
type ControlWriter interface {
	WriteRTCP(packets []rtcp.Packet) error
}

// Kind is a kind of media.
type Kind uint8

// The kinds of media. A publisher has at most one track of each.
const (
	Audio Kind = iota
	Video
	kinds
)

// Codec says how the packets of a layer are to be read.
type Codec struct {
	// Name is the SDP encoding name: "opus", "VP8", "VP9" or "H264".
	Name string
	// ClockRate is in Hz.
	ClockRate uint32
}

// Counters are what all publishers that were given them have done. They only grow.
type Counters struct {
	// ReceivedPackets counts RTP packets of publishers, without duplicates.
	ReceivedPackets atomic.Uint64
	// ForwardedPackets and ForwardedBytes count what was sent to subscribers, without RTP headers
	// and retransmissions.
	ForwardedPackets, ForwardedBytes atomic.Uint64
	// WriteErrors counts packets that a subscriber's connection did not take.
	WriteErrors atomic.Uint64
	// NACKsSent counts packets asked of publishers.
	NACKsSent atomic.Uint64
	// NACKsReceived counts packets that subscribers asked for, Retransmitted those that were sent
	// again.
	NACKsReceived, Retransmitted atomic.Uint64
	// KeyframesWanted counts the keyframe requests of subscribers, KeyframeRequests those that went
	// to publishers.
	KeyframesWanted, KeyframeRequests atomic.Uint64
}

// set is a set that is read through a snapshot. Its owner's mutex serialises add and remove.
type set[T comparable] struct {
	items atomic.Pointer[[]T]
}

// load returns the current members; they must not be changed.
func (s *set[T]) load() []T {
	if items := s.items.Load(); items != nil {
		return *items
	}
	return nil
}

func (s *set[T]) add(item T) {
	old := s.load()
	items := append(make([]T, 0, len(old)+1), old...)
	items = append(items, item)
	s.items.Store(&items)
}

func (s *set[T]) remove(item T) {
	old := s.load()
	items := make([]T, 0, len(old))
	for _, o := range old {
		if o != item {
			items = append(items, o)
		}
	}
	s.items.Store(&items)
}
