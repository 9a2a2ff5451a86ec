package mediapod

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/podhttp"
	standbyv1 "mediarooms.dev/mediarooms/internal/standby/v1"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/mediapod/signalling"
	rules "mediarooms.dev/mediarooms/test/metrics"
)

// world is a media pod with its real media engine, listening on loopback, and what an operator and
// a gateway need to reach it.
type world struct {
	t       *testing.T
	pod     *Pod
	ca      *mtlstest.Authority
	stop    context.CancelFunc
	ended   chan error
	gateway *http.Client
	events  chan *controlv1.PodMessage
	stream  controlv1.MediaPod_SyncClient
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, ca: mtlstest.NewAuthority(t), ended: make(chan error, 1), events: make(chan *controlv1.PodMessage, 1024)}
	var err error
	w.pod, err = New(logr.Discard(), Config{
		ControlAddress: "127.0.0.1:0", SignallingAddress: "127.0.0.1:0", HealthAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0",
		TLSDirectory: w.ca.Directory(t, mtls.MediaPod), PodUID: "pod-uid", Version: "test", Limits: signalling.DefaultLimits(),
	})
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	go func() { w.ended <- w.pod.Run(ctx) }()
	t.Cleanup(func() {
		w.stop()
		if err := <-w.ended; err != nil {
			t.Errorf("the pod ended with %v", err)
		}
		w.ended <- nil
	})
	config, err := mtls.Client(w.ca.Directory(t, mtls.Gateway), mtls.MediaPod)
	if err != nil {
		t.Fatal(err)
	}
	w.gateway = &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	t.Cleanup(w.gateway.CloseIdleConnections)
	return w
}

// operate opens the control stream and gives the pod its configuration and one room.
func (w *world) operate(names ...string) {
	w.t.Helper()
	config, err := mtls.Client(w.ca.Directory(w.t, mtls.Manager), mtls.MediaPod)
	if err != nil {
		w.t.Fatal(err)
	}
	connection, err := grpc.NewClient("passthrough:///"+w.pod.listeners.control.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = connection.Close() })
	if w.stream, err = controlv1.NewMediaPodClient(connection).Sync(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	port := int32(w.mediaPort())
	w.send(
		&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Hello{Hello: &controlv1.OperatorHello{PodUid: "pod-uid"}}},
		&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Config{Config: &controlv1.PodConfig{
			Advertised: []*controlv1.TransportAddress{{Ip: "127.0.0.1", UdpPort: port, TcpPort: port}}, ReconnectWindowSeconds: 10,
		}}},
		desired(1, names...),
		&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}},
	)
	go func() {
		defer close(w.events)
		for {
			message, err := w.stream.Recv()
			if err != nil {
				return
			}
			w.events <- message
		}
	}()
	w.until("the room is applied", func(status *controlv1.RoomStatus) bool { return status.GetRevision() == 1 })
}

func (w *world) mediaPort() uint16 {
	return w.pod.engine.(interface{ UDPPort() uint16 }).UDPPort()
}

func (w *world) send(messages ...*controlv1.OperatorMessage) {
	w.t.Helper()
	for _, message := range messages {
		if err := w.stream.Send(message); err != nil {
			w.t.Fatal(err)
		}
	}
}

func desired(revision uint64, names ...string) *controlv1.OperatorMessage {
	room := &controlv1.Room{Uid: "room-uid", Revision: revision, Generation: 1, Key: "room", SessionId: "room"}
	for _, name := range names {
		digest := token.Digest("tok_" + name)
		room.Connections = append(room.Connections, &controlv1.Connection{
			Uid: "uid-" + name, Generation: 1, ConnectionId: "con_" + name, TokenSha256: digest[:], RpcSessionId: "rpc-" + name, Role: controlv1.Role_ROLE_PUBLISHER,
		})
	}
	return &controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Room{Room: room}}
}

// until waits for a state of the room, as the operator hears of it.
func (w *world) until(what string, reached func(*controlv1.RoomStatus) bool) {
	w.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case message, open := <-w.events:
			if !open {
				w.t.Fatalf("waiting until %s: the control stream has ended", what)
			}
			if message.GetRoom() != nil && reached(message.GetRoom()) {
				return
			}
		case <-timeout:
			w.t.Fatalf("waiting until %s: it took too long", what)
		}
	}
}

func (w *world) dial(name string) *roomclient.Client {
	w.t.Helper()
	client, err := roomclient.Dial(w.t.Context(), roomclient.Options{
		Token:      token.URL("ws://anything", "room", "tok_"+name),
		Endpoint:   "wss://" + w.pod.listeners.signalling.Addr().String(),
		HTTPClient: w.gateway,
		Header:     http.Header{podhttp.HeaderAddress: {"192.0.2.7"}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}

func (w *world) join(name string) (*roomclient.Client, *roomclient.Joined) {
	w.t.Helper()
	client := w.dial(name)
	joined, err := client.Join(w.t.Context(), "client "+name)
	if err != nil {
		w.t.Fatal(err)
	}
	return client, joined
}

// get returns the status and body of a page.
func get(t *testing.T, address, path string) (int, string) {
	t.Helper()
	answer, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestACallFromEndToEnd(t *testing.T) {
	w := newWorld(t)
	health := w.pod.listeners.health.Addr().String()
	if code, _ := get(t, health, "/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d", code)
	}
	if code, body := get(t, health, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("readyz without a configuration: %d %s", code, body)
	}
	w.operate("A", "B")
	if code, body := get(t, health, "/readyz"); code != http.StatusOK {
		t.Errorf("readyz: %d %s", code, body)
	}

	media, err := roomclient.NewMedia(func(networkInterface string) bool { return networkInterface == "lo" })
	if err != nil {
		t.Fatal(err)
	}
	a, _ := w.join("A")
	published, err := a.Publish(t.Context(), media, roomclient.Stream{VideoFrameRate: 30, Video: roomclient.Fixed(4, 1000), AudioPacketBytes: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer published.Close()
	b, joined := w.join("B")
	if len(joined.Value) != 1 || len(joined.Value[0].Streams) != 1 || joined.Value[0].Streams[0].ID != published.StreamID {
		t.Errorf("B found %+v", joined.Value)
	}
	received, err := b.Subscribe(t.Context(), media, published.StreamID)
	if err != nil {
		t.Fatal(err)
	}
	defer received.Close()
	deadline := time.After(20 * time.Second)
	for received.VideoPackets() < 20 || received.AudioPackets() < 20 {
		select {
		case <-deadline:
			t.Fatalf("B got %d packets of video, %d of audio", received.VideoPackets(), received.AudioPackets())
		case <-time.After(10 * time.Millisecond):
		}
	}
	w.until("A publishes and B receives", func(status *controlv1.RoomStatus) bool {
		a, b := status.GetConnections()[0], status.GetConnections()[1]
		return len(a.GetPublishers()) == 1 && a.GetIp() == "192.0.2.7" && a.GetClientData() == "client A" &&
			len(b.GetSubscribers()) == 1 && b.GetSubscribers()[0] == published.StreamID
	})
	_, metrics := get(t, w.pod.listeners.metrics.Addr().String(), "/metrics")
	rules.Check(t, metrics, "mediarooms_joins_total", "mediarooms_join_seconds", "mediarooms_media_connections")
	for _, line := range []string{
		`mediarooms_joins_total{code="0",protocol="openvidu"} 2`, "mediarooms_join_seconds_count 2", "mediarooms_rooms 1", "mediarooms_media_receive_buffer_bytes ", "mediarooms_participants 2", "mediarooms_publishers 1",
		"mediarooms_subscriptions 1", "mediarooms_sockets 2", "mediarooms_subscribing_connections 1", `mediarooms_requests_total{code="0",method="publishVideo",protocol="openvidu"} 1`,
		"go_goroutines", "process_open_fds", "mediarooms_forwarded_packets_total",
	} {
		if !strings.Contains(metrics, "\n"+line) {
			t.Errorf("no metric %s", line)
		}
	}

	w.send(desired(2, "B")) // A's connection is deleted
	evicted, err := a.WaitNotification(t.Context(), "participantEvicted", nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(evicted.Params) != `{"connectionId":"con_A","reason":"forceDisconnectByServer"}` {
		t.Errorf("A was told %s", evicted.Params)
	}
	if _, err := b.WaitNotification(t.Context(), "participantLeft", func(params json.RawMessage) bool {
		return string(params) == `{"connectionId":"con_A","reason":"forceDisconnectByServer"}`
	}); err != nil {
		t.Error(err)
	}
	w.until("A is gone", func(status *controlv1.RoomStatus) bool {
		return status.GetRevision() == 2 && len(status.GetConnections()) == 1
	})
	_, metrics = get(t, w.pod.listeners.metrics.Addr().String(), "/metrics")
	for _, line := range []string{
		`mediarooms_participants_left_total{cause="ForceDisconnected",reason="forceDisconnectByServer"} 1`,
		`mediarooms_participants_left_total{cause="ClientDisconnected",reason="disconnect"} 0`,
		`mediarooms_participants_left_total{cause="NetworkDisconnected",reason="networkDisconnect"} 0`,
	} {
		if !strings.Contains(metrics, "\n"+line) {
			t.Errorf("no metric %s", line)
		}
	}
	var refused *roomclient.Error
	if _, err := w.dial("A").Join(t.Context(), ""); !errors.As(err, &refused) || refused.Code != 401 {
		t.Errorf("joining with a used token: %v", err)
	}

	// SIGTERM: users lose their sockets, and nobody has left.
	w.stop()
	if _, err := b.WaitNotification(t.Context(), "participantEvicted", nil); err == nil {
		t.Error("B is out")
	}
}

func TestOnlyTheRightPartsGetIn(t *testing.T) {
	w := newWorld(t)
	signalling, control := w.pod.listeners.signalling.Addr().String(), w.pod.listeners.control.Addr().String()
	for part, address := range map[string]string{mtls.Manager: signalling, mtls.Gateway: control, mtls.MediaPod: signalling} {
		config, err := mtls.Client(w.ca.Directory(t, part), mtls.MediaPod)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 5 * time.Second}
		if answer, err := client.Get("https://" + address + podhttp.OpenViduPath); err == nil {
			_ = answer.Body.Close()
			t.Errorf("%s got in at %s: %s", part, address, answer.Status)
		}
		client.CloseIdleConnections()
	}
	if answer, err := w.gateway.Get("https://" + signalling + "/other"); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("another path: %v, %v", answer, err)
	} else {
		_ = answer.Body.Close()
	}
}

// The operator and other media pods share the control port, and nothing else.
func TestEachPartUsesItsOwnServiceOnly(t *testing.T) {
	w := newWorld(t)
	for _, part := range []string{mtls.Manager, mtls.MediaPod} {
		config, err := mtls.Client(w.ca.Directory(t, part), mtls.MediaPod)
		if err != nil {
			t.Fatal(err)
		}
		connection, err := grpc.NewClient("passthrough:///"+w.pod.listeners.control.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
		if err != nil {
			t.Fatal(err)
		}
		control, err := controlv1.NewMediaPodClient(connection).Sync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		follow, err := standbyv1.NewStandbyClient(connection).Follow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// Who may call is answered by what it has said; who may not, before that.
		_ = control.Send(&controlv1.OperatorMessage{})
		_, err = control.Recv()
		if refused := status.Code(err) == codes.PermissionDenied; refused != (part == mtls.MediaPod) {
			t.Errorf("%s, as the operator: %v", part, err)
		}
		_ = follow.Send(&standbyv1.StandbyMessage{Message: &standbyv1.StandbyMessage_Want{Want: &standbyv1.Want{Uid: "room"}}})
		_, err = follow.Recv()
		if refused := status.Code(err) == codes.PermissionDenied; refused != (part == mtls.Manager) {
			t.Errorf("%s, as a standby: %v", part, err)
		}
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAPodWithoutCertificatesDoesNotStart(t *testing.T) {
	if _, err := New(logr.Discard(), Config{TLSDirectory: t.TempDir()}); err == nil {
		t.Error("it started")
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	w := newWorld(t)
	taken := w.pod.listeners.health.Addr().String()
	_, err := New(logr.Discard(), Config{
		ControlAddress: "127.0.0.1:0", SignallingAddress: "127.0.0.1:0", HealthAddress: taken, MetricsAddress: "127.0.0.1:0",
		TLSDirectory: w.ca.Directory(t, mtls.MediaPod),
	})
	if err == nil || !strings.Contains(err.Error(), "listening for health checks") {
		t.Errorf("got %v", err)
	}
}
