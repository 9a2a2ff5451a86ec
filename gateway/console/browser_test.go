package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/prometheus/client_golang/prometheus"

	"mediarooms.dev/mediarooms/test/browser"
)

// patience is how long a page may take for what it does by itself.
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

// gatewayOfTests serves the built page, and answers as a gateway would.
type gatewayOfTests struct {
	server *httptest.Server

	mu       sync.Mutex // guards what follows
	overview overview
	details  map[string]*detail // by name
	playback *playback          // of the recording weekly-1
	away     bool               // the recorder
	problem  *problem           // what every request gets, if any
	broken   bool               // requests have no answer
	asked    []string           // paths with their queries
}

// The credentials that it takes.
const (
	secretOfTests = "a secret"
	tokenOfTests  = "a.kubernetes.token"
)

func serveTests(t *testing.T) *gatewayOfTests {
	t.Helper()
	c, err := New(Config{Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	g := &gatewayOfTests{overview: exampleOverview(), details: map[string]*detail{"weekly": exampleDetail()}, playback: examplePlayback()}
	mux := http.NewServeMux()
	mux.Handle("/console/", c)
	mux.HandleFunc(apiPrefix, g.answer)
	mux.HandleFunc(filesPrefix, g.file)
	g.server = httptest.NewServer(mux)
	t.Cleanup(g.server.Close)
	answer, err := http.Get(g.url())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatal("the console is not built: run make build")
	}
	return g
}

func (g *gatewayOfTests) url() string { return g.server.URL + prefix }

func (g *gatewayOfTests) set(change func(*gatewayOfTests)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(g)
}

func (g *gatewayOfTests) answer(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, r.URL.String())
	_, password, _ := r.BasicAuth()
	token, _ := bearer(r.Header.Get("Authorization"))
	switch {
	case g.broken:
		panic(http.ErrAbortHandler)
	case g.problem != nil:
		refuse(w, g.problem)
	case password != secretOfTests && token != tokenOfTests:
		refuse(w, errUnauthenticated)
	case r.URL.Path == apiPrefix+"overview":
		shown := g.overview
		if search := r.URL.Query().Get("search"); search != "" {
			shown.Rooms = nil
			for _, r := range g.overview.Rooms {
				if strings.Contains(r.ID, search) {
					shown.Rooms = append(shown.Rooms, r)
				}
			}
		}
		send(w, r, encode(shown))
	case r.URL.Path == apiPrefix+"recording" && r.URL.Query().Get("name") == g.playback.Recording.Object:
		send(w, r, encode(g.playback))
	case r.URL.Path == apiPrefix+"room" && g.details[r.URL.Query().Get("name")] != nil:
		send(w, r, encode(g.details[r.URL.Query().Get("name")]))
	default:
		refuse(w, errUnknown)
	}
}

func openAt(t *testing.T, url string, viewport browser.Viewport) *browser.Page {
	t.Helper()
	chromium.mu.Lock()
	defer chromium.mu.Unlock()
	if chromium.browser == nil {
		var err error
		if chromium.browser, err = browser.Start(); err != nil {
			t.Fatal(err)
		}
	}
	return chromium.browser.Open(t, "viewer", url, viewport)
}

// eventually waits until a JavaScript expression is true.
func eventually(t *testing.T, page *browser.Page, expression string) {
	t.Helper()
	page.Await(t, patience, expression)
}

// says is an expression that is true while an element has a text.
func says(testID, text string) string {
	return fmt.Sprintf(`document.querySelector('[data-testid=%q]').innerText.includes(%q)`, testID, text)
}

// click clicks an element that is shown. The pointer would take many calls into the browser, and
// the keyboard's test shows that controls are reached.
func click(t *testing.T, page *browser.Page, selector string) {
	t.Helper()
	var clicked bool
	evaluate(t, page, fmt.Sprintf(`(() => {
  const element = document.querySelector(%q);
  if (!element?.checkVisibility()) return false;
  element.click();
  return true;
})()`, selector), &clicked)
	if !clicked {
		t.Fatalf("there is no %s to click", selector)
	}
}

func press(t *testing.T, page *browser.Page, keys string) {
	t.Helper()
	if err := page.Press(keys); err != nil {
		t.Fatal(err)
	}
}

func evaluate(t *testing.T, page *browser.Page, expression string, result any) {
	t.Helper()
	if err := page.Evaluate(expression, result); err != nil {
		t.Fatal(err)
	}
}

// signedIn opens the console as the tenant.
func signedIn(t *testing.T, g *gatewayOfTests, viewport browser.Viewport) *browser.Page {
	t.Helper()
	page := openAt(t, g.url(), viewport)
	eventually(t, page, browser.Shown("secret"))
	evaluate(t, page, fmt.Sprintf(`document.querySelector('#secret').value = %q`, secretOfTests), nil)
	click(t, page, `[data-testid="submit"]`)
	eventually(t, page, browser.Shown("console")+" && "+says("rooms", "weekly"))
	return page
}

func TestSigningInThatGoesWrong(t *testing.T) {
	t.Parallel()
	g := serveTests(t)
	page := openAt(t, g.url(), browser.Viewport{})
	eventually(t, page, browser.Shown("secret"))
	try := func(secret, want string) {
		t.Helper()
		evaluate(t, page, fmt.Sprintf(`document.querySelector('#secret').value = %q`, secret), nil)
		click(t, page, `[data-testid="submit"]`)
		eventually(t, page, fmt.Sprintf(`document.querySelector('#alert').dataset.problem === %q && !document.querySelector('#submit').disabled`, want))
	}
	try("", "unauthenticated")
	try("wrong", "unauthenticated")
	for _, refused := range []*problem{errTooMany, errForbidden, errManyNamespaces, errBusy} {
		g.set(func(g *gatewayOfTests) { g.problem = refused })
		try(secretOfTests, refused.Code)
	}
	g.set(func(g *gatewayOfTests) { g.problem, g.broken = nil, true })
	try(secretOfTests, "unreachable")
	var kept string
	evaluate(t, page, "JSON.stringify({...sessionStorage, ...localStorage}) + document.cookie", &kept)
	if kept != "{}" {
		t.Errorf("after failures the page keeps %s", kept)
	}
}

func TestATokenIsSentWithItsNamespace(t *testing.T) {
	t.Parallel()
	g := serveTests(t)
	page := openAt(t, g.url(), browser.Viewport{})
	eventually(t, page, browser.Shown("by-password"))
	click(t, page, "#by-token")
	eventually(t, page, browser.Shown("namespace"))
	evaluate(t, page, fmt.Sprintf(`document.querySelector('#secret').value = %q; document.querySelector('#namespace').value = 'acme'`, tokenOfTests), nil)
	click(t, page, `[data-testid="submit"]`)
	eventually(t, page, browser.Shown("console"))
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, url := range g.asked {
		if !strings.Contains(url, "namespace=acme") || strings.Contains(url, "token") {
			t.Errorf("asked %s", url)
		}
	}
}

func TestWhatIsShownIsLive(t *testing.T) {
	t.Parallel()
	g := serveTests(t)
	page := signedIn(t, g, browser.Viewport{})
	eventually(t, page, `document.querySelector('#live').dataset.live === 'true'`)
	g.set(func(g *gatewayOfTests) {
		g.overview.Rooms = append([]room{{Namespace: "acme", Name: "new", ID: "brand-new", State: stateReady}}, g.overview.Rooms...)
		g.overview.Totals.People = 4711
	})
	eventually(t, page, says("rooms", "brand-new")+" && "+says("summary", "4711"))
	g.set(func(g *gatewayOfTests) { g.broken = true })
	eventually(t, page, browser.Shown("stale")+` && document.querySelector('#live').dataset.live === 'false'`)
	g.set(func(g *gatewayOfTests) { g.broken = false })
	eventually(t, page, "!("+browser.Shown("stale")+")")
	g.set(func(g *gatewayOfTests) { g.problem = errUnauthenticated })
	eventually(t, page, browser.Shown("sign-in")+` && document.querySelector('#alert').dataset.problem === 'expired'`)
	var left string
	evaluate(t, page, "JSON.stringify({...sessionStorage}) + document.querySelector('#console').textContent", &left)
	if strings.Contains(left, "brand-new") || strings.Contains(left, "Basic") {
		t.Errorf("after the end the page keeps %s", left)
	}
}

func TestAReloadKeepsTheSignInAndSigningOutEndsIt(t *testing.T) {
	t.Parallel()
	g := serveTests(t)
	page := signedIn(t, g, browser.Viewport{})
	if err := page.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, page, browser.Shown("console")+" && "+says("rooms", "weekly"))
	click(t, page, `[data-testid="sign-out"]`)
	eventually(t, page, browser.Shown("sign-in"))
	if err := page.Reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, page, browser.Shown("sign-in"))
	var cookies string
	evaluate(t, page, "document.cookie", &cookies)
	if cookies != "" {
		t.Errorf("there is a cookie: %s", cookies)
	}
}

func TestNamesAreTextsOnly(t *testing.T) {
	t.Parallel()
	const hostile = `<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>`
	g := serveTests(t)
	g.set(func(g *gatewayOfTests) {
		g.overview.Viewer.Name = hostile
		g.overview.Rooms[0].ID, g.overview.Rooms[0].Reason = hostile, hostile
		for i := range g.overview.Events {
			g.overview.Events[i].Message, g.overview.Events[i].Name = hostile, hostile
		}
		g.details["weekly"].Room.ID = hostile
		for i := range g.details["weekly"].People {
			g.details["weekly"].People[i].Label, g.details["weekly"].People[i].Platform = hostile, hostile
		}
	})
	page := openAt(t, g.url(), browser.Viewport{})
	eventually(t, page, browser.Shown("secret"))
	evaluate(t, page, fmt.Sprintf(`document.querySelector('#secret').value = %q`, secretOfTests), nil)
	click(t, page, `[data-testid="submit"]`)
	eventually(t, page, says("rooms", hostile)+" && "+says("viewer", hostile))
	evaluate(t, page, `location.hash = '#/room/acme/weekly'`, nil)
	eventually(t, page, says("room", hostile))
	var wrong []string
	evaluate(t, page, `[...document.querySelectorAll('#console img, #console script')].map((e) => e.outerHTML).concat(window.hacked ? ['hacked'] : [])`, &wrong)
	if len(wrong) > 0 {
		t.Errorf("names became markup: %s", wrong)
	}
}

func TestTheViews(t *testing.T) {
	t.Parallel()
	g := serveTests(t)
	page := signedIn(t, g, browser.Viewport{})
	click(t, page, `[data-testid="to-fleet"]`)
	eventually(t, page, says("view-fleet", "default-7k2p9")+" && "+says("view-fleet", "41 of 50 rooms"))
	click(t, page, `[data-testid="to-recordings"]`)
	eventually(t, page, says("view-recordings", "1:02:05")+" && "+says("view-recordings", "MiB"))
	click(t, page, `[data-testid="to-events"]`)
	eventually(t, page, says("view-events", "PodLost"))
	click(t, page, `[data-testid="to-rooms"]`)
	eventually(t, page, browser.Shown("search"))
	evaluate(t, page, `document.querySelector('#search').value = 'weekly'; document.querySelector('#search').dispatchEvent(new Event('input'))`, nil)
	eventually(t, page, `document.querySelectorAll('#rooms-list a').length === 1`)
	click(t, page, "#rooms-list a")
	eventually(t, page, says("room", "Grace Hopper")+" && "+says("room", "3 over TCP")+" && "+says("room", "Connection lost: 1")+" && "+says("room", "≤ 2 %")+" && "+says("room", "420 ms"))
	evaluate(t, page, `location.hash = '#/room/acme/gone'`, nil)
	eventually(t, page, says("room", "no such room"))
	g.set(func(g *gatewayOfTests) {
		g.overview.Pools, g.overview.Pods, g.overview.Events, g.overview.Recordings = nil, nil, nil, nil
		g.overview.Unseen = []string{recordings}
		g.details["weekly"].People, g.details["weekly"].Ends = nil, nil
	})
	click(t, page, `[data-testid="back"]`)
	eventually(t, page, browser.Shown("search")+" && !("+browser.Shown("to-fleet")+")")
	click(t, page, `[data-testid="to-events"]`)
	eventually(t, page, says("view-events", "may not list events"))
	click(t, page, `[data-testid="to-recordings"]`)
	eventually(t, page, says("view-recordings", "mediarooms-console"))
	evaluate(t, page, `location.hash = '#/room/acme/weekly'`, nil)
	eventually(t, page, says("room", "list connections in acme"))
}

// goTo presses Tab until an element has the focus, and checks that one sees where it is on the way.
func goTo(t *testing.T, page *browser.Page, selector string) {
	t.Helper()
	const most = 60 // presses: more than the page has controls
	for range most {
		press(t, page, kb.Tab)
		var at struct {
			There, Seen bool
			What        string
		}
		evaluate(t, page, fmt.Sprintf(`(() => {
  const element = document.activeElement;
  const outlined = element.type === 'radio' ? element.nextElementSibling : element;
  return {
    There: element.matches(%q),
    Seen: element === document.body || getComputedStyle(outlined).outlineStyle !== 'none',
    What: element.outerHTML.slice(0, 200),
  };
})()`, selector), &at)
		if !at.Seen {
			t.Errorf("nobody sees that this has the focus: %s", at.What)
		}
		if at.There {
			return
		}
	}
	t.Fatalf("%d times Tab do not lead to %s", most, selector)
}

func TestTheConsoleByKeyboardOnly(t *testing.T) {
	t.Parallel()
	g := serveTests(t)
	page := openAt(t, g.url(), browser.Viewport{})
	eventually(t, page, browser.Shown("secret"))
	goTo(t, page, "#by-password")
	goTo(t, page, "#secret")
	press(t, page, secretOfTests+kb.Enter)
	eventually(t, page, browser.Shown("console")+" && "+says("rooms", "weekly"))
	goTo(t, page, `#rooms-list li[data-key="acme/weekly"] a`)
	// What is refreshed keeps the focus.
	g.set(func(g *gatewayOfTests) { g.overview.Totals.Streams = 815 })
	eventually(t, page, says("summary", "815")+` && document.activeElement.matches('#rooms-list li[data-key="acme/weekly"] a')`)
	press(t, page, kb.Enter)
	eventually(t, page, says("room", "Grace Hopper"))
	goTo(t, page, ".back")
	press(t, page, kb.Enter)
	eventually(t, page, browser.Shown("search"))
	goTo(t, page, `#views a[data-view="fleet"]`)
	press(t, page, kb.Enter)
	eventually(t, page, browser.Shown("view-fleet"))
	goTo(t, page, "#sign-out")
	press(t, page, kb.Enter)
	eventually(t, page, browser.Shown("sign-in"))
}

var viewports = map[string]browser.Viewport{
	"phone":   {Width: 390, Height: 844, Phone: true},
	"tablet":  {Width: 820, Height: 1180, Phone: true},
	"desktop": {Width: 1440, Height: 900},
}

// theme makes the page take its light or dark colours, whatever the browser prefers.
const theme = `for (const sheet of document.styleSheets) for (const rule of sheet.cssRules)
  if (rule.media && (rule.dark ||= rule.media.mediaText.includes('prefers-color-scheme: dark'))) rule.media.mediaText = %q === 'dark' ? 'all' : 'not all'`

// settled is a promise of the time when every transition has ended.
const settled = `Promise.all(document.getAnimations().filter((a) => a.effect.getTiming().iterations !== Infinity).map((a) => a.finished.catch(() => 1))).then(() => 1)`

// audit runs axe, which is part of the page then.
const audit = `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
  .filter(({ impact }) => impact === 'serious' || impact === 'critical')
  .flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => id + ' ' + target + ': ' + failureSummary)))`

// measure gives everything that is wrong with how the visible page is laid out.
const measure = `(() => {
  const wrong = [];
  const { clientWidth, scrollWidth } = document.documentElement;
  if (scrollWidth > clientWidth) wrong.push('the page is wider than the screen: ' + scrollWidth);
  for (const control of document.querySelectorAll('button, input, a')) {
    if (!control.checkVisibility()) continue;
    const { width, height, left, right } = control.getBoundingClientRect();
    if (width < 44 || height < 44) wrong.push(control.outerHTML.slice(0, 80) + ' is smaller than a finger: ' + width + ' x ' + height);
    if ((left < 0 || right > innerWidth) && !control.closest('nav')) wrong.push(control.outerHTML.slice(0, 80) + ' is off the screen');
  }
  return wrong;
})()`

// pictures is the variable with the folder for pictures of every view. They are for people; tests
// measure.
const pictures = "MEDIAROOMS_PICTURES"

// inspect checks the layout and, with axe-core, what a person who can't see, hear or point well
// would stumble over, in both themes.
func inspect(t *testing.T, page *browser.Page, name string) {
	t.Helper()
	var wrong []string
	evaluate(t, page, measure, &wrong)
	source, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	evaluate(t, page, string(source)+"; 1", nil)
	for _, colours := range []string{"dark", "light"} {
		evaluate(t, page, fmt.Sprintf(theme, colours), nil)
		var stumbled []string
		evaluate(t, page, settled+".then(() => "+audit+")", &stumbled)
		for _, text := range stumbled {
			wrong = append(wrong, colours+": "+text)
		}
		if folder := os.Getenv(pictures); folder != "" {
			if err := page.Screenshot(filepath.Join(folder, name+"-"+colours+".png")); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, text := range wrong {
		t.Errorf("%s: %s", name, text)
	}
}

func TestTheViewsFitAndAreAccessible(t *testing.T) {
	for device, viewport := range viewports {
		t.Run(device, func(t *testing.T) {
			t.Parallel()
			g := serveTests(t)
			page := openAt(t, g.url(), viewport)
			eventually(t, page, browser.Shown("secret"))
			click(t, page, `[data-testid="submit"]`)
			eventually(t, page, browser.Shown("alert"))
			inspect(t, page, device+"-sign-in")
			page = signedIn(t, g, viewport)
			// A chart is one with some values.
			for people := range int32(6) {
				g.set(func(g *gatewayOfTests) {
					g.overview.Totals.People = 300 + people*people
					g.overview.Totals.Streams = 500 - 7*people
				})
				eventually(t, page, says("summary", fmt.Sprint(300+people*people)))
			}
			inspect(t, page, device+"-rooms")
			for _, view := range []string{"fleet", "recordings", "events"} {
				click(t, page, fmt.Sprintf(`[data-testid="to-%s"]`, view))
				eventually(t, page, fmt.Sprintf(`document.querySelector('#%s-content').children.length`, view))
				inspect(t, page, device+"-"+view)
			}
			evaluate(t, page, `location.hash = '#/room/acme/weekly'`, nil)
			eventually(t, page, says("room", "Grace Hopper"))
			inspect(t, page, device+"-room")
			evaluate(t, page, `location.hash = '#/recording/acme/weekly-1'`, nil)
			eventually(t, page, says("recording", "Grace Hopper")+` && document.querySelector('[data-testid="player"]')?.readyState >= 2`)
			inspect(t, page, device+"-recording")
		})
	}
}

// exampleOverview is that of a platform team.
func exampleOverview() overview {
	now := time.Now().Unix()
	o := overview{
		Viewer: whom{Name: "system:serviceaccount:platform:console-viewer"},
		Totals: totals{Rooms: 64, Ready: 62, Waiting: 2, figures: figures{People: 312, Pending: 9, Streams: 481, UDP: 1460, TCP: 52}, Recording: 2},
	}
	for i, r := range []room{
		{ID: "weekly", Name: "weekly", Max: 50, Recording: true, figures: figures{People: 24, Pending: 3, Streams: 31, UDP: 176, TCP: 3}, place: place{Pod: "default-7k2p9", Standby: "default-x4m8t"}, Served: served{Joins: 4, Failed: 1, Milliseconds: 420, LossPercent: 2}},
		{ID: "all-hands-2026", Name: "all-hands-2026", figures: figures{People: 112, Streams: 4, UDP: 420, TCP: 31}, place: place{Pod: "default-x4m8t"}},
		{Namespace: "clinic", ID: "room_4711", Name: "room-4711", figures: figures{People: 2, Streams: 4, UDP: 8}, place: place{Pod: "default-7k2p9", Standby: "default-x4m8t"}},
		{Namespace: "clinic", ID: "room_4712", Name: "room-4712", figures: figures{People: 2, Pending: 1, Streams: 3, TCP: 7}, place: place{Pod: "default-7k2p9"}},
		{Namespace: "school-of-music-and-performing-arts", ID: "violin-lesson-of-thursday-afternoon-with-a-long-name", Name: "violin", figures: figures{People: 3, Streams: 6, UDP: 18}, place: place{Pod: "music-q9wz2"}},
		{ID: "standup", Name: "standup", figures: figures{People: 7, Streams: 8, UDP: 56}, place: place{Pod: "default-x4m8t"}},
		{ID: "late", Name: "late", State: stateWaiting, Reason: "NoCapacity", Message: `MediaPool "music" has all 2 media pods that it may have, and none has room now`, place: place{Pool: "music"}},
		{ID: "old", Name: "old", State: stateClosing, place: place{Pod: "default-7k2p9"}},
		{ID: "empty", Name: "empty", place: place{Pod: "default-x4m8t"}},
	} {
		r.Created = now - int64(700*(i+1)*(i+1))
		if r.Namespace == "" {
			r.Namespace = "acme"
		}
		if r.State == "" {
			r.State = stateReady
		}
		o.Rooms = append(o.Rooms, r)
	}
	o.RoomsLeft = 55
	o.Pools = []pool{
		{Name: "default", Ready: true, Pods: 3, ReadyPods: 3, MaxPods: 6, Rooms: 62, FreeRooms: 88, People: 309, Exposure: "HostPort"},
		{Name: "music", Pods: 2, ReadyPods: 1, MaxPods: 2, Rooms: 2, FreeRooms: 0, People: 3, Exposure: "LoadBalancer", Reason: "StartFailed",
			Message: "Pod music-b7hd4: container mediapod: ImagePullBackOff"},
	}
	o.Pods = []pod{
		{Name: "default-7k2p9", Pool: "default", Node: "node-a", State: stateReady, Rooms: 41, MaxRooms: 50, People: 180, Pending: 6, MaxPeople: 500, Streams: 260, Created: now - 86400},
		{Name: "default-x4m8t", Pool: "default", Node: "node-b", State: stateReady, Rooms: 20, MaxRooms: 50, People: 129, Pending: 3, MaxPeople: 500, Streams: 215, Followed: 2, Created: now - 86000},
		{Name: "default-zz81c", Pool: "default", Node: "node-c", State: stateDraining, Rooms: 1, MaxRooms: 50, MaxPeople: 500, Created: now - 972000},
		{Name: "music-q9wz2", Pool: "music", Node: "node-b", State: stateReady, Rooms: 2, MaxRooms: 2, People: 3, MaxPeople: 500, Streams: 6, Created: now - 7200},
		{Name: "music-b7hd4", Pool: "music", Node: "node-c", State: stateWaiting, MaxRooms: 2, MaxPeople: 500, Created: now - 300},
		{Name: "default-recorder-0", Pool: "default", Node: "node-a", Recorder: true, State: stateReady, Created: now - 86400},
	}
	o.Recordings = []recording{
		{Namespace: "acme", Name: "weekly", Object: "weekly", Room: "weekly", State: "started", Started: now - 340},
		{Namespace: "acme", Name: "weekly~1", Object: "weekly-1", Room: "weekly", State: "ready", Reason: "recordingStoppedByServer", Started: now - 604800, Seconds: 3725, Bytes: 412_000_000, Files: 9},
		{Namespace: "clinic", Name: "room_4700", Object: "room-4700", Room: "room-4700", State: "failed", Reason: "nodeCrashed", Started: now - 90000},
	}
	o.Events = []event{
		{Namespace: "acme", Kind: kindSession, Name: "late", Warning: true, Reason: "NoCapacity", Message: `MediaPool "music" has all 2 media pods that it may have, and none has room now`, Last: now - 20, Count: 3},
		{Namespace: "acme", Kind: kindConnection, Name: "weekly-8dk2m", Reason: "UserJoined", Message: "The user has joined from 203.0.113.77", Last: now - 61, Count: 1},
		{Namespace: "acme", Kind: kindRecording, Name: "weekly", Reason: "Started", Message: "Session weekly is recorded as weekly", Last: now - 340, Count: 1},
		{Kind: kindPool, Name: "music", Warning: true, Reason: "StartFailed", Message: "Pod music-b7hd4: container mediapod: ImagePullBackOff", Last: now - 290, Count: 12},
		{Namespace: "clinic", Kind: kindSession, Name: "room-4712", Warning: true, Reason: "PodLost", Message: "Media pod default-9vv1k was lost", Last: now - 1500, Count: 1},
		{Namespace: "clinic", Kind: kindConnection, Name: "room-4712-x2", Reason: "NetworkDisconnected", Message: "The user was away for too long", Last: now - 1480, Count: 1},
	}
	return o
}

func exampleDetail() *detail {
	now := time.Now().Unix()
	o := exampleOverview()
	d := &detail{Viewer: o.Viewer, Room: o.Rooms[0], Recordings: o.Recordings[:2], Events: o.Events[1:3], Ends: map[string]int{"disconnect": 9, "networkDisconnect": 1, "forceDisconnectByUser": 1}}
	d.Room.Node, d.Room.Pool, d.Room.Protected = "node-a", "default", "StandbyReady"
	camera := stream{ID: "str_1", Kind: "camera", Audio: true, Video: true, AudioOn: true, VideoOn: true, Width: 1280, Height: 720, FrameRate: 30}
	quiet, screen := camera, stream{ID: "str_2", Kind: "screen", Video: true, VideoOn: true, Width: 1920, Height: 1080}
	quiet.AudioOn = false
	const platform = "Chrome 142.0 on Linux"
	d.People = []person{
		{Name: "weekly-8dk2m", Label: "Grace Hopper", Role: "Moderator", State: "active", Since: now - 1900, IP: "203.0.113.77", Platform: platform, Sends: []stream{camera, screen}, Receives: 23},
		{Name: "weekly-p2ss9", Label: "Alan Turing", Role: "Publisher", State: "active", Since: now - 1800, IP: "198.51.100.4", Platform: "Firefox 140.0 on Windows", Sends: []stream{quiet}, Receives: 23},
		{Name: "weekly-mm1x0", Label: "李飞飞", Role: "Subscriber", State: "active", Since: now - 600, IP: "2001:db8::17", Platform: "Safari 19 on iOS", Receives: 24},
		{Name: "weekly-0v9q1", Role: "Publisher", State: "pending", Since: now - 120},
		{Name: "weekly-77aaz", Label: "Margaret Hamilton-Lickly of Apollo", Role: "Publisher", State: "disconnected", Since: now - 400, Left: "networkDisconnect", IP: "192.0.2.61", Platform: platform},
	}
	return d
}

func TestThePagesPolicy(t *testing.T) {
	g := serveTests(t)
	answer, err := http.Get(g.url())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	policy := answer.Header.Get("Content-Security-Policy")
	for _, directive := range []string{"default-src 'none'", "script-src 'self'", "media-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(policy, directive) {
			t.Errorf("the policy lacks %q: %s", directive, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("the policy allows too much: %s", policy)
	}
}
