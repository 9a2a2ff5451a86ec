//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/test/cluster"
)

// leastInvalid is how many invalid manifests the table must have at least.
const leastInvalid = 25

// expectation begins the comment lines of an invalid manifest that say what kubectl must write.
const expectation = "# expect: "

func TestKubectlApplyRefusesInvalidManifestsWithAMessageThatNamesTheField(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < leastInvalid {
		t.Fatalf("%d invalid manifests in testdata/invalid, want at least %d", len(files), leastInvalid)
	}
	quiet(t)
	objects, processes := everything(t), restarts(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			expected := expectations(t, file)
			output, err := kube.Kubectl(t.Context(), "apply", "-f", file)
			if err == nil {
				t.Fatalf("kubectl apply took it:\n%s", output)
			}
			for _, want := range expected {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("kubectl says\n%v\nwant in it\n%s", err, want)
				}
			}
		})
	}
	if after := everything(t); after != objects {
		t.Errorf("refused manifests changed something.\nbefore: %s\nafter: %s", objects, after)
	}
	if after := restarts(t); !slices.Equal(after, processes) {
		t.Errorf("refused manifests made something restart.\nbefore: %q\nafter: %q", processes, after)
	}

	// Nothing is blocked either.
	namespace := kube.NewNamespace(t)
	kube.CreateSession(t, namespace, "room")
	kube.CreateConnection(t, namespace, "room", "guest", nil)
	kube.WaitSession(t, 5*time.Second, namespace, "room")
	kube.WaitConnection(t, 5*time.Second, namespace, "guest")
}

// expectations are what the comment lines at the top of a manifest say.
func expectations(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	var expected []string
	lines := bufio.NewScanner(f)
	for lines.Scan() && strings.HasPrefix(lines.Text(), "#") {
		if text, found := strings.CutPrefix(lines.Text(), expectation); found {
			expected = append(expected, strings.TrimSpace(text))
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(expected) == 0 {
		t.Fatalf("%s does not say what to expect: no line %q at its top", file, expectation)
	}
	return expected
}

// restarts says of every container of the installation how often it restarted.
func restarts(t *testing.T) []string {
	t.Helper()
	var pods corev1.PodList
	if err := kube.Client.List(context.Background(), &pods, client.InNamespace(cluster.Namespace)); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, pod := range pods.Items {
		for _, container := range pod.Status.ContainerStatuses {
			lines = append(lines, fmt.Sprintf("%s/%s: %d", pod.UID, container.Name, container.RestartCount))
		}
	}
	slices.Sort(lines)
	return lines
}
