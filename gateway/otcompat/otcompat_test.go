package otcompat

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Pages of any origin get the library, as a script and as a module, and its types, and browsers ask
// for them again only when they are others.
func TestHandler(t *testing.T) {
	ask := func(method, path, tag string) *http.Response {
		r := httptest.NewRequest(method, path, http.NoBody)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, r)
		return w.Result()
	}
	for path, contentType := range map[string]string{
		Path:       "text/javascript; charset=utf-8",
		ModulePath: "text/javascript; charset=utf-8",
		TypesPath:  "text/plain; charset=utf-8",
	} {
		content, built := file(path)
		if !Serves(path) {
			t.Errorf("%s is not served", path)
		}
		answer := ask(http.MethodPost, path, "")
		if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %s", path, answer.Status)
		}
		answer = ask(http.MethodGet, path, "")
		if answer.Header.Get("Access-Control-Allow-Origin") != "*" || answer.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
			t.Errorf("headers of %s: %v", path, answer.Header)
		}
		if !built {
			if answer.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s without the library: %s", path, answer.Status)
			}
			continue
		}
		if answer.StatusCode != http.StatusOK || answer.ContentLength != -1 && int(answer.ContentLength) != len(content) {
			t.Errorf("GET %s: %s, %d bytes", path, answer.Status, answer.ContentLength)
		}
		if got := answer.Header.Get("Content-Type"); got != contentType {
			t.Errorf("%s is %s", path, got)
		}
		if again := ask(http.MethodGet, path, answer.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("GET %s again: %s", path, again.Status)
		}
	}
	for _, path := range []string{"/v2/js/", "/v2/js/.gitkeep", "/v2/js/other.js"} {
		if answer := ask(http.MethodGet, path, ""); Serves(path) || answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
}
