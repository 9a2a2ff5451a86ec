package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// Site serves the page of folder page/ with the unmodified openvidu-browser on
// http://localhost:PORT: browsers give camera and microphone only to a secure context, which
// localhost is.
type Site struct {
	// URL of the page.
	URL string

	server *http.Server
}

// Serve serves the page on a free port of this machine.
func Serve(ctx context.Context) (*Site, error) {
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return nil, fmt.Errorf("serving the page: %w", err)
	}
	site, err := ServeOn(ctx, listener)
	if err != nil {
		_ = listener.Close() // the error says why it is of no use
	}
	return site, err
}

// ServeOn installs the page's npm packages, as InstallPage does, and serves the page on a listener
// of the loopback interface. It ends with Close, which closes the listener.
func ServeOn(ctx context.Context, listener net.Listener) (*Site, error) {
	folder, err := InstallPage(ctx)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", file(folder, "index.html"))
	for _, script := range []string{"probes.js", "client.js", "page.js"} {
		mux.Handle("GET /"+script, file(folder, script))
	}
	mux.Handle("GET /openvidu-browser.js",
		file(folder, "node_modules/openvidu-browser/static/js/openvidu-browser-2.32.2.min.js"))
	site := &Site{
		URL:    fmt.Sprintf("http://localhost:%d/", listener.Addr().(*net.TCPAddr).Port),
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second},
	}
	go func() { _ = site.server.Serve(listener) }() // it returns when Close is called
	return site, nil
}

// InstallPage installs the page's npm packages when they are missing or older than the lockfile,
// and returns the page's folder. Tests whose network leads to no registry call it before.
func InstallPage(ctx context.Context) (folder string, err error) {
	_, source, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("finding the page's folder: the source file is unknown")
	}
	folder = filepath.Join(filepath.Dir(source), "page")
	return folder, InstallPackages(ctx, folder)
}

// Close stops serving.
func (s *Site) Close() error {
	return s.server.Close()
}

func file(folder, name string) http.Handler {
	path := filepath.Join(folder, filepath.FromSlash(name))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
}

// InstallPackages runs npm ci in a folder with a lockfile, unless what it would install is there.
func InstallPackages(ctx context.Context, folder string) error {
	lock, err := os.Stat(filepath.Join(folder, "package-lock.json"))
	if err != nil {
		return fmt.Errorf("looking for the lockfile: %w", err)
	}
	installed, err := os.Stat(filepath.Join(folder, "node_modules", ".package-lock.json"))
	if err == nil && !installed.ModTime().Before(lock.ModTime()) {
		return nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("looking for npm: %w; install Node.js 20 or newer", err)
	}
	command := exec.CommandContext(ctx, npm, "ci", "--no-audit", "--no-fund")
	command.Dir = folder
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return fmt.Errorf("installing npm packages: %w\n%s", err, output.Bytes())
	}
	return nil
}
