//go:build e2e

// Package nodeclient is the authority on the unmodified openvidu-node-client 2.32.2: what its promises resolve to against the gateway of a real cluster,
// with real browsers in the rooms. Every scenario runs twice: in Node, and in a page of another origin, where the package is bundled.
package nodeclient

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
)

// What all tests share. It is set once, by TestMain.
var (
	kube     *cluster.Cluster
	chromium *browser.Browser
	// site is where participants are.
	site *browser.Site
)

// parallel is how many scenarios run at once: they mostly wait.
const parallel = "8"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := prepare(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "nodeclient: %v\n", err)
		return 1
	}
	defer chromium.Close()
	defer func() { _ = site.Close() }() // nobody is left to be served
	return m.Run()
}

func prepare(ctx context.Context) error {
	var err error
	if kube, err = cluster.Open(); err != nil {
		return err
	}
	if _, err = kube.Prepare(ctx); err != nil {
		return err
	}
	if err = browser.InstallPackages(ctx, folder); err != nil {
		return err
	}
	if site, err = browser.Serve(ctx); err != nil {
		return err
	}
	chromium, err = browser.Start()
	return err
}
