package peer

import (
	"io"
	"sync"

	"github.com/pion/rtcp"
	"github.com/pion/transport/v4/packetio"
)

// incoming is where pion puts what a peer sends, by stream.
//
// It takes all RTCP, whichever stream it is about. Pion by itself delivers a packet to the stream that it names as its media source, and
// drops it when nobody reads that one: a browser names a retransmission stream in transport-wide feedback, and us in its
// answer to our reference time.
type incoming struct {
	handle func(packets []rtcp.Packet)

	mu       sync.Mutex // guards arrivals
	arrivals map[uint32]*arrival
}

func newIncoming(handle func(packets []rtcp.Packet)) *incoming {
	return &incoming{handle: handle, arrivals: map[uint32]*arrival{}}
}

// buffer is what pion calls for each incoming stream (webrtc.SettingEngine).
func (in *incoming) buffer(kind packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
	if kind == packetio.RTCPBufferPacket {
		return &controlStream{incoming: in, closed: make(chan struct{})}
	}
	a := newArrival()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.arrivals[ssrc] = a
	return a
}

// arrival returns what arrives of a stream that pion has made known.
func (in *incoming) arrival(ssrc uint32) *arrival {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.arrivals[ssrc]
}

// controlStream is the RTCP about one stream.
type controlStream struct {
	incoming *incoming
	once     sync.Once
	closed   chan struct{}
}

// Write takes a packet, on pion's goroutine.
func (s *controlStream) Write(raw []byte) (int, error) {
	if packets, err := rtcp.Unmarshal(raw); err == nil { // else the peer's fault, and its loss
		s.incoming.handle(packets)
	}
	return len(raw), nil
}

// Read returns nothing until the stream is closed.
func (s *controlStream) Read([]byte) (int, error) {
	<-s.closed
	return 0, io.EOF
}

// Close ends the stream.
func (s *controlStream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
