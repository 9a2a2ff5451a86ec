package roomclient

import (
	"math/rand/v2"
	"time"

	"github.com/pion/rtcp"
)

const (
	// largestPayload is what browsers make of packets of 1200 bytes.
	largestPayload = 1140
	// keyframeFactor is how much larger than the average a key frame is.
	keyframeFactor = 5
	// audioInterval is how often Opus packets are sent.
	audioInterval = 20 * time.Millisecond
)

// sizes makes the sizes of the frames of a layer.
type sizes struct {
	average float64 // bytes
	debt    float64 // bytes that were sent too many
	random  *rand.Rand
}

func newSizes(layer Layer, frameRate, seed int) *sizes {
	return &sizes{
		average: float64(layer.Kbps) * 1000 / 8 / float64(frameRate), random: rand.New(rand.NewPCG(uint64(seed), 1)),
	}
}

// next is the size of the next frame in bytes. What a key frame takes beyond the average is saved
// by those after it, as a rate control does.
func (s *sizes) next(key bool) int {
	size := s.average * (0.7 + 0.6*s.random.Float64())
	if key {
		size = s.average * keyframeFactor
	} else {
		size -= min(s.debt*0.1, size/2)
	}
	s.debt = max(s.debt+size-s.average, 0)
	return int(size)
}

// split cuts a frame into packets whose sizes differ by one byte at most, the larger ones first.
func split(frame, least int) []int {
	n := max((frame+largestPayload-1)/largestPayload, 1)
	frame = max(frame, n*least)
	packets := make([]int, n)
	for i := range packets {
		packets[i] = frame / n
		if i < frame%n {
			packets[i]++
		}
	}
	return packets
}

// temporalLayers are the patterns of 1 to 3 layers: which one each frame is of.
var temporalLayers = [][]uint8{{0}, {0, 1}, {0, 2, 1, 2}}

// videoSource makes the frames of all layers.
type videoSource struct {
	p          *Publisher
	packetizer packetizer
	layers     []*layerSource
	frame      uint32
	timestamp  uint32
}

type layerSource struct {
	*encoding
	sizes   *sizes
	picture picture
	since   int // frames since the key frame
}

func (p *Publisher) newVideoSource() *videoSource {
	v := &videoSource{p: p, packetizer: packetizerFor(p.codec.MimeType), timestamp: rand.Uint32()}
	for i, e := range p.video {
		v.layers = append(v.layers, &layerSource{
			encoding: e, sizes: newSizes(e.layer, p.stream.VideoFrameRate, i),
			picture: picture{width: e.width(), height: e.height(), temporals: uint8(max(p.stream.TemporalLayers, 1)), id: uint16(rand.Uint32()) & 0x7fff},
		})
	}
	return v
}

// send sends a frame of each layer.
func (v *videoSource) send() error {
	for _, l := range v.layers {
		if err := v.sendLayer(l); err != nil {
			return err
		}
	}
	v.frame++
	v.timestamp += uint32(90000 / v.p.stream.VideoFrameRate)
	return nil
}

func (v *videoSource) sendLayer(l *layerSource) error {
	pic := &l.picture
	pic.key = l.keyframe.Swap(false)
	if pic.key {
		l.since = 0
		l.keyframes.Add(1)
	}
	pattern := temporalLayers[min(int(pic.temporals), len(temporalLayers))-1]
	pic.temporal = pattern[l.since%len(pattern)]
	pic.synced = pic.temporal > 0 && (l.since%len(pattern) < 3) // the first ones after the lowest need nothing else
	if pic.temporal == 0 {
		pic.tl0++
	}
	packets := split(l.frameBytes(pic.key), v.packetizer.least())
	what := stamp{frame: v.frame, layer: uint8(l.rank), key: pic.key, first: true}
	for _, payload := range v.packetizer.lead(*pic) {
		what.sent = time.Now()
		what.put(payload)
		what.first = false
		if err := l.send(v.timestamp, false, payload); err != nil {
			return err
		}
	}
	for i, size := range packets {
		payload := make([]byte, size)
		v.packetizer.fill(payload, *pic, i, len(packets))
		what.sent = time.Now()
		what.put(payload)
		what.first = false
		if err := l.send(v.timestamp, i == len(packets)-1, payload); err != nil {
			return err
		}
	}
	l.since++
	pic.id = (pic.id + 1) & 0x7fff
	return nil
}

// frameBytes is the size of the next frame.
func (l *layerSource) frameBytes(key bool) int {
	if l.layer.Kbps == 0 {
		return l.layer.Packets * l.layer.PacketBytes
	}
	return l.sizes.next(key)
}

// report sends the sender reports.
func (p *Publisher) report(timestamp uint32, encodings ...*encoding) {
	now := time.Now()
	var reports []rtcp.Packet
	for _, e := range encodings {
		if r := e.senderReport(timestamp, now); r != nil {
			reports = append(reports, r)
		}
	}
	_ = p.pc.WriteRTCP(reports) // repeated anyway
}

// sendVideo sends frames until the publisher is closed.
func (p *Publisher) sendVideo() {
	v := p.newVideoSource()
	tick := time.NewTicker(time.Second / time.Duration(p.stream.VideoFrameRate))
	defer tick.Stop()
	for {
		if v.frame%uint32(p.stream.VideoFrameRate) == 0 {
			p.report(v.timestamp, p.video...)
		}
		if v.send() != nil {
			return // the peer connection was closed
		}
		select {
		case <-tick.C:
		case <-p.stop:
			return
		}
	}
}

// sendAudio sends Opus packets until the publisher is closed.
func (p *Publisher) sendAudio() {
	timestamp := rand.Uint32()
	tick := time.NewTicker(audioInterval)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%int(time.Second/audioInterval) == 0 {
			p.report(timestamp, p.audio)
		}
		payload := make([]byte, max(p.stream.AudioPacketBytes, 1))
		payload[0] = 0xfc // a CELT frame of 20 ms, stereo (RFC 6716, section 3.1)
		if len(payload) > stampBytes {
			stamp{sent: time.Now(), frame: uint32(n)}.put(payload)
		}
		if p.audio.send(timestamp, false, payload) != nil {
			return // the peer connection was closed
		}
		timestamp += 960
		select {
		case <-tick.C:
		case <-p.stop:
			return
		}
	}
}
