package plugin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/mediapod"
	"mediarooms.dev/mediarooms/mediapod/signalling"
	"mediarooms.dev/mediarooms/plugin/doctor"
	"mediarooms.dev/mediarooms/test/operatortest"
)

// caller is an installation on loopback, as far as a test call needs one: a real media pod, and
// this test as its operator. Clients go straight to the pod, with the certificate of a gateway.
type caller struct {
	*world
	ports    [3]int // control, signalling, media
	gateway  *http.Client
	stream   controlv1.MediaPod_SyncClient
	room     *controlv1.Room
	mu       sync.Mutex // guards applied
	applied  uint64
	admitted []string
}

func newCaller(t *testing.T) *caller {
	t.Helper()
	c := &caller{world: newWorld(t)}
	c.now = time.Now
	authority := mtlstest.NewAuthority(t)
	c.startPod(authority.Directory(t, mtls.MediaPod))
	config, err := mtls.Client(authority.Directory(t, mtls.Gateway), mtls.MediaPod)
	if err != nil {
		t.Fatal(err)
	}
	c.gateway = &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	t.Cleanup(c.gateway.CloseIdleConnections)
	c.operate(authority.Directory(t, mtls.Manager))
	return c
}

// startPod starts the pod at ports that are free. Somebody else may take one before the pod has it;
// then there are others.
func (c *caller) startPod(identity string) {
	c.Helper()
	var failure error
	for range 10 {
		for i := range c.ports {
			c.ports[i] = c.freePort()
		}
		var pod *mediapod.Pod
		pod, failure = mediapod.New(logr.Discard(), mediapod.Config{
			ControlAddress: c.at(0), SignallingAddress: c.at(1), HealthAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0", MediaPort: c.ports[2],
			TLSDirectory: identity, PodUID: "pod-uid", Version: "test", Limits: signalling.DefaultLimits(),
		})
		if failure == nil {
			operatortest.InBackground(c.T, pod.Run)
			return
		}
	}
	c.Fatal(failure)
}

func (c *caller) at(port int) string { return fmt.Sprintf("127.0.0.1:%d", c.ports[port]) }

func (c *caller) freePort() int {
	c.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// operate configures the pod, and then does with Connections what the operator does.
func (c *caller) operate(identity string) {
	c.Helper()
	config, err := mtls.Client(identity, mtls.MediaPod)
	if err != nil {
		c.Fatal(err)
	}
	connection, err := grpc.NewClient("passthrough:///"+c.at(0), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = connection.Close() })
	if c.stream, err = controlv1.NewMediaPodClient(connection).Sync(context.WithoutCancel(c.Context())); err != nil {
		c.Fatal(err)
	}
	port := int32(c.ports[2])
	for _, message := range []*controlv1.OperatorMessage{
		{Message: &controlv1.OperatorMessage_Hello{Hello: &controlv1.OperatorHello{PodUid: "pod-uid"}}},
		{Message: &controlv1.OperatorMessage_Config{Config: &controlv1.PodConfig{
			Advertised: []*controlv1.TransportAddress{{Ip: "127.0.0.1", UdpPort: port, TcpPort: port}}, ReconnectWindowSeconds: 10,
		}}},
		{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}},
	} {
		if err := c.stream.Send(message); err != nil {
			c.Fatal(err)
		}
	}
	go c.receive()
	operatortest.InBackground(c.T, c.reconcile)
}

// receive takes what the pod says, until the stream ends.
func (c *caller) receive() {
	for {
		message, err := c.stream.Recv()
		if err != nil {
			return
		}
		if status := message.GetRoom(); status != nil {
			c.mu.Lock()
			c.applied = max(c.applied, status.GetRevision())
			c.mu.Unlock()
		}
	}
}

// reconcile lets Connections in, until the context ends.
func (c *caller) reconcile(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		var all v1alpha1.ConnectionList
		if err := c.List(ctx, &all, client.InNamespace(c.tenant)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		for i := range all.Items {
			if err := c.admit(ctx, &all.Items[i]); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
}

// admit tells the pod of a Connection, and then the Connection that it is admitted.
func (c *caller) admit(ctx context.Context, connection *v1alpha1.Connection) error {
	if connection.Status.Token != "" {
		return nil
	}
	name, secret := connection.Name, "tok_"+connection.Name
	if !slices.Contains(c.admitted, name) {
		if c.room == nil {
			c.room = &controlv1.Room{Uid: "room-uid", Generation: 1, Key: "room", SessionId: "room"}
		}
		digest := token.Digest(secret)
		c.room.Connections = append(c.room.Connections, &controlv1.Connection{
			Uid: "uid-" + name, Generation: 1, ConnectionId: "con_" + name, TokenSha256: digest[:], RpcSessionId: "rpc-" + name, Role: controlv1.Role_ROLE_PUBLISHER,
		})
		c.room.Revision++
		if err := c.stream.Send(&controlv1.OperatorMessage{Message: &controlv1.OperatorMessage_Room{Room: c.room}}); err != nil {
			return err
		}
		c.admitted = append(c.admitted, name)
	}
	c.mu.Lock()
	applied := c.applied
	c.mu.Unlock()
	if applied < c.room.GetRevision() {
		return nil
	}
	connection.Status.Token = token.URL("wss://"+c.at(1), "room", secret)
	connection.Status.Conditions = ready(v1alpha1.ReasonReady)
	return c.Status().Update(ctx, connection)
}

// called examines the installation with a call, and returns what was found of that.
func (c *caller) called(http *http.Client) doctor.Finding {
	c.Helper()
	report := doctor.Examine(c.Context(), doctor.Installation{
		Objects: c, Config: testCluster, SystemNamespace: c.system, Namespace: c.tenant, HTTP: http,
		Call: &doctor.Call{Duration: doctor.MinCallDuration, Interface: "lo"},
	}, nil)
	var left v1alpha1.SessionList
	if err := c.List(c.Context(), &left, client.InNamespace(c.tenant)); err != nil {
		c.Fatal(err)
	}
	for i := range left.Items {
		c.Errorf("room %s was left", left.Items[i].Name)
	}
	return report.Findings[len(report.Findings)-1]
}

func TestDoctorMakesACall(t *testing.T) {
	c := newCaller(t)
	found := c.called(c.gateway)
	if found.Check != "test call" || found.Verdict == doctor.Problem || !strings.HasPrefix(found.Text, "media goes over UDP") {
		t.Errorf("it found %+v", found)
	}
	if len(c.admitted) != 2 {
		t.Errorf("%d people were admitted, want 2", len(c.admitted))
	}
}

func TestDoctorMakesACallThatFails(t *testing.T) {
	c := newCaller(t)
	// A client that trusts nobody, so that its sockets do not open.
	strange := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
	defer strange.CloseIdleConnections()
	if found := c.called(strange); found.Verdict != doctor.Problem || !strings.HasPrefix(found.Text, "joining did not work: ") || found.Remedy == "" {
		t.Errorf("it found %+v", found)
	}
}
