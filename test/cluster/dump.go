package cluster

import (
	"context"
	"regexp"
	"testing"
	"time"
)

// secrets are what must not be kept of a dump: CI logs are public.
var secrets = regexp.MustCompile(`tok_[A-Za-z0-9]+`)

// DumpOnce is Dump for tests that run at the same time and share much: for the first of them that
// fails.
func (c *Cluster) DumpOnce(t testing.TB, namespace string) {
	t.Helper()
	c.dumped.Do(func() { c.Dump(t, namespace) })
}

// Dump writes to the test log what helps to understand a failure: the objects of a namespace,
// pools, events, pods and the last lines of every part's log. The secret part of tokens is left
// out.
func (c *Cluster) Dump(t testing.TB, namespace string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, args := range [][]string{
		{"get", "sessions,connections", "-n", namespace, "-o", "yaml"},
		{"get", "mediapools", "-o", "yaml"},
		{"get", "events", "-n", namespace},
		{"get", "events", "-n", Namespace},
		{"get", "pods", "-n", Namespace, "-o", "wide"},
		{"logs", "-n", Namespace, "-l", "app.kubernetes.io/name=mediarooms", "--all-containers", "--prefix", "--tail=80",
			"--max-log-requests=20"},
	} {
		output, err := c.Kubectl(ctx, args...)
		if err != nil {
			t.Logf("%v", err)
		}
		t.Logf("kubectl %v\n%s", args, secrets.ReplaceAllString(output, "tok_..."))
	}
}
