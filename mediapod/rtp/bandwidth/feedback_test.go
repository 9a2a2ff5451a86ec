package bandwidth

import (
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"mediarooms.dev/mediarooms/test/cost"
)

// written is a report.
func written(f *rtcp.TransportLayerCC) []byte {
	raw, err := f.Marshal()
	if err != nil {
		panic(err)
	}
	return raw
}

// plainly takes a report as pion has read it, one packet after the other: what Feedback has to be
// equal to.
func plainly(e *Estimator, f *rtcp.TransportLayerCC, now time.Time) {
	r := reading{estimator: e, now: now, sequence: f.BaseSequenceNumber, left: int(f.PacketStatusCount), arrival: e.reference.at(f.ReferenceTime)}
	deltas := f.RecvDeltas
	next := func(uint16) (time.Duration, bool) {
		if len(deltas) == 0 {
			return 0, false
		}
		delta := time.Duration(deltas[0].Delta) * time.Microsecond
		deltas = deltas[1:]
		return delta, true
	}
	for _, chunk := range f.PacketChunks {
		switch chunk := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for range chunk.RunLength {
				r.status(chunk.PacketStatusSymbol, next)
			}
		case *rtcp.StatusVectorChunk:
			for _, symbol := range chunk.SymbolList {
				r.status(symbol, next)
			}
		}
	}
	e.reported(now)
}

// lostRuns is a report that as many packets as a few runs can tell of were lost.
func lostRuns(runs int) []byte {
	const most = 1<<13 - 1
	raw := make([]byte, chunksAt, chunksAt+2*runs)
	raw[0], raw[1] = 0x80|rtcp.FormatTCC, 205
	binary.BigEndian.PutUint16(raw[2:], uint16((cap(raw)+3)/4-1))
	binary.BigEndian.PutUint16(raw[countAt:], uint16(runs*most))
	for range runs {
		raw = binary.BigEndian.AppendUint16(raw, most)
	}
	return raw
}

func TestWorkIsBoundedBySize(t *testing.T) {
	for name, raw := range map[string][]byte{
		"runs of lost packets":                 lostRuns(8),
		"runs of packets without times":        withSymbol(lostRuns(8), rtcp.TypeTCCPacketReceivedWithoutDelta),
		"runs of received packets, no times":   withSymbol(lostRuns(8), rtcp.TypeTCCPacketReceivedSmallDelta),
		"a run of lost packets after another":  append(lostRuns(8), make([]byte, 1300)...),
		"runs of none":                         append(lostRuns(1)[:chunksAt], make([]byte, 1400)...),
		"vectors":                              append(lostRuns(1)[:chunksAt], vectors(1400)...),
		"vectors, and more packets than those": withCount(append(lostRuns(1)[:chunksAt], vectors(1400)...), 65535),
	} {
		var e Estimator
		for range 2 * history {
			e.Sent(1000, epoch)
		}
		if ratio := cost.Ratio(len(raw), func() { e.Feedback(raw, epoch) }); ratio > cost.Most {
			t.Errorf("%s: a report of %d bytes costs %.0f times a copy of it", name, len(raw), ratio)
		}
	}
}

func withSymbol(raw []byte, symbol uint16) []byte {
	for i := chunksAt; i+1 < len(raw); i += 2 {
		binary.BigEndian.PutUint16(raw[i:], binary.BigEndian.Uint16(raw[i:])|symbol<<13)
	}
	return raw
}

func withCount(raw []byte, count uint16) []byte {
	binary.BigEndian.PutUint16(raw[countAt:], count)
	return raw
}

func vectors(bytes int) []byte {
	b := make([]byte, bytes)
	for i := range b {
		b[i] = 0xff
	}
	return b
}

func TestRunsOfLostPacketsCountOnlyForPacketsThatWereSent(t *testing.T) {
	for _, first := range []int{-3000, -1500, -history - 1, -history, -history + 1, -500, -1, 0, 1, 3000, 32768} {
		for _, n := range []uint16{1, 499, history, 3000, 8191} {
			var e, other Estimator
			for range 70_000 {
				e.Sent(1000, epoch)
				other.Sent(1000, epoch)
			}
			report := &rtcp.TransportLayerCC{
				BaseSequenceNumber: e.sequence + uint16(first), PacketStatusCount: 2 * n,
				PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{RunLength: n}, &rtcp.RunLengthChunk{RunLength: n}},
			}
			e.Feedback(written(report), epoch)
			plainly(&other, report, epoch)
			if !reflect.DeepEqual(e, other) {
				t.Errorf("%d lost packets from %d on are not what one after another makes of them", 2*n, first)
			}
		}
	}
}
