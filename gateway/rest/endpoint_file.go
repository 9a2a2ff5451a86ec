package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/download"
	"mediarooms.dev/mediarooms/gateway/objects"
)

const (
	// filesPrefix is the path below which files of recordings are.
	filesPrefix = prefix + "recordings/"
	// filesEndpoint is what metrics and the log call the download of a file.
	filesEndpoint = "GET recordings/{recording}/{file}"
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
	recording, err := a.findFile(r.Context(), r, id, name)
	if err != nil {
		a.turnAway(w, r, err)
		return
	}
	status, err := download.Serve(w, r, a.files, recording, name)
	if err != nil {
		answer := a.refuse(r, filesEndpoint, fmt.Errorf("%w: %w", errFilesUnreachable, err))
		send(w, answer)
		status = answer.status
	}
	a.metrics.count(filesEndpoint, status)
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
