package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// errRemote is what can't be done to a cluster that is not local.
var errRemote = errors.New("the cluster is not local")

// KillComponent ends a component of the cluster, such as kube-apiserver, without any word to it.
func (c *Cluster) KillComponent(ctx context.Context, name string) error {
	output, err := c.run(ctx, "status", "-o", "json")
	if err != nil {
		return err
	}
	var status struct {
		Components []struct {
			Name string `json:"name"`
			PID  int    `json:"pid"`
		} `json:"components"`
	}
	if err := json.Unmarshal(output, &status); err != nil {
		return fmt.Errorf("reading the cluster's status: %w", err)
	}
	for _, component := range status.Components {
		if component.Name == name {
			return syscall.Kill(component.PID, syscall.SIGKILL)
		}
	}
	return fmt.Errorf("killing %s: it does not run", name)
}

// StartComponents starts the components that do not run, and waits until the cluster is well.
func (c *Cluster) StartComponents(ctx context.Context) error {
	_, err := c.run(ctx, "up")
	return err
}

// run runs the program that controls the cluster.
func (c *Cluster) run(ctx context.Context, command string, args ...string) ([]byte, error) {
	if c.Program == "" {
		return nil, errRemote
	}
	process := exec.CommandContext(ctx, c.Program, append([]string{command, "--name", c.Name}, args...)...)
	var stderr strings.Builder
	process.Stderr = &stderr
	output, err := process.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s %s: %w: %s", c.Program, command, err, strings.TrimSpace(stderr.String()))
	}
	return output, nil
}
