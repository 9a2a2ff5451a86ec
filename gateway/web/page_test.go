package web

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// patience is how long a page may take for what it does by itself. It is longer than the page's own
// limit for joining.
const patience = 40 * time.Second

// chromium is the one browser of these tests.
var chromium struct {
	mu      sync.Mutex // guards browser
	browser *browser.Browser
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chromium.browser != nil {
		chromium.browser.Close()
	}
	os.Exit(code)
}

func sharedBrowser(t *testing.T) *browser.Browser {
	t.Helper()
	chromium.mu.Lock()
	defer chromium.mu.Unlock()
	if chromium.browser == nil {
		var err error
		if chromium.browser, err = browser.Start(); err != nil {
			t.Fatal(err)
		}
	}
	return chromium.browser
}

// open opens the page in a new tab.
func open(t *testing.T, url string) *browser.Page {
	t.Helper()
	return sharedBrowser(t).Open(t, "guest", url, browser.Viewport{})
}

// eventually waits until a JavaScript expression is true.
func eventually(t *testing.T, page *browser.Page, expression string) {
	t.Helper()
	page.Await(t, patience, expression)
}

func problem(kind string) string {
	return browser.Shown("message") + fmt.Sprintf(` && document.querySelector('[data-testid="message"]').dataset.problem === %q`, kind)
}

func ended(reason string) string {
	return browser.Shown("end") + fmt.Sprintf(` && document.getElementById('ending').dataset.reason === %q`, reason)
}

func click(t *testing.T, page *browser.Page, testID string) {
	t.Helper()
	if err := page.Click(fmt.Sprintf("[data-testid=%q]", testID)); err != nil {
		t.Fatal(err)
	}
}

// joined opens the page with an invitation and joins.
func joined(t *testing.T, s *signalling) *browser.Page {
	t.Helper()
	page := open(t, s.invitation())
	eventually(t, page, browser.Shown("join"))
	click(t, page, "join")
	eventually(t, page, browser.Shown("room"))
	return page
}

func TestJoiningAnotherWayThanByLink(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	page := open(t, s.url(""))
	eventually(t, page, browser.Shown("token-input"))
	click(t, page, "join")
	eventually(t, page, problem("no-token"))
	paste := func(text string) {
		if err := page.Evaluate(fmt.Sprintf("document.querySelector('[data-testid=\"token-input\"]').value = %q", text), nil); err != nil {
			t.Fatal(err)
		}
		click(t, page, "join")
	}
	paste("ws://" + s.host() + "?sessionId=demo")
	eventually(t, page, problem("malformed-token"))
	paste(s.invitation())
	eventually(t, page, browser.Shown("room"))
}

func TestJoiningByALinkOfBefore(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	page := open(t, s.oldInvitation())
	eventually(t, page, browser.Shown("join"))
	click(t, page, "join")
	eventually(t, page, browser.Shown("room"))
}

func TestAnInvitationInTheAddressOfAPageThatIsOpen(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	page := open(t, s.url(""))
	eventually(t, page, browser.Shown("token-input"))
	// As a guest does who pastes the link where the page's address is: browsers load nothing for
	// that.
	if err := page.Evaluate(fmt.Sprintf("location.href = %q", s.invitation()), nil); err != nil {
		t.Fatal(err)
	}
	wait.For(t, patience, "the invitation to be taken", func() error {
		var taken bool
		// The page loads again in the meantime, and can't be asked then.
		if err := page.Evaluate("!("+browser.Shown("token-input")+") && "+browser.Shown("join"), &taken); err != nil {
			return err
		}
		if !taken {
			return errors.New("the page asks for an invitation")
		}
		return nil
	})
	click(t, page, "join")
	eventually(t, page, browser.Shown("room"))
}

func TestJoiningThatGoesWrong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		setup func(*signalling)
		query string
		want  string
	}{
		{name: "malformed token", query: "?token=tok_only", want: "malformed-token"},
		{name: "token for nothing", query: "?token=", want: "no-token"},
		{name: "malformed token in the fragment", query: "#token=tok_only", want: "malformed-token"},
		{name: "used token", setup: func(s *signalling) { s.refusal = &refusal{401, "Token TOKEN is not valid. Code: 401"} }, want: "refused-token"},
		{name: "unknown session", setup: func(s *signalling) { s.refusal = &refusal{202, "Session demo cannot be found"} }, want: "unknown-room"},
		{name: "closing session", setup: func(s *signalling) { s.refusal = &refusal{203, "Session demo is closed"} }, want: "closing-room"},
		{name: "no capacity", setup: func(s *signalling) { s.refusal = &refusal{204, "no media node"} }, want: "no-capacity"},
		{name: "too many attempts", setup: func(s *signalling) { s.refusal = &refusal{999, "Too many attempts from this address"} }, want: "too-many"},
		{name: "unknown error", setup: func(s *signalling) { s.refusal = &refusal{-1, "TOKEN"} }, want: "unexpected"},
		{name: "unreachable", setup: func(s *signalling) { s.refuse = true }, want: "unreachable"},
		{name: "no answer", setup: func(s *signalling) { s.silent = true }, want: "timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSignalling(t)
			if test.setup != nil {
				s.set(test.setup)
			}
			url := s.invitation()
			if test.query != "" {
				url = s.url(test.query)
			}
			page := open(t, url)
			eventually(t, page, browser.Shown("start"))
			if test.query == "" {
				click(t, page, "join")
			}
			eventually(t, page, problem(test.want))
			// There is always a way to go on.
			eventually(t, page, `!document.getElementById('join').disabled && (`+browser.Shown("token-input")+` || `+browser.Shown("other-invitation")+`)`)
			if console := page.Console(); strings.Contains(console, secret) || strings.Contains(console, private) {
				t.Errorf("the console holds a secret:\n%s", console)
			}
		})
	}
}

func TestJoiningGoesOnWhenTheServerComesBack(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	s.set(func(s *signalling) { s.refuse = true })
	page := open(t, s.invitation())
	eventually(t, page, browser.Shown("join"))
	click(t, page, "join")
	wait.For(t, patience, "the page to try to connect", wait.True(func() bool { return s.refusals() > 0 }))
	s.set(func(s *signalling) { s.refuse = false })
	eventually(t, page, browser.Shown("room"))
}

func TestTokenLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	page := joined(t, s)
	for _, place := range []string{"location.href", "document.documentElement.outerHTML", "JSON.stringify({...localStorage, ...sessionStorage})", "document.cookie"} {
		var content string
		if err := page.Evaluate(place, &content); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(content, secret) {
			t.Errorf("%s holds the token", place)
		}
	}
	s.set(func(s *signalling) { s.gone = true })
	s.drop()
	eventually(t, page, ended("networkDisconnect"))
	if console := page.Console(); strings.Contains(console, secret) || strings.Contains(console, private) {
		t.Errorf("the console holds a secret:\n%s", console)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if want := "ws://" + s.host() + "?sessionId=demo&token=" + secret; len(s.joins) != 1 || s.joins[0] != want {
		t.Errorf("joined with %d tokens, want 1, as it was given", len(s.joins))
	}
	if len(s.asked) == 0 || strings.Contains(strings.Join(s.asked, " "), secret) {
		t.Errorf("what was asked for: %q", s.asked)
	}
}

func TestCallsEndWithAReason(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{
		"forceDisconnectByServer", "forceDisconnectByUser", "sessionClosedByServer", "nodeCrashed", "openviduServerStopped", "mediaServerDisconnect", "another",
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s := newSignalling(t)
			page := joined(t, s)
			s.tell(t, "participantEvicted", map[string]string{"connectionId": "con_self", "reason": reason})
			eventually(t, page, ended(reason))
			click(t, page, "end-action")
			eventually(t, page, browser.Shown("token-input"))
		})
	}
	t.Run("own leave", func(t *testing.T) {
		t.Parallel()
		page := joined(t, newSignalling(t))
		click(t, page, "leave")
		eventually(t, page, ended("disconnect"))
	})
}

func TestReconnecting(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	page := joined(t, s)
	eventually(t, page, "!("+browser.Shown("reconnecting")+")")
	s.set(func(s *signalling) { s.refuse = true })
	s.drop()
	eventually(t, page, browser.Shown("reconnecting"))
	s.set(func(s *signalling) { s.refuse = false })
	eventually(t, page, "!("+browser.Shown("reconnecting")+")")
	eventually(t, page, browser.Shown("room"))
}

func TestPeopleComeAndGo(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	s.set(func(s *signalling) { s.others = []string{"Grace Hopper", "<b>Eve</b>"} })
	page := joined(t, s)
	count := func(want string) string {
		return fmt.Sprintf(`document.querySelector('[data-testid="people-count"]').textContent === %q`, want)
	}
	eventually(t, page, count("3"))
	eventually(t, page, `[...document.querySelectorAll('[data-testid="tile-name"]')].map((n) => n.textContent).join() === 'Ada Lovelace (you),Grace Hopper,<b>Eve</b>'`)
	s.tell(t, "participantJoined", map[string]any{"id": "con_late", "createdAt": 2, "metadata": "Alan%/%server"})
	eventually(t, page, count("4"))
	for _, id := range []string{"con_other0", "con_other1", "con_late"} {
		s.tell(t, "participantLeft", map[string]string{"connectionId": id, "reason": "disconnect"})
	}
	eventually(t, page, count("1")+" && "+browser.Shown("alone"))
}

func TestMicrophoneAndCamera(t *testing.T) {
	t.Parallel()
	page := joined(t, newSignalling(t))
	tile := func(state string) string {
		return fmt.Sprintf(`document.querySelector('[data-testid="tile"][data-self="true"]%s')`, state)
	}
	eventually(t, page, tile(`[data-microphone="on"][data-camera="on"].live`)+" && !("+browser.Shown("tile-muted")+")")
	click(t, page, "toggle-microphone")
	eventually(t, page, tile(`[data-microphone="off"][data-camera="on"]`)+" && "+browser.Shown("tile-muted"))
	click(t, page, "toggle-camera")
	eventually(t, page, tile(`[data-microphone="off"][data-camera="off"]`))
	click(t, page, "toggle-camera")
	click(t, page, "toggle-microphone")
	eventually(t, page, tile(`[data-microphone="on"][data-camera="on"]`))
}

func TestCameraThatWasOffCanBeTurnedOnLater(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	page := open(t, s.invitation())
	eventually(t, page, `document.querySelector('[data-testid="preview"]').dataset.camera === 'on'`)
	click(t, page, "start-camera")
	eventually(t, page, `document.querySelector('[data-testid="preview"]').dataset.camera === 'off'`)
	click(t, page, "join")
	eventually(t, page, `document.querySelector('[data-testid="tile"][data-microphone="on"][data-camera="off"]')`)
	click(t, page, "toggle-camera")
	eventually(t, page, `document.querySelector('[data-testid="tile"][data-microphone="on"][data-camera="on"].live')`)
}

func TestViewers(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]func(*signalling){
		"by role":         func(s *signalling) { s.role = "SUBSCRIBER" },
		"when publishing": func(s *signalling) { s.publish = &refusal{401, "no permission. Code: 401"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSignalling(t)
			s.set(setup)
			page := joined(t, s)
			eventually(t, page, `document.querySelector('[data-notice="viewer"]')`)
			eventually(t, page, "!("+browser.Shown("toggle-microphone")+") && !("+browser.Shown("toggle-camera")+") && "+browser.Shown("leave"))
		})
	}
}

func TestPublishingThatGoesWrong(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	s.set(func(s *signalling) { s.publish = &refusal{303, "no endpoint. Code: 303"} })
	page := joined(t, s)
	eventually(t, page, `document.querySelector('[data-notice="publish-failed"]')`)
	s.set(func(s *signalling) { s.publish = nil })
	click(t, page, "toggle-camera")
	eventually(t, page, `document.querySelector('[data-testid="tile"][data-self="true"][data-camera="on"]')`)
}

func TestJoiningWithoutDevices(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	s.header.Set("Permissions-Policy", "camera=(), microphone=()")
	page := open(t, s.invitation())
	eventually(t, page, `document.querySelector('[data-testid="media-message"]').textContent.includes('blocked')`)
	click(t, page, "join")
	eventually(t, page, browser.Shown("room"))
	eventually(t, page, `document.querySelector('[data-testid="toggle-camera"]').getAttribute('aria-pressed') === 'false'`)
	click(t, page, "toggle-camera")
	eventually(t, page, `document.querySelector('[data-notice="camera-problem"]')`)
}
