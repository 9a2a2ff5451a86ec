package web

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// audit runs axe, which is part of the page then, and gives what a person who can't see, hear or
// point well would stumble over.
const audit = `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
  .filter(({ impact }) => impact === 'serious' || impact === 'critical')
  .flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => id + ' ' + target + ': ' + failureSummary)))`

// accessible checks what a page shows with axe-core, in both themes.
func accessible(t *testing.T, page *browser.Page, name string) {
	t.Helper()
	source, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	if err := page.Evaluate(string(source)+"; 1", nil); err != nil {
		t.Fatal(err)
	}
	for _, colours := range []string{"dark", "light"} {
		if err := page.Evaluate(fmt.Sprintf(theme, colours), nil); err != nil {
			t.Fatal(err)
		}
		var wrong []string
		// Colours are judged when they have stopped to change.
		if err := page.Evaluate(settled+".then(() => "+audit+")", &wrong); err != nil {
			t.Fatal(err)
		}
		for _, text := range wrong {
			t.Errorf("%s, %s: %s", name, colours, text)
		}
	}
}

func TestAxeFindsNothingSerious(t *testing.T) {
	for _, device := range []string{"desktop", "phone"} {
		t.Run(device, func(t *testing.T) {
			t.Parallel()
			s := newSignalling(t)
			s.set(func(s *signalling) {
				s.others = names[:3]
				s.refusal = &refusal{401, "not valid"}
			})
			page := openAt(t, s.invitation(), viewports[device])
			eventually(t, page, `document.querySelector('[data-testid="preview"]').dataset.camera === 'on' && document.querySelector('[data-testid="camera-select"]').value`)
			accessible(t, page, "start")
			click(t, page, "join")
			eventually(t, page, problem("refused-token"))
			accessible(t, page, "refused")

			s.set(func(s *signalling) { s.refusal = nil })
			page = openAt(t, s.invitation(), viewports[device])
			eventually(t, page, browser.Shown("join"))
			click(t, page, "join")
			eventually(t, page, `document.querySelector('[data-testid="tile"][data-self="true"].live')`)
			s.tell(t, "recordingStarted", map[string]string{"id": "demo", "name": "demo"})
			s.tell(t, "networkQualityLevelChanged", map[string]any{"connectionId": "con_other0", "newValue": 1, "oldValue": 5})
			s.tell(t, "sendMessage", map[string]string{"from": "con_other0", "type": "signal:chat", "data": "Hi"})
			eventually(t, page, browser.Shown("recording")+" && "+browser.Shown("chat-unread"))
			accessible(t, page, "room")
			click(t, page, "chat-toggle")
			eventually(t, page, browser.Shown("chat"))
			accessible(t, page, "chat")
			click(t, page, "chat-close")
			click(t, page, "devices-open")
			eventually(t, page, browser.Shown("call-camera-select"))
			accessible(t, page, "devices")
			click(t, page, "devices-close")
			click(t, page, "leave")
			eventually(t, page, ended("disconnect"))
			accessible(t, page, "end")
		})
	}
}

// goTo presses Tab until an element has the focus, and checks that one sees where it is on the way.
func goTo(t *testing.T, page *browser.Page, selector string) {
	t.Helper()
	const most = 60 // presses: more than the page has controls
	for range most {
		if err := page.Press(kb.Tab); err != nil {
			t.Fatal(err)
		}
		var at struct {
			There, Seen bool
			What        string
		}
		if err := page.Evaluate(fmt.Sprintf(`(() => {
  const element = document.activeElement;
  return {
    There: element.matches(%q),
    Seen: element === document.body || getComputedStyle(element).outlineStyle !== 'none',
    What: element.outerHTML.slice(0, 200),
  };
})()`, selector), &at); err != nil {
			t.Fatal(err)
		}
		if !at.Seen {
			t.Errorf("nobody sees that this has the focus: %s", at.What)
		}
		if at.There {
			return
		}
	}
	t.Fatalf("%d times Tab do not lead to %s", most, selector)
}

func TestACallByKeyboardOnly(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	s.set(func(s *signalling) { s.others = []string{"Grace Hopper", "Alan Turing"} })
	press := func(page *browser.Page, keys string) {
		t.Helper()
		if err := page.Press(keys); err != nil {
			t.Fatal(err)
		}
	}
	page := open(t, s.invitation())
	eventually(t, page, `document.querySelector('[data-testid="preview"]').dataset.camera === 'on' && document.querySelector('[data-testid="camera-select"]').value`)
	goTo(t, page, "[data-testid=name-input]")
	press(page, "Ada"+kb.Enter)
	eventually(t, page, `document.querySelector('[data-testid="tile"][data-self="true"].live')`)

	goTo(t, page, "[data-connection-id=con_other1] .pin")
	press(page, kb.Enter)
	eventually(t, page, `document.querySelector('[data-connection-id="con_other1"]').dataset.large === 'true'`)
	goTo(t, page, "#microphone")
	press(page, " ")
	eventually(t, page, `document.querySelector('[data-testid="tile"][data-self="true"]').dataset.microphone === 'off'`)

	goTo(t, page, "#chat-toggle")
	press(page, kb.Enter)
	eventually(t, page, `document.activeElement.id === 'chat-text'`)
	press(page, "Hi"+kb.Enter)
	wait.For(t, patience, "the message to be sent", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		var sent struct{ Data string }
		if len(s.written) != 1 {
			return fmt.Errorf("%d messages were sent", len(s.written))
		}
		if err := json.Unmarshal([]byte(s.written[0]), &sent); err != nil || !strings.Contains(sent.Data, `"Hi"`) {
			return fmt.Errorf("sent %s: %w", s.written[0], err)
		}
		return nil
	})
	press(page, kb.Escape)
	eventually(t, page, "!("+browser.Shown("chat")+") && document.activeElement.id === 'chat-toggle'")

	goTo(t, page, "#devices-open")
	press(page, kb.Enter)
	eventually(t, page, browser.Shown("devices-dialog"))
	press(page, kb.Escape)
	eventually(t, page, "!("+browser.Shown("devices-dialog")+")")
	goTo(t, page, "#leave")
	press(page, kb.Enter)
	eventually(t, page, ended("disconnect"))
}
