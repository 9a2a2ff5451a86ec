package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mediarooms.dev/mediarooms/hack/cluster/instance"
)

const cgroupMount = "/sys/fs/cgroup"

// Nodes are machines of their own: what runs beside them (browsers, load clients, compilers) does
// not take their processors. The kernel gives a cgroup 1024 shares (weight 100) when it is made, as
// many as it gives to one single process beside it.
const (
	// nodesShares is the cgroup v1 weight of all nodes together against one process beside them.
	nodesShares = "65536"
	// nodesWeight is the same for cgroup v2, whose range ends there.
	nodesWeight = "6400"
)

// hierarchies returns the roots of the cgroup hierarchies: the one of cgroup
// v2, or the several of v1.
func hierarchies() (roots []string, unified bool, err error) {
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		return []string{cgroupMount}, true, nil
	}
	entries, err := os.ReadDir(cgroupMount)
	if err != nil {
		return nil, false, fmt.Errorf("looking for cgroups: %w", err)
	}
	for _, entry := range entries {
		root := filepath.Join(cgroupMount, entry.Name())
		// Names such as "cpu" may be links to "cpu,cpuacct".
		if entry.Type()&fs.ModeSymlink != 0 {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err == nil {
			roots = append(roots, root)
		}
	}
	if len(roots) == 0 {
		return nil, false, fmt.Errorf("no cgroup hierarchy is mounted at %s", cgroupMount)
	}
	return roots, false, nil
}

// CreateCgroup creates a cgroup in every hierarchy, with all that its parents
// must hand down.
func CreateCgroup(group string) error {
	roots, unified, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		path := root
		for _, part := range strings.Split(group, "/") {
			if unified {
				if err := delegate(path); err != nil {
					return err
				}
			}
			path = filepath.Join(path, part)
			if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("creating a cgroup: %w", err)
			}
			if err := inheritCPUSet(path); err != nil {
				return err
			}
		}
		if unified {
			if err := delegate(path); err != nil {
				return err
			}
		}
		if err := weigh(filepath.Join(root, instance.CgroupRoot)); err != nil {
			return err
		}
	}
	return nil
}

// weigh gives the cgroup of all instances its part of the processors, where the hierarchy is the
// one that shares them out.
func weigh(path string) error {
	for file, weight := range map[string]string{"cpu.shares": nodesShares, "cpu.weight": nodesWeight} {
		f, err := os.OpenFile(filepath.Join(path, file), os.O_WRONLY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("weighing the nodes' cgroup: %w", err)
		}
		if _, err := f.WriteString(weight); err != nil {
			return errors.Join(fmt.Errorf("weighing the nodes' cgroup: %w", err), f.Close())
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("weighing the nodes' cgroup: %w", err)
		}
	}
	return nil
}

// delegate lets the children of a v2 cgroup have all its controllers.
func delegate(path string) error {
	controllers, err := os.ReadFile(filepath.Join(path, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading cgroup controllers: %w", err)
	}
	for _, controller := range strings.Fields(string(controllers)) {
		if err := os.WriteFile(filepath.Join(path, "cgroup.subtree_control"), []byte("+"+controller), 0); err != nil {
			return fmt.Errorf("delegating the cgroup controller %s: %w", controller, err)
		}
	}
	return nil
}

// inheritCPUSet copies the processors and memory nodes of the parent: in cgroup
// v1 a new cpuset is empty and takes no process.
func inheritCPUSet(path string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := os.ReadFile(filepath.Join(path, file))
		if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(own)) != "" {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading a cpuset: %w", err)
		}
		parents, err := os.ReadFile(filepath.Join(filepath.Dir(path), file))
		if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(parents)) == "" {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading a cpuset: %w", err)
		}
		if err := os.WriteFile(filepath.Join(path, file), parents, 0); err != nil {
			return fmt.Errorf("setting a cpuset: %w", err)
		}
	}
	return nil
}

// EnterCgroup creates a leaf cgroup and moves a process into it, so that the
// process no longer belongs to the login session that started it. A pid of 0
// means the caller.
func EnterCgroup(group string, pid int) error {
	roots, _, err := hierarchies()
	if err != nil {
		return err
	}
	if err := CreateCgroup(filepath.Dir(group)); err != nil {
		return err
	}
	for _, root := range roots {
		path := filepath.Join(root, group)
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("creating a cgroup: %w", err)
		}
		if err := inheritCPUSet(path); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("entering the cgroup %s: %w", path, err)
		}
	}
	return nil
}

// PodProcesses returns the ids, as the machine sees them, of a pod's processes
// below a node's cgroup, without its sandbox's. The pod is given by its UID,
// a container by its id, or "" for all.
func PodProcesses(node instance.Node, podUID, containerID string) ([]int, error) {
	roots, _, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var pids []int
	walk := func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.Name() != "cgroup.procs" || !strings.Contains(path, podUID) || !strings.Contains(path, containerID) {
			return nil
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			return nil // the container has just ended
		}
		if err != nil {
			return err
		}
		for _, field := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("reading %s: %w", path, err)
			}
			pids = append(pids, pid)
		}
		return nil
	}
	if err := filepath.WalkDir(filepath.Join(roots[0], node.Cgroup()), walk); err != nil {
		return nil, fmt.Errorf("looking for the pod's processes: %w", err)
	}
	return pids, nil
}

// RemoveCgroup ends whatever still runs in an instance's cgroups and removes
// them, and the cgroup of all instances when it is empty.
func RemoveCgroup(i instance.Instance, timeout time.Duration) error {
	roots, _, err := hierarchies()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(timeout)
	for _, root := range roots {
		top := filepath.Join(root, i.Cgroup())
		for {
			err := removeTree(top)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("removing a cgroup: %w", err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		err := syscall.Rmdir(filepath.Join(root, instance.CgroupRoot))
		if err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("removing a cgroup: %w", err)
		}
	}
	return nil
}

// removeTree removes a cgroup and its children, killing their processes. It is
// an error when one of those has not ended yet.
func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(path, entry.Name())); err != nil {
				return err
			}
		}
	}
	procs, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
	if err != nil {
		return err
	}
	for _, field := range strings.Fields(string(procs)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			// Everything in these cgroups is the cluster's.
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return syscall.Rmdir(path)
}
