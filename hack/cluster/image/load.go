package image

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"mediarooms.dev/mediarooms/hack/cluster/instance"
)

// Load puts the images of an archive into all nodes, at the same time.
func Load(ctx context.Context, nodes []instance.Node, archive string) error {
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for k, n := range nodes {
		wg.Go(func() { errs[k] = Import(ctx, n, archive) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Import puts the images of an archive into one node.
func Import(ctx context.Context, n instance.Node, archive string) error {
	cmd := exec.CommandContext(ctx, "ctr", "--address", n.ContainerdSocket(), "--namespace", "k8s.io", "images", "import", archive)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("loading %s into %s: %w: %s", archive, n.Name, err, strings.TrimSpace(string(output)))
	}
	return nil
}
