//go:build e2e

// Package e2e is the authority on what Mediarooms shows its users: every scenario with a real Kubernetes, a real kubectl and real browsers
// with the unmodified openvidu-browser. The cluster is up, with the operator installed, before it starts.
package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
)

// What all tests share. It is set once, by TestMain.
var (
	kube    *cluster.Cluster
	site    *browser.Site
	samples manifests
)

// browsers are the Chromium processes of the suite, by number. A participant has a process of its own, as on a machine of its
// own, so that no page is in the background of another. They start when they are first used.
var browsers struct {
	mu      sync.Mutex // guards started
	started []*browser.Browser
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := prepare(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		return 1
	}
	defer func() {
		browsers.mu.Lock()
		defer browsers.mu.Unlock()
		for _, b := range browsers.started {
			b.Close()
		}
		_ = site.Close() // nobody is left to be served
	}()
	return m.Run()
}

// prepare opens what the tests share, and waits until the installation works.
func prepare(ctx context.Context) error {
	var err error
	if kube, err = cluster.Open(); err != nil {
		return err
	}
	if site, err = browser.Serve(ctx); err != nil {
		return err
	}
	if samples, err = readSamples(ctx); err != nil {
		return err
	}
	if _, err := kube.KubectlInput(ctx, samples.pool, "apply", "-f", "-"); err != nil {
		return fmt.Errorf("applying the default pool: %w", err)
	}
	if err := cluster.Poll(ctx, 2*time.Minute, warm); err != nil {
		return fmt.Errorf("waiting for a warm media pod: %w", err)
	}
	if err := cluster.Poll(ctx, time.Minute, gatewayAnswers); err != nil {
		return fmt.Errorf("waiting for the gateway: %w", err)
	}
	return nil
}

// warm gives no error when the default pool has room for a Session on a pod that runs.
func warm() error {
	pool, err := kube.Pool(cluster.DefaultPool)
	if err != nil {
		return err
	}
	if err := cluster.Ready(pool, pool.Status.Conditions); err != nil {
		return err
	}
	if pool.Status.FreeSessions < 1 {
		return fmt.Errorf("pool %s has room for %d Sessions", pool.Name, pool.Status.FreeSessions)
	}
	return nil
}

// gatewayAnswers gives no error when there is any answer of HTTP: whatever passes connections on may be up before the gateway.
func gatewayAnswers() error {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get(kube.GatewayURL + "/")
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// chromium returns the browser with a number, and starts it when it is the first time.
func chromium(t *testing.T, number int) *browser.Browser {
	t.Helper()
	browsers.mu.Lock()
	defer browsers.mu.Unlock()
	for len(browsers.started) <= number {
		b, err := browser.Start()
		if err != nil {
			t.Fatal(err)
		}
		browsers.started = append(browsers.started, b)
	}
	return browsers.started[number]
}
