//go:build e2e

package mediapod

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/podhttp"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// rolePod is the variable by which a process is told to be a media pod: its configuration in JSON.
const rolePod = "MEDIAROOMS_TEST_POD"

// A process of a test's own is a media pod, and nothing else. No goroutine outlives its test.
func TestMain(m *testing.M) {
	if config := os.Getenv(rolePod); config != "" {
		if err := servePod(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// podPorts is what such a process says of itself, on one line.
type podPorts struct {
	Control, Signalling string
	Media               int32
}

// servePod runs a media pod until it is told to stop.
func servePod(text string) error {
	var config Config
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return err
	}
	logger := logr.Discard()
	if os.Getenv("MEDIAROOMS_TEST_LOG") != "" {
		logger = funcr.New(func(prefix, args string) {
			fmt.Fprintln(os.Stderr, time.Now().Format("05.000"), config.PodUID, prefix, args)
		}, funcr.Options{Verbosity: 1})
	}
	pod, err := New(logger, config)
	if err != nil {
		return err
	}
	ports := podPorts{
		pod.listeners.control.Addr().String(), pod.listeners.signalling.Addr().String(), int32(pod.engine.(interface{ UDPPort() uint16 }).UDPPort()),
	}
	if err := json.NewEncoder(os.Stdout).Encode(ports); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return pod.Run(ctx)
}

// podProcess is a media pod in a process of its own, with its operator.
type podProcess struct {
	podPorts

	t       *testing.T
	uid     string
	command *exec.Cmd
	gateway *http.Client
	stream  controlv1.MediaPod_SyncClient
	said    chan *controlv1.PodMessage
}

func startPod(t *testing.T, ca *mtlstest.Authority, uid string) *podProcess {
	t.Helper()
	config, err := json.Marshal(Config{
		ControlAddress: "127.0.0.1:0", SignallingAddress: "127.0.0.1:0", HealthAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0",
		TLSDirectory: ca.Directory(t, mtls.MediaPod), PodUID: uid, Version: "test", Limits: signalling.DefaultLimits(),
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &podProcess{t: t, uid: uid, command: exec.Command(os.Args[0]), said: make(chan *controlv1.PodMessage, 1024)}
	p.command.Env = append(os.Environ(), rolePod+"="+string(config))
	p.command.Stderr = os.Stderr
	output, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		_ = p.command.Wait()
	})
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &p.podPorts); err != nil {
		t.Fatal(err)
	}
	client, err := mtls.Client(ca.Directory(t, mtls.Gateway), mtls.MediaPod)
	if err != nil {
		t.Fatal(err)
	}
	p.gateway = &http.Client{Transport: &http.Transport{TLSClientConfig: client}}
	t.Cleanup(p.gateway.CloseIdleConnections)
	p.operate(ca)
	return p
}

// operate opens the control stream, on which the pod is told of no room.
func (p *podProcess) operate(ca *mtlstest.Authority) {
	p.t.Helper()
	config, err := mtls.Client(ca.Directory(p.t, mtls.Manager), mtls.MediaPod)
	if err != nil {
		p.t.Fatal(err)
	}
	connection, err := grpc.NewClient("passthrough:///"+p.Control, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = connection.Close() })
	if p.stream, err = controlv1.NewMediaPodClient(connection).Sync(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	p.send(
		&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Hello{Hello: &controlv1.OperatorHello{PodUid: p.uid}}},
		&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Config{Config: &controlv1.PodConfig{
			Advertised: p.advertised(), ReconnectWindowSeconds: 10,
		}}},
		&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}},
	)
	go func() {
		defer close(p.said)
		for {
			message, err := p.stream.Recv()
			if err != nil {
				return
			}
			p.said <- message
		}
	}()
}

func (p *podProcess) advertised() []*controlv1.TransportAddress {
	return []*controlv1.TransportAddress{{Ip: "127.0.0.1", UdpPort: p.Media, TcpPort: p.Media}}
}

func (p *podProcess) send(messages ...*controlv1.OperatorMessage) {
	p.t.Helper()
	for _, message := range messages {
		if err := p.stream.Send(message); err != nil {
			p.t.Fatal(err)
		}
	}
}

// until waits for a message of the pod.
func (p *podProcess) until(what string, is func(*controlv1.PodMessage) bool) *controlv1.PodMessage {
	p.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case message, open := <-p.said:
			if !open {
				p.t.Fatalf("waiting until %s: the control stream has ended", what)
			}
			if is(message) {
				return message
			}
		case <-timeout:
			p.t.Fatalf("waiting until %s: it took too long", what)
		}
	}
}

// becomes waits until the pod says how it stands as a standby.
func (p *podProcess) becomes(state controlv1.StandbyState) *controlv1.StandbyStatus {
	p.t.Helper()
	return p.until(state.String(), func(m *controlv1.PodMessage) bool {
		return m.GetStandby().GetUid() == "room-uid" && m.GetStandby().GetState() == state
	}).GetStandby()
}

// guarded gives the first pod the room, and has the second one be its standby.
func guarded(first, second *podProcess, names ...string) {
	guardedAs(desired(1, names...), first, second)
}

// guardedAs does so with the room as it is given.
func guardedAs(room *controlv1.OperatorMessage, first, second *podProcess) {
	secret := slices.Repeat([]byte{7}, 32)
	room.GetRoom().Standby = &controlv1.RoomStandby{PodUid: second.uid, Advertised: second.advertised(), Secret: secret}
	first.send(room)
	second.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Standby{Standby: &controlv1.Standby{
		Uid: "room-uid", PodUid: first.uid, Address: first.Control, Secret: secret,
	}}})
	second.becomes(controlv1.StandbyState_STANDBY_STATE_READY)
}

func (p *podProcess) join(name string, reconnect bool) *roomclient.Client {
	p.t.Helper()
	return p.dial(name, reconnect, http.Header{podhttp.HeaderAddress: {"192.0.2.7"}})
}

func (p *podProcess) dial(name string, reconnect bool, header http.Header) *roomclient.Client {
	p.t.Helper()
	client, err := roomclient.Dial(p.t.Context(), roomclient.Options{
		Token:      token.URL("ws://anything", "room", "tok_"+name),
		Endpoint:   "wss://" + p.Signalling,
		HTTPClient: p.gateway,
		Header:     header,
		Reconnect:  reconnect,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(client.Close)
	return client
}

// call is two members on the first pod, of whom one sends and the other receives.
type call struct {
	t                *testing.T
	sender, receiver *roomclient.Client
	published        *roomclient.Publisher
	received         *roomclient.Subscriber
	private          map[string]string // names by which members come back
}

func startCall(t *testing.T, on *podProcess) *call {
	t.Helper()
	media, err := roomclient.NewMedia(func(networkInterface string) bool { return networkInterface == "lo" })
	if err != nil {
		t.Fatal(err)
	}
	c := &call{t: t, sender: on.join("A", false), receiver: on.join("B", false)}
	joined, err := c.sender.Join(t.Context(), "client A")
	if err != nil {
		t.Fatal(err)
	}
	c.private = map[string]string{"A": joined.RPCSessionID}
	if c.published, err = c.sender.Publish(t.Context(), media, roomclient.Stream{VideoFrameRate: 30, Video: roomclient.Fixed(4, 1000), AudioPacketBytes: 80}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.published.Close() })
	if joined, err = c.receiver.Join(t.Context(), "client B"); err != nil {
		t.Fatal(err)
	}
	c.private["B"] = joined.RPCSessionID
	if c.received, err = c.receiver.Subscribe(t.Context(), media, c.published.StreamID); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.received.Close() })
	c.flows("the call begins")
	return c
}

// flows waits until more media comes.
func (c *call) flows(what string) {
	c.t.Helper()
	video, audio := c.received.VideoPackets()+60, c.received.AudioPackets()+20
	deadline := time.After(20 * time.Second)
	for c.received.VideoPackets() < video || c.received.AudioPackets() < audio {
		select {
		case <-deadline:
			c.t.Fatalf("%s: %d packets of video, %d of audio are missing", what, video-c.received.VideoPackets(), audio-c.received.AudioPackets())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// comeback gives the second pod the room, with those who were in it, and has the receiver come
// there: held by a gateway, and then by itself.
func (c *call) comeback(second *podProcess) {
	c.t.Helper()
	status := c.place(second)
	if b := status.GetConnections()[1]; b.GetState() != controlv1.ConnectionState_CONNECTION_STATE_ACTIVE || len(b.GetSubscribers()) != 1 {
		c.t.Errorf("B is %v", b)
	}
	if status.GetUdpMedia()+status.GetTcpMedia() != 2 {
		c.t.Errorf("the room has media %d, %d", status.GetUdpMedia(), status.GetTcpMedia())
	}
	held := second.dial("B", true, http.Header{podhttp.HeaderResume: {podhttp.Resumption{PrivateID: c.private["B"]}.Text()}})
	if err := held.Call(c.t.Context(), "echo", map[string]any{}, nil); err != nil {
		c.t.Errorf("B, who was held, is answered %v", err)
	}
	held.Close()
	again := c.resume(second, "B")
	c.flows("the receiver is back")
	for _, n := range again.Notifications() {
		if n.Method == "forciblyReconnectSubscriber" {
			c.t.Errorf("B is to receive anew: %s", n.Params)
		}
	}
}

// resume has a member come to a pod by itself.
func (c *call) resume(pod *podProcess, name string) *roomclient.Client {
	c.t.Helper()
	again := pod.join(name, true)
	var result map[string]any
	if err := again.Call(c.t.Context(), "connect", map[string]any{"sessionId": c.private[name], "reconnect": true}, &result); err != nil {
		c.t.Fatal(err)
	}
	return again
}

// place gives a pod the room, with those who were in it.
func (c *call) place(pod *podProcess) *controlv1.RoomStatus {
	c.t.Helper()
	pod.send(c.room())
	return pod.until("the room is there", func(m *controlv1.PodMessage) bool { return m.GetRoom().GetRevision() == 1 }).GetRoom()
}

// room is the room with those who are in it, for a pod that has not served it.
func (c *call) room() *controlv1.OperatorMessage {
	room := desired(1, "A", "B")
	stream := &controlv1.PublishedStream{
		StreamId: c.published.StreamID, CreatedUnixMs: time.Now().UnixMilli(), HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true,
		TypeOfVideo: "CAMERA", FrameRate: 30, VideoDimensions: `{"width":640,"height":480}`,
	}
	for i, connection := range room.GetRoom().GetConnections() {
		connection.Spent = true
		connection.Presence = &controlv1.Presence{ActiveUnixMs: time.Now().UnixMilli(), Ip: "192.0.2.7"}
		if i == 0 {
			connection.Presence.Publishers = []*controlv1.PublishedStream{stream}
		} else {
			connection.Presence.Subscribers = []string{stream.StreamId}
		}
	}
	return room
}

func TestACallOutlivesItsPod(t *testing.T) {
	for name, test := range map[string]struct {
		end   func(first *podProcess) error
		cause string
	}{
		"killed":     {func(first *podProcess) error { return first.command.Process.Kill() }, "ended"},
		"told to go": {func(first *podProcess) error { return first.command.Process.Signal(syscall.SIGTERM) }, "moved"},
		"frozen":     {func(first *podProcess) error { return first.command.Process.Signal(syscall.SIGSTOP) }, "silent"},
	} {
		t.Run(name, func(t *testing.T) {
			ca := mtlstest.NewAuthority(t)
			first, second := startPod(t, ca, "first"), startPod(t, ca, "second")
			guarded(first, second, "A", "B")
			c := startCall(t, first)
			c.received.Mark()
			if err := test.end(first); err != nil {
				t.Fatal(err)
			}
			ended := time.Now()
			status := second.becomes(controlv1.StandbyState_STANDBY_STATE_SERVING)
			if status.GetCause() != test.cause {
				t.Errorf("it was taken over since the pod has %q, want %q", status.GetCause(), test.cause)
			}
			c.flows("after the takeover")
			t.Logf("taken over %v after the end, media after %v, longest gap %v", time.UnixMilli(status.GetTakenOverUnixMs()).Sub(ended),
				time.Since(ended), c.received.Video())
			c.comeback(second)
			if name == "frozen" {
				c.wakes(first, ca)
			}
		})
	}
}

// The next standby protects who was there before the first takeover: their clients are told of it.
func TestACallOutlivesTwoPods(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second, third := startPod(t, ca, "first"), startPod(t, ca, "second"), startPod(t, ca, "third")
	guarded(first, second, "A", "B")
	c := startCall(t, first)
	end := func(pod, next *podProcess) {
		t.Helper()
		c.received.Mark()
		if err := pod.command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		next.becomes(controlv1.StandbyState_STANDBY_STATE_SERVING)
		c.flows("after the loss of " + pod.uid)
		t.Logf("longest gap at the loss of %s: %v", pod.uid, c.received.Video())
	}
	end(first, second)
	room := c.room()
	room.GetRoom().Revision = 2
	c.place(second)
	sender, receiver := c.resume(second, "A"), c.resume(second, "B")
	guardedAs(room, second, third)
	for _, peer := range []struct {
		client *roomclient.Client
		at     interface {
			AddCandidate(json.RawMessage) error
			Reaches(port int32) bool
		}
		endpoint string
	}{{sender, c.published, c.published.StreamID}, {receiver, c.received, "con_B_" + c.published.StreamID}} {
		said, err := peer.client.WaitNotification(t.Context(), "iceCandidate", nil)
		if err != nil {
			t.Fatal(err)
		}
		var names struct{ SenderConnectionID, EndpointName string }
		if err := json.Unmarshal(said.Params, &names); err != nil || names.SenderConnectionID != "con_A" || names.EndpointName != peer.endpoint {
			t.Errorf("the candidate is for %+v, %v", names, err)
		}
		if err := peer.at.AddCandidate(said.Params); err != nil {
			t.Fatal(err)
		}
		deadline := time.After(20 * time.Second)
		for !peer.at.Reaches(third.Media) {
			select {
			case <-deadline:
				t.Fatalf("%s does not reach the third pod", peer.endpoint)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	end(second, third)
}

// wakes has the first pod go on, which must send nothing any more, and let its clients go. The
// operator has a new stream to it by then, on which it does not name the room.
func (c *call) wakes(first *podProcess, ca *mtlstest.Authority) {
	c.t.Helper()
	again := *first
	again.said = make(chan *controlv1.PodMessage, cap(first.said))
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		again.operate(ca)
	}()
	if err := first.command.Process.Signal(syscall.SIGCONT); err != nil {
		c.t.Fatal(err)
	}
	<-opened
	select {
	case <-c.sender.Done():
	case <-time.After(20 * time.Second):
		c.t.Error("the first pod does not let its clients go")
	}
	c.flows("the first pod is awake")
	for _, n := range c.sender.Notifications() {
		if n.Method == "participantEvicted" || n.Method == "participantLeft" {
			c.t.Errorf("the first pod said %s %s", n.Method, n.Params)
		}
	}
}

// The operator moves a room: nobody has to wait for a lease.
func TestARoomMovesToItsStandby(t *testing.T) {
	ca := mtlstest.NewAuthority(t)
	first, second := startPod(t, ca, "first"), startPod(t, ca, "second")
	guarded(first, second, "A", "B")
	c := startCall(t, first)
	c.comeback(second)
	select {
	case <-c.receiver.Done():
	case <-time.After(20 * time.Second):
		t.Error("the first pod does not let its clients go")
	}
	_, err := roomclient.Dial(t.Context(), roomclient.Options{
		Token: token.URL("ws://anything", "room", "tok_B"), Endpoint: "wss://" + first.Signalling, HTTPClient: first.gateway, Reconnect: true,
	})
	if err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("the first pod lets a client in that comes back: %v", err)
	}
}
