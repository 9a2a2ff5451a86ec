//go:build e2e

package opentok

import (
	"bufio"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/test/browser"
	"mediarooms.dev/mediarooms/test/operatortest"
	"mediarooms.dev/mediarooms/test/wait"
)

// library is a Node process with the unmodified npm package opentok.
type library struct {
	*testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func startLibrary(t *testing.T) *library {
	t.Helper()
	folder := filepath.Join("testdata", "node")
	if err := browser.InstallPackages(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("node", "node.mjs")
	command.Dir = folder
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := command.Wait(); err != nil {
			t.Errorf("the Node process: %v", err)
		}
	})
	return &library{T: t, in: in, out: bufio.NewReader(out)}
}

// evaluate returns what JavaScript resolves to, as JSON, or the message of what it throws.
func (l *library) evaluate(script string, values ...any) (value, failure string) {
	l.Helper()
	line, err := json.Marshal(fmt.Sprintf(script, values...))
	if err != nil {
		l.Fatal(err)
	}
	if _, err := fmt.Fprintf(l.in, "%s\n", line); err != nil {
		l.Fatal(err)
	}
	text, err := l.out.ReadBytes('\n')
	var answer struct {
		Value json.RawMessage
		Error string
	}
	if err != nil || json.Unmarshal(text, &answer) != nil {
		l.Fatalf("%s: the process has answered %q, %v", line, text, err)
	}
	return string(answer.Value), answer.Error
}

// text returns what JavaScript resolves to, a string.
func (l *library) text(script string, values ...any) string {
	l.Helper()
	value, failure := l.evaluate(script, values...)
	var text string
	if failure != "" || json.Unmarshal([]byte(value), &text) != nil {
		l.Fatalf("%s: got %s %s", script, value, failure)
	}
	return text
}

// gives checks what JavaScript resolves to.
func (l *library) gives(want, script string, values ...any) {
	l.Helper()
	if value, failure := l.evaluate(script, values...); value != want {
		l.Errorf("%s: got %s %s, want %s", fmt.Sprintf(script, values...), value, failure, want)
	}
}

// fails checks the message of what JavaScript throws, by a regular expression.
func (l *library) fails(want, script string, values ...any) {
	l.Helper()
	if value, failure := l.evaluate(script, values...); failure == "" || !regexp.MustCompile(want).MatchString(failure) {
		l.Errorf("%s: got %s %q, want %q", fmt.Sprintf(script, values...), value, failure, want)
	}
}

func TestTheUnmodifiedLibrary(t *testing.T) {
	w := newWorld(t)
	l := startLibrary(t)
	for _, version := range []string{"2.23.2", "2.19.0"} {
		t.Run(version, func(t *testing.T) {
			l.T = t
			l.text(`ot = new OpenTok[%q](%q, %q, %q), ''`, version, apiKey, apiSecret, w.gateway.URL)
			l.text(`stranger = new OpenTok[%q](%q, 'ANOTHER_SECRET', %q), ''`, version, apiKey, w.gateway.URL)
			session := l.text(`does(ot, 'createSession', {mediaMode: 'routed'}).then((made) => made.sessionId)`)
			l.tokens(w, session)
			l.rooms(w, session)
			l.errors(session)
			if version == "2.23.2" { // the other one knows API keys only
				l.application(w)
			}
			l.archives(w)
			l.films(w)
			l.always(w)
			l.callbacks(w)
		})
	}
}

// tokens checks that each kind of token that the library makes lets its bearer in.
func (l *library) tokens(w *world, session string) {
	l.Helper()
	for _, options := range []string{`{}`, `{role: 'moderator', data: 'ä&b:c d', initialLayoutClassList: ['focus', 'main']}`} {
		for _, t1 := range []bool{false, true} {
			token := l.text(`ot.generateToken(%q, %s, %v)`, session, options, t1)
			if got := w.ask(session, token); got.status != http.StatusOK {
				l.Errorf("%s: got %d %s", token, got.status, got.body)
			}
			forged := l.text(`stranger.generateToken(%q, %s, %v)`, session, options, t1)
			if got := w.ask(session, forged); got.status != http.StatusUnauthorized {
				l.Errorf("%s: got %d %s", forged, got.status, got.body)
			}
		}
	}
	own := l.text(`does(ot, 'createSession', {}).then((made) => { own = made; return made.sessionId; })`)
	if got := w.ask(own, l.text(`own.generateToken({role: 'subscriber'})`)); got.status != http.StatusOK {
		l.Errorf("a token of the session's own method: got %d %s", got.status, got.body)
	}
	l.fails("session belongs to the API Key", `ot.generateToken('2_MX41fn41fjZ-')`)
}

// application checks that the library works with the key of an application instead of a secret.
func (l *library) application(w *world) {
	l.Helper()
	key := newKey(l.T)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		l.Fatal(err)
	}
	w.project.ApplicationID, w.project.PublicKeys = applicationID, []*rsa.PublicKey{&key.PublicKey}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	l.text(`application = new OpenTok['2.23.2'](%q, %q, %q), ''`, applicationID, private, w.gateway.URL)
	session := l.text(`does(application, 'createSession', {mediaMode: 'routed'}).then((made) => made.sessionId)`)
	l.gives(`[]`, `does(application, 'listStreams', %q)`, session)
	token := l.text(`application.generateToken(%q, {role: 'moderator', data: 'of the application'})`, session)
	got := w.ask(session, token)
	if got.status != http.StatusOK {
		l.Errorf("joining: got %d %s", got.status, got.body)
	}
	l.fails("not found", `does(application, 'forceDisconnect', %q, 'con_Other00000')`, session)
	w.project.PublicKeys = []*rsa.PublicKey{&newKey(l.T).PublicKey}
	if got := w.ask(session, token); got.status != http.StatusUnauthorized {
		l.Errorf("joining after a change of the key: got %d %s", got.status, got.body)
	}
	l.fails("Invalid API key or secret", `does(application, 'listStreams', %q)`, session)
}

// rooms checks what the library does with a room that somebody is in.
func (l *library) rooms(w *world, session string) {
	l.Helper()
	member := w.enter(session, nil)
	connection, stream := objects.ConnectionID(member), member.Status.Publishers[0].StreamID
	l.gives(fmt.Sprintf(`{"id":%q,"name":"","videoType":"camera","layoutClassList":[]}`, stream),
		`does(ot, 'getStream', %q, %q).then(({id, name, videoType, layoutClassList}) => ({id, name, videoType, layoutClassList}))`, session, stream)
	l.gives(fmt.Sprintf(`[%q]`, stream), `does(ot, 'listStreams', %q).then((list) => list.map(({id}) => id))`, session)
	l.gives(`1`, `does(ot, 'setStreamClassLists', %q, [{id: %q, layoutClassList: ['full']}]).then(() => 1)`, session, stream)
	l.gives(`["full"]`, `does(ot, 'getStream', %q, %q).then((got) => got.layoutClassList)`, session, stream)
	w.rooms.take()
	l.gives(`null`, `does(ot, 'signal', %q, null, {type: 'chat', data: 'to all'})`, session)
	l.gives(`null`, `does(ot, 'signal', %q, %q, {type: 'chat', data: 'to one'})`, session, connection)
	if got := strings.Join(w.rooms.take(), " "); got != fmt.Sprintf(`{"type":"chat","data":"to all"} {"to":[%q],"type":"chat","data":"to one"}`, connection) {
		l.Errorf("the signals are %s", got)
	}
	l.gives(`1`, `does(ot, 'forceMuteStream', %q, 'str_here').then(() => 1)`, session)
	l.gives(`1`, `does(ot, 'forceMuteAll', %q, {active: true, excludedStreamIds: ['str_here']}).then(() => 1)`, session)
	l.gives(`1`, `does(ot, 'disableForceMute', %q).then(() => 1)`, session)
	if got := strings.Join(w.rooms.take(), " "); got != `{"stream":"str_here"} {"all":true,"excluded":["str_here"]} {}` {
		l.Errorf("the wishes for mute are %s", got)
	}
	l.gives(`null`, `does(ot, 'forceDisconnect', %q, %q)`, session, connection)
	l.fails("not found", `does(ot, 'forceDisconnect', %q, %q)`, session, connection)
	l.gives(`[]`, `does(ot, 'listStreams', %q)`, session)
}

// archives checks that an application can make an archive, find it, fetch it and delete it.
func (l *library) archives(w *world) {
	l.Helper()
	session := l.text(`does(ot, 'createSession', {mediaMode: 'routed'}).then((made) => made.sessionId)`)
	w.composes(w.recorded(session))
	l.starts(session, `{name: 'daily', outputMode: 'individual'}`)
	l.gives(fmt.Sprintf(`["started","daily",%q]`, session), `[archive.status, archive.name, archive.sessionId]`)
	l.fails("", `does(ot, 'startArchive', %q, {outputMode: 'individual'})`, session)
	l.fails("", `does(ot, 'setArchiveLayout', archive.id, 'bestFit', null, null)`)
	l.gives(`["available",16,3]`, `does(ot, 'stopArchive', archive.id).then(({status, size, duration}) => [status, size, duration])`)
	l.gives(`"https://rooms.example.org"`, `does(ot, 'getArchive', archive.id).then(({url}) => new URL(url).origin)`)
	l.gives(`1`, `does(ot, 'listArchives', {sessionId: %q}).then((list) => list.length)`, session)
	l.gives(`null`, `does(ot, 'deleteArchive', archive.id)`)
	l.gives(`0`, `does(ot, 'listArchives', {sessionId: %q}).then((list) => list.length)`, session)
}

// starts has the library start an archive, once its pool is known.
func (l *library) starts(session, options string) {
	l.Helper()
	wait.For(l.T, bound, "the pool to be known", func() error {
		if _, failure := l.evaluate(`does(ot, 'startArchive', %q, %s).then((made) => { archive = made; })`, session, options); failure != "" {
			return errors.New(failure)
		}
		return nil
	})
}

// films checks the same of an archive as the library makes it when it is told nothing: a composed
// one.
func (l *library) films(w *world) {
	l.Helper()
	session := l.text(`does(ot, 'createSession', {mediaMode: 'routed'}).then((made) => made.sessionId)`)
	w.composes(w.recorded(session))
	w.operator.Behave(operatortest.Behaviour{Composing: true})
	defer w.operator.Behave(operatortest.Behaviour{})
	l.fails("does not have this yet: the layout custom", `does(ot, 'startArchive', %q, {layout: {type: 'custom', stylesheet: 'stream {}'}})`, session)
	l.starts(session, `{layout: {type: 'horizontalPresentation'}, resolution: '1280x720'}`)
	l.gives(`["started","composed","1280x720"]`, `[archive.status, archive.outputMode, archive.resolution]`)
	l.gives(`1`, `does(ot, 'setArchiveLayout', archive.id, 'verticalPresentation', null, null).then(() => 1)`)
	l.gives(`1`, `does(ot, 'setArchiveLayout', archive.id, 'bestFit', null, 'pip').then(() => 1)`)
	l.fails("Unsupported Stream Mode", `does(ot, 'addArchiveStream', archive.id, 'str_A', {hasAudio: true})`)
	l.fails("Unsupported Stream Mode", `does(ot, 'removeArchiveStream', archive.id, 'str_A')`)
	l.gives(`"stopped"`, `does(archive, 'stop').then(({status}) => status)`)
	w.operator.Behave(operatortest.Behaviour{})
	recordings := w.recordings()
	if err := w.operator.Reconcile(w.Context(), &recordings[0]); err != nil {
		l.Fatal(err)
	}
	l.gives(`["available",true]`, `does(ot, 'getArchive', archive.id).then(({status, url}) => [status, new URL(url).pathname.endsWith('.mp4')])`)
	l.gives(`null`, `does(archive, 'delete')`)
	l.fails("rchive not found", `does(ot, 'getArchive', archive.id)`)
}

// always checks that a session is archived that the library makes to be.
func (l *library) always(w *world) {
	l.Helper()
	const options = `{mediaMode: 'routed', archiveMode: 'always', archiveResolution: '1280x720'}`
	session := l.text(`does(ot, 'createSession', ` + options + `).then((made) => made.sessionId)`)
	if got := w.ask(session, l.text(`ot.generateToken(%q, {})`, session)); got.status != http.StatusOK {
		l.Fatalf("joining: got %d %s", got.status, got.body)
	}
	made := w.sessions()
	i := slices.IndexFunc(made, func(s v1alpha1.Session) bool { return s.Spec.SessionID == session })
	if i < 0 {
		l.Fatalf("there is no Session among %d", len(made))
	}
	if p := made[i].Spec.DefaultRecordingProperties; made[i].Spec.RecordingMode != v1alpha1.RecordingModeAlways || p == nil || p.Resolution != "1280x720" {
		l.Errorf("the Session is %+v", made[i].Spec)
	}
	l.fails("beside 'archiveMode' always", `does(ot, 'createSession', {mediaMode: 'routed', archiveMode: 'always', archiveName: 'daily'})`)
}

// callbacks checks that an application can register for events, and end that.
func (l *library) callbacks(w *world) {
	l.Helper()
	const url = "https://app.example.org/events"
	l.gives(fmt.Sprintf(`["connection","created",%q]`, url),
		`does(ot, 'registerCallback', {group: 'connection', event: 'created', url: %q}).then((made) => { hook = made; return [made.group, made.event, made.url]; })`, url)
	l.gives(`[true]`, `does(ot, 'listCallbacks', {}).then((list) => list.map(({id}) => id === hook.id))`)
	l.gives(`null`, `does(ot, 'unregisterCallback', hook.id)`)
	l.fails("", `does(ot, 'unregisterCallback', hook.id)`)
	l.fails("", `does(ot, 'registerCallback', {group: 'connection', event: 'created', url: 'ftp://app.example.org'})`)
	l.gives(`null`, `does(ot, 'registerCallback', {group: 'archive', event: 'status', url: %q}).then(({id}) => does(ot, 'unregisterCallback', id))`, url)
	l.gives(`[]`, `does(ot, 'listCallbacks', {})`)
	if left := w.webhooks(); len(left) != 0 {
		l.Errorf("there are left %v", left)
	}
}

// errors checks that errors reach the application, and do not end its process.
func (l *library) errors(session string) {
	l.Helper()
	const (
		missing  = "Mediarooms does not have this yet"
		stranger = "uthentication error|Invalid API key or secret" // of 2.19.0, and of 2.23.2
	)
	l.fails(stranger, `does(stranger, 'listStreams', %q)`, session)
	l.fails(stranger, `does(stranger, 'createSession', {})`)
	l.fails("not found", `does(ot, 'signal', %q, 'con_Other00000', {type: 'chat', data: ''})`, session)
	l.fails("ession not found", `does(ot, 'startArchive', %q, {outputMode: 'individual'})`, session)
	l.fails("rchive not found", `does(ot, 'getArchive', 'none')`)
	l.fails(missing, `does(ot, 'dial', %q, 'token', 'sip:a@example.org', {})`, session)
	l.fails(missing, `does(ot, 'playDTMF', %q, null, '1')`, session)
	l.fails("", `does(ot, 'startBroadcast', %q, {outputs: {hls: {}}, layout: {type: 'bestFit'}})`, session)
	l.gives(`"alive"`, `'alive'`)
}
