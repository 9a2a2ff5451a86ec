package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// KillPod ends a pod's processes at once, without any word to it: by SIGKILL to its container's
// processes where this machine can see them, else by a forced deletion.
func (c *Cluster) KillPod(ctx context.Context, pod *corev1.Pod) error {
	processes, err := containerProcesses(pod)
	if err != nil {
		return err
	}
	if len(processes) == 0 {
		return client.IgnoreNotFound(c.Client.Delete(ctx, pod, &client.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}))
	}
	return signal(pod, processes, syscall.SIGKILL)
}

func signal(pod *corev1.Pod, processes []int, what syscall.Signal) error {
	for _, process := range processes {
		if err := syscall.Kill(process, what); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("sending %v to process %d of pod %s: %w", what, process, pod.Name, err)
		}
	}
	return nil
}

// FreezePod stops a pod's processes for a while. It returns when they go on.
func (c *Cluster) FreezePod(ctx context.Context, pod *corev1.Pod, duration time.Duration) error {
	processes, err := containerProcesses(pod)
	if err != nil {
		return err
	}
	if len(processes) == 0 {
		return fmt.Errorf("pod %s does not run on this machine", pod.Name)
	}
	if err := signal(pod, processes, syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	<-ctx.Done()
	return signal(pod, processes, syscall.SIGCONT)
}

// PodNetwork is the path of a pod's network namespace, as long as the processes live that its first
// container has now.
func (c *Cluster) PodNetwork(pod *corev1.Pod) (string, error) {
	processes, err := containerProcesses(pod)
	if err != nil {
		return "", err
	}
	if len(processes) == 0 {
		return "", fmt.Errorf("pod %s does not run on this machine", pod.Name)
	}
	return fmt.Sprintf("/proc/%d/ns/net", processes[0]), nil
}

// containerProcesses finds the processes of a pod's first container by their cgroup, whose path has
// the container's id. There are none when the pod does not run on this machine.
func containerProcesses(pod *corev1.Pod) ([]int, error) {
	if len(pod.Status.ContainerStatuses) == 0 {
		return nil, fmt.Errorf("pod %s has no container yet", pod.Name)
	}
	_, id, found := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	if !found || id == "" {
		return nil, fmt.Errorf("pod %s: its container has no id yet", pod.Name)
	}
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	var processes []int
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(content, []byte(id)) {
			continue // a process that ended meanwhile, or another one
		}
		if process, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			processes = append(processes, process)
		}
	}
	return processes, nil
}

// Metrics are the values of a pod's Prometheus metrics that have no labels, by name.
type Metrics map[string]float64

// PodMetrics reads the metrics of a pod through the API server. port is a port's number or name.
func (c *Cluster) PodMetrics(ctx context.Context, pod, port string) (Metrics, error) {
	body, err := c.Clientset.CoreV1().Pods(Namespace).ProxyGet("http", pod, port, "/metrics", nil).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of pod %s: %w", pod, err)
	}
	return ParseMetrics(body)
}

// ParseMetrics reads Prometheus' text format. Metrics with labels are left out.
func ParseMetrics(text []byte) (Metrics, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("parsing metrics: %w", err)
	}
	metrics := Metrics{}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			switch {
			case len(metric.GetLabel()) > 0:
			case metric.GetGauge() != nil:
				metrics[name] = metric.GetGauge().GetValue()
			case metric.GetCounter() != nil:
				metrics[name] = metric.GetCounter().GetValue()
			}
		}
	}
	return metrics, nil
}
