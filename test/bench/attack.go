package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mediarooms.dev/mediarooms/loadtest"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
)

// What an attacker sends, and the rooms of the one and the others. Who is cut off comes again.
const (
	attackBytesPerSecond = 10e6 / 8
	callRoom             = 0
	attackRoom           = 1
	attackRetry          = 200 * time.Millisecond
)

// attack is something that one participant does to all others of a pod.
type attack struct {
	name string
	// play does it until it is cut off, which it returns as an error, or until the context ends.
	play func(ctx context.Context, a *attacker) error
}

var attacks = []attack{
	{"feedback on 65528 packets in 36 bytes (RTCP)", playFeedback},
	{"session descriptions with 40000 simulcast layers", playDescriptions},
	{"RTP packets with an SSRC each", playSSRCs},
	{"joins with 64 KB of metadata", playMetadata},
	{"ICE-TCP connections that say nothing", playTCP},
	{"sockets that join nothing", playSockets},
	{"signals of 20 KB to all", playSignals},
}

// attacker is one participant, in a room of its own. What it sends is limited to
// attackBytesPerSecond.
type attacker struct {
	*laboratory
	pod   *pod
	media *roomclient.Media

	mu     sync.Mutex // guards sent
	sent   float64    // bytes
	begun  time.Time
	cutOff atomic.Int64
}

// spend waits until bytes may be sent.
func (a *attacker) spend(ctx context.Context, bytes int) error {
	a.mu.Lock()
	a.sent += float64(bytes)
	due := a.begun.Add(time.Duration(a.sent / attackBytesPerSecond * float64(time.Second)))
	a.mu.Unlock()
	return pause(ctx, time.Until(due))
}

// run plays an attack for a time, again and again.
func (a *attacker) run(ctx context.Context, what attack, length time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	for ctx.Err() == nil {
		if err := what.play(ctx, a); err != nil && ctx.Err() == nil {
			a.cutOff.Add(1)
			_ = pause(ctx, attackRetry) // its end is seen above
		}
	}
}

// join enters the attacker's room.
func (a *attacker) join(ctx context.Context, metadata string) (*roomclient.Client, error) {
	admission, err := a.pod.Admit(ctx, attackRoom, false)
	if err != nil {
		return nil, err
	}
	client, err := roomclient.Dial(ctx, admission)
	if err != nil {
		return nil, err
	}
	if _, err := client.Join(ctx, metadata); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

func playFeedback(ctx context.Context, a *attacker) error {
	admission, err := a.pod.Admit(ctx, attackRoom, false)
	if err != nil {
		return err
	}
	s, leave, err := subscribe(ctx, admission, a.media)
	if err != nil {
		return err
	}
	defer leave()
	part := make([]byte, 36) // RFC draft-holmer-rmcat-transport-wide-cc-extensions-01: eight run-length chunks
	copy(part, []byte{0x8f, byte(rtcp.TypeTransportSpecificFeedback), 0, 8, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0xff, 0xf8})
	for at := 20; at < len(part); at += 2 {
		binary.BigEndian.PutUint16(part[at:], 8191)
	}
	packet := rtcp.RawPacket(bytes.Repeat(part, 38))
	for {
		if err := a.spend(ctx, len(packet)); err != nil {
			return err
		}
		select {
		case <-s.Ended():
			return errors.New("the peer connection has ended")
		default:
		}
		if err := s.WriteRTCP([]rtcp.Packet{&packet}); err != nil {
			return err
		}
	}
}

func playDescriptions(ctx context.Context, a *attacker) error {
	client, err := a.join(ctx, "")
	if err != nil {
		return err
	}
	defer client.Close()
	ids := make([]string, 40000)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	offer := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n" +
		"a=rtpmap:96 VP8/90000\r\na=sendonly\r\na=simulcast:send " + strings.Join(ids, ";") + "\r\n"
	for {
		if err := a.spend(ctx, len(offer)); err != nil {
			return err
		}
		err := client.Call(ctx, "publishVideo", map[string]any{
			"sdpOffer": offer, "hasAudio": false, "hasVideo": true, "videoActive": true, "typeOfVideo": "CAMERA", "frameRate": -1,
			"videoDimensions": `{"width":640,"height":480}`, "doLoopback": false,
		}, nil)
		if errors.Is(err, roomclient.ErrClosed) {
			return err
		}
	}
}

func playSSRCs(ctx context.Context, a *attacker) error {
	client, err := a.join(ctx, "")
	if err != nil {
		return err
	}
	defer client.Close()
	p, err := client.Publish(ctx, a.media, video(1))
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // it may be over
	for ssrc := uint32(1000); ; ssrc++ {
		if err := a.spend(ctx, 58); err != nil {
			return err
		}
		select {
		case <-p.Ended():
			return errors.New("the peer connection has ended")
		default:
		}
		header := rtp.Header{Version: 2, PayloadType: 96, SSRC: ssrc, SequenceNumber: uint16(ssrc), Timestamp: ssrc}
		if err := p.WriteRTP(&header, make([]byte, 20)); err != nil {
			return err
		}
	}
}

func playMetadata(ctx context.Context, a *attacker) error {
	metadata := strings.Repeat("x", 65000)
	if err := a.spend(ctx, len(metadata)); err != nil {
		return err
	}
	client, err := a.join(ctx, metadata)
	if err != nil {
		return err
	}
	return client.Leave(ctx)
}

func playTCP(ctx context.Context, a *attacker) error {
	var flows []net.Conn
	defer func() {
		for _, flow := range flows {
			_ = flow.Close() // the pod may have closed it
		}
	}()
	frame := append([]byte{0xff, 0xff}, make([]byte, 8000)...) // the beginning of the longest one (RFC 4571)
	for {
		if err := a.spend(ctx, len(frame)); err != nil {
			return err
		}
		flow, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(a.podAddress, strconv.Itoa(mediaPort)))
		if err != nil {
			return err
		}
		flows = append(flows, flow)
		if _, err := flow.Write(frame); err != nil {
			return err
		}
	}
}

func playSockets(ctx context.Context, a *attacker) error {
	admission, err := a.pod.Admit(ctx, attackRoom, false)
	if err != nil {
		return err
	}
	var sockets []*websocket.Conn
	defer func() {
		for _, socket := range sockets {
			_ = socket.CloseNow() // the pod may have closed it
		}
	}()
	target := admission.Endpoint + "/openvidu?sessionId=" + key(attackRoom)
	for {
		if err := a.spend(ctx, 4000); err != nil { // of the TLS handshake
			return err
		}
		//nolint:bodyclose // Dial says that its response never needs to be closed.
		socket, _, err := websocket.Dial(ctx, target, &websocket.DialOptions{HTTPClient: admission.HTTPClient, HTTPHeader: admission.Header})
		if err != nil {
			return err
		}
		sockets = append(sockets, socket)
	}
}

func playSignals(ctx context.Context, a *attacker) error {
	client, err := a.join(ctx, "")
	if err != nil {
		return err
	}
	defer client.Close()
	message := fmt.Sprintf(`{"to":[],"data":%q,"type":"signal:x"}`, strings.Repeat("x", 20000))
	for {
		if err := a.spend(ctx, len(message)); err != nil {
			return err
		}
		err := client.Call(ctx, "sendMessage", map[string]any{"message": message}, nil)
		if errors.Is(err, roomclient.ErrClosed) {
			return err
		}
	}
}

// measureAttacks prints what a call in another room of the pod notices of each attack, and of all
// at once.
func measureAttacks(ctx context.Context, o options) (err error) {
	b, err := newLaboratory(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	table := newTable("attack", "longest gap of another room's video", "lost", "memory, most", "cut off", "lines in the log")
	baseline := attack{"nobody attacks", func(ctx context.Context, _ *attacker) error { <-ctx.Done(); return ctx.Err() }}
	for _, what := range append([]attack{baseline}, attacks...) {
		if err := b.attack(ctx, table, what.name, what); err != nil {
			return fmt.Errorf("attacking by %s: %w", what.name, err)
		}
	}
	if err := b.attack(ctx, table, "all of them at once, each at 10 Mbps", attacks...); err != nil {
		return fmt.Errorf("attacking by all: %w", err)
	}
	return table.print(fmt.Sprintf("Attacks by one participant at 10 Mbps for %v, each on a pod of its own; who is cut off comes again.\n"+
		"Memory is what the pod has beyond what it had before. Wanted: no gap over 300 ms, at most 64 MiB, one line for each cut.", o.attack))
}

func (b *laboratory) attack(ctx context.Context, t *table, name string, attacks ...attack) error {
	progress("%s", name)
	var log *bytes.Buffer
	var row []string
	err := b.withPod(ctx, func(p *pod) error {
		log = &p.log
		media, err := b.media(nil)
		if err != nil {
			return err
		}
		call, err := start(ctx, loadtest.Setup{Target: p, Media: media, Load: loadtest.Load{
			Rooms: callRoom + 1, Publishers: 1, Subscribers: 1, Stream: video(packetsPerFrame),
		}})
		if err != nil {
			return err
		}
		defer call.Close()
		a := &attacker{laboratory: b, pod: p, media: media, begun: time.Now()}
		accomplice, err := a.join(ctx, "") // whose stream can be received
		if err != nil {
			return err
		}
		defer accomplice.Close()
		stream, err := accomplice.Publish(ctx, media, video(1))
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // the pod goes
		if err := pause(ctx, settleTime); err != nil {
			return err
		}
		before, err := p.takes(ctx)
		if err != nil {
			return err
		}
		call.Mark()
		a.begun = time.Now()
		var playing sync.WaitGroup
		for _, what := range attacks {
			one := &attacker{laboratory: b, pod: p, media: media, begun: time.Now()}
			playing.Go(func() {
				one.run(ctx, what, b.options.attack)
				a.cutOff.Add(one.cutOff.Load())
			})
		}
		most, err := b.mostMemory(ctx, p)
		playing.Wait()
		totals := call.Totals()
		row = []string{
			name, milliseconds(totals.Video.Longest), fmt.Sprintf("%.3f %%", totals.Video.LostAtFirst()*100),
			fmt.Sprintf("%.1f MiB", (most-before.resident)/(1<<20)), fmt.Sprint(a.cutOff.Load()),
		}
		return err
	})
	if err != nil {
		return err
	}
	lines := slices.Collect(strings.Lines(log.String()))
	t.row(append(row, fmt.Sprint(len(lines)))...)
	return nil
}

// mostMemory returns the most resident bytes that the pod has during an attack.
func (b *laboratory) mostMemory(ctx context.Context, p *pod) (float64, error) {
	most := 0.0
	for end := time.Now().Add(b.options.attack); time.Now().Before(end); {
		resident, err := residentBytes(p.process.Process.Pid)
		if err != nil {
			return 0, err
		}
		most = max(most, resident)
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return 0, err
		}
	}
	_, err := p.until(ctx, emptyTime, func(m cluster.Metrics) bool { return m["mediarooms_participants"] >= 2 })
	return most, err
}
