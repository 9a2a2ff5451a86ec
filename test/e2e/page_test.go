//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/cluster"
	"mediarooms.dev/mediarooms/test/wait"
)

// roomPage is the gateway's own page in a browser.
type roomPage struct {
	*browser.Page
}

// openRoomPage opens the page with a token, as the link of an invitation does, and joins as
// somebody.
func openRoomPage(t *testing.T, number int, token, name string, viewport browser.Viewport) *roomPage {
	t.Helper()
	p := &roomPage{chromium(t, number).Open(t, name, kube.GatewayURL+"/#token="+url.QueryEscape(token), viewport)}
	// The form grows when the devices are known; a click before that may miss.
	p.is(t, 20*time.Second, "the camera's picture", `document.querySelector('[data-testid="preview"]').dataset.camera === 'on'`)
	p.shows(t, 10*time.Second, "camera-select")
	p.shows(t, 10*time.Second, "join")
	if err := p.Evaluate(fmt.Sprintf("document.querySelector('[data-testid=name-input]').value = %q", name), nil); err != nil {
		t.Fatal(err)
	}
	p.click(t, "join")
	return p
}

func (p *roomPage) click(t *testing.T, testID string) {
	t.Helper()
	if err := p.Click(fmt.Sprintf("[data-testid=%q]", testID)); err != nil {
		t.Fatal(err)
	}
}

// is waits until a JavaScript expression is true.
func (p *roomPage) is(t *testing.T, within time.Duration, what, expression string) {
	t.Helper()
	wait.For(t, within, p.Name+"'s page to show "+what, func() error {
		var holds bool
		if err := p.Evaluate("Boolean("+expression+")", &holds); err != nil {
			return err
		}
		if !holds {
			var text string
			if err := p.Evaluate("document.body.innerText", &text); err != nil {
				return err
			}
			return fmt.Errorf("it says %q", text)
		}
		return nil
	})
}

func (p *roomPage) shows(t *testing.T, within time.Duration, testID string) {
	t.Helper()
	p.is(t, within, testID, fmt.Sprintf("document.querySelector('[data-testid=%q]')?.checkVisibility()", testID))
}

// plays waits until the picture of the other user moves, for some frames.
func (p *roomPage) plays(t *testing.T) {
	t.Helper()
	const frames = `(document.querySelector('[data-testid="tile"]:not([data-self="true"]) [data-testid="tile-video"]')` +
		`?.getVideoPlaybackQuality().totalVideoFrames ?? 0)`
	var before int
	if err := p.Evaluate(frames, &before); err != nil {
		t.Fatal(err)
	}
	p.is(t, 30*time.Second, "a moving picture of the other user", fmt.Sprintf("%s >= %d", frames, before+2*frameRate))
}

// picture saves a screenshot for people to look at.
func (p *roomPage) picture(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join(cluster.Root(), ".local", "screens", name+".png")
	if err := p.Screenshot(path); err != nil {
		t.Error(err)
	}
}

func TestTheRoomPageOnADesktopAndAPhone(t *testing.T) {
	namespace := cluster.DefaultTenant
	applySamples(t)
	first := kube.WaitConnection(t, 20*time.Second, namespace, guest1).Status.Token
	second := kube.WaitConnection(t, 20*time.Second, namespace, guest2).Status.Token

	desktop := openRoomPage(t, 0, first, "Ada", browser.Viewport{Width: 1280, Height: 800})
	desktop.shows(t, 20*time.Second, "room")
	phone := openRoomPage(t, 1, second, "Grace", browser.Viewport{Width: 390, Height: 844, Phone: true})
	phone.shows(t, 20*time.Second, "room")
	for _, p := range []*roomPage{desktop, phone} {
		p.is(t, 20*time.Second, "two users", `document.querySelectorAll('[data-testid="tile"]').length === 2`)
		p.plays(t)
		p.is(t, time.Second, "no sideways scrolling", "document.documentElement.scrollWidth <= innerWidth")
	}
	desktop.picture(t, "room-desktop")
	phone.picture(t, "room-phone")

	wait.For(t, 5*time.Second, "the status to show both names", func() error {
		for name, user := range map[string]string{guest1: "Ada", guest2: "Grace"} {
			connection, err := kube.Connection(namespace, name)
			if err != nil {
				return err
			}
			if !strings.Contains(connection.Status.ClientData, user) || len(connection.Status.Publishers) != 1 || len(connection.Status.Subscribers) != 1 {
				return fmt.Errorf("%s, whose user is %s: %+v", name, user, connection.Status)
			}
		}
		return nil
	})

	desktop.click(t, "chat-toggle")
	if err := desktop.Evaluate("document.querySelector('[data-testid=chat-text]').value = 'Good morning'", nil); err != nil {
		t.Fatal(err)
	}
	desktop.click(t, "chat-send")
	for p, author := range map[*roomPage]string{desktop: "You", phone: "Ada"} {
		p.is(t, 10*time.Second, "what was written, and by whom",
			fmt.Sprintf(`document.querySelector('[data-testid="chat-message"]')?.textContent.match(/^%s .*Good morning$/)`, author))
	}
	phone.shows(t, time.Second, "chat-unread")
	desktop.picture(t, "chat-desktop")
	desktop.click(t, "chat-close")

	phone.click(t, "toggle-microphone")
	desktop.is(t, 5*time.Second, "the other user muted",
		`document.querySelector('[data-testid="tile"]:not([data-self="true"])').dataset.microphone === 'off'`)
	wait.For(t, 5*time.Second, "the status to show the muted microphone", func() error {
		connection, err := kube.Connection(namespace, guest2)
		if err != nil {
			return err
		}
		if p := connection.Status.Publishers; len(p) != 1 || p[0].AudioActive || !p[0].VideoActive {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})

	if _, err := kube.Kubectl(t.Context(), "delete", "connection", guest2); err != nil {
		t.Fatal(err)
	}
	phone.is(t, 5*time.Second, "that its user was thrown out",
		"document.getElementById('ending').dataset.reason === 'forceDisconnectByServer'")
	phone.picture(t, "evicted-phone")
	desktop.is(t, 5*time.Second, "one user", `document.querySelectorAll('[data-testid="tile"]').length === 1`)
	desktop.click(t, "leave")
	desktop.is(t, 5*time.Second, "that its user has left", "document.getElementById('ending').dataset.reason === 'disconnect'")

	late := openRoomPage(t, 1, second, "Grace", browser.Viewport{Width: 390, Height: 844, Phone: true})
	late.is(t, 10*time.Second, "that the token is not valid", `document.querySelector('[data-testid="message"]').dataset.problem === 'refused-token'`)
	late.picture(t, "refused-phone")
}
