//go:build e2e

// Package e2e is the authority on what Mediarooms shows its users: every scenario with a real
// Kubernetes, a real kubectl and real browsers with the unmodified openvidu-browser. The cluster is
// up, with the operator installed, before it starts.
package e2e

import (
	"context"
	"os"
	"sync"
	"testing"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
)

// What all tests share. It is set once, by prepare.
var (
	kube    *cluster.Cluster
	site    *browser.Site
	samples cluster.Samples
)

// browsers are the browsers of the suite, by number. A participant has a process of its own, as on
// a machine of its own, so that no page is in the background of another. They start when they are
// first used.
var browsers struct {
	mu        sync.Mutex // guards what follows
	started   []*browser.Browser
	firefoxes []*browser.Firefox
}

func TestMain(m *testing.M) {
	os.Exit(cluster.Suite{Name: "e2e", Parallel: 3, Prepare: prepare, End: end}.Run(m))
}

func prepare(ctx context.Context, c *cluster.Cluster, s cluster.Samples) (err error) {
	kube, samples = c, s
	site, err = browser.Serve(ctx)
	return err
}

func end() error {
	browsers.mu.Lock()
	defer browsers.mu.Unlock()
	for _, b := range browsers.started {
		b.Close()
	}
	for _, f := range browsers.firefoxes {
		f.Close()
	}
	_ = site.Close() // nobody is left to be served
	return nil
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
