package peer

import (
	"strings"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// repairTap is an interceptor that takes retransmissions (RFC 4588) out of pion's hands, which would hold them until the
// next packet of the media stream comes.
type repairTap struct {
	interceptor.NoOp
	repair  func(rid string, packet []byte)
	layered bool // streams name the layer that they repair
}

// NewInterceptor returns the tap itself, which belongs to one connection.
func (t *repairTap) NewInterceptor(string) (interceptor.Interceptor, error) { return t, nil }

// Close does nothing: the tap holds nothing.
func (t *repairTap) Close() error { return nil }

// BindRemoteStream taps retransmission streams and leaves the others alone.
func (t *repairTap) BindRemoteStream(info *interceptor.StreamInfo, reader interceptor.RTPReader) interceptor.RTPReader {
	if !strings.EqualFold(info.MimeType, webrtc.MimeTypeRTX) {
		return reader
	}
	s := &repairStream{tap: t, reader: reader, bound: !t.layered}
	for _, extension := range info.RTPHeaderExtensions {
		if extension.URI == sdp.SDESRepairRTPStreamIDURI {
			s.extension = uint8(extension.ID)
		}
	}
	return s
}

// repairStream is the retransmission stream of one layer. With simulcast its first packets say of which one.
type repairStream struct {
	tap       *repairTap
	reader    interceptor.RTPReader
	extension uint8 // the number of the header extension for the repaired rid (RFC 8852), 0 for none
	rid       string
	bound     bool
}

// Read hands pion the packets up to the first with a rid, by which pion finds out where the stream belongs, and then none.
func (s *repairStream) Read(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
	n, attributes, err := s.reader.Read(b, a)
	if err != nil {
		return n, attributes, err
	}
	pass := 0 // pion skips what is empty
	if !s.bound && s.extension != 0 {
		var header rtp.Header
		if _, err := header.Unmarshal(b[:n]); err == nil {
			s.rid = string(header.GetExtension(s.extension))
			s.bound = s.rid != ""
		}
		pass = n
	}
	s.tap.repair(s.rid, b[:n])
	return pass, attributes, nil
}
