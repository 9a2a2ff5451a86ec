//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// Names in config/samples.
const (
	demo   = "demo"
	guest1 = "guest-1"
	guest2 = "guest-2"
)

// applySamples applies the room of config/samples to the default tenant, on a warm pool, and
// removes it at the end of the test. An earlier room is removed first. It returns when kubectl was
// started.
func applySamples(t *testing.T) time.Time {
	t.Helper()
	removeSamples(t)
	t.Cleanup(func() {
		if t.Failed() {
			kube.Dump(t, cluster.DefaultTenant)
		}
		removeSamples(t)
	})
	wait.For(t, time.Minute, "a warm pod", kube.Warm)
	start := time.Now()
	if _, err := kube.KubectlInput(t.Context(), samples.Room, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	return start
}

func removeSamples(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := kube.KubectlInput(ctx, samples.Room, "delete", "--ignore-not-found", "-f", "-"); err != nil {
		t.Error(err)
	}
}

func TestSamplesAreReadyWithinTwoSecondsOfKubectlApply(t *testing.T) {
	start := applySamples(t)
	applied := time.Now()
	var ready time.Time
	wait.For(t, 20*time.Second, "Session demo and both Connections to be Ready", func() error {
		session, err := kube.Session(cluster.DefaultTenant, demo)
		if err != nil {
			return err
		}
		if err := cluster.Ready(session, session.Status.Conditions); err != nil {
			return err
		}
		for _, name := range []string{guest1, guest2} {
			connection, err := kube.Connection(cluster.DefaultTenant, name)
			if err != nil {
				return err
			}
			if err := cluster.Ready(connection, connection.Status.Conditions); err != nil {
				return err
			}
			if connection.Status.Token == "" {
				return fmt.Errorf("%s is Ready without a token", name)
			}
		}
		ready = time.Now()
		return nil
	})
	t.Logf("kubectl apply took %v; everything was Ready %v after its start", applied.Sub(start), ready.Sub(start))
	if took := ready.Sub(start); took > 2*time.Second {
		t.Errorf("Ready after %v, want at most 2 s", took)
	}
	if _, err := kube.Kubectl(t.Context(), "wait", "--for=condition=Ready", "--timeout=5s",
		"session/"+demo, "connection/"+guest1, "connection/"+guest2); err != nil {
		t.Errorf("kubectl wait: %v", err)
	}
}

func TestKubectlGetAndDescribeReadWell(t *testing.T) {
	applySamples(t)
	session := kube.WaitSession(t, 20*time.Second, cluster.DefaultTenant, demo)
	kube.WaitConnection(t, 20*time.Second, cluster.DefaultTenant, guest1)
	kube.WaitConnection(t, 20*time.Second, cluster.DefaultTenant, guest2)

	both, err := kube.Kubectl(t.Context(), "get", "sessions,connections")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kubectl get sessions,connections\n%s", both)
	sessions, connections, found := strings.Cut(both, "\n\n")
	if !found {
		t.Fatalf("kubectl get does not print two tables:\n%s", both)
	}
	rows := table(t, sessions, "NAME", "READY", "REASON", "POD", "STANDBY", "PROTECTED", "ACTIVE", "AGE")
	row := rows["session.mediarooms.dev/"+demo]
	if row["READY"] != "True" || row["REASON"] != "Ready" || row["POD"] != session.Status.PodName || row["ACTIVE"] != "0" || row["AGE"] == "" {
		t.Errorf("the row of Session demo is %q", row)
	}
	rows = table(t, connections, "NAME", "SESSION", "ROLE", "STATE", "READY", "AGE")
	for _, name := range []string{guest1, guest2} {
		connection, err := kube.Connection(cluster.DefaultTenant, name)
		if err != nil {
			t.Fatal(err)
		}
		row := rows["connection.mediarooms.dev/"+name]
		if row["SESSION"] != demo || row["ROLE"] != string(connection.Spec.Role) || row["STATE"] != "Pending" || row["READY"] != "True" || row["AGE"] == "" {
			t.Errorf("the row of Connection %s is %q", name, row)
		}
	}

	wide, err := kube.Kubectl(t.Context(), "get", "sessions", demo, "-o", "wide")
	if err != nil {
		t.Fatal(err)
	}
	table(t, wide, "NAME", "READY", "REASON", "POD", "STANDBY", "PROTECTED", "ACTIVE", "AGE", "POOL", "NODE", "JOINED", "LOSS", "SESSIONID")
	pools, err := kube.Kubectl(t.Context(), "get", "mediapools")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kubectl get mediapools\n%s", pools)
	table(t, pools, "NAME", "READY", "REASON", "PODS", "SESSIONS", "FREE", "AGE")

	description, err := kube.Kubectl(t.Context(), "describe", "session", demo)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kubectl describe session demo\n%s", description)
	for _, want := range []string{"Conditions:", "Accepted", "Programmed", "Ready", "Pod Name:", session.Status.PodName} {
		if !strings.Contains(description, want) {
			t.Errorf("kubectl describe session does not show %q", want)
		}
	}
	if description, err = kube.Kubectl(t.Context(), "describe", "connection", guest1); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Conditions:", "Connection ID:", "Token:", "State:", "Session Name:"} {
		if !strings.Contains(description, want) {
			t.Errorf("kubectl describe connection does not show %q", want)
		}
	}
}

// table returns the cells of what kubectl get prints, by the object's name and the column. A cell
// begins below the first letter of its column's name, and may be empty.
func table(t *testing.T, text string, header ...string) map[string]map[string]string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if got := strings.Fields(lines[0]); !slices.Equal(got, header) {
		t.Fatalf("columns are %q, want %q", got, header)
	}
	rows := map[string]map[string]string{}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, column := range header {
			begin, end := strings.Index(lines[0], column), len(line)
			if i+1 < len(header) {
				end = min(end, strings.Index(lines[0], header[i+1]))
			}
			row[column] = strings.TrimSpace(line[min(begin, end):end])
		}
		rows[row["NAME"]] = row
	}
	return rows
}
