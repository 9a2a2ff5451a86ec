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

	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// Ports of the media pod, as on a cluster; it has a network namespace for itself.
const (
	controlPort    = 7443
	signallingPort = 7444
	metricsPort    = 8080
	healthPort     = 8081
	mediaPort      = 31000
)

// pod is the real media pod process. This program is its operator and its gateway, over the real
// protocols.
type pod struct {
	*operator
	address string
	process *exec.Cmd
	log     bytes.Buffer // of the process; read it after the process has ended
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

// startPod starts the program in the namespace and waits until it has a configuration.
func startPod(ctx context.Context, l *link, program, folder string) (_ *pod, err error) {
	p := &pod{address: l.podAddress}
	root := filepath.Join(folder, "identities") // a folder of certificates for each part
	authority, err := mtlstest.New()
	if err != nil {
		return nil, err
	}
	for _, part := range []string{mtls.Manager, mtls.Gateway, mtls.MediaPod} {
		if err := authority.Issue(filepath.Join(root, part), part); err != nil {
			return nil, err
		}
	}
	p.process = l.command(ctx, program,
		fmt.Sprintf("--control-address=:%d", controlPort),
		fmt.Sprintf("--signalling-address=:%d", signallingPort),
		fmt.Sprintf("--health-address=:%d", healthPort),
		fmt.Sprintf("--metrics-address=:%d", metricsPort),
		fmt.Sprintf("--media-port=%d", mediaPort),
		"--tls-directory="+filepath.Join(root, mtls.MediaPod))
	p.process.Env = append(os.Environ(), "POD_UID=measured-pod", "POD_NAME=measured-pod")
	p.process.Stdout, p.process.Stderr = &p.log, &p.log
	if err := p.process.Start(); err != nil {
		return nil, fmt.Errorf("starting the media pod: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(), fmt.Errorf("the media pod's log:\n%s", p.log.Bytes()))
		}
	}()
	if err := wait.Poll(ctx, 20*time.Second, func() error { return p.get(ctx, healthPort, "/healthz", io.Discard) }); err != nil {
		return nil, fmt.Errorf("waiting for the media pod: %w", err)
	}
	config, err := mtls.Client(filepath.Join(root, mtls.Gateway), mtls.MediaPod)
	if err != nil {
		return nil, err
	}
	p.gateway = &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	if p.operator, err = operate(ctx, p.address, root, p.gateway); err != nil {
		return nil, fmt.Errorf("operating the media pod: %w", err)
	}
	return p, nil
}

// close ends the process and waits for it.
func (p *pod) close() error {
	if p.operator != nil {
		if err := p.operator.close(); err != nil {
			return err
		}
	}
	if err := p.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending the media pod: %w", err)
	}
	_ = p.process.Wait() // it was killed
	return nil
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
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d%s", p.address, port, path), nil)
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
