package opentok

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/opentok/credential"
	"mediarooms.dev/mediarooms/internal/opentokid"
	"mediarooms.dev/mediarooms/test/operatortest"
	"mediarooms.dev/mediarooms/test/wait"
)

// recorded has a session of the project, in which somebody is, be hosted by a pool that records.
func (w *world) recorded(sessionID string) *v1alpha1.MediaPool {
	w.Helper()
	pool := w.recordingPool()
	w.enter(sessionID, nil)
	w.observed(sessionID, func(status *v1alpha1.SessionStatus) { status.PoolName = pool.Name })
	return pool
}

// recordingPool makes a pool that records. While the test runs it is the default pool, too.
func (w *world) recordingPool() *v1alpha1.MediaPool {
	w.Helper()
	pool := &v1alpha1.MediaPool{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "recording-", Annotations: map[string]string{v1alpha1.DefaultPoolAnnotation: "true"}},
		Spec: v1alpha1.MediaPoolSpec{
			PublicURL: "https://rooms.example.org", Egress: &v1alpha1.Egress{},
			AllowedNamespaces: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.project.Namespace}},
		},
	}
	if err := w.Create(w.Context(), pool); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := w.Delete(context.Background(), pool); err != nil {
			w.Error(err)
		}
	})
	return pool
}

// composes has a pool compose what it records.
func (w *world) composes(pool *v1alpha1.MediaPool) {
	w.Helper()
	before := pool.DeepCopy()
	pool.Spec.Egress.Compositor = &v1alpha1.Compositor{Image: "composes"}
	if err := w.Patch(w.Context(), pool, client.MergeFrom(before)); err != nil {
		w.Fatal(err)
	}
}

// recordings returns the Recordings of the project.
func (w *world) recordings() []v1alpha1.Recording {
	w.Helper()
	var list v1alpha1.RecordingList
	if err := w.List(w.Context(), &list, client.InNamespace(w.project.Namespace)); err != nil {
		w.Fatal(err)
	}
	return list.Items
}

// observed writes what the operator would of a session.
func (w *world) observed(sessionID string, change func(*v1alpha1.SessionStatus)) {
	w.Helper()
	var sessions v1alpha1.SessionList
	if err := w.List(w.Context(), &sessions, client.InNamespace(w.project.Namespace)); err != nil {
		w.Fatal(err)
	}
	for i := range sessions.Items {
		session := &sessions.Items[i]
		if session.Spec.SessionID != sessionID && session.Name != sessionID {
			continue
		}
		before := session.DeepCopy()
		change(&session.Status)
		if err := w.Status().Patch(w.Context(), session, client.MergeFrom(before)); err != nil {
			w.Fatal(err)
		}
		return
	}
	w.Fatalf("there is no Session of %s", sessionID)
}

func archiveOf(t *testing.T, got answer) archiveJSON {
	t.Helper()
	var archive archiveJSON
	if err := json.Unmarshal([]byte(got.body), &archive); err != nil {
		t.Fatalf("%s: %v", got.body, err)
	}
	return archive
}

func TestArchives(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	const at = below + "/archive"
	start := func(more string) string { return `{"sessionId":"` + session + `"` + more + `}` }
	w.want(404, http.MethodPost, at, start(`,"outputMode":"individual"`)) // nobody is there
	w.enter(session, nil)
	w.want(501, http.MethodPost, at, start(`,"outputMode":"individual"`)) // the pool does not record
	w.recorded(session)
	for body, want := range map[string]int{
		`{}`: 400, `{"outputMode":"individual"}`: 400, `{"sessionId":"a.b","outputMode":"individual"}`: 400, start(`,"outputMode":"other"`): 400, start(`,"outputMode":5`): 400,
		start(`,"outputMode":"individual","hasAudio":false,"hasVideo":false`): 400, start(`,"outputMode":"individual","streamMode":"some"`): 400,
		start(`,"outputMode":"individual","name":"` + strings.Repeat("n", maxArchiveName+1) + `"`): 400,
		start(""): 501, start(`,"outputMode":"composed"`): 501, start(`,"outputMode":"individual","streamMode":"manual"`): 501,
		start(`,"outputMode":"individual","resolution":"640x480"`): 400, start(`,"resolution":"1x1"`): 400,
		start(`,"outputMode":"individual","multiArchiveTag":"a"`):                                   501,
		`{"sessionId":"` + opentokid.NewSessionID(apiKey, w.now()) + `","outputMode":"individual"}`: 404,
		`{"sessionId":"` + opentokid.NewSessionID("5", w.now()) + `","outputMode":"individual"}`:    400,
		`{"sessionId":"demo","outputMode":"individual"}`:                                            404,
	} {
		w.want(want, http.MethodPost, at, body)
	}
	if got := w.want(200, http.MethodGet, at, ""); got.body != `{"count":0,"items":[]}` {
		t.Errorf("there are %s", got.body)
	}

	var started archiveJSON
	wait.For(t, bound, "the pool to be known", func() error {
		got := w.do(w.request(http.MethodPost, at, start(`,"outputMode":"individual","name":"The daily, first","hasVideo":false`)))
		if got.status == http.StatusNotImplemented {
			return errNoRecorder
		}
		started = archiveOf(t, got)
		return nil
	})
	if started.Status != "started" || started.SessionID != session || started.ProjectID != apiKey || started.Name != "The daily, first" ||
		!started.HasAudio || started.HasVideo || started.OutputMode != "individual" || started.URL != nil || started.CreatedAt == 0 {
		t.Errorf("started is %+v", started)
	}
	one := at + "/" + url.PathEscape(started.ID)
	w.want(409, http.MethodPost, at, start(`,"outputMode":"individual"`)) // before the session says so
	w.observed(session, func(status *v1alpha1.SessionStatus) { status.Recording = true })
	w.want(409, http.MethodPost, at, start(`,"outputMode":"individual"`))
	w.want(409, http.MethodDelete, one, "")
	w.observed(session, func(status *v1alpha1.SessionStatus) { status.Recording = false })

	stopped := archiveOf(t, w.want(200, http.MethodPost, one+"/stop", `{}`))
	if stopped.Status != "available" || stopped.Size != 16 || stopped.Duration != 3 || stopped.URL == nil || strings.Join(stopped.Streams, " ") != "str_CAM_A" {
		t.Errorf("stopped is %+v", stopped)
	}
	w.want(409, http.MethodPost, one+"/stop", `{}`)
	w.want(400, http.MethodPut, one+"/layout", `{"type":"bestFit"}`)
	if read := archiveOf(t, w.want(200, http.MethodGet, one, "")); read.ID != started.ID || read.URL == nil || read.Name != started.Name {
		t.Errorf("read is %+v", read)
	}
	second := archiveOf(t, w.want(200, http.MethodPost, at, start(`,"outputMode":"individual"`)))
	for query, want := range map[string]string{
		"": second.ID + " " + started.ID, "?": second.ID + " " + started.ID, "?count=1": second.ID, "?offset=1&count=5": started.ID, "?offset=2": "",
		"?sessionId=" + session: second.ID + " " + started.ID, "?sessionId=other": "",
	} {
		var list archivesJSON
		if err := json.Unmarshal([]byte(w.want(200, http.MethodGet, at+query, "").body), &list); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, item := range list.Items {
			ids = append(ids, item.ID)
		}
		if got := strings.Join(ids, " "); got != want || list.Count != 2 && !strings.Contains(query, "other") {
			t.Errorf("%s: got %q of %d, want %q", query, got, list.Count, want)
		}
	}
	for _, query := range []string{"?offset=-1", "?offset=x", "?count=1001", "?count=-1"} {
		w.want(400, http.MethodGet, at+query, "")
	}
	w.want(200, http.MethodPost, at+"/"+url.PathEscape(second.ID)+"/stop", "")
	w.want(204, http.MethodDelete, at+"/"+url.PathEscape(second.ID), "")
	for request, body := range map[string]string{
		"GET /none": "", "DELETE /none": "", "POST /none/stop": "", "PUT /none/layout": `{"type":"pip"}`, "PATCH /none/streams": `{"removeStream":"a"}`,
	} {
		method, path, _ := strings.Cut(request, " ")
		w.want(404, method, at+path, body)
	}

	// One that can't start leaves nothing behind.
	w.operator.Behave(operatortest.Behaviour{Refuses: "RecordingFailed"})
	if got := w.want(500, http.MethodPost, at, start(`,"outputMode":"individual"`)); !strings.Contains(got.body, "The archive has not started: because") {
		t.Errorf("got %s", got.body)
	}
}

// A film is there some time after the stop.
func TestComposedArchives(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	pool := w.recorded(session)
	const at = below + "/archive"
	start := func(more string) string { return `{"sessionId":"` + session + `"` + more + `}` }
	eventually(t, "the pool to be known", func() bool {
		return strings.Contains(w.want(501, http.MethodPost, at, start("")).body, "it has no compositor")
	})
	w.composes(pool)
	w.operator.Behave(operatortest.Behaviour{Composing: true})
	for layout, want := range map[string]int{
		`{}`: 400, `{"type":"other"}`: 400, `{"type":5}`: 400, `{"type":"bestFit","stylesheet":"a"}`: 400, `{"type":"pip","screenshareType":"pip"}`: 400,
		`{"type":"bestFit","screenshareType":"other"}`: 400, `{"type":"custom","stylesheet":"stream{}"}`: 501,
	} {
		w.want(want, http.MethodPost, at, start(`,"layout":`+layout))
	}
	var started archiveJSON
	wait.For(t, bound, "the compositor to be known", func() error {
		got := w.do(w.request(http.MethodPost, at, start(`,"name":"The film","layout":{"type":"bestFit","screenshareType":"verticalPresentation"}`)))
		if got.status == http.StatusNotImplemented {
			return errNotComposed
		}
		started = archiveOf(t, got)
		return nil
	})
	if started.Status != "started" || started.OutputMode != "composed" || started.Resolution != "640x480" || started.URL != nil || started.Name != "The film" {
		t.Errorf("started is %+v", started)
	}
	one := at + "/" + url.PathEscape(started.ID)
	for body, want := range map[string]int{
		`{"type":"horizontalPresentation"}`: 200, `{"type":"bestFit","screenshareType":"pip"}`: 200, `{"type":"custom","stylesheet":"stream{}"}`: 501, `{}`: 400, "": 400,
	} {
		w.want(want, http.MethodPut, one+"/layout", body)
	}
	for body, want := range map[string]int{
		`{"addStream":"str_CAM_A","hasAudio":true}`: 405, `{"removeStream":"str_CAM_A"}`: 405, `{}`: 400, `{"addStream":"a","removeStream":"a"}`: 400, `{"addStream":1}`: 400,
	} {
		w.want(want, http.MethodPatch, one+"/streams", body)
	}
	stopped := archiveOf(t, w.want(200, http.MethodPost, one+"/stop", ""))
	if stopped.Status != "stopped" || stopped.URL != nil || stopped.Size != 0 {
		t.Errorf("stopped is %+v", stopped)
	}
	w.want(409, http.MethodPost, one+"/stop", "")
	w.want(409, http.MethodPut, one+"/layout", `{"type":"pip"}`)

	recording := w.recordings()[0]
	if spec := recording.Spec; spec.Layout != v1alpha1.RecordingLayoutBestFit || spec.OutputMode != v1alpha1.RecordingOutputModeComposed {
		t.Errorf("the Recording is %+v", spec)
	}
	w.operator.Behave(operatortest.Behaviour{})
	if err := w.operator.Reconcile(t.Context(), &recording); err != nil {
		t.Fatal(err)
	}
	made := archiveOf(t, w.want(200, http.MethodGet, one, ""))
	if made.Status != "available" || made.Size != 16 || made.Duration != 3 || made.URL == nil || len(made.Streams) != 0 {
		t.Fatalf("made is %+v", made)
	}
	link, err := url.Parse(*made.URL)
	if err != nil || !strings.HasSuffix(link.Path, ".mp4") {
		t.Errorf("the link is %s, %v", *made.URL, err)
	}
	if got := w.want(200, http.MethodGet, link.RequestURI(), ""); got.body != pool.Name+" /recordings/"+string(recording.UID)+"/"+lastSegment(link.Path) {
		t.Errorf("the film is %s", got.body)
	}
	w.want(204, http.MethodDelete, one, "")
	if left := w.recordings(); len(left) != 0 {
		t.Errorf("there are %+v", left)
	}

	sound := archiveOf(t, w.want(200, http.MethodPost, at, start(`,"hasVideo":false,"resolution":"1920x1080","layout":{"type":"pip"}`)))
	if sound.HasVideo || sound.Resolution != "" || sound.OutputMode != "composed" {
		t.Errorf("sound alone is %+v", sound)
	}
	if spec := w.recordings()[0].Spec; spec.Layout != v1alpha1.RecordingLayoutPictureInPicture || spec.Resolution != "1920x1080" {
		t.Errorf("the Recording is %+v", spec)
	}
}

// The id of a session says that it is archived, and each Session of the id is.
func TestSessionsThatAreAlwaysArchived(t *testing.T) {
	w := newWorld(t)
	pool := w.recordingPool()
	const form = "archiveMode=always&p2p.preference=disabled"
	created := func(more string) string {
		t.Helper()
		var sessions []sessionJSON
		wait.For(t, bound, "the pool to be known", func() error {
			got := w.create(form + more)
			if got.status != http.StatusOK {
				return errNoRecorder
			}
			return json.Unmarshal([]byte(got.body), &sessions)
		})
		return sessions[0].SessionID
	}
	joined := func(sessionID string) v1alpha1.SessionSpec {
		t.Helper()
		connection := w.enter(sessionID, nil)
		var session v1alpha1.Session
		if err := w.Get(t.Context(), client.ObjectKey{Namespace: connection.Namespace, Name: connection.Spec.SessionName}, &session); err != nil {
			t.Fatal(err)
		}
		return session.Spec
	}
	first := created("")
	spec := joined(first)
	if p := spec.DefaultRecordingProperties; spec.RecordingMode != v1alpha1.RecordingModeAlways || p == nil || p.OutputMode != v1alpha1.RecordingOutputModeIndividual {
		t.Errorf("without a compositor: %+v", spec)
	}
	for more, want := range map[string]int{"&archiveName=daily": 501, "&archiveResolution=1x1": 400} {
		if got := w.create(form + more); got.status != want {
			t.Errorf("%s: got %d %s", more, got.status, got.body)
		}
	}

	w.composes(pool)
	eventually(t, "the compositor to be known", func() bool {
		known, err := w.gateway.Config.Handler.(*API).objects.DefaultPool(t.Context())
		return err == nil && known.Spec.Egress != nil && known.Spec.Egress.Compositor != nil
	})
	for more, want := range map[string]string{"": "640x480", "&archiveResolution=1280x720": "1280x720"} {
		spec := joined(created(more))
		p := spec.DefaultRecordingProperties
		if spec.RecordingMode != v1alpha1.RecordingModeAlways || p == nil || p.OutputMode != v1alpha1.RecordingOutputModeComposed || p.Resolution != want {
			t.Errorf("%q: %+v", more, spec)
		}
	}
	if spec := joined(w.newSession()); spec.RecordingMode != v1alpha1.RecordingModeManual || spec.DefaultRecordingProperties != nil {
		t.Errorf("another session: %+v", spec)
	}
	// The Session goes when nobody is there, and the next one is archived, too.
	for _, session := range w.sessions() {
		if err := w.Delete(t.Context(), &session); err != nil {
			t.Fatal(err)
		}
	}
	if spec := joined(first); spec.RecordingMode != v1alpha1.RecordingModeAlways {
		t.Errorf("the next Session of an id: %+v", spec)
	}
}

// Whoever has a link fetches the file, for a while, and no other one.
func TestLinksToArchives(t *testing.T) {
	w := newWorld(t)
	session := w.newSession()
	pool := w.recorded(session)
	var archive archiveJSON
	wait.For(t, bound, "the pool to be known", func() error {
		got := w.do(w.request(http.MethodPost, below+"/archive", `{"sessionId":"`+session+`","outputMode":"individual","name":"daily"}`))
		if got.status != http.StatusOK {
			return errNoRecorder
		}
		archive = archiveOf(t, got)
		return nil
	})
	archive = archiveOf(t, w.want(200, http.MethodPost, below+"/archive/"+url.PathEscape(archive.ID)+"/stop", ""))
	link, err := url.Parse(*archive.URL)
	if err != nil || link.Host != "rooms.example.org" || link.Path != filesPrefix+archive.ID+"/daily.zip" {
		t.Fatalf("the link is %s, %v", *archive.URL, err)
	}
	fetch := func(link *url.URL, ranges string) answer {
		t.Helper()
		request := w.request(http.MethodGet, link.RequestURI(), "")
		request.Header.Del(authHeader)
		request.Header.Del("Content-Type")
		if ranges != "" {
			request.Header.Set("Range", ranges)
		}
		return w.do(request)
	}
	var recordings v1alpha1.RecordingList
	if err := w.List(t.Context(), &recordings, client.InNamespace(w.project.Namespace)); err != nil {
		t.Fatal(err)
	}
	recording := &recordings.Items[0]
	want := pool.Name + " /recordings/" + string(recording.UID) + "/daily.zip"
	if got := fetch(link, ""); got.status != 200 || got.body != want || got.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("got %d %s %v", got.status, got.body, got.header)
	}
	if got := fetch(link, "bytes=0-3"); got.status != 206 || got.body != want[:4] {
		t.Errorf("a range: got %d %s", got.status, got.body)
	}
	token := link.Query().Get("token")
	with := func(path, token string) *url.URL {
		return &url.URL{Path: path, RawQuery: url.Values{"project": {apiKey}, "token": {token}}.Encode()}
	}
	signed := func(project credential.Project, file string, made time.Time) string {
		t.Helper()
		owner := *w.project
		owner.Project = project
		text, err := signLink(&owner, recording, file, made)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	other := *recording
	other.UID = "another"
	ofOther, err := signLink(w.project, &other, "daily.zip", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	forged := credential.Project{APIKey: apiKey, Secrets: [][]byte{[]byte("ANOTHER_SECRET")}}
	foreign := credential.Project{APIKey: "5", Secrets: w.project.Secrets}
	for name, test := range map[string]struct {
		link *url.URL
		want int
	}{
		"no token":            {with(link.Path, ""), 403},
		"another file":        {with(filesPrefix+archive.ID+"/str_CAM_A.webm", token), 403},
		"a stream":            {with(filesPrefix+archive.ID+"/str_CAM_A.webm", signed(w.project.Project, "str_CAM_A.webm", time.Now())), 200},
		"a file that is not":  {with(filesPrefix+archive.ID+"/none", signed(w.project.Project, "none", time.Now())), 404},
		"another archive":     {with(filesPrefix+"none/daily.zip", token), 403},
		"of another one":      {with(link.Path, ofOther), 403},
		"ended":               {with(link.Path, signed(w.project.Project, "daily.zip", time.Now().Add(-linkTimeout-time.Minute))), 403},
		"forged":              {with(link.Path, signed(forged, "daily.zip", time.Now())), 403},
		"of another project":  {with(link.Path, signed(foreign, "daily.zip", time.Now())), 403},
		"a token for REST":    {with(link.Path, restTokenOf(t, nil)), 403},
		"a token for joining": {with(link.Path, connectToken(t, session, nil)), 403},
		"an unknown project":  {&url.URL{Path: link.Path, RawQuery: "project=5&token=" + token}, 403},
	} {
		if got := fetch(test.link, ""); got.status != test.want {
			t.Errorf("%s: got %d %s, want %d", name, got.status, got.body, test.want)
		}
	}
	// Nor is a link's token good for anything else.
	request := w.request(http.MethodGet, below+"/archive", "")
	request.Header.Set(authHeader, token)
	if got := w.do(request); got.status != 403 {
		t.Errorf("as a REST token: got %d", got.status)
	}
	if got := w.ask(session, token); got.status != 401 {
		t.Errorf("as a connect token: got %d", got.status)
	}
}
