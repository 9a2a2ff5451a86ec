// Package machine keeps account of what the cluster changes on the machine
// itself, and undoes it when the last instance is gone: kernel settings, mount
// points, cgroups.
package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mediarooms.dev/mediarooms/hack/cluster/instance"
)

// settings are the kernel settings that a cluster changes, and their new value.
// The kubelet insists on most of them and would set them by itself.
var settings = map[string]int{
	"vm/overcommit_memory":      1,
	"vm/panic_on_oom":           0,
	"kernel/panic":              10,
	"kernel/panic_on_oops":      1,
	"kernel/keys/root_maxkeys":  1000000,
	"kernel/keys/root_maxbytes": 25000000,
	// A kubelet and a containerd per node watch many files.
	"fs/inotify/max_user_instances": 8192,
}

// folders are made on the machine. A node mounts its own data on the first two,
// inside its mount namespace, because some program has the path built in;
// ip-netns(8) mounts on the last one, and leaves that behind.
var folders = []string{"/var/lib/kubelet", "/var/lib/cni", "/run/netns"}

// record is what must be undone.
type record struct {
	Settings map[string]string `json:"settings"`
	Folders  []string          `json:"folders"`
}

var recordPath = filepath.Join(instance.Root, "machine.json")

// Lock takes the named lock, which ends with the returned function or with this
// process, whichever is first. waiting is called once when somebody else holds it.
func Lock(name string, waiting func()) (unlock func(), err error) {
	address := "@mediarooms-cluster-" + name
	for said := false; ; time.Sleep(100 * time.Millisecond) {
		listener, err := net.Listen("unix", address)
		if err == nil {
			return func() { _ = listener.Close() }, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("taking the lock %s: %w", name, err)
		}
		if !said {
			waiting()
			said = true
		}
	}
}

// Prepare creates the run folder of an instance, and readies the machine for it.
func Prepare(i instance.Instance) error {
	unlock, err := Lock("machine", func() {})
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.MkdirAll(i.Dir(), 0o755); err != nil {
		return fmt.Errorf("creating the run folder: %w", err)
	}
	if _, err := os.Stat(recordPath); errors.Is(err, fs.ErrNotExist) {
		if err := writeRecord(); err != nil {
			return err
		}
	}
	for name, value := range settings {
		if err := raise(name, value); err != nil {
			return err
		}
	}
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("creating a folder: %w", err)
		}
	}
	return nil
}

func writeRecord() error {
	r := record{Settings: map[string]string{}}
	for name := range settings {
		value, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil {
			return fmt.Errorf("reading a kernel setting: %w", err)
		}
		r.Settings[name] = strings.TrimSpace(string(value))
	}
	for _, folder := range folders {
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			r.Folders = append(r.Folders, folder)
		}
	}
	return instance.WriteJSON(recordPath, r)
}

// raise sets a kernel setting; limits that are higher already stay.
func raise(name string, value int) error {
	path := filepath.Join("/proc/sys", name)
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading a kernel setting: %w", err)
	}
	current, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return fmt.Errorf("reading the kernel setting %s: %w", name, err)
	}
	if current == value || strings.Contains(name, "max") && current > value {
		return nil
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(value)), 0); err != nil {
		return fmt.Errorf("changing a kernel setting: %w", err)
	}
	return nil
}

// Restore removes the run folder of an instance and, when that was the last
// one, undoes what Prepare did.
func Restore(i instance.Instance) error {
	unlock, err := Lock("machine", func() {})
	if err != nil {
		return err
	}
	defer unlock()
	if err := unmountBelow(i.Dir()); err != nil {
		return err
	}
	if err := os.RemoveAll(i.Dir()); err != nil {
		return fmt.Errorf("removing the run folder: %w", err)
	}
	entries, err := os.ReadDir(instance.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for other instances: %w", err)
	}
	if slices.ContainsFunc(entries, fs.DirEntry.IsDir) {
		return nil
	}
	if err := undo(); err != nil {
		return err
	}
	return os.RemoveAll(instance.Root)
}

func undo() error {
	data, err := os.ReadFile(recordPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what to undo: %w", err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("reading what to undo: %w", err)
	}
	for name, value := range r.Settings {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
			return fmt.Errorf("restoring a kernel setting: %w", err)
		}
	}
	for _, folder := range r.Folders {
		if err := removeEmpty(folder); err != nil {
			return err
		}
	}
	return nil
}

// removeEmpty removes a folder and what is mounted on it, unless somebody else
// has put something there.
func removeEmpty(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking into %s: %w", folder, err)
	}
	for err == nil {
		err = syscall.Unmount(folder, syscall.MNT_DETACH)
	}
	if !errors.Is(err, syscall.EINVAL) { // EINVAL: not mounted
		return fmt.Errorf("unmounting %s: %w", folder, err)
	}
	if err := os.Remove(folder); err != nil {
		return fmt.Errorf("removing a folder: %w", err)
	}
	return nil
}

// unmountBelow unmounts what is mounted below a folder. Nodes mount in
// namespaces of their own, so normally there is nothing.
func unmountBelow(folder string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading the mount table: %w", err)
	}
	lines := strings.Split(string(data), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[4], folder+"/") {
			continue
		}
		if err := syscall.Unmount(fields[4], syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", fields[4], err)
		}
	}
	return nil
}
