package page

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

const script = "console.log('a script that is long enough to become smaller, a script that is long enough to become smaller')"

func built() fs.FS {
	return fstest.MapFS{
		".gitkeep":                 {},
		"index.html":               {Data: []byte("<!doctype html><title>Room</title>")},
		"assets/main-ABCDEFGH.js":  {Data: []byte(script)},
		"assets/page-ABCDEFGH.css": {Data: []byte("body{}")},
	}
}

func request(t *testing.T, files fs.FS, method, path string, header http.Header) *http.Response {
	t.Helper()
	h, err := New(files, Policies{Content: "default-src 'none'", Permissions: "camera=()", Unbuilt: "Run make build"})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, nil)
	if header != nil {
		r.Header = header
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, answer *http.Response) string {
	t.Helper()
	var reader io.Reader = answer.Body
	if answer.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		reader = unzipped
	}
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		method, path string
		status       int
		kind         string
		caching      string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "no-cache, no-store"},
		{"GET", "/?token=ws%3A%2F%2Fh%3FsessionId%3Da%26token%3Db", 200, "text/html; charset=utf-8", "no-cache, no-store"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", "no-cache, no-store"},
		{"GET", "/assets/main-ABCDEFGH.js", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/assets/page-ABCDEFGH.css", 200, "text/css; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/assets", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/index.html", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/.gitkeep", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/assets/../web.go", 404, "text/plain; charset=utf-8", ""},
		{"POST", "/", 405, "text/plain; charset=utf-8", ""},
		{"DELETE", "/assets/main-ABCDEFGH.js", 405, "text/plain; charset=utf-8", ""},
		{"OPTIONS", "/", 405, "text/plain; charset=utf-8", ""},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			answer := request(t, built(), test.method, test.path, nil)
			if answer.StatusCode != test.status {
				t.Errorf("status %d, want %d", answer.StatusCode, test.status)
			}
			if kind := answer.Header.Get("Content-Type"); kind != test.kind {
				t.Errorf("Content-Type %q, want %q", kind, test.kind)
			}
			if caching := answer.Header.Get("Cache-Control"); caching != test.caching {
				t.Errorf("Cache-Control %q, want %q", caching, test.caching)
			}
			if allow := answer.Header.Get("Allow"); (allow == "GET, HEAD") != (test.status == http.StatusMethodNotAllowed) {
				t.Errorf("Allow is %q", allow)
			}
		})
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	for _, path := range []string{"/", "/assets/main-ABCDEFGH.js", "/missing"} {
		answer := request(t, built(), "GET", path, nil)
		for name, want := range map[string]string{
			"Content-Security-Policy":    "default-src 'none'",
			"Permissions-Policy":         "camera=()",
			"Referrer-Policy":            "no-referrer",
			"X-Content-Type-Options":     "nosniff",
			"X-Frame-Options":            "DENY",
			"Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestCompression(t *testing.T) {
	for offer, want := range map[string]bool{
		"":                      false,
		"gzip":                  true,
		"br, gzip;q=0.8":        true,
		"GZIP":                  true,
		"gzip;q=0":              false,
		"gzip; q=0.000, br":     false,
		"br":                    false,
		"deflate, gzip;q=1, br": true,
	} {
		answer := request(t, built(), "GET", "/assets/main-ABCDEFGH.js", http.Header{"Accept-Encoding": {offer}})
		if got := answer.Header.Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("offered %q: compressed is %t, want %t", offer, got, want)
		}
		if answer.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("offered %q: Vary is %q", offer, answer.Header.Get("Vary"))
		}
		if got := body(t, answer); got != script {
			t.Errorf("offered %q: got %q", offer, got)
		}
	}
}

func TestGatewayWithoutItsPageSaysHowToBuildIt(t *testing.T) {
	answer := request(t, fstest.MapFS{".gitkeep": {}}, "GET", "/", nil)
	if answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", answer.StatusCode)
	}
	if !strings.Contains(body(t, answer), "make build") {
		t.Error("the answer does not say what to run")
	}
}
