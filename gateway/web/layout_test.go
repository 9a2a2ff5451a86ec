package web

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mediarooms.dev/mediarooms/test/browser"
)

// pictures is the variable with the folder for pictures of every screen. They are for people; tests
// measure.
const pictures = "MEDIAROOMS_PICTURES"

var names = []string{
	"Grace Hopper", "Alan Turing", "Katherine Johnson", "Edsger Dijkstra", "Barbara Liskov", "Ken", "Margaret Hamilton-Lickly of Apollo",
	"Радия Перлман", "李飞飞", "Donald Knuth", "Hedy Lamarr", "Tim", "Adele Goldberg", "Niklaus Wirth", "Frances Allen", "Dennis Ritchie",
	"Sophie Wilson", "Leslie Lamport", "Shafi Goldwasser", "Vint Cerf", "Jean Sammet", "Bob Kahn", "Anita Borg", "John McCarthy", "Mary Shaw",
	"Butler Lampson", "Lynn Conway",
}

var viewports = map[string]browser.Viewport{
	"desktop":   {Width: 1280, Height: 800},
	"phone":     {Width: 390, Height: 844, Phone: true},
	"landscape": {Width: 844, Height: 390, Phone: true},
}

// fakePictures gives most tiles a picture of a head before a wall, since no media flows here.
const fakePictures = `document.querySelectorAll('[data-testid="tile"]').forEach((tile, i) => {
  if (i % 4 === 3) return;
  tile.dataset.camera = 'on';
  tile.dataset.microphone = i % 3 ? 'on' : 'off';
  tile.dataset.speaking = String(i === 1);
  tile.querySelector('[data-testid="tile-muted"]').toggleAttribute('hidden', i % 3 !== 0);
  if (tile.dataset.fake) return;
  tile.dataset.fake = 'true';
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const c = canvas.getContext('2d');
  const g = c.createLinearGradient(0, 0, 640, 360);
  g.addColorStop(0, 'hsl(' + (i * 67 % 360) + ' 25% 68%)');
  g.addColorStop(1, 'hsl(' + (i * 67 % 360) + ' 30% 40%)');
  c.fillStyle = g; c.fillRect(0, 0, 640, 360);
  c.fillStyle = 'hsl(' + (i * 41 % 360) + ' 35% 30%)'; c.beginPath(); c.ellipse(320, 370, 150, 130, 0, 0, 7); c.fill();
  c.fillStyle = 'hsl(25 40% ' + (40 + i * 13 % 35) + '%)'; c.beginPath(); c.ellipse(320, 170, 70, 90, 0, 0, 7); c.fill();
  const video = tile.querySelector('video');
  video.srcObject = canvas.captureStream(5);
  video.play();
  setInterval(() => { c.fillRect(319, 169, 2, 2); }, 100);
})`

// theme makes the page take its light or dark colours, whatever the browser prefers.
const theme = `for (const sheet of document.styleSheets) for (const rule of sheet.cssRules)
  if (rule.media && (rule.dark ||= rule.media.mediaText.includes('prefers-color-scheme: dark'))) rule.media.mediaText = %q === 'dark' ? 'all' : 'not all'`

// settled is a promise of the time when every animation and transition that ends has ended.
const settled = `Promise.all(document.getAnimations().filter((a) => a.effect.getTiming().iterations !== Infinity).map((a) => a.finished.catch(() => 1))).then(() => 1)`

// measure gives everything that is wrong with how the visible page is laid out.
const measure = `(() => {
  const wrong = [];
  const { clientWidth, scrollWidth } = document.documentElement;
  if (scrollWidth > clientWidth) wrong.push('the page is wider than the screen: ' + scrollWidth);
  for (const control of document.querySelectorAll('button, input, select')) {
    if (!control.checkVisibility()) continue;
    const { width, height, left, right, bottom } = control.getBoundingClientRect();
    if (width < 44 || height < 44) wrong.push(control.id + ' is smaller than a finger: ' + width + ' x ' + height);
    if (left < 0 || right > innerWidth) wrong.push(control.id + ' is off the screen');
    if (document.body.dataset.screen === 'room' && bottom > innerHeight) wrong.push(control.id + ' is below the screen');
    if (!(control.labels?.length || control.ariaLabel || control.textContent.trim())) wrong.push(control.id + ' has no label');
  }
  const boxes = [...document.querySelectorAll('.tile')].filter((t) => t.checkVisibility()).map((t) => t.getBoundingClientRect());
  const controls = document.querySelector('.controls').getBoundingClientRect();
  const stage = document.querySelector('.stage').getBoundingClientRect();
  boxes.forEach((a, i) => {
    if (a.width < 60 || a.height < 45) wrong.push('tile ' + i + ' is too small: ' + a.width + ' x ' + a.height);
    if (a.left < stage.left || a.right > stage.right || a.top < stage.top || a.bottom > stage.bottom) wrong.push('tile ' + i + ' leaves the stage');
    if (a.right > controls.left && a.left < controls.right && a.bottom > controls.top && a.top < controls.bottom) wrong.push('tile ' + i + ' is below the controls');
    boxes.slice(i + 1).forEach((b) => {
      if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom) wrong.push('tiles overlap');
    });
  });
  const used = boxes.reduce((sum, { width, height }) => sum + width * height, 0) / (stage.width * stage.height);
  if (boxes.length && used < 0.4) wrong.push('tiles use only ' + used + ' of the stage');
  return wrong;
})()`

// inspect measures what a page shows, in both themes when pictures are wanted, and takes its
// picture.
func inspect(t *testing.T, page *browser.Page, name string) {
	t.Helper()
	var wrong []string
	if err := page.Evaluate(measure, &wrong); err != nil {
		t.Fatal(err)
	}
	for _, text := range wrong {
		t.Errorf("%s: %s", name, text)
	}
	folder := os.Getenv(pictures)
	if folder == "" {
		return
	}
	for _, colours := range []string{"light", "dark"} {
		if err := page.Evaluate(fmt.Sprintf(theme, colours), nil); err != nil {
			t.Fatal(err)
		}
		if err := page.Evaluate(settled, nil); err != nil {
			t.Fatal(err)
		}
		if err := page.Screenshot(filepath.Join(folder, name+"-"+colours+".png")); err != nil {
			t.Fatal(err)
		}
	}
}

func openAt(t *testing.T, url string, viewport browser.Viewport) *browser.Page {
	t.Helper()
	return sharedBrowser(t).Open(t, "guest", url, viewport)
}

func TestScreensFit(t *testing.T) {
	for device, viewport := range viewports {
		t.Run(device, func(t *testing.T) {
			t.Parallel()
			s := newSignalling(t)
			page := openAt(t, s.url(""), viewport)
			eventually(t, page, `document.querySelector('[data-testid="preview"]').dataset.camera === 'on'`)
			inspect(t, page, device+"-start-without-invitation")

			s.set(func(s *signalling) { s.refusal = &refusal{401, "not valid"} })
			page = openAt(t, s.invitation(), viewport)
			eventually(t, page, `document.querySelector('[data-testid="preview"]').dataset.camera === 'on' && document.querySelector('[data-testid="camera-select"]').value`)
			inspect(t, page, device+"-start")
			click(t, page, "join")
			eventually(t, page, problem("refused-token"))
			inspect(t, page, device+"-refused")

			s.set(func(s *signalling) { s.refusal, s.silent = nil, true })
			page = openAt(t, s.invitation(), viewport)
			eventually(t, page, browser.Shown("join"))
			click(t, page, "join")
			inspect(t, page, device+"-joining")

			blocked := newSignalling(t)
			blocked.header.Set("Permissions-Policy", "camera=(), microphone=()")
			page = openAt(t, blocked.invitation(), viewport)
			eventually(t, page, `document.querySelector('[data-testid="media-message"]').textContent.includes('blocked')`)
			inspect(t, page, device+"-blocked")
		})
	}
}

func TestRoomFits(t *testing.T) {
	for device, viewport := range viewports {
		t.Run(device, func(t *testing.T) {
			t.Parallel()
			s := newSignalling(t)
			page := openAt(t, s.invitation(), viewport)
			eventually(t, page, browser.Shown("join"))
			click(t, page, "join")
			eventually(t, page, `document.querySelector('[data-testid="tile"][data-self="true"].live')`)
			people := 1
			for _, count := range []int{1, 2, 3, 4, 5, 9, 16, 25, 28} {
				for ; people < count; people++ {
					s.tell(t, "participantJoined", map[string]any{"id": fmt.Sprintf("con_%d", people), "createdAt": 1, "metadata": names[people-1]})
				}
				eventually(t, page, fmt.Sprintf(`document.querySelector('[data-testid="people-count"]').textContent === '%d'`, count))
				if err := page.Evaluate(fakePictures, nil); err != nil {
					t.Fatal(err)
				}
				eventually(t, page, `[...document.querySelectorAll('[data-testid="tile"][data-camera="on"]')].every((t) => t.classList.contains('live'))`)
				inspect(t, page, fmt.Sprintf("%s-room-%02d", device, count))
			}
			s.set(func(s *signalling) { s.refuse = true })
			s.drop()
			eventually(t, page, browser.Shown("reconnecting"))
			inspect(t, page, device+"-reconnecting")
			s.set(func(s *signalling) { s.refuse = false })
			eventually(t, page, `document.querySelector('[data-notice="reconnected"]')`)
			inspect(t, page, device+"-reconnected")
			s.tell(t, "participantEvicted", map[string]string{"connectionId": "con_self", "reason": "forceDisconnectByServer"})
			eventually(t, page, ended("forceDisconnectByServer"))
			inspect(t, page, device+"-removed")

			page = openAt(t, newSignalling(t).invitation(), viewport)
			eventually(t, page, browser.Shown("join"))
			click(t, page, "join")
			eventually(t, page, browser.Shown("room"))
			click(t, page, "leave")
			eventually(t, page, ended("disconnect"))
			inspect(t, page, device+"-left")
		})
	}
}
