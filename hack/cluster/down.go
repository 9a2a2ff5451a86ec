package main

import (
	"context"
	"fmt"
	"time"

	"mediarooms.dev/mediarooms/hack/cluster/machine"
	"mediarooms.dev/mediarooms/hack/cluster/network"
	"mediarooms.dev/mediarooms/hack/cluster/process"
)

// down stops the instance and removes all that it made. It needs no record of
// it, so it also removes what a killed run left half-made.
func down(ctx context.Context, c *cluster, _ []string) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.remove(ctx); err != nil {
		return err
	}
	c.say("cluster %s is down", c.Name)
	return nil
}

func (c *cluster) remove(ctx context.Context) error {
	if err := killAll(c.Name); err != nil {
		return err
	}
	if err := network.Remove(ctx, c.Instance); err != nil {
		return err
	}
	if err := machine.RemoveCgroup(c.Instance, killTimeout); err != nil {
		return err
	}
	return machine.Restore(c.Instance)
}

// killAll ends all processes of the instance, also those that start meanwhile.
func killAll(name string) error {
	deadline := time.Now().Add(killTimeout)
	for {
		found, err := process.Find(name)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes of %s keep appearing: %s", name, found[0].Name)
		}
		if err := process.Kill(found, killTimeout); err != nil {
			return err
		}
	}
}
