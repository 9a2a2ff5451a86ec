package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/hack/cluster/image"
	"mediarooms.dev/mediarooms/hack/cluster/instance"
	"mediarooms.dev/mediarooms/hack/cluster/process"
)

// TestCluster takes an instance of its own through its life: a killed start, a
// whole one, pods, lost processes and nodes; and in the end nothing is left.
func TestCluster(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a cluster and needs root")
	}
	i, err := instance.New("selftest")
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{t: t, Instance: i, program: filepath.Join(t.TempDir(), "cluster")}
	h.build(h.program, ".")
	h.cluster("down")
	if left := h.traces(); len(left) > 0 {
		t.Fatalf("before the test there is already: %s", strings.Join(left, "\n"))
	}
	t.Cleanup(func() {
		if t.Failed() {
			h.dump()
		}
		h.cluster("down")
	})

	h.killUpWhenSeen("node-1")
	h.cluster("up")
	h.cluster("status")

	before := h.pids()
	h.cluster("up")
	if after := h.pids(); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("a second up changed processes: %v, then %v", before, after)
	}

	h.startPod()
	h.answers("the pod through localhost", i.GatewayURL())
	for _, n := range i.Nodes() {
		h.answers("the pod through the NodePort of "+n.Name, fmt.Sprintf("http://%s:%d", n.IP(), instance.GatewayNodePort))
	}
	node1, node2 := i.Nodes()[0], i.Nodes()[1]
	h.answers("the pod's TCP hostPort", fmt.Sprintf("http://%s:9000", node2.IP()))
	h.echoes("the pod's UDP hostPort", fmt.Sprintf("%s:9000", node2.IP()))

	// A pod's process is killed: the kubelet starts it again.
	pid := strings.TrimSpace(h.cluster("pids", "default/echo"))
	h.kill(pid)
	h.eventually("the pod restarted", func() error {
		if count := h.kubectl("get", "pod", "echo", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"); count != "1" {
			return fmt.Errorf("restartCount is %q", count)
		}
		return nil
	})
	h.answers("the restarted pod", i.GatewayURL())

	// A node is lost: the other one still answers.
	h.cluster("stop-node", node1.Name)
	h.silent(node1)
	for range 4 {
		h.answers("the pod with a node gone", i.GatewayURL())
	}
	h.cluster("start-node", node1.Name)
	h.answers("the pod through the returned node", fmt.Sprintf("http://%s:%d", node1.IP(), instance.GatewayNodePort))

	// Components die: the state is seen and mended.
	for _, name := range []string{"kube-apiserver", "node-2/kubelet", forwarder} {
		h.killComponent(name)
		h.eventually(name+" is missing", func() error {
			if _, err := h.try("status"); err == nil {
				return fmt.Errorf("status does not notice")
			}
			return nil
		})
		h.cluster("up")
		h.cluster("status")
	}
	h.answers("the pod in the mended cluster", i.GatewayURL())

	h.cluster("down")
	if left := h.traces(); len(left) > 0 {
		t.Errorf("down leaves behind:\n%s", strings.Join(left, "\n"))
	}
}

// harness is a cluster under test.
type harness struct {
	instance.Instance
	t       *testing.T
	program string
}

// build compiles a program of this checkout, static.
func (h *harness) build(output, pkg string) {
	h.t.Helper()
	cmd := exec.Command("go", "build", "-o", output, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
}

// try runs the program under test.
func (h *harness) try(args ...string) (string, error) {
	cmd := exec.Command(h.program, append(args, "--name", h.Name)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cluster %s: %w\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}

func (h *harness) cluster(args ...string) string {
	h.t.Helper()
	h.t.Logf("cluster %s", strings.Join(args, " "))
	output, err := h.try(args...)
	if err != nil {
		h.t.Fatal(err)
	}
	return output
}

// killUpWhenSeen starts "up" and kills it, without a chance to clean up, as
// soon as a component runs.
func (h *harness) killUpWhenSeen(component string) {
	h.t.Helper()
	cmd := exec.Command(h.program, "up", "--name", h.Name)
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.eventually(component+" runs", func() error {
		if _, ok := h.pids()[component]; !ok {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	if err := cmd.Process.Kill(); err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		h.t.Fatal("the start was to be killed, but it came to its end")
	}
}

// pids returns the components that run.
func (h *harness) pids() map[string]int {
	h.t.Helper()
	found, err := process.Find(h.Name)
	if err != nil {
		h.t.Fatal(err)
	}
	pids := map[string]int{}
	for _, f := range found {
		if f.Main() {
			pids[f.Name] = f.PID
		}
	}
	return pids
}

// killComponent returns when the component has ended, and its ports are free.
func (h *harness) killComponent(name string) {
	h.t.Helper()
	found, err := process.Find(h.Name)
	if err != nil {
		h.t.Fatal(err)
	}
	found = slices.DeleteFunc(found, func(f process.Found) bool { return f.Name != name || !f.Main() })
	if len(found) != 1 {
		h.t.Fatalf("%d processes are %s", len(found), name)
	}
	if err := process.Kill(found, 30*time.Second); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) kill(pid string) {
	h.t.Helper()
	var number int
	if _, err := fmt.Sscan(pid, &number); err != nil || number < 2 {
		h.t.Fatalf("%q is not a process to kill", pid)
	}
	if err := syscall.Kill(number, syscall.SIGKILL); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) kubectl(args ...string) string {
	h.t.Helper()
	data, err := os.ReadFile(h.InfoPath())
	if err != nil {
		h.t.Fatal(err)
	}
	var info instance.Info
	if err := json.Unmarshal(data, &info); err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(info.Kubectl, append([]string{"--kubeconfig", info.Kubeconfig}, args...)...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

func (h *harness) startPod() {
	h.t.Helper()
	dir := h.t.TempDir()
	program, archive := filepath.Join(dir, "echo"), filepath.Join(dir, "echo.tar")
	h.build(program, "./testdata/echo")
	if err := image.WriteArchive(archive, "mediarooms.dev/echo:test", program); err != nil {
		h.t.Fatal(err)
	}
	h.cluster("load-image", archive)
	h.kubectl("apply", "-f", "testdata/pod.yaml")
	h.kubectl("wait", "--for=condition=Ready", "pod/echo", "--timeout=60s")
}

// eventually waits until check returns nil.
func (h *harness) eventually(what string, check func() error) {
	h.t.Helper()
	alive := func() error { return nil }
	if err := newReport(h.t.Output()).await(h.t.Context(), what, time.Minute, alive, check); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) answers(what, url string) {
	h.t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	h.eventually(what+" answers", func() error {
		response, err := client.Get(url)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && string(body) != "echo" {
			err = fmt.Errorf("it says %q", body)
		}
		return err
	})
}

func (h *harness) echoes(what, address string) {
	h.t.Helper()
	h.eventually(what+" echoes", func() error {
		conn, err := net.Dial("udp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write([]byte("hello")); err != nil {
			return err
		}
		buffer := make([]byte, 16)
		n, err := conn.Read(buffer)
		if err == nil && string(buffer[:n]) != "hello" {
			err = fmt.Errorf("it says %q", buffer[:n])
		}
		return err
	})
}

// silent checks that a stopped node does not even refuse a connection.
func (h *harness) silent(n instance.Node) {
	h.t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(n.IP().String(), "10250"), 500*time.Millisecond)
	if err == nil {
		conn.Close()
		h.t.Fatalf("%s still answers", n.Name)
	}
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		h.t.Fatalf("%s refuses: %v; a lost machine would be silent", n.Name, err)
	}
}

// traces lists whatever there is of the instance on this machine.
func (h *harness) traces() []string {
	h.t.Helper()
	var left []string
	add := func(format string, args ...any) { left = append(left, fmt.Sprintf(format, args...)) }
	found, err := process.Find(h.Name)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range found {
		add("process %d: %s %s", f.PID, f.Name, f.Command)
	}
	for _, command := range []string{"ip -o link", "ip netns", "ip route", "ip neigh"} {
		words := strings.Fields(command)
		output, err := exec.Command(words[0], words[1:]...).Output()
		if err != nil {
			h.t.Fatal(err)
		}
		h.match(command, string(output), add)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		h.t.Fatal(err)
	}
	h.match("mount", string(mounts), add)
	for _, root := range []string{"/sys/fs/cgroup", instance.Root} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // it has just gone, which is what the test wants
			}
			if entry.IsDir() && strings.HasSuffix(path, "mediarooms/"+h.Name) {
				add("folder %s", path)
			}
			return nil
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var dialer net.Dialer
	if conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", h.GatewayPort())); err == nil {
		conn.Close()
		add("port %d", h.GatewayPort())
	}
	return left
}

func (h *harness) match(what, output string, add func(string, ...any)) {
	network := strings.TrimSuffix(h.Range().Addr().String(), "0")
	for line := range strings.Lines(output) {
		if strings.Contains(line, "mr-"+h.Name) || strings.Contains(line, "/"+h.Name+"/") || strings.Contains(line, " "+network) {
			add("%s: %s", what, strings.TrimSpace(line))
		}
	}
}

// dump logs what the components said last.
func (h *harness) dump() {
	logs, err := filepath.Glob(h.Path("log", "*.log"))
	if err != nil {
		h.t.Error(err)
	}
	for _, log := range logs {
		h.t.Logf("== %s\n%s", log, process.Tail(log, 15))
	}
}
