//go:build e2e

package turn

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/mediapod"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// pod is a media pod in this process, and the operator's stream to it.
type pod struct {
	t       *testing.T
	uid     string
	control string // where the operator and other pods connect
	signals string // where the gateway does
	address netip.Addr
	port    int
	stream  controlv1.MediaPod_SyncClient
	said    chan *controlv1.PodMessage
	// stop tells the pod to go.
	stop context.CancelFunc
}

// runPod runs a media pod whose media is at an address of this process. Its ports follow from its
// number: nobody else is in this network namespace.
func runPod(t *testing.T, ca *mtlstest.Authority, address netip.Addr, number int) *pod {
	t.Helper()
	p := &pod{
		t: t, uid: fmt.Sprint("pod-", number), control: fmt.Sprint("127.0.0.1:900", number), signals: fmt.Sprint("127.0.0.1:901", number),
		address: address, port: 20_000 + number, said: make(chan *controlv1.PodMessage, 1024),
	}
	running, err := mediapod.New(logr.Discard(), mediapod.Config{
		ControlAddress: p.control, SignallingAddress: p.signals, MediaPort: p.port,
		HealthAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0",
		TLSDirectory: ca.Directory(t, mtls.MediaPod), PodUID: p.uid, Version: "test", Limits: signalling.DefaultLimits(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	ended := make(chan error)
	go func() { ended <- running.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%s ended with %v", p.uid, err)
		}
	})
	p.operate(ca)
	return p
}

// operate opens the control stream, as the operator does.
func (p *pod) operate(ca *mtlstest.Authority) {
	p.t.Helper()
	config, err := mtls.Client(ca.Directory(p.t, mtls.Manager), mtls.MediaPod)
	if err != nil {
		p.t.Fatal(err)
	}
	connection, err := grpc.NewClient("passthrough:///"+p.control, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = connection.Close() })
	if p.stream, err = controlv1.NewMediaPodClient(connection).Sync(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		for {
			message, err := p.stream.Recv()
			if err != nil {
				return
			}
			if message.GetRoom() == nil && message.GetStandby() == nil {
				continue
			}
			select {
			case p.said <- message:
			default: // the test waits for nothing that comes so late
			}
		}
	}()
	p.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Hello{Hello: &controlv1.OperatorHello{PodUid: p.uid}}})
	p.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Config{Config: &controlv1.PodConfig{
		Advertised: p.advertised(), ReconnectWindowSeconds: 10,
	}}})
	p.send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}})
}

func (p *pod) advertised() []*controlv1.TransportAddress {
	return []*controlv1.TransportAddress{{Ip: p.address.String(), UdpPort: int32(p.port), TcpPort: int32(p.port)}}
}

func (p *pod) send(message *controlv1.OperatorMessage) {
	p.t.Helper()
	if err := p.stream.Send(message); err != nil {
		p.t.Fatal(err)
	}
}

// says waits until the pod says something to the operator.
func (p *pod) says(what string, is func(*controlv1.PodMessage) bool) {
	p.t.Helper()
	timeout := time.After(3 * patience)
	for {
		select {
		case message := <-p.said:
			if is(message) {
				return
			}
		case <-timeout:
			p.t.Fatalf("%s does not say that %s", p.uid, what)
		}
	}
}

// becomes waits until the pod says how it stands as the standby of a room.
func (p *pod) becomes(room string, state controlv1.StandbyState) {
	p.t.Helper()
	p.says("it is "+state.String(), func(m *controlv1.PodMessage) bool {
		return m.GetStandby().GetUid() == room && m.GetStandby().GetState() == state
	})
}
