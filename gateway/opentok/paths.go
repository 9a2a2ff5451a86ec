package opentok

import (
	"context"
	"net/http"
	"strings"
)

const (
	// JoinPath is where the client library asks to be let in.
	JoinPath = "/opentok/join"

	createPath    = "/session/create"
	projectPrefix = "/v2/project/"

	roomPath   = projectPrefix + "{project}/session/{session}"
	memberPath = roomPath + "/connection/{connection}"

	archivesPath = projectPrefix + "{project}/archive"
	archivePath  = archivesPath + "/{archive}"
	// callbacksPath and callbackPath are of session monitoring.
	callbacksPath = projectPrefix + "{project}/callback"
	callbackPath  = callbacksPath + "/{callback}"
	// filesPrefix is where files of archives are, by links that have an end.
	filesPrefix = "/opentok/archive/"
)

// endpoint is what is served for a method and the paths of a pattern.
type endpoint struct {
	method string
	// pattern is a path; {name} stands for any one segment.
	pattern string
	serve   func(*API, context.Context, *call) (reply, error)
}

// label is what metrics and the log call an endpoint.
func (e *endpoint) label() string {
	return e.method + " " + strings.TrimPrefix(e.pattern, projectPrefix+"{project}/")
}

// endpoints are all endpoints (opentok-rest 4).
var endpoints = []endpoint{
	{http.MethodPost, JoinPath, (*API).join},
	{http.MethodPost, createPath, (*API).createSession},
	{http.MethodGet, roomPath + "/stream", (*API).listStreams},
	{http.MethodPut, roomPath + "/stream", (*API).setStreamClassLists},
	{http.MethodGet, roomPath + "/stream/{stream}", (*API).readStream},
	{http.MethodPost, roomPath + "/signal", (*API).sendSignal},
	{http.MethodPost, memberPath + "/signal", (*API).sendSignal},
	{http.MethodGet, roomPath + "/connection", (*API).listConnections},
	{http.MethodDelete, memberPath, (*API).forceDisconnect},
	{http.MethodPost, roomPath + "/stream/{stream}/mute", (*API).muteStream},
	{http.MethodPost, roomPath + "/mute", (*API).muteAll},
	{http.MethodPost, archivesPath, (*API).startArchive},
	{http.MethodGet, archivesPath, (*API).listArchives},
	{http.MethodGet, archivePath, (*API).readArchive},
	{http.MethodPost, archivePath + "/stop", (*API).stopArchive},
	{http.MethodDelete, archivePath, (*API).deleteArchive},
	{http.MethodPut, archivePath + "/layout", (*API).setArchiveLayout},
	{http.MethodPatch, archivePath + "/streams", (*API).chooseStreams},
	{http.MethodPost, callbacksPath, (*API).registerCallback},
	{http.MethodGet, callbacksPath, (*API).listCallbacks},
	{http.MethodDelete, callbackPath, (*API).unregisterCallback},

	{http.MethodPost, roomPath + "/play-dtmf", unavailable("DTMF")},
	{http.MethodPost, memberPath + "/play-dtmf", unavailable("DTMF")},
	{http.MethodPost, projectPrefix + "{project}/dial", unavailable("SIP")},
	{http.MethodPost, projectPrefix + "{project}/connect", unavailable("The audio connector")},
}

// tables are the resources whose endpoints all have the same shape, and none of which is there.
var tables = map[string]string{
	"broadcast": "Broadcasts",
	"captions":  "Captions",
	"render":    "Experience Composer",
}

// find returns the endpoint for a request, and the ids in its path. Without one it fails with
// errUnknownPath or errMethod.
func find(r *http.Request) (*endpoint, map[string]string, error) {
	failure := errUnknownPath
	for i := range endpoints {
		ids, ok := match(endpoints[i].pattern, r.URL.Path)
		switch {
		case ok && endpoints[i].method == r.Method:
			return &endpoints[i], ids, nil
		case ok:
			failure = errMethod
		}
	}
	if rest, found := strings.CutPrefix(r.URL.Path, projectPrefix); found {
		project, resource, _ := strings.Cut(rest, "/")
		resource, _, _ = strings.Cut(resource, "/")
		if what, known := tables[resource]; known && project != "" {
			missing := &endpoint{method: "ANY", pattern: resource, serve: unavailable(what)}
			return missing, map[string]string{"project": project}, nil
		}
	}
	return nil, nil, failure
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

// Serves says whether a path is the API's.
func Serves(path string) bool {
	return path == JoinPath || path == createPath || strings.HasPrefix(path, projectPrefix) || strings.HasPrefix(path, filesPrefix)
}

// missing is the answer to what this version can't do.
func missing(what string) *problem {
	return &problem{status: http.StatusNotImplemented, message: "Mediarooms does not have this yet: " + what}
}

// unavailable serves what this version can't do: 501, and a sentence that says what that is.
func unavailable(what string) func(*API, context.Context, *call) (reply, error) {
	failure := missing(what)
	return func(*API, context.Context, *call) (reply, error) { return reply{}, failure }
}
