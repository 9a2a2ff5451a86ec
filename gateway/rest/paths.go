package rest

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// prefix is the path below which everything is.
const prefix = "/openvidu/"

// endpoint is what is served for a method and the paths of a pattern.
type endpoint struct {
	method string
	// pattern is the path below prefix; {name} stands for any one segment.
	pattern string
	serve   func(*API, context.Context, *call) (reply, error)
	// public says that nobody needs to say who asks.
	public bool
}

// label is what metrics and the log call an endpoint.
func (e *endpoint) label() string {
	return e.method + " " + strings.TrimPrefix(e.pattern, "api/")
}

// endpoints are all endpoints. An authenticated caller gets 403 for everything else, as from the
// reference (openvidu-rest 1.5), broadcasts included (openvidu-rest 2.18).
var endpoints = []endpoint{
	{http.MethodPost, "api/sessions", (*API).createSession, false},
	{http.MethodGet, "api/sessions", (*API).listSessions, false},
	{http.MethodGet, "api/sessions/{session}", (*API).readSession, false},
	{http.MethodDelete, "api/sessions/{session}", (*API).deleteSession, false},
	{http.MethodPost, "api/sessions/{session}/connection", (*API).createConnection, false},
	{http.MethodGet, "api/sessions/{session}/connection", (*API).listConnections, false},
	{http.MethodGet, "api/sessions/{session}/connection/{connection}", (*API).readConnection, false},
	{http.MethodPatch, "api/sessions/{session}/connection/{connection}", (*API).updateConnection, false},
	{http.MethodDelete, "api/sessions/{session}/connection/{connection}", (*API).deleteConnection, false},
	{http.MethodDelete, "api/sessions/{session}/stream/{stream}", (*API).deleteStream, false},
	{http.MethodPost, "api/tokens", (*API).createToken, false},
	{http.MethodPost, "api/signal", (*API).sendSignal, false},

	{http.MethodPost, "api/recordings/start", (*API).startRecording, false},
	{http.MethodPost, "api/recordings/stop/{recording}", (*API).stopRecording, false},
	{http.MethodGet, "api/recordings", (*API).listRecordings, false},
	{http.MethodGet, "api/recordings/{recording}", (*API).readRecording, false},
	{http.MethodDelete, "api/recordings/{recording}", (*API).deleteRecording, false},
	{http.MethodPost, "api/speech-to-text/load", (*API).disabled, false},
	{http.MethodPost, "api/speech-to-text/unload", (*API).disabled, false},

	{http.MethodGet, "api/config", (*API).readConfig, false},
	{http.MethodGet, "api/config/openvidu-version", (*API).readVersion, false},
	{http.MethodGet, "api/config/openvidu-publicurl", (*API).readPublicURL, true},
	{http.MethodGet, "api/config/openvidu-recording", (*API).readRecordingModule, false},
	{http.MethodGet, "api/config/openvidu-recording-path", (*API).readRecordingPath, false},
	{http.MethodGet, "api/config/openvidu-cdr", (*API).readCDRModule, false},
	{http.MethodGet, "api/health", (*API).readHealth, false},
	{http.MethodGet, "api/openapi.json", (*API).readDescription, true},
	{http.MethodGet, "cdr", (*API).listCDR, false},
	{http.MethodGet, "cdr/{file}", (*API).readCDR, false},
	{http.MethodGet, "accept-certificate", (*API).acceptCertificate, true},
}

// find returns the endpoint for a request, and the ids in its path; nil for none.
func find(r *http.Request) (*endpoint, map[string]string) {
	path, found := strings.CutPrefix(r.URL.Path, prefix)
	if !found {
		return nil, nil
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range endpoints {
		if endpoints[i].method != method {
			continue
		}
		if ids, ok := match(endpoints[i].pattern, path); ok {
			return &endpoints[i], ids
		}
	}
	return nil, nil
}

// match returns what stands in a path for the {names} of a pattern, none of it empty.
func match(pattern, path string) (map[string]string, bool) {
	wanted, given := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(wanted) != len(given) {
		return nil, false
	}
	ids := map[string]string{}
	for i, segment := range wanted {
		if name, found := strings.CutPrefix(segment, "{"); found && given[i] != "" {
			ids[strings.TrimSuffix(name, "}")] = given[i]
		} else if segment != given[i] {
			return nil, false
		}
	}
	return ids, true
}

// oldPaths maps prefixes of older paths to those of today (openvidu-rest 1.3). A prefix that ends
// in a slash needs more path after it.
var oldPaths = []struct{ before, now string }{
	{"/api/", "/openvidu/api/"},
	{"/config", "/openvidu/api/config"},
	{"/cdr", "/openvidu/cdr"},
	{"/recordings/", "/openvidu/recordings/"},
	{"/layouts/custom/", "/openvidu/layouts/"},
	{"/info", "/openvidu/info"},
	{"/accept-certificate", "/openvidu/accept-certificate"},
}

// Serves says whether a path is the API's: everything below /openvidu/, and the paths of earlier
// versions.
func Serves(path string) bool {
	return strings.HasPrefix(rename(path), prefix)
}

// rename returns what an old path is called now, and any other one as it is.
func rename(path string) string {
	for _, old := range oldPaths {
		rest, found := strings.CutPrefix(path, old.before)
		if found && (strings.HasSuffix(old.before, "/") || rest == "" || rest[0] == '/') {
			return old.now + rest
		}
	}
	return path
}

// current returns a request with the path that it would have by today's names. Nobody is
// redirected: method and body stay.
func current(r *http.Request) *http.Request {
	path := rename(r.URL.Path)
	if path == r.URL.Path {
		return r
	}
	renamed := new(http.Request)
	*renamed = *r
	renamed.URL = new(url.URL)
	*renamed.URL = *r.URL
	renamed.URL.Path, renamed.URL.RawPath = path, ""
	return renamed
}
