package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"mediarooms.dev/mediarooms/gateway/download"
)

// recordersOfTests answers with the pool and the path that it was asked for.
type recordersOfTests struct{}

// Fetch implements download.Recorders.
func (recordersOfTests) Fetch(_ context.Context, pool, method, path string, header http.Header) (*http.Response, error) {
	if pool != "pool" {
		return nil, errors.New("no such pool")
	}
	request := httptest.NewRequest(method, path, nil)
	request.Header = header
	recorded := httptest.NewRecorder()
	recorded.Header().Set("Content-Type", "video/mp4")
	http.ServeContent(recorded, request, "", time.Time{}, bytes.NewReader([]byte(path)))
	return recorded.Result(), nil
}

// filesOf returns what the console shows of the files of a Recording.
func filesOf(t *testing.T, c *Console, credential, namespace string) []recordedFile {
	t.Helper()
	status, body := ask(c, "recording?namespace="+namespace+"&name=of-"+namespace, credential)
	if status != http.StatusOK {
		t.Fatalf("got %d %s", status, body)
	}
	var shown playback
	if err := json.Unmarshal([]byte(body), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Recording.Object != "of-"+namespace || shown.Recording.Room != "room" {
		t.Errorf("got %+v", shown.Recording)
	}
	return shown.Files
}

// fetch fetches a file by its link, with no credential.
func fetch(c *Console, method, link, ranges string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, link, nil)
	if ranges != "" {
		request.Header.Set("Range", ranges)
	}
	recorded := httptest.NewRecorder()
	c.ServeHTTP(recorded, request)
	return recorded
}

func TestWhoMayPlayRecordings(t *testing.T) {
	const group = "mediarooms.dev/"
	c, _ := consoleOfTests(t, []string{"one", "two"},
		"lister list "+group+"recordings two", "player list "+group+"recordings two", "player get "+group+"recordings/files two",
		"getter get "+group+"recordings/files two")
	for _, test := range []struct {
		who, query string
		status     int
		files      bool
	}{
		{"", "namespace=one&name=of-one", 401, false},
		{"password-of-one", "namespace=one&name=of-one", 200, true},
		{"password-of-one", "namespace=one&name=other", 404, false},
		{"password-of-one", "namespace=two&name=of-two", 404, false},
		{"password-of-one", "namespace=one", 400, false},
		{"password-of-one", "namespace=one&name=Of/One", 400, false},
		{"token-of-lister", "namespace=two&name=of-two", 200, false},
		{"token-of-player", "namespace=two&name=of-two", 200, true},
		{"token-of-player", "namespace=one&name=of-one", 404, false},
		{"token-of-getter", "namespace=two&name=of-two", 404, false},
	} {
		status, body := ask(c, "recording?"+test.query, test.who)
		if status != test.status || strings.Contains(body, "link=") != test.files {
			t.Errorf("%q asks for %s: got %d %s", test.who, test.query, status, body)
		}
	}
}

func TestFilesOfARecordingAreToldWithWhoseTheyAre(t *testing.T) {
	c, _ := consoleOfTests(t, []string{"one"})
	files := filesOf(t, c, "password-of-one", "one")
	for i := range files {
		if !strings.HasPrefix(files[i].URL, filesPrefix+"one/of-one/"+url.PathEscape(files[i].Name)+"?link=") {
			t.Errorf("the link to %s is %s", files[i].Name, files[i].URL)
		}
		files[i].URL = ""
	}
	want := []recordedFile{
		{Name: "film of all.mp4", Type: "video/mp4", Bytes: 12, Audio: true, Video: true},
		{Name: "ada.webm", Type: "audio/webm", Who: "Ada", Offset: 1500, Duration: 2500, Audio: true},
		{Name: "gone.webm", Type: "video/webm", Who: "con_gone", Video: true},
		{Name: "all.zip", Type: "application/zip"},
	}
	if !slices.Equal(files, want) {
		t.Errorf("got %+v\nwant %+v", files, want)
	}
}

// Who may play may not therefore see who was there.
func TestNamesOfThoseWhoWereRecordedAreForWhoMaySeeThem(t *testing.T) {
	const group = "mediarooms.dev/"
	rights := []string{"player list " + group + "recordings one", "player get " + group + "recordings/files one"}
	for _, test := range []struct {
		more, want string
	}{{"", "con_ada"}, {"player list " + group + "connections one", "Ada"}} {
		c, _ := consoleOfTests(t, []string{"one"}, append(rights, test.more)...)
		if got := filesOf(t, c, "token-of-player", "one")[1].Who; got != test.want {
			t.Errorf("with the right %q the stream is of %q, want %q", test.more, got, test.want)
		}
	}
}

func TestRecordingsThatTheGatewayDoesNotSee(t *testing.T) {
	c, _ := consoleOfTests(t, []string{"one"})
	link := filesOf(t, c, "password-of-one", "one")[0].URL
	c.config.Watched = blindCache{cacheOfTests{[]string{"one"}}}
	if status, body := ask(c, "recording?namespace=one&name=of-one", "password-of-one"); status != 503 || !strings.Contains(body, "mediarooms-console") {
		t.Errorf("got %d %s", status, body)
	}
	if got := fetch(c, http.MethodGet, link, ""); got.Code != 503 {
		t.Errorf("a link: got %d %s", got.Code, got.Body)
	}
}

// blindCache sees no Recordings.
type blindCache struct{ cacheOfTests }

func (blindCache) Recordings() bool { return false }

// A player asks for its file again and again, and starts anew when the link becomes another.
func TestLinksStayTheSameForAWhile(t *testing.T) {
	hour := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ends := linkEnd(hour)
	for _, at := range []time.Duration{time.Second, 30 * time.Minute, time.Hour - time.Nanosecond} {
		if got := linkEnd(hour.Add(at)); !got.Equal(ends) || got.Sub(hour.Add(at)) < linkLeast {
			t.Errorf("a link of %v past ends at %v", at, got)
		}
	}
	if got := linkEnd(hour.Add(time.Hour)); got.Sub(ends) != linkStep {
		t.Errorf("a link of the next hour ends %v later", got.Sub(ends))
	}
}

func TestWhoHasALinkFetchesTheFile(t *testing.T) {
	c, _ := consoleOfTests(t, []string{"one", "two"})
	files := filesOf(t, c, "password-of-one", "one")
	film, stream, zip := files[0].URL, files[1].URL, files[3].URL

	got := fetch(c, http.MethodGet, film, "")
	header := got.Header()
	if got.Code != 200 || got.Body.String() != "/recordings/uid-of-one/film%20of%20all.mp4" {
		t.Errorf("got %d %s", got.Code, got.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "video/mp4", "Content-Disposition": `inline; filename="film of all.mp4"`, "Accept-Ranges": "bytes",
		"Content-Security-Policy": filePolicy, "X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store",
	} {
		if header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, header.Get(name), want)
		}
	}
	if got := fetch(c, http.MethodGet, film, "bytes=1-10"); got.Code != 206 || got.Body.String() != "recordings" {
		t.Errorf("a range: got %d %s", got.Code, got.Body)
	}
	if got := fetch(c, http.MethodHead, stream, ""); got.Code != 200 || got.Body.Len() > 0 {
		t.Errorf("HEAD: got %d %s", got.Code, got.Body)
	}
	if got := fetch(c, http.MethodGet, zip, "").Header().Get("Content-Disposition"); got != "attachment; filename=all.zip" {
		t.Errorf("a zip is to be %s", got)
	}

	at := filesPrefix + "one/of-one/"
	key, _ := c.config.LinkKey()
	signed := func(recording types.UID, file, issuer string, key []byte, ends time.Duration) string {
		t.Helper()
		token, err := download.Link{Recording: recording, File: file}.Sign(issuer, key, time.Now().Add(ends))
		if err != nil {
			t.Fatal(err)
		}
		return "?link=" + token
	}
	token := film[strings.Index(film, "?"):]
	for name, test := range map[string]struct {
		method, link string
		want         int
	}{
		"no link":                      {http.MethodGet, at + "ada.webm", 403},
		"of another file":              {http.MethodGet, at + "ada.webm" + token, 403},
		"of another recording":         {http.MethodGet, filesPrefix + "two/of-two/" + url.PathEscape("film of all.mp4") + token, 403},
		"of one that is not":           {http.MethodGet, filesPrefix + "one/other/" + url.PathEscape("film of all.mp4") + token, 404},
		"of a file that is not":        {http.MethodGet, at + "none" + signed("uid-of-one", "none", linkIssuer, key, time.Hour), 404},
		"of one of the same name":      {http.MethodGet, at + "ada.webm" + signed("uid-of-before", "ada.webm", linkIssuer, key, time.Hour), 403},
		"good for nobody else":         {http.MethodGet, at + "ada.webm" + signed("uid-of-one", "ada.webm", linkIssuer, key, time.Hour), 200},
		"ended":                        {http.MethodGet, at + "ada.webm" + signed("uid-of-one", "ada.webm", linkIssuer, key, -time.Second), 403},
		"by another key":               {http.MethodGet, at + "ada.webm" + signed("uid-of-one", "ada.webm", linkIssuer, []byte("another key of gateways"), time.Hour), 403},
		"of an OpenTok project":        {http.MethodGet, at + "ada.webm" + signed("uid-of-one", "ada.webm", "4711", key, time.Hour), 403},
		"a path that goes up":          {http.MethodGet, filesPrefix + "one/of-one/../../secret" + token, 403},
		"nothing":                      {http.MethodGet, filesPrefix, 403},
		"a link that is much too long": {http.MethodGet, at + "ada.webm?link=" + strings.Repeat("a", maxLink), 400},
		"to be written":                {http.MethodPost, film, 405},
	} {
		if got := fetch(c, test.method, test.link, ""); got.Code != test.want {
			t.Errorf("%s: got %d %s, want %d", name, got.Code, got.Body, test.want)
		}
	}
	// Nor is a link's token good for anything else.
	if status, body := ask(c, "overview", "token-of-"+strings.TrimPrefix(token, "?link=")); status != 403 {
		t.Errorf("a link as a token: got %d %s", status, body)
	}
}
