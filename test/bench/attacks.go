package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// What an attacker sends, from one address. Who is cut off comes again.
const (
	attackBytesPerSecond = 10e6 / 8
	attackAddress        = "198.19.255.1"
	attackRetry          = 200 * time.Millisecond
	handshakeBytes       = 4000 // of a TLS handshake, about
	largeMetadata        = 65000
	// Some in the room of who sends signals take a message in slowReaderPause.
	slowReaders     = 4
	slowReaderPause = time.Second
	// A pool has at most 500 connections of one pod (spec.capacity), and who does not read is in
	// its room for up to 20 s: until it has read nothing for 10 s, and does not come back for 10 s.
	deafPace = 55 * time.Millisecond
)

// attack is something that one participant does to all others of a pod.
type attack struct {
	name string
	// play does it until it is cut off, which it returns as errCutOff, or until the context ends.
	play func(ctx context.Context, a *attacker) error
}

var attacks = []attack{
	{"feedback on 65528 packets in 36 bytes (RTCP)", playFeedback},
	{"session descriptions with 40000 simulcast layers", playDescriptions},
	{"RTP packets with an SSRC each", playSSRCs},
	{"joins with 64 KB of metadata, and leaves", playMetadata},
	{"joins to a room full of metadata, without reading", playAnswers},
	{"ICE-TCP connections that say nothing", playTCP},
	{"sockets that join nothing", playSockets},
	{"messages whose end does not come", playUnfinished},
	{"signals of 20 KB to all, some of whom read slowly", playSignals},
}

// errCutOff marks what the pod has refused or ended.
var errCutOff = errors.New("the pod has cut it off")

// uplink is what attackers send over: attackBytesPerSecond in all.
type uplink struct {
	mu    sync.Mutex // guards what follows
	sent  float64    // bytes
	begun time.Time
}

// spend waits until bytes may be sent.
func (u *uplink) spend(ctx context.Context, bytes int) error {
	u.mu.Lock()
	if u.begun.IsZero() {
		u.begun = time.Now()
	}
	u.sent += float64(bytes)
	due := u.begun.Add(time.Duration(u.sent / attackBytesPerSecond * float64(time.Second)))
	u.mu.Unlock()
	return pause(ctx, time.Until(due))
}

// attacker is one participant, in a room of its own.
type attacker struct {
	*laboratory
	*uplink
	pod   *pod
	media *roomclient.Media
	room  int // not that of the call

	cutOff atomic.Int64
	failed atomic.Pointer[error] // what went wrong last for another reason
}

// run plays an attack for a time, again and again.
func (a *attacker) run(ctx context.Context, what attack, length time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	for ctx.Err() == nil {
		err := what.play(ctx, a)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errCutOff):
			a.cutOff.Add(1)
		default:
			a.failed.Store(&err)
		}
		_ = pause(ctx, attackRetry) // its end is seen above
	}
}

// admit lets the attacker into its room once more.
func (a *attacker) admit(ctx context.Context) (roomclient.Options, error) {
	admission, err := a.pod.Admit(ctx, a.room, false)
	if err == nil {
		admission.Header.Set(podhttp.HeaderAddress, attackAddress)
		admission.Notify = func(roomclient.Notification) {} // so that none is kept
	}
	return admission, err
}

// join enters the attacker's room.
func (a *attacker) join(ctx context.Context, metadata string) (*roomclient.Client, error) {
	admission, err := a.admit(ctx)
	if err != nil {
		return nil, err
	}
	return enter(ctx, admission, metadata)
}

// enter joins by an admission.
func enter(ctx context.Context, admission roomclient.Options, metadata string) (*roomclient.Client, error) {
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

// accomplice is in the attacker's room and sends a stream, which can be received.
func (a *attacker) accomplice(ctx context.Context) (leave func(), err error) {
	admission, err := a.pod.Admit(ctx, a.room, false)
	if err != nil {
		return nil, err
	}
	client, err := enter(ctx, admission, "")
	if err != nil {
		return nil, err
	}
	stream, err := client.Publish(ctx, a.media, video(1))
	if err != nil {
		client.Close()
		return nil, err
	}
	return func() {
		client.Close()
		_ = stream.Close() // the pod goes
	}, nil
}

// connections are what an attacker holds. Those that the pod ends are counted.
type connections struct {
	attacker *attacker
	reading  sync.WaitGroup
	closing  atomic.Bool
	closers  []func()
}

// hold reads what comes on a connection until that ends.
func (c *connections) hold(read func() error, closer func()) {
	c.closers = append(c.closers, closer)
	c.reading.Go(func() {
		for read() == nil {
			continue
		}
		if !c.closing.Load() {
			c.attacker.cutOff.Add(1)
		}
	})
}

// close ends all.
func (c *connections) close() {
	c.closing.Store(true)
	for _, closer := range c.closers {
		closer()
	}
	c.reading.Wait()
}

func playFeedback(ctx context.Context, a *attacker) error {
	admission, err := a.admit(ctx)
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
			return errCutOff
		default:
		}
		if err := s.WriteRTCP([]rtcp.Packet{&packet}); err != nil {
			return fmt.Errorf("%w: %w", errCutOff, err)
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
			return fmt.Errorf("%w: %w", errCutOff, err)
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
			return errCutOff
		default:
		}
		header := rtp.Header{Version: 2, PayloadType: 96, SSRC: ssrc, SequenceNumber: uint16(ssrc), Timestamp: ssrc}
		if err := p.WriteRTP(&header, make([]byte, 20)); err != nil {
			return fmt.Errorf("%w: %w", errCutOff, err)
		}
	}
}

func playMetadata(ctx context.Context, a *attacker) error {
	for {
		if err := a.spend(ctx, largeMetadata); err != nil {
			return err
		}
		client, err := a.join(ctx, strings.Repeat("x", largeMetadata))
		if refused := (&roomclient.Error{}); errors.As(err, &refused) {
			return fmt.Errorf("%w: %w", errCutOff, err)
		}
		if err != nil {
			return err
		}
		if err := client.Leave(ctx); err != nil {
			return err
		}
	}
}

// playAnswers fills the room with metadata, of which the answer to a join has all, and then joins
// without reading the answers.
func playAnswers(ctx context.Context, a *attacker) error {
	held := &connections{attacker: a}
	defer held.close()
	for filling := true; ; {
		metadata := ""
		if filling {
			metadata = strings.Repeat("x", largeMetadata)
		}
		if err := a.spend(ctx, handshakeBytes+len(metadata)); err != nil {
			return err
		}
		if !filling {
			if err := pause(ctx, deafPace); err != nil {
				return err
			}
		}
		admission, err := a.admit(ctx)
		if err != nil {
			return err
		}
		socket, err := dialSocket(ctx, a.room, admission)
		if err != nil {
			return err
		}
		join := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"joinRoom","params":{"token":%q,"session":%q,"metadata":%q}}`,
			admission.Token, key(a.room), metadata)
		if err := socket.Write(ctx, websocket.MessageText, []byte(join)); err != nil {
			_ = socket.CloseNow()
			return err
		}
		if filling {
			joined, err := answers(ctx, socket)
			if err != nil {
				_ = socket.CloseNow()
				return err
			}
			if filling = joined; !joined {
				a.cutOff.Add(1)
			}
		}
		if filling {
			held.hold(func() error { return discard(ctx, socket) }, func() { _ = socket.CloseNow() })
			continue
		}
		held.closers = append(held.closers, func() { _ = socket.CloseNow() })
	}
}

// answers reads the answer to a joinRoom, and reports whether it is no error.
func answers(ctx context.Context, socket *websocket.Conn) (bool, error) {
	_, message, err := socket.Reader(ctx)
	if err != nil {
		return false, err
	}
	beginning := make([]byte, 40)
	if _, err := io.ReadFull(message, beginning); err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, message)
	return !bytes.Contains(beginning, []byte(`"error"`)), err
}

// discard reads a message.
func discard(ctx context.Context, socket *websocket.Conn) error {
	_, message, err := socket.Reader(ctx)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, message)
	return err
}

// dialSocket opens a socket for a room on which nothing is said.
func dialSocket(ctx context.Context, room int, admission roomclient.Options) (*websocket.Conn, error) {
	target := admission.Endpoint + "/openvidu?sessionId=" + key(room)
	//nolint:bodyclose // Dial says that its response never needs to be closed.
	socket, _, err := websocket.Dial(ctx, target, &websocket.DialOptions{HTTPClient: admission.HTTPClient, HTTPHeader: admission.Header})
	if err != nil {
		return nil, err
	}
	socket.SetReadLimit(-1)
	return socket, nil
}

func playTCP(ctx context.Context, a *attacker) error {
	held := &connections{attacker: a}
	defer held.close()
	frame := slices.Concat([]byte{0x20, 0x00}, make([]byte, 8000)) // the beginning of the longest one (RFC 4571)
	for {
		if err := a.spend(ctx, len(frame)); err != nil {
			return err
		}
		flow, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(a.podAddress, strconv.Itoa(mediaPort)))
		if err != nil {
			return err
		}
		_, _ = flow.Write(frame) // the pod may have closed it
		held.hold(func() error {
			_, err := flow.Read(make([]byte, 1))
			return err
		}, func() { _ = flow.Close() })
	}
}

func playSockets(ctx context.Context, a *attacker) error {
	admission, err := a.admit(ctx)
	if err != nil {
		return err
	}
	held := &connections{attacker: a}
	defer held.close()
	for {
		if err := a.spend(ctx, handshakeBytes); err != nil {
			return err
		}
		socket, err := dialSocket(ctx, a.room, admission)
		if err != nil {
			return err
		}
		held.hold(func() error { return discard(ctx, socket) }, func() { _ = socket.CloseNow() })
	}
}

func playUnfinished(ctx context.Context, a *attacker) error {
	admission, err := a.admit(ctx)
	if err != nil {
		return err
	}
	held := &connections{attacker: a}
	defer held.close()
	beginning := bytes.Repeat([]byte{' '}, 1<<20-1) // of the longest one
	for {
		if err := a.spend(ctx, handshakeBytes+len(beginning)); err != nil {
			return err
		}
		socket, err := dialSocket(ctx, a.room, admission)
		if err != nil {
			return err
		}
		held.hold(func() error { return discard(ctx, socket) }, func() { _ = socket.CloseNow() })
		message, err := socket.Writer(ctx, websocket.MessageText)
		if err != nil {
			return err
		}
		if _, err := message.Write(beginning); err != nil {
			return err
		}
	}
}

func playSignals(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range slowReaders {
		admission, err := a.pod.Admit(ctx, a.room, false)
		if err != nil {
			return err
		}
		admission.Notify = func(roomclient.Notification) { _ = pause(ctx, slowReaderPause) }
		reader, err := enter(ctx, admission, "")
		if err != nil {
			return err
		}
		defer reader.Close()
	}
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
			return fmt.Errorf("%w: %w", errCutOff, err)
		}
	}
}
