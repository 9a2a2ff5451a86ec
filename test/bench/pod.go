package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/test/cluster"
)

// Ports of the media pod, as on a cluster; it has a network namespace for itself.
const (
	controlPort    = 7443
	signallingPort = 7444
	metricsPort    = 8080
	healthPort     = 8081
	mediaPort      = 31000
)

// sessionKey is the routing key of the room.
const sessionKey = "measured"

// pod is the real media pod process. This program is its operator and its gateway, over the real protocols.
type pod struct {
	process *exec.Cmd
	log     bytes.Buffer // of the process; read it after the process has ended
	root    string       // folder with a folder of certificates per part
	control *grpc.ClientConn
	gateway *http.Client
}

// buildPod builds the media pod's program into a folder.
func buildPod(ctx context.Context, folder string) (string, error) {
	program := filepath.Join(folder, "mediapod")
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./cmd/mediapod")
	command.Dir = cluster.Root()
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the media pod: %w\n%s", err, output)
	}
	return program, nil
}

// startPod starts the program in the namespace, with a room for as many connections, and waits until it hosts the room.
func startPod(ctx context.Context, l *link, program, folder string, connections int) (_ *pod, err error) {
	p := &pod{root: filepath.Join(folder, "identities")}
	if err := writeIdentities(p.root, mtls.Manager, mtls.Gateway, mtls.MediaPod); err != nil {
		return nil, err
	}
	p.process = l.command(ctx, program,
		fmt.Sprintf("--control-address=:%d", controlPort),
		fmt.Sprintf("--signalling-address=:%d", signallingPort),
		fmt.Sprintf("--health-address=:%d", healthPort),
		fmt.Sprintf("--metrics-address=:%d", metricsPort),
		fmt.Sprintf("--media-port=%d", mediaPort),
		"--tls-directory="+filepath.Join(p.root, mtls.MediaPod))
	p.process.Env = append(os.Environ(), "POD_UID=measured-pod", "POD_NAME=measured-pod", "POD_IP="+podAddress)
	p.process.Stdout, p.process.Stderr = &p.log, &p.log
	if err := p.process.Start(); err != nil {
		return nil, fmt.Errorf("starting the media pod: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(), fmt.Errorf("the media pod's log:\n%s", p.log.Bytes()))
		}
	}()
	if err := cluster.Poll(ctx, 20*time.Second, func() error { return p.get(ctx, healthPort, "/healthz", io.Discard) }); err != nil {
		return nil, fmt.Errorf("waiting for the media pod: %w", err)
	}
	config, err := mtls.Client(filepath.Join(p.root, mtls.Gateway), mtls.MediaPod)
	if err != nil {
		return nil, err
	}
	p.gateway = &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	if err := p.operate(ctx, connections); err != nil {
		return nil, fmt.Errorf("operating the media pod: %w", err)
	}
	return p, nil
}

// close ends the process and waits for it.
func (p *pod) close() error {
	if p.control != nil {
		if err := p.control.Close(); err != nil {
			return err
		}
	}
	if err := p.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending the media pod: %w", err)
	}
	_ = p.process.Wait() // it was killed
	return nil
}

// operate opens the control stream and programs the room; the stream stays open until the pod is closed.
func (p *pod) operate(ctx context.Context, connections int) error {
	config, err := mtls.Client(filepath.Join(p.root, mtls.Manager), mtls.MediaPod)
	if err != nil {
		return err
	}
	if p.control, err = grpc.NewClient(fmt.Sprintf("%s:%d", podAddress, controlPort),
		grpc.WithTransportCredentials(credentials.NewTLS(config))); err != nil {
		return err
	}
	stream, err := controlv1.NewMediaPodClient(p.control).Sync(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	room := &controlv1.Room{Uid: "measured-room", Revision: 1, Generation: 1, Key: sessionKey, SessionId: sessionKey}
	for i := range connections {
		digest := token.Digest(secret(i))
		room.Connections = append(room.Connections, &controlv1.Connection{
			Uid: fmt.Sprintf("connection-%d", i), Generation: 1, ConnectionId: fmt.Sprintf("con_Measured%d", i),
			TokenSha256: digest[:], RpcSessionId: fmt.Sprintf("rpc-session-%d", i), Role: controlv1.Role_ROLE_PUBLISHER,
		})
	}
	for _, message := range []*controlv1.OperatorMessage{
		{Message: &controlv1.OperatorMessage_Hello{Hello: &controlv1.OperatorHello{Version: "measurement", PodUid: "measured-pod"}}},
		{Message: &controlv1.OperatorMessage_Config{Config: &controlv1.PodConfig{
			Advertised:             []*controlv1.TransportAddress{{Ip: podAddress, UdpPort: mediaPort, TcpPort: mediaPort}},
			ReconnectWindowSeconds: 10,
		}}},
		{Message: &controlv1.OperatorMessage_Room{Room: room}},
		{Message: &controlv1.OperatorMessage_SnapshotEnd{SnapshotEnd: &controlv1.SnapshotEnd{}}},
	} {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	applied := make(chan error, 1)
	go func() {
		for {
			message, err := stream.Recv()
			if err != nil {
				select {
				case applied <- err:
				default: // the room was applied long ago; the pod has ended
				}
				return
			}
			if status := message.GetRoom(); status.GetRevision() == room.GetRevision() {
				select {
				case applied <- nil:
				default:
				}
			}
		}
	}()
	select {
	case err := <-applied:
		return err
	case <-time.After(10 * time.Second):
		return errors.New("waiting for the room: not applied after 10 s")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// secret is the token of the connection with a number.
func secret(number int) string {
	return fmt.Sprintf("tok_Measured%016d", number)
}

// join opens a socket as the gateway does for a client with an address of its own, and joins the room.
func (p *pod) join(ctx context.Context, number int) (*roomclient.Client, error) {
	client, err := roomclient.Dial(ctx, roomclient.Options{
		Token:      token.URL("ws://measured", sessionKey, secret(number)),
		Endpoint:   fmt.Sprintf("wss://%s:%d", podAddress, signallingPort),
		HTTPClient: p.gateway,
		Header:     http.Header{"X-Real-Ip": {fmt.Sprintf("198.19.%d.%d", number/256, number%256)}},
	})
	if err != nil {
		return nil, err
	}
	if _, err := client.Join(ctx, fmt.Sprintf("client %d", number)); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// metrics are what the pod says of itself.
func (p *pod) metrics(ctx context.Context) (cluster.Metrics, error) {
	var body bytes.Buffer
	if err := p.get(ctx, metricsPort, "/metrics", &body); err != nil {
		return nil, err
	}
	return cluster.ParseMetrics(body.Bytes())
}

func (p *pod) get(ctx context.Context, port int, path string, to io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d%s", podAddress, port, path), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("getting %s: status %d", path, answer.StatusCode)
	}
	_, err = io.Copy(to, answer.Body)
	return err
}
