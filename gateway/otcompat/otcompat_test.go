package otcompat

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Pages of any origin get the library, and browsers ask for it again only when it is another one.
func TestHandler(t *testing.T) {
	script, built := Script()
	ask := func(method, tag string) *http.Response {
		r := httptest.NewRequest(method, Path, http.NoBody)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, r)
		return w.Result()
	}
	if answer := ask(http.MethodPost, ""); answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %s", answer.Status)
	}
	answer := ask(http.MethodGet, "")
	if answer.Header.Get("Access-Control-Allow-Origin") != "*" || answer.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("headers: %v", answer.Header)
	}
	if !built {
		if answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("without the library: %s", answer.Status)
		}
		return
	}
	if answer.StatusCode != http.StatusOK || answer.ContentLength != -1 && int(answer.ContentLength) != len(script) {
		t.Errorf("GET: %s, %d bytes", answer.Status, answer.ContentLength)
	}
	if again := ask(http.MethodGet, answer.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("GET again: %s", again.Status)
	}
}
