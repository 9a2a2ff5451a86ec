package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mediarooms.dev/mediarooms/hack/cluster/assets"
	"mediarooms.dev/mediarooms/hack/cluster/controlplane"
	"mediarooms.dev/mediarooms/hack/cluster/forward"
	"mediarooms.dev/mediarooms/hack/cluster/instance"
	"mediarooms.dev/mediarooms/hack/cluster/node"

	"net"
)

// forwarder is the component that listens on localhost for the gateway, and
// the command that it runs.
const forwarder = "forward"

// state is what "status -o json" prints.
type state struct {
	// Running is true when every component runs.
	Running    bool             `json:"running"`
	Components []componentState `json:"components"`
	// Info is absent when the instance has never been up.
	Info *instance.Info `json:"info,omitempty"`
}

type componentState struct {
	Name string `json:"name"`
	// PID is 0 when the component does not run.
	PID int    `json:"pid"`
	Log string `json:"log"`
}

// status says what runs. It is an error when something does not.
func status(_ context.Context, c *cluster, _ []string) error {
	running, err := c.running()
	if err != nil {
		return err
	}
	s := state{Running: true}
	add := func(name, log string) {
		f, ok := running[name]
		s.Running = s.Running && ok
		s.Components = append(s.Components, componentState{Name: name, PID: f.PID, Log: c.Path("log", log+".log")})
	}
	for _, name := range controlplane.Components {
		add(name, name)
	}
	for _, n := range c.Nodes() {
		add(n.Name, n.Name)
		for _, component := range nodeComponents {
			add(n.Name+"/"+component, n.Name+"-"+component)
		}
	}
	add(forwarder, forwarder)
	if info, err := c.readInfo(); err == nil {
		s.Info = &info
	}
	if c.flags.output == "json" {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(s)
	}
	for _, component := range s.Components {
		word := "runs"
		if component.PID == 0 {
			word = "-"
		}
		fmt.Printf("%-26s %-5s %7d  %s\n", component.Name, word, component.PID, component.Log)
	}
	if !s.Running {
		return errors.New("not everything runs")
	}
	return nil
}

func printInfoPath(_ context.Context, c *cluster, _ []string) error {
	fmt.Println(c.InfoPath())
	return nil
}

// printAssets keeps its output to the one path, for use in scripts; progress goes
// to the error output.
func printAssets(ctx context.Context, _ *cluster, _ []string) error {
	root, err := checkout()
	if err != nil {
		return err
	}
	dir, err := assets.Ensure(ctx, root, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Println(dir)
	return nil
}

// runForward is the forwarder's process.
func runForward(ctx context.Context, c *cluster, _ []string) error {
	f := &forward.Forwarder{}
	for _, n := range c.Nodes() {
		f.Targets = append(f.Targets, fmt.Sprintf("%s:%d", n.IP(), instance.GatewayNodePort))
	}
	var listeners []net.Listener
	for _, host := range []string{"127.0.0.1", "::1"} {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(c.GatewayPort())))
		if err != nil && host == "::1" {
			continue // a machine without IPv6
		}
		if err != nil {
			return fmt.Errorf("listening for the gateway: %w", err)
		}
		listeners = append(listeners, listener)
	}
	return f.Serve(ctx, listeners...)
}

// runNode is a node's first process.
func runNode(ctx context.Context, c *cluster, _ []string) error {
	n, err := c.Node(c.flags.node)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(c.flags.assets) {
		return errors.New("--assets must be an absolute path")
	}
	return node.Run(ctx, n, c.flags.assets)
}
