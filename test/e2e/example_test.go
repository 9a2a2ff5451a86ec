//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// exampleFolder is the example application's.
var exampleFolder = filepath.Join(cluster.Root(), "examples", "video-call")

// startExample starts the example's server as its README says, and returns where it serves. It ends
// with the test.
func startExample(t *testing.T) string {
	t.Helper()
	if err := browser.InstallPackages(t.Context(), exampleFolder); err != nil {
		t.Fatal(err)
	}
	password, err := kube.Kubectl(t.Context(), "get", "secret", "mediarooms-rest", "-n", cluster.DefaultTenant, "-o", "go-template={{.data.secret | base64decode}}")
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command("node", "server.js")
	server.Dir = exampleFolder
	server.Env = append(os.Environ(), "PORT=0", "OPENVIDU_URL="+kube.GatewayURL, "OPENVIDU_SECRET="+password)
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	server.Stderr = t.Output()
	output, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatalf("starting the example: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("ending the example: %v", err)
		}
		if err := server.Wait(); err != nil {
			t.Errorf("the example ended: %v", err)
		}
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("starting the example: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, output) }() // until it ends
	url := regexp.MustCompile(`http://localhost:\d+`).FindString(line)
	if url == "" {
		t.Fatalf("the example says %q", line)
	}
	return url
}

// openExample opens the example's page and joins a room by its form.
func openExample(t *testing.T, url, name, room string, viewport browser.Viewport) *roomPage {
	t.Helper()
	process, err := browser.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Close)
	p := &roomPage{process.Open(t, name, url, viewport)}
	p.picture(t, "example-form-"+strings.ToLower(name))
	for field, value := range map[string]string{"name": name, "room": room} {
		if err := p.Evaluate(fmt.Sprintf("document.getElementById(%q).value = %q", field, value), nil); err != nil {
			t.Fatal(err)
		}
	}
	p.press(t, "join button")
	p.is(t, 20*time.Second, "the call", "!document.getElementById('call').hidden")
	return p
}

// press clicks on what a selector finds.
func (p *roomPage) press(t *testing.T, selector string) {
	t.Helper()
	if err := p.Click("#" + selector); err != nil {
		t.Fatal(err)
	}
}

// tile is an expression for the tile of a user of the example.
func tile(name string) string {
	return fmt.Sprintf("[...document.querySelectorAll('.tile')].find((tile) => tile.querySelector('.name').textContent === %q)", name)
}

// moves waits until the picture of a user moves, for some frames.
func (p *roomPage) moves(t *testing.T, name string) {
	t.Helper()
	frames := fmt.Sprintf("(%s?.querySelector('video').getVideoPlaybackQuality().totalVideoFrames ?? 0)", tile(name))
	var before int
	if err := p.Evaluate(frames, &before); err != nil {
		t.Fatal(err)
	}
	p.is(t, 30*time.Second, "a moving picture of "+name, fmt.Sprintf("%s >= %d", frames, before+30))
}

func TestTheExamplesManifest(t *testing.T) {
	if _, err := kube.Kubectl(t.Context(), "apply", "--dry-run=server", "--validate=strict", "-n", cluster.DefaultTenant,
		"-f", filepath.Join(exampleFolder, "kubernetes.yaml")); err != nil {
		t.Error(err)
	}
}

// The example application, which knows nothing of Kubernetes, with two users.
func TestTheExampleApplication(t *testing.T) {
	url := startExample(t)
	const room = "Team_Meeting"
	ada := openExample(t, url, "Ada", room, browser.Viewport{Width: 1280, Height: 800})
	ada.is(t, 10*time.Second, "that nobody else is there", "document.getElementById('people').textContent === 'Only you are here'")
	grace := openExample(t, url, "Grace", room, browser.Viewport{Width: 390, Height: 844, Phone: true})
	ada.moves(t, "Grace")
	grace.moves(t, "Ada")
	for _, p := range []*roomPage{ada, grace} {
		p.is(t, time.Second, "two people", "document.getElementById('people').textContent === '2 people' && document.querySelectorAll('.tile').length === 2")
		p.is(t, time.Second, "no sideways scrolling", "document.documentElement.scrollWidth <= innerWidth")
	}
	ada.picture(t, "example-desktop")
	grace.picture(t, "example-phone")

	grace.press(t, "microphone")
	grace.press(t, "camera")
	ada.is(t, 10*time.Second, "that Grace is muted", tile("Grace")+"?.className.split(' ').sort().join() === 'camera-off,microphone-off,tile'")
	ada.picture(t, "example-muted")
	grace.picture(t, "example-muted-phone")

	sessions := func() string {
		t.Helper()
		list, err := kube.Kubectl(t.Context(), "get", "sessions", "-n", cluster.DefaultTenant, "-o", "jsonpath={.items[*].spec.sessionID}")
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if list := sessions(); !strings.Contains(list, room) {
		t.Errorf("kubectl get sessions shows %q", list)
	}
	grace.press(t, "leave")
	grace.is(t, 5*time.Second, "the form", "!document.getElementById('lobby').hidden")
	ada.is(t, 5*time.Second, "that Grace has left", "!"+tile("Grace")+" && document.getElementById('people').textContent === 'Only you are here'")
	ada.press(t, "leave")
	wait.For(t, 10*time.Second, "the Session to be gone", func() error {
		if list := sessions(); strings.Contains(list, room) {
			return fmt.Errorf("kubectl get sessions shows %q", list)
		}
		return nil
	})
}
