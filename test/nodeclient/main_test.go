//go:build e2e

// Package nodeclient is the authority on the unmodified openvidu-node-client 2.32.2: what its
// promises resolve to against the gateway of a real cluster, with real browsers in the rooms. Every
// scenario runs twice: in Node, and in a page of another origin, where the package is bundled.
package nodeclient

import (
	"context"
	"os"
	"testing"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
)

// What all tests share. It is set once, by prepare.
var (
	kube     *cluster.Cluster
	chromium *browser.Browser
	// site is where participants are.
	site *browser.Site
)

func TestMain(m *testing.M) {
	os.Exit(cluster.Suite{Name: "nodeclient", Parallel: 8, Prepare: prepare, End: end}.Run(m))
}

func prepare(ctx context.Context, c *cluster.Cluster, _ cluster.Samples) (err error) {
	kube = c
	if err = browser.InstallPackages(ctx, folder); err != nil {
		return err
	}
	if site, err = browser.Serve(ctx); err != nil {
		return err
	}
	chromium, err = browser.Start()
	return err
}

func end() error {
	chromium.Close()
	_ = site.Close() // nobody is left to be served
	return nil
}
