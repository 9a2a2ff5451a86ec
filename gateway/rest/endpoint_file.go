package rest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
)

const (
	// filesPrefix is the path below which files of recordings are.
	filesPrefix = prefix + "recordings/"
	// filesEndpoint is what metrics and the log call the download of a file.
	filesEndpoint = "GET recordings/{recording}/{file}"
	// pieceTimeout bounds the time that one piece of a file takes to a client: a whole download may
	// take long.
	pieceTimeout = time.Minute
	piece        = 64 << 10
)

// Files fetches files of recordings from the recorders. *recorders in package gateway is one.
type Files interface {
	// Fetch sends a request for a file to the recorder of a pool, with some headers. The caller
	// closes the answer's body.
	Fetch(ctx context.Context, pool, method, path string, header http.Header) (*http.Response, error)
}

// Headers that go to the recorder and come back: those of ranges and of what a client has already
// (RFC 9110, sections 13 and 14).
var (
	askedHeaders    = []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"}
	answeredHeaders = []string{"Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "Last-Modified", "Etag"}
)

// fileOf returns the recording and the file that a path names; false for another path.
func fileOf(r *http.Request) (recording, file string, found bool) {
	rest, found := strings.CutPrefix(r.URL.Path, filesPrefix)
	if !found || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "", "", false
	}
	recording, file, found = strings.Cut(rest, "/")
	return recording, file, found && recording != "" && file != "" && !strings.Contains(file, "/")
}

// serveFile serves a file of a recording (openvidu-rest 1.2), with ranges. Where files are public,
// nobody needs a password; otherwise it is the tenant's.
func (a *API) serveFile(w http.ResponseWriter, r *http.Request, id, name string) {
	ctx := r.Context()
	recording, err := a.findFile(ctx, r, id, name)
	if err != nil {
		a.turnAway(w, r, err)
		return
	}
	header := make(http.Header)
	for _, key := range askedHeaders {
		if value := r.Header.Get(key); value != "" {
			header.Set(key, value)
		}
	}
	path := "/recordings/" + url.PathEscape(string(recording.UID)) + "/" + url.PathEscape(name)
	response, err := a.files.Fetch(ctx, recording.Status.PoolName, r.Method, path, header)
	if err != nil {
		answer := a.refuse(r, filesEndpoint, fmt.Errorf("%w: %w", errFilesUnreachable, err))
		send(w, answer)
		a.metrics.count(filesEndpoint, answer.status)
		return
	}
	defer response.Body.Close()
	status := response.StatusCode
	switch status {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable, http.StatusPreconditionFailed:
	case http.StatusNotFound:
	default:
		status = http.StatusBadGateway
	}
	a.metrics.count(filesEndpoint, status)
	if status == http.StatusNotFound || status == http.StatusBadGateway {
		w.WriteHeader(status)
		return
	}
	for _, key := range answeredHeaders {
		if value := response.Header.Get(key); value != "" {
			w.Header().Set(key, value)
		}
	}
	w.WriteHeader(status)
	pass(w, response.Body)
}

// pass passes a body on, as slowly as the client takes it, until either end goes.
func pass(w http.ResponseWriter, body io.Reader) {
	connection, buffer := http.NewResponseController(w), make([]byte, piece)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			// A writer without deadlines has no connection that could be slow.
			_ = connection.SetWriteDeadline(time.Now().Add(pieceTimeout))
			if _, err := w.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// findFile returns the Recording that has a file, if who asks may have it. Nobody learns without a
// password whether there is what is not public.
func (a *API) findFile(ctx context.Context, r *http.Request, id, name string) (*v1alpha1.Recording, error) {
	if len(r.URL.Path) > maxPath {
		return nil, errForbidden
	}
	open := r.Header.Get("Authorization") == ""
	namespace := a.recordingNamespace(id)
	if !open {
		var err error
		if namespace, err = a.authenticate(ctx, r); err != nil {
			return nil, err
		}
	} else if !a.anyPublic(ctx) {
		return nil, errUnauthenticated
	}
	recording, err := a.objects.Recording(ctx, namespace, objects.OwnSessionID(namespace, id))
	if err != nil {
		if open {
			return nil, errUnauthenticated // a namespace that is no tenant's can't be looked into
		}
		return nil, err
	}
	if open && (recording == nil || !a.public(ctx, recording)) {
		return nil, errUnauthenticated
	}
	if recording == nil || !slices.ContainsFunc(recording.Status.Files, func(f v1alpha1.RecordingFile) bool { return f.Name == name }) {
		return nil, errRecordingUnknown
	}
	return recording, nil
}

// public says whether everybody may fetch the files of a Recording.
func (a *API) public(ctx context.Context, recording *v1alpha1.Recording) bool {
	pool, err := a.objects.Pool(ctx, recording.Status.PoolName)
	return err == nil && isPublic(pool)
}

// anyPublic says whether there is a pool whose files are public: otherwise nobody without a
// password has anything looked up.
func (a *API) anyPublic(ctx context.Context) bool {
	var pools v1alpha1.MediaPoolList
	if err := a.objects.Cached.List(ctx, &pools); err != nil {
		return false
	}
	return slices.ContainsFunc(pools.Items, func(pool v1alpha1.MediaPool) bool { return isPublic(&pool) })
}

func isPublic(pool *v1alpha1.MediaPool) bool {
	return pool != nil && pool.Spec.Egress != nil && pool.Spec.Egress.Access == v1alpha1.RecordingAccessPublic
}
