// Package assets provides the binaries of the local cluster: Kubernetes, built
// once from its Go module, and the sandbox image. They are cached outside the
// checkout, in a folder that controller-runtime's envtest can use as well.
package assets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"

	"mediarooms.dev/mediarooms/hack/cluster/image"
	"mediarooms.dev/mediarooms/hack/cluster/instance"
)

// links are the names that the one Kubernetes binary answers to.
var links = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"}

// PauseArchive is the file name of the sandbox image in the assets' folder.
const PauseArchive = "pause.tar"

// Ensure returns the folder of the binaries; it builds them, with progress to
// log, unless they are in the cache. root is the checkout.
func Ensure(ctx context.Context, root string, log io.Writer) (string, error) {
	source := filepath.Join(root, "hack", "cluster", "kubernetes")
	version, key, err := identify(root, source)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("looking for the cache folder: %w", err)
	}
	parent := filepath.Join(cache, "mediarooms", "kubernetes")
	final := filepath.Join(parent, version+"-"+key)
	if complete(final) {
		return final, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("creating the cache folder: %w", err)
	}
	unlock, err := lock(filepath.Join(parent, ".lock"), log)
	if err != nil {
		return "", err
	}
	defer unlock()
	if complete(final) {
		return final, nil
	}
	partial, err := os.MkdirTemp(parent, ".building-")
	if err != nil {
		return "", fmt.Errorf("creating a build folder: %w", err)
	}
	defer os.RemoveAll(partial)
	if err := build(ctx, root, source, version, partial, log); err != nil {
		return "", err
	}
	if err := os.RemoveAll(final); err != nil {
		return "", fmt.Errorf("replacing the cached binaries: %w", err)
	}
	if err := os.Rename(partial, final); err != nil {
		return "", fmt.Errorf("publishing the binaries: %w", err)
	}
	return final, nil
}

// complete tells whether a folder has everything.
func complete(dir string) bool {
	for _, name := range append([]string{"kubernetes", PauseArchive}, links...) {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

var requirement = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)`)

// identify returns the version of Kubernetes and a hash of all that the
// binaries are made from.
func identify(root, source string) (version, key string, err error) {
	hash := sha256.New()
	files := []string{
		filepath.Join(source, "go.mod"), filepath.Join(source, "go.sum"), filepath.Join(source, "main.go"),
		filepath.Join(root, "hack", "cluster", "pause", "main.go"),
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", "", fmt.Errorf("reading the cluster's sources: %w", err)
		}
		if filepath.Base(file) == "go.mod" {
			match := requirement.FindSubmatch(data)
			if match == nil {
				return "", "", errors.New("hack/cluster/kubernetes/go.mod does not require k8s.io/kubernetes")
			}
			version = string(match[1])
		}
		hash.Write(data)
	}
	fmt.Fprint(hash, runtime.GOARCH, quick)
	return version, hex.EncodeToString(hash.Sum(nil))[:12], nil
}

// lock waits until no other build runs.
func lock(path string, log io.Writer) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the build lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		fmt.Fprintln(log, "    waiting for another build of Kubernetes")
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			return nil, fmt.Errorf("waiting for the build lock: %w", err)
		}
	}
	return func() { _ = file.Close() }, nil
}

func build(ctx context.Context, root, source, version, dir string, log io.Writer) error {
	if err := compile(ctx, source, version, filepath.Join(dir, "kubernetes"), log); err != nil {
		return err
	}
	for _, link := range links {
		if err := os.Symlink("kubernetes", filepath.Join(dir, link)); err != nil {
			return fmt.Errorf("linking %s: %w", link, err)
		}
	}
	pause := filepath.Join(dir, "pause")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", pause, "./pause")
	cmd.Dir, cmd.Env = filepath.Join(root, "hack", "cluster"), append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the sandbox's program: %w\n%s", err, output)
	}
	if err := image.WriteArchive(filepath.Join(dir, PauseArchive), instance.PauseImage, pause); err != nil {
		return err
	}
	// MkdirTemp's folder is closed to others.
	if err := os.Chmod(dir, fs.FileMode(0o755)); err != nil {
		return fmt.Errorf("opening the binaries' folder: %w", err)
	}
	return nil
}
