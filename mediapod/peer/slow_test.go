package peer

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// faucet relays TCP connections to an address until it is closed: then nothing is read any more of
// what comes from there.
type faucet struct {
	listener net.Listener
	to       string
	closed   chan struct{}

	mu      sync.Mutex // guards conns
	conns   []net.Conn
	running sync.WaitGroup
}

func newFaucet(t *testing.T, to netip.AddrPort) *faucet {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &faucet{listener: listener, to: to.String(), closed: make(chan struct{})}
	f.running.Go(f.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.mu.Unlock()
		f.running.Wait()
	})
	return f
}

func (f *faucet) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp4", f.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		f.mu.Lock()
		f.conns = append(f.conns, client, server)
		f.mu.Unlock()
		f.running.Go(func() { _, _ = io.Copy(server, client) })
		f.running.Go(func() {
			buffer := make([]byte, 4096)
			for {
				n, err := server.Read(buffer)
				if err != nil {
					return
				}
				select {
				case <-f.closed:
					return
				default:
				}
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
		})
	}
}

func TestAReceiverThatTakesNothingHarmsNobody(t *testing.T) {
	e := newEngine(t)
	p := e.NewPublication(media.PublicationOptions{HasVideo: true})
	s := newSource(t, 0, clientOptions{}, webrtc.RTPTransceiverDirectionSendonly, webrtc.MimeTypeVP8)
	s.publish(p)
	near, _ := subscribe(t, e, p, clientOptions{})
	f := newFaucet(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), e.TCPPort()))
	e.SetAdvertisedAddresses([]Address{{IP: netip.MustParseAddr("127.0.0.1"), TCPPort: uint16(f.listener.Addr().(*net.TCPAddr).Port)}})
	stuck, _ := subscribe(t, e, p, clientOptions{tcp: true})
	s.sendUntil("both receive", func() bool { return len(near.got(video)) > 10 && len(stuck.got(video)) > 10 })
	close(f.closed)
	before := len(near.got(video))
	body := append([]byte{0x10, 0x01}, make([]byte, 1100)...)
	const packets = 12_000 // more than all buffers on the way hold
	begin := time.Now()
	for i := range packets {
		s.must(s.tracks[video].WriteRTP(&rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: s.start + uint16(s.number), Timestamp: s.base + s.number*90, Marker: true},
			Payload: body,
		}))
		s.number++
		if i%8 == 0 {
			time.Sleep(time.Millisecond) // as a link would, so that nothing is lost before the engine
		}
	}
	eventually(t, "the other receiver has got what was sent", func() bool { return len(near.got(video))-before > packets*95/100 })
	t.Logf("%d packets in %v, %d of them were not taken by the stuck receiver", packets, time.Since(begin), e.Stats().WriteErrors)
	if lost := e.Stats().WriteErrors; lost == 0 {
		t.Error("the stuck receiver has lost nothing: the test tests nothing")
	}
	if n := len(stuck.got(video)); n > packets/2 {
		t.Errorf("the stuck receiver has got %d packets", n)
	}
}
