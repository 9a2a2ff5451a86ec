package peer

import (
	"io"
	"sync"

	"github.com/pion/rtcp"
	"github.com/pion/transport/v4/packetio"
)

// rtpBuffer is how many bytes of an incoming stream are held until they are read; it is pion's own limit.
const rtpBuffer = 1_000_000

// controlTap takes all RTCP that a peer sends, whichever stream it is about. Pion by itself delivers a packet to the stream that it names as
// its media source, and drops it when nobody reads that one: a browser names a retransmission stream in transport-wide
// feedback, and us in its answer to our reference time.
type controlTap struct {
	handle func(packets []rtcp.Packet)
}

// buffer is what pion calls for each incoming stream (webrtc.SettingEngine).
func (t controlTap) buffer(kind packetio.BufferPacketType, _ uint32) io.ReadWriteCloser {
	if kind == packetio.RTCPBufferPacket {
		return &controlStream{tap: t, closed: make(chan struct{})}
	}
	b := packetio.NewBuffer()
	b.SetLimitSize(rtpBuffer)
	return b
}

// controlStream is the RTCP about one stream.
type controlStream struct {
	tap    controlTap
	once   sync.Once
	closed chan struct{}
}

// Write takes a packet, on pion's goroutine.
func (s *controlStream) Write(raw []byte) (int, error) {
	if packets, err := rtcp.Unmarshal(raw); err == nil { // else the peer's fault, and its loss
		s.tap.handle(packets)
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
