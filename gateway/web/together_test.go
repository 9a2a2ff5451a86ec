package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/wait"
)

// write types a message into the chat and sends it.
func write(t *testing.T, page *browser.Page, text string) {
	t.Helper()
	if err := page.Evaluate(fmt.Sprintf("document.querySelector('[data-testid=chat-text]').value = %q", text), nil); err != nil {
		t.Fatal(err)
	}
	click(t, page, "chat-send")
}

// says is an expression that is true when the chat has these messages, each with its author.
func says(messages string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('[data-testid="chat-message"]')].map((m) => `+
		`m.querySelector('.author').textContent + ': ' + m.querySelector('.text').textContent).join('|') === %q`, messages)
}

func TestPeopleWriteToEachOther(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	s.set(func(s *signalling) { s.others = []string{"Grace Hopper"} })
	page := joined(t, s)
	hear := func(from, data string) {
		t.Helper()
		s.tell(t, "sendMessage", map[string]string{"from": from, "type": "signal:chat", "data": data})
	}
	hear("con_other0", `{"message":"<i>Hi</i>","nickname":"somebody else"}`)
	eventually(t, page, browser.Shown("chat-unread")+` && document.getElementById('chat-unread').textContent === '1'`)
	click(t, page, "chat-toggle")
	eventually(t, page, browser.Shown("chat")+" && !("+browser.Shown("chat-unread")+") && "+says("Grace Hopper: <i>Hi</i>"))
	eventually(t, page, `document.activeElement.id === 'chat-text'`)

	write(t, page, "Hello\nGrace")
	var sent struct{ Type, Data string }
	wait.For(t, patience, "the message to be sent", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.written) == 0 {
			return errors.New("nothing was sent")
		}
		return json.Unmarshal([]byte(s.written[0]), &sent)
	})
	if want := `{"message":"Hello\nGrace","nickname":"Ada Lovelace"}`; sent.Type != "signal:chat" || sent.Data != want {
		t.Errorf("sent %+v, want the data %s", sent, want)
	}
	hear("con_self", sent.Data)
	hear("con_other0", "a plain text")
	eventually(t, page, says("Grace Hopper: <i>Hi</i>|You: Hello\nGrace|Grace Hopper: a plain text"))

	// What could not be sent is not lost.
	s.set(func(s *signalling) { s.mute = &refusal{-1, "no"} })
	write(t, page, "Lost?")
	eventually(t, page, `document.querySelector('[data-notice="chat-failed"]') && document.getElementById('chat-text').value === 'Lost?'`)

	if err := page.Evaluate(`document.getElementById('chat-text').dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }))`, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, page, "!("+browser.Shown("chat")+") && document.activeElement.id === 'chat-toggle'")
}

func TestOnePersonIsSeenLarge(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	s.set(func(s *signalling) { s.others = []string{"Grace", "Alan", "Barbara"} })
	page := joined(t, s)
	pin := func() {
		t.Helper()
		if err := page.Click(`[data-connection-id="con_other1"] [data-testid="tile-pin"]`); err != nil {
			t.Fatal(err)
		}
	}
	large := `document.querySelector('[data-testid="tile"]:first-child[data-large="true"]')?.dataset.connectionId === 'con_other1'`
	pin()
	eventually(t, page, large)
	inspect(t, page, "desktop-large")
	pin()
	eventually(t, page, `!document.querySelector('[data-large="true"]')`)
	pin()
	s.tell(t, "participantLeft", map[string]string{"connectionId": "con_other1", "reason": "disconnect"})
	eventually(t, page, `!document.querySelector('[data-large="true"]') && document.querySelectorAll('[data-testid="tile"]').length === 3`)
}

func TestDevicesAreChangedInTheCall(t *testing.T) {
	t.Parallel()
	page := joined(t, newSignalling(t))
	eventually(t, page, `document.querySelector('[data-testid="tile"][data-self="true"][data-camera="on"].live')`)
	click(t, page, "toggle-microphone")
	eventually(t, page, `document.querySelector('[data-testid="tile"][data-microphone="off"]')`)
	click(t, page, "devices-open")
	eventually(t, page, browser.Shown("call-camera-select")+" && "+browser.Shown("call-microphone-select"))
	inspect(t, page, "desktop-devices")
	for device, option := range map[string]int{"camera": 3, "microphone": 2} {
		change := fmt.Sprintf(`(() => {
  const select = document.querySelector('[data-testid="call-%s-select"]');
  select.selectedIndex = %d;
  window.%[1]sChosen = select.value;
  select.dispatchEvent(new Event('change'));
})()`, device, option)
		if err := page.Evaluate(change, nil); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, page, `document.querySelector('[data-testid="tile"] video').srcObject.getVideoTracks()[0].getSettings().deviceId === window.cameraChosen`)
	click(t, page, "devices-close")
	eventually(t, page, "!("+browser.Shown("devices-dialog")+")")
	// Who is muted is not heard by choosing another microphone.
	eventually(t, page, `document.querySelector('[data-testid="tile"][data-microphone="off"][data-camera="on"]')`)
	click(t, page, "toggle-microphone")
	eventually(t, page, `document.querySelector('[data-testid="tile"][data-microphone="on"]')`)
	eventually(t, page, `document.querySelector('[data-testid="tile"] video').srcObject.getAudioTracks()[0].getSettings().deviceId === window.microphoneChosen`)
}

func TestMarksOfTheRoom(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	s.set(func(s *signalling) { s.others = []string{"Grace"} })
	page := joined(t, s)
	weak := `document.querySelector('[data-connection-id="con_other0"] [data-testid="tile-weak"]').checkVisibility()`
	eventually(t, page, "!("+browser.Shown("recording")+") && !"+weak)
	s.tell(t, "recordingStarted", map[string]string{"id": "demo", "name": "demo"})
	s.tell(t, "networkQualityLevelChanged", map[string]any{"connectionId": "con_other0", "newValue": 1, "oldValue": 5})
	eventually(t, page, browser.Shown("recording")+` && document.querySelector('[data-notice="recording-started"]')`)
	eventually(t, page, weak+` && document.querySelector('[data-connection-id="con_other0"]').getAttribute('aria-label').includes('weak connection')`)
	s.tell(t, "recordingStopped", map[string]string{"id": "demo", "name": "demo", "reason": "recordingStoppedByServer"})
	s.tell(t, "networkQualityLevelChanged", map[string]any{"connectionId": "con_other0", "newValue": 4, "oldValue": 1})
	eventually(t, page, "!("+browser.Shown("recording")+") && !"+weak)
}

// TestRoomWithItsPanelsFits looks at the chat on each screen, with one person large.
func TestRoomWithItsPanelsFits(t *testing.T) {
	for device, viewport := range viewports {
		t.Run(device, func(t *testing.T) {
			t.Parallel()
			s := newSignalling(t)
			s.set(func(s *signalling) { s.others = names[:7] })
			page := openAt(t, s.invitation(), viewport)
			eventually(t, page, browser.Shown("join"))
			click(t, page, "join")
			eventually(t, page, `document.querySelector('[data-testid="tile"][data-self="true"].live')`)
			if err := page.Evaluate(fakePictures, nil); err != nil {
				t.Fatal(err)
			}
			if err := page.Click(`[data-connection-id="con_other0"] [data-testid="tile-pin"]`); err != nil {
				t.Fatal(err)
			}
			s.tell(t, "recordingStarted", map[string]string{"id": "demo", "name": "demo"})
			s.tell(t, "networkQualityLevelChanged", map[string]any{"connectionId": "con_other0", "newValue": 1, "oldValue": 5})
			eventually(t, page, `document.querySelector('[data-large="true"].live')`)
			inspect(t, page, device+"-large")
			for i, text := range []string{"Good morning! Can everybody hear me?", "Yes, loud and clear.", "https://example.org/a/very/long/address/that/does/not/fit/into/one/line", "Let’s begin."} {
				s.tell(t, "sendMessage", map[string]string{"from": []string{"con_other0", "con_self"}[i%2], "type": "signal:chat", "data": text})
			}
			eventually(t, page, browser.Shown("chat-unread"))
			click(t, page, "chat-toggle")
			eventually(t, page, browser.Shown("chat"))
			inspect(t, page, device+"-chat")
		})
	}
}

func TestThePageSpeaksTheLanguageOfItsGuest(t *testing.T) {
	t.Parallel()
	s := newSignalling(t)
	s.set(func(s *signalling) { s.others = []string{"Grace"} })
	page := openAt(t, s.invitation(), browser.Viewport{Width: 360, Height: 740, Phone: true, Language: "de-AT"})
	eventually(t, page, browser.Shown("join")+` && document.querySelector('[data-testid="camera-select"]').value`)
	eventually(t, page, `document.documentElement.lang === 'de' && document.getElementById('start-title').textContent === 'Bereit zum Beitreten?'`)
	inspect(t, page, "german-start")
	click(t, page, "join")
	eventually(t, page, `document.querySelector('[data-testid="tile-name"]')?.textContent === 'Ada Lovelace (Sie)'`)
	inspect(t, page, "german-room")
	s.tell(t, "participantEvicted", map[string]string{"connectionId": "con_self", "reason": "sessionClosedByServer"})
	eventually(t, page, browser.Shown("end")+` && document.getElementById('end-title').textContent === 'Der Raum ist zu Ende'`)
	inspect(t, page, "german-end")
}
