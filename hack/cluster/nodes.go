package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/hack/cluster/image"
	"mediarooms.dev/mediarooms/hack/cluster/instance"
	"mediarooms.dev/mediarooms/hack/cluster/machine"
	"mediarooms.dev/mediarooms/hack/cluster/network"
	"mediarooms.dev/mediarooms/hack/cluster/node"
	"mediarooms.dev/mediarooms/hack/cluster/process"
)

// killTimeout bounds the time that the kernel may take to end processes.
const killTimeout = 20 * time.Second

// nodeReady returns nil when the node is Ready. For a node that was just
// started, a report from an earlier life does not count.
func (c *cluster) nodeReady(ctx context.Context, assetsDir, name string, fresh bool, since time.Time) error {
	output, err := c.kubectl(ctx, assetsDir, "get", "node", name, "-o", "json")
	if err != nil {
		return err
	}
	var object struct {
		Status struct {
			Conditions []struct {
				Type, Status, Message string
				LastHeartbeatTime     time.Time
			}
		}
	}
	if err := json.Unmarshal(output, &object); err != nil {
		return fmt.Errorf("reading the node: %w", err)
	}
	for _, condition := range object.Status.Conditions {
		switch {
		case condition.Type != "Ready":
		case condition.Status != "True":
			return errors.New(condition.Message)
		case fresh && condition.LastHeartbeatTime.Before(since):
			return errors.New("it has not reported yet")
		default:
			return nil
		}
	}
	return errors.New("it has not reported yet")
}

// killNode ends all processes of a node.
func killNode(n instance.Node) error {
	found, err := process.Find(n.Instance.Name)
	if err != nil {
		return err
	}
	var own []process.Found
	for _, f := range found {
		if f.Name == n.Name || strings.HasPrefix(f.Name, n.Name+"/") {
			own = append(own, f)
		}
	}
	return process.Kill(own, killTimeout)
}

// stopNode ends a node as a power cut does: first nobody hears of it any more,
// then it is gone. Its disk stays.
func stopNode(ctx context.Context, c *cluster, args []string) error {
	n, err := c.Node(args[0])
	if err != nil {
		return err
	}
	if err := network.Disconnect(ctx, n); err != nil {
		return err
	}
	if err := killNode(n); err != nil {
		return err
	}
	c.say("%s is stopped", n.Name)
	return nil
}

func startNode(ctx context.Context, c *cluster, args []string) error {
	n, err := c.Node(args[0])
	if err != nil {
		return err
	}
	info, err := c.readInfo()
	if err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	running, err := c.running()
	if err != nil {
		return err
	}
	if whole(n, running) {
		c.say("%s runs", n.Name)
		return nil
	}
	if err := killNode(n); err != nil {
		return err
	}
	p, err := node.Start(ctx, n, c.program, info.Assets)
	if err != nil {
		return err
	}
	return c.awaitNodes(ctx, info.Assets, []*process.Running{p})
}

// readInfo reads what "up" has written about the instance.
func (c *cluster) readInfo() (instance.Info, error) {
	var info instance.Info
	data, err := os.ReadFile(c.InfoPath())
	if err != nil {
		return info, fmt.Errorf("reading what is known of the instance %s (is it up?): %w", c.Name, err)
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, fmt.Errorf("reading what is known of the instance %s: %w", c.Name, err)
	}
	return info, nil
}

func loadImages(ctx context.Context, c *cluster, args []string) error {
	for _, archive := range args {
		if err := image.Load(ctx, c.Nodes(), archive); err != nil {
			return err
		}
		c.say("loaded %s into %d nodes", archive, len(c.Nodes()))
	}
	return nil
}

// printPIDs prints the ids that a pod's processes have outside their node.
func printPIDs(ctx context.Context, c *cluster, args []string) error {
	namespace, pod, ok := strings.Cut(args[0], "/")
	if !ok {
		return fmt.Errorf("%q is not NAMESPACE/POD", args[0])
	}
	info, err := c.readInfo()
	if err != nil {
		return err
	}
	output, err := c.kubectl(ctx, info.Assets, "get", "pod", "--namespace", namespace, pod, "-o", "json")
	if err != nil {
		return err
	}
	var object struct {
		Metadata struct{ UID string }
		Spec     struct{ NodeName string }
		Status   struct {
			ContainerStatuses []struct{ Name, ContainerID string }
		}
	}
	if err := json.Unmarshal(output, &object); err != nil {
		return fmt.Errorf("reading the pod: %w", err)
	}
	n, err := c.Node(object.Spec.NodeName)
	if err != nil {
		return err
	}
	for _, container := range object.Status.ContainerStatuses {
		if len(args) > 1 && container.Name != args[1] {
			continue
		}
		_, id, _ := strings.Cut(container.ContainerID, "://")
		if id == "" {
			continue
		}
		pids, err := machine.PodProcesses(n, object.Metadata.UID, id)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			fmt.Println(pid)
		}
	}
	return nil
}
