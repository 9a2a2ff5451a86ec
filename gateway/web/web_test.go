package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"mediarooms.dev/mediarooms/gateway/page"
)

func TestThePagesPolicies(t *testing.T) {
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	recorded := httptest.NewRecorder()
	h.ServeHTTP(recorded, httptest.NewRequest(http.MethodGet, "/", nil))
	policy := recorded.Header().Get("Content-Security-Policy")
	for _, directive := range []string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self' ws: wss:", "frame-ancestors 'none'", "base-uri 'none'",
	} {
		if !strings.Contains(policy, directive+";") && !strings.HasSuffix(policy, directive) {
			t.Errorf("the content security policy lacks %q: %s", directive, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the content security policy allows something unsafe: %s", policy)
	}
	for _, feature := range []string{"camera=(self)", "microphone=(self)", "display-capture=(self)", "geolocation=()"} {
		if !strings.Contains(recorded.Header().Get("Permissions-Policy"), feature) {
			t.Errorf("the permissions policy lacks %s", feature)
		}
	}
	if !strings.Contains(unbuilt, "make build") {
		t.Error("a gateway without its page does not say what to run")
	}
}

// What the page of this checkout refers to must be in its build, and must carry a hash, since
// browsers keep it for ever.
func TestBuiltPageRefersToWhatWasBuilt(t *testing.T) {
	h := builtHandler(t)
	text := string(h.File("/"))
	references := regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(text, -1)
	if len(references) < 3 {
		t.Errorf("the page refers to %d files only", len(references))
	}
	for _, reference := range references {
		if h.File("/"+reference[1]) == nil {
			t.Errorf("the page refers to %s, which was not built", reference[1])
		}
		if !regexp.MustCompile(`-[A-Z0-9]{8}\.\w+$`).MatchString(reference[1]) {
			t.Errorf("%s carries no hash", reference[1])
		}
	}
	for _, inline := range []string{"<script>", "<style", "style=", "onclick="} {
		if strings.Contains(text, inline) {
			t.Errorf("the page has %s, which its policy forbids", inline)
		}
	}
}

// builtHandler returns the handler of the page as it was built, which tests of the page need.
func builtHandler(t *testing.T) *page.Handler {
	t.Helper()
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if !h.Built() {
		t.Fatal("the room page is not built: run make build")
	}
	return h
}
