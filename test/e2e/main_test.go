//go:build e2e

// Package e2e is the authority on what Mediarooms shows its users: every scenario with a real Kubernetes, a real kubectl and real browsers
// with the unmodified openvidu-browser. The cluster is up, with the operator installed, before it starts.
package e2e

import (
	"context"
	"flag"
	"fmt"
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
	samples cluster.Samples
)

// browsers are the browsers of the suite, by number. A participant has a process of its own, as on a machine of its
// own, so that no page is in the background of another. They start when they are first used.
var browsers struct {
	mu        sync.Mutex // guards what follows
	started   []*browser.Browser
	firefoxes []*browser.Firefox
}

// atOnce is how many of the tests that say t.Parallel run at the same time, however few processors there are: they wait most of the time.
const atOnce = "3"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		os.Exit(1)
	}
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
		for _, f := range browsers.firefoxes {
			f.Close()
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
	samples, err = kube.Prepare(ctx)
	return err
}

// opener is a browser: it opens pages for participants.
type opener interface {
	OpenParticipant(t testing.TB, site *browser.Site, name string) *browser.Participant
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

// firefox is chromium for Firefox.
func firefox(t *testing.T, number int) *browser.Firefox {
	t.Helper()
	browsers.mu.Lock()
	defer browsers.mu.Unlock()
	for len(browsers.firefoxes) <= number {
		f, err := browser.StartFirefox()
		if err != nil {
			t.Fatal(err)
		}
		browsers.firefoxes = append(browsers.firefoxes, f)
	}
	return browsers.firefoxes[number]
}
