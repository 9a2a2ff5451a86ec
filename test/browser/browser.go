// Package browser is the authority on how tests drive real browsers: it starts Chromium and Firefox
// with fake devices, opens pages, keeps what they write to their console, and makes sure that every
// process that it started ends.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	netns "mediarooms.dev/mediarooms/test/network"
)

// callTimeout bounds one call into a page. It is longer than the client's own request timeout of 10
// s, so that a test sees the client's error and not ours.
const callTimeout = 30 * time.Second

// consoleLines is how many lines of a page's console are kept.
const consoleLines = 400

// Executable is the browser that tests use: $CHROMIUM, or the first of Debian's names that is
// installed. The error says what to install.
func Executable() (string, error) {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("looking for a browser: none found; install one (apt-get install chromium) or set CHROMIUM")
}

// Browser is one Chromium process with a profile of its own. Its pages may be used concurrently.
type Browser struct {
	ctx     context.Context
	cancel  func()
	cameras cameras
}

// Place is where a browser runs. The zero value is this machine as it is.
type Place struct {
	// NetworkNamespace is the path of the namespace in which the browser runs, empty for that of
	// the test.
	NetworkNamespace string
	// Addresses say where to connect to, as host:port, instead of a host:port that URLs name.
	Addresses map[string]string
}

// dial connects to a TCP address of the place, as http.Transport.DialContext.
func (p Place) dial(ctx context.Context, _, address string) (net.Conn, error) {
	dial := func() (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", address) }
	if p.NetworkNamespace == "" {
		return dial()
	}
	return netns.Within(p.NetworkNamespace, dial)
}

// Start starts a browser with fake camera and microphone. It ends with Close, or with this process.
func Start() (*Browser, error) {
	return StartAt(Place{})
}

// StartAt is Start at a place.
func StartAt(place Place) (*Browser, error) {
	executable, err := Executable()
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(executable),
		chromedp.Flag("headless", "new"),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("use-fake-device-for-media-stream", fakeDevices),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("mute-audio", true),
	)
	var rules []string
	for from, to := range place.Addresses {
		rules = append(rules, "MAP "+from+" "+to)
	}
	if len(rules) > 0 {
		options = append(options, chromedp.Flag("host-resolver-rules", strings.Join(rules, ", ")))
	}
	if place.NetworkNamespace != "" {
		options = append(options, chromedp.ModifyCmdFunc(func(command *exec.Cmd) {
			enter(command, place.NetworkNamespace)
			command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // as without this function
		}))
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stopBrowser := chromedp.NewContext(allocator)
	b := &Browser{ctx: ctx, cancel: func() { stopBrowser(); stopAllocator() }}
	if err := chromedp.Do(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("starting %s: %w", executable, err)
	}
	return b, nil
}

// enter lets a command run in a network namespace. The process id stays the command's own: nsenter
// becomes it.
func enter(command *exec.Cmd, namespace string) {
	command.Args = append([]string{"nsenter", "--net=" + namespace, command.Path}, command.Args[1:]...)
	command.Path = "/usr/bin/nsenter"
}

// Close ends the browser's processes and removes its profile. It returns when that is done.
func (b *Browser) Close() {
	b.cancel()
}

// Page is one tab with cookies and storage of its own. Calls are made one after another; it is safe
// for concurrent use.
type Page struct {
	// Name is what the test log calls it.
	Name string
	transportCheck

	ctx      context.Context
	close    context.CancelFunc
	viewport Viewport
	camera   int // of its own among the browser's

	running sync.Mutex // held during a call: the actions of a chromedp context must not overlap

	console console

	mu     sync.Mutex // guards frames
	frames []Frame
}

// console keeps the last lines that a page wrote to its console. It is safe for concurrent use.
type console struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (c *console) keep(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, time.Now().Format("15:04:05.000 ")+line)
	if len(c.lines) > consoleLines {
		c.lines = c.lines[len(c.lines)-consoleLines:]
	}
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}

// Viewport is the size of a page in CSS pixels.
type Viewport struct {
	Width, Height int64
	// Phone emulates a phone: a touch screen, a high pixel density, and what the browser calls
	// itself.
	Phone bool
	// Language is what the phone's owner prefers (de-AT), empty for the browser's own.
	Language string
}

// phone is what Chromium calls itself on a phone.
const phone = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"

// asPhone lets the browser call itself that, and prefer a language.
func (v Viewport) asPhone(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	_, err := cdp.Call(ctx, t, emulation.SetUserAgentOverride,
		emulation.SetUserAgentOverrideParams{UserAgent: phone, Platform: "Linux armv81", AcceptLanguage: v.Language})
	return chromedp.Void{}, err
}

// emulate gives a page this screen.
func (v Viewport) emulate() chromedp.Action[chromedp.Void] {
	var options []chromedp.EmulateViewportOption
	if v.Phone {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
	}
	if v.Phone && v.Width > v.Height {
		options = append(options, chromedp.EmulateLandscape)
	}
	return chromedp.EmulateViewport(v.Width, v.Height, options...)
}

// Rotate turns a phone by a quarter.
func (p *Page) Rotate() error {
	p.viewport.Width, p.viewport.Height = p.viewport.Height, p.viewport.Width
	if err := p.do(p.viewport.emulate()); err != nil {
		return fmt.Errorf("rotating %s: %w", p.Name, err)
	}
	return nil
}

// Open opens a page at a URL. It is closed at the end of the test; when the test fails, its console
// is written to the test log. A zero viewport leaves the browser's own.
func (b *Browser) Open(t testing.TB, name, url string, viewport Viewport) *Page {
	t.Helper()
	tab := &Page{Name: name, viewport: viewport, camera: b.cameras.take()}
	tab.evaluate = tab.Evaluate
	tab.ctx, tab.close = chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(func() {
		tab.report(t, name)
		if t.Failed() {
			t.Logf("console of %s:\n%s", name, tab.Console())
		}
		tab.close()
		b.cameras.release(tab.camera)
	})
	// The first Do binds the tab to its context, so that one has no deadline.
	if err := chromedp.Do(tab.ctx); err != nil {
		t.Fatalf("opening a tab for %s: %v", name, err)
	}
	messages := chromedp.Console(tab.ctx)
	go func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			tab.console.keep(string(message.Type) + ": " + message.Text)
		}
	}()
	if err := tab.network(); err != nil {
		t.Fatalf("watching the sockets of %s: %v", name, err)
	}
	actions := []chromedp.Action[chromedp.Void]{watchTransports}
	if viewport.Width > 0 {
		actions = append(actions, viewport.emulate())
	}
	if viewport.Phone {
		actions = append(actions, viewport.asPhone)
	}
	actions = append(actions, chromedp.Navigate(url))
	if err := tab.do(actions...); err != nil {
		t.Fatalf("opening %s for %s: %v", redact(url), name, err)
	}
	return tab
}

// watchTransports lets the browser run the watch in each page before anything else.
func watchTransports(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: transportWatch})
	return chromedp.Void{}, err
}

// network begins to keep what passes on the page's sockets.
func (p *Page) network() error {
	if err := chromedp.Listen(p.ctx, p.frame); err != nil {
		return err
	}
	_, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{})
	return err
}

// redact cuts the query off a URL: it may hold a token.
func redact(url string) string {
	before, _, _ := strings.Cut(url, "?")
	return before
}

// function cuts the arguments off a call: one may be a token.
func function(expression string) string {
	before, _, _ := strings.Cut(expression, "(")
	return before
}

// Close implements Tab.
func (p *Page) Close() {
	p.leave(true)
	p.close()
}

func (p *Page) do(actions ...chromedp.Action[chromedp.Void]) error {
	p.running.Lock()
	defer p.running.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	return chromedp.Do(ctx, actions...)
}

// Console is what the page wrote to its console, the last lines of it.
func (p *Page) Console() string {
	return p.console.text()
}

// Evaluate runs a JavaScript expression, waits for its promise if it is one, and decodes what it
// gives into result unless that is nil.
func (p *Page) Evaluate(expression string, result any) error {
	p.running.Lock()
	defer p.running.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	raw, err := chromedp.Run(ctx, chromedp.Evaluate[[]byte](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		return fmt.Errorf("evaluating %s in %s: %w", function(expression), p.Name, err)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return fmt.Errorf("decoding what %s gave in %s: %w", function(expression), p.Name, err)
	}
	return nil
}

// Screenshot writes what the page shows to a PNG file, and makes its folder when it is missing.
func (p *Page) Screenshot(path string) error {
	p.running.Lock()
	defer p.running.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return fmt.Errorf("taking a picture of %s: %w", p.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, picture, 0o644)
}

// Click clicks on the first element that a CSS selector finds, once it is visible.
func (p *Page) Click(selector string) error {
	if err := p.do(chromedp.Click(chromedp.CSS(selector))); err != nil {
		return fmt.Errorf("clicking %s in %s: %w", selector, p.Name, err)
	}
	return nil
}

// Press presses keys one after the other, in whatever has the focus: letters, and those of the
// package chromedp/kb.
func (p *Page) Press(keys string) error {
	if err := p.do(chromedp.KeyEvent(keys)); err != nil {
		return fmt.Errorf("pressing %q in %s: %w", keys, p.Name, err)
	}
	return nil
}
