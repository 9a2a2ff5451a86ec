package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// firefoxStart bounds the start of Firefox: it makes a profile first.
	firefoxStart = 60 * time.Second
	// firefoxEnd is how long Firefox may take to end by itself.
	firefoxEnd = 5 * time.Second
)

// firefoxPreferences give fake devices without asking, let sound and pictures play without a click,
// and keep Firefox from calling its maker.
var firefoxPreferences = map[string]any{
	"media.navigator.streams.fake":                      true,
	"media.navigator.permission.disabled":               true,
	"media.autoplay.default":                            0,
	"media.autoplay.blocking_policy":                    0,
	"media.peerconnection.ice.obfuscate_host_addresses": false, // there is no mDNS here
	"media.gmp-manager.updateEnabled":                   false,
	"media.gmp-provider.enabled":                        false,
	"dom.min_background_timeout_value":                  4, // tabs behind others are users too
	"dom.timeout.enable_budget_timer_throttling":        false,
	"network.captive-portal-service.enabled":            false,
	"network.connectivity-service.enabled":              false,
	"network.manage-offline-status":                     false,
	"network.proxy.type":                                0,
	"app.normandy.enabled":                              false,
	"app.update.disabledForTesting":                     true,
	"browser.safebrowsing.update.enabled":               false,
	"browser.shell.checkDefaultBrowser":                 false,
	"datareporting.policy.dataSubmissionEnabled":        false,
	"extensions.update.enabled":                         false,
	"messaging-system.rsexperimentloader.enabled":       false,
	"services.settings.server":                          "data:,",
	"toolkit.telemetry.server":                          "data:,",
}

// FirefoxExecutable is the Firefox that tests use: $FIREFOX, or the first of Debian's names that is
// installed. The error says what to install.
func FirefoxExecutable() (string, error) {
	if path := os.Getenv("FIREFOX"); path != "" {
		return path, nil
	}
	for _, name := range []string{"firefox-esr", "firefox"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("looking for Firefox: not found; install it (apt-get install firefox-esr) or set FIREFOX")
}

// Firefox is one Firefox process with a profile of its own, driven by WebDriver BiDi. Its tabs may
// be used concurrently.
type Firefox struct {
	profile string
	process *os.Process
	exited  chan struct{} // closed when the process has ended
	bidi    *bidi

	mu   sync.Mutex             // guards tabs
	tabs map[string]*FirefoxTab // by browsing context
}

// StartFirefox starts a headless Firefox with fake camera and microphone. It ends with Close, or
// with this process.
func StartFirefox() (*Firefox, error) {
	return StartFirefoxAt(Place{})
}

// StartFirefoxAt is StartFirefox at a place, whose Addresses Firefox does not know.
func StartFirefoxAt(place Place) (*Firefox, error) {
	executable, err := FirefoxExecutable()
	if err != nil {
		return nil, err
	}
	f := &Firefox{exited: make(chan struct{}), tabs: map[string]*FirefoxTab{}}
	if f.profile, err = newFirefoxProfile(); err != nil {
		return nil, fmt.Errorf("making a profile for Firefox: %w", err)
	}
	if err := f.start(executable, place); err != nil {
		f.Close()
		return nil, fmt.Errorf("starting %s: %w", executable, err)
	}
	return f, nil
}

// newFirefoxProfile makes a folder with the preferences.
func newFirefoxProfile() (string, error) {
	folder, err := os.MkdirTemp("", "mediarooms-firefox-")
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	for name, value := range firefoxPreferences {
		encoded, err := json.Marshal(value)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&lines, "user_pref(%q, %s);\n", name, encoded)
	}
	return folder, os.WriteFile(filepath.Join(folder, "user.js"), []byte(lines.String()), 0o600)
}

// start starts the process and connects to it.
func (f *Firefox) start(executable string, place Place) error {
	ctx, cancel := context.WithTimeout(context.Background(), firefoxStart)
	defer cancel()
	output, written, err := os.Pipe()
	if err != nil {
		return err
	}
	command := exec.Command(executable, "--headless", "--no-remote", "--profile", f.profile, "--remote-debugging-port=0", "about:blank")
	command.Env = append(os.Environ(), "HOME="+f.profile, "MOZ_CRASHREPORTER_DISABLE=1")
	command.Stderr = written
	if place.NetworkNamespace != "" {
		enter(command, place.NetworkNamespace)
	}
	// It ends with us. A process group of its own lets its children end with it.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the signal when the thread that started it ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(f.exited)
		err := command.Start()
		_ = written.Close() // the child has it, or nobody needs it
		f.process = command.Process
		started <- err
		if err == nil {
			_ = command.Wait() // how it ended does not matter: it is killed
		}
	}()
	if err := <-started; err != nil {
		_ = output.Close()
		return err
	}
	address := make(chan string, 1)
	go listeningAt(output, address)
	select {
	case url, said := <-address:
		if !said {
			return errors.New("it ended before it said where it listens")
		}
		if f.bidi, err = dialBiDi(ctx, place, url+"/session", f.event); err != nil {
			return err
		}
	case <-ctx.Done():
		return fmt.Errorf("waiting until it says where it listens: %w", ctx.Err())
	}
	if err := f.bidi.call(ctx, "session.new", map[string]any{"capabilities": map[string]any{}}, nil); err != nil {
		return err
	}
	return f.bidi.call(ctx, "session.subscribe", map[string]any{"events": []string{"log.entryAdded"}}, nil)
}

// listeningAt sends the WebSocket's address that Firefox writes to its standard error, and reads on
// until the end.
func listeningAt(output io.ReadCloser, address chan<- string) {
	defer output.Close()
	defer close(address)
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if _, url, found := strings.Cut(lines.Text(), "WebDriver BiDi listening on "); found {
			address <- strings.TrimSpace(url)
			_, _ = io.Copy(io.Discard, output) // it must be able to write on
			return
		}
	}
}

// event keeps what a tab writes to its console.
func (f *Firefox) event(method string, params json.RawMessage) {
	var entry struct {
		Level  string `json:"level"`
		Text   string `json:"text"`
		Source struct {
			Context string `json:"context"`
		} `json:"source"`
	}
	if method != "log.entryAdded" || json.Unmarshal(params, &entry) != nil {
		return
	}
	f.mu.Lock()
	tab := f.tabs[entry.Source.Context]
	f.mu.Unlock()
	if tab != nil {
		tab.console.keep(entry.Level + ": " + entry.Text)
	}
}

// Close ends Firefox's processes and removes its profile. It returns when that is done.
func (f *Firefox) Close() {
	if f.bidi != nil {
		ctx, cancel := context.WithTimeout(context.Background(), firefoxEnd)
		_ = f.bidi.call(ctx, "browser.close", map[string]any{}, nil) // it is killed otherwise
		cancel()
	}
	if f.process != nil {
		timer := time.AfterFunc(firefoxEnd, func() { _ = syscall.Kill(-f.process.Pid, syscall.SIGKILL) })
		if f.bidi == nil {
			_ = syscall.Kill(-f.process.Pid, syscall.SIGKILL)
		}
		<-f.exited
		timer.Stop()
		_ = syscall.Kill(-f.process.Pid, syscall.SIGKILL) // children that outlive it
	}
	if f.bidi != nil {
		f.bidi.close()
	}
	_ = os.RemoveAll(f.profile) // a folder in the temporary folder does no harm
}

// FirefoxTab is one tab with cookies and storage of its own. It is safe for concurrent use.
type FirefoxTab struct {
	name    string
	firefox *Firefox
	context string // browsing context
	user    string // user context: cookies and storage
	console console
	closed  sync.Once
	transportCheck
}

// OpenParticipant opens the page of a site in a tab of its own. It is closed at the end of the
// test; when the test fails, its console and its events are written to the test log.
func (f *Firefox) OpenParticipant(t testing.TB, site *Site, name string) *Participant {
	t.Helper()
	return participant(t, f.Open(t, name, site.URL), name)
}

// Open opens the page at a URL in a tab of its own. It is closed at the end of the test; when the
// test fails, its console is written to the test log.
func (f *Firefox) Open(t testing.TB, name, url string) *FirefoxTab {
	t.Helper()
	tab, err := f.open(name)
	if err != nil {
		t.Fatalf("opening a tab of Firefox for %s: %v", name, err)
	}
	t.Cleanup(func() {
		tab.report(t, name)
		if t.Failed() {
			t.Logf("console of %s:\n%s", name, tab.Console())
		}
		tab.Close()
	})
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	params := map[string]any{"context": tab.context, "url": url, "wait": "complete"}
	if err := f.bidi.call(ctx, "browsingContext.navigate", params, nil); err != nil {
		t.Fatalf("opening %s in Firefox for %s: %v", redact(url), name, err)
	}
	return tab
}

func (f *Firefox) open(name string) (*FirefoxTab, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	tab := &FirefoxTab{name: name, firefox: f}
	tab.evaluate = tab.Evaluate
	var user struct {
		UserContext string `json:"userContext"`
	}
	if err := f.bidi.call(ctx, "browser.createUserContext", map[string]any{}, &user); err != nil {
		return nil, err
	}
	tab.user = user.UserContext
	var created struct {
		Context string `json:"context"`
	}
	params := map[string]any{"type": "window", "userContext": tab.user}
	if err := f.bidi.call(ctx, "browsingContext.create", params, &created); err != nil {
		return nil, err
	}
	tab.context = created.Context
	f.mu.Lock()
	f.tabs[tab.context] = tab
	f.mu.Unlock()
	preload := map[string]any{"functionDeclaration": "() => {" + transportWatch + "}", "contexts": []string{tab.context}}
	if err := f.bidi.call(ctx, "script.addPreloadScript", preload, nil); err != nil {
		return nil, err
	}
	return tab, nil
}

// Close implements Tab.
func (t *FirefoxTab) Close() {
	t.leave(true)
	t.closed.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		// The tab ends with its user context. What does not end here ends with Firefox.
		_ = t.firefox.bidi.call(ctx, "browser.removeUserContext", map[string]any{"userContext": t.user}, nil)
		t.firefox.mu.Lock()
		defer t.firefox.mu.Unlock()
		delete(t.firefox.tabs, t.context)
	})
}

// Console implements Tab.
func (t *FirefoxTab) Console() string {
	return t.console.text()
}

// Evaluate implements Tab.
func (t *FirefoxTab) Evaluate(expression string, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	var answer struct {
		Type   string `json:"type"`
		Result struct {
			Type  string `json:"type"`
			Value string `json:"value"`
		} `json:"result"`
		ExceptionDetails struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	params := map[string]any{
		// JSON says more plainly what BiDi's own encoding of values would say.
		"expression":   "Promise.resolve(" + expression + "\n).then((value) => JSON.stringify(value) ?? 'null')",
		"target":       map[string]any{"context": t.context},
		"awaitPromise": true,
	}
	if err := t.firefox.bidi.call(ctx, "script.evaluate", params, &answer); err != nil {
		return fmt.Errorf("evaluating %s in %s: %w", function(expression), t.name, err)
	}
	if answer.Type != "success" {
		return fmt.Errorf("evaluating %s in %s: %s", function(expression), t.name, answer.ExceptionDetails.Text)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(answer.Result.Value), result); err != nil {
		return fmt.Errorf("decoding what %s gave in %s: %w", function(expression), t.name, err)
	}
	return nil
}
