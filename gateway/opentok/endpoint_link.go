package opentok

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/download"
	"mediarooms.dev/mediarooms/gateway/tenant"
)

const (
	// linkTimeout is for how long a link to a file of an archive is good.
	linkTimeout = 10 * time.Minute
	// linkEndpoint is what metrics and the log call the download of a file.
	linkEndpoint = "GET archive file"
)

// signLink returns the token of a link to a file. Whoever has it may fetch the file for a while.
func signLink(project *tenant.Project, recording *v1alpha1.Recording, file string, now time.Time) (string, error) {
	return download.Link{Recording: recording.UID, File: file}.Sign(project.APIKey, project.Secrets[0], now.Add(linkTimeout))
}

// archiveFile returns the archive and the file that a path names; false for another path.
func archiveFile(r *http.Request) (archive, file string, found bool) {
	rest, found := strings.CutPrefix(r.URL.Path, filesPrefix)
	if !found || r.Method != http.MethodGet && r.Method != http.MethodHead || len(r.URL.Path) > maxPath || len(r.URL.RawQuery) > maxQuery {
		return "", "", false
	}
	archive, file, found = strings.Cut(rest, "/")
	return archive, file, found && archive != "" && file != "" && !strings.Contains(file, "/")
}

func lastSegment(path string) string { return path[strings.LastIndex(path, "/")+1:] }

// serveArchive serves a file of an archive to who has a link, with ranges.
func (a *API) serveArchive(w http.ResponseWriter, r *http.Request, archive, file string) {
	// A player of another origin may show it: the link is all that it takes.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	recording, err := a.linked(r.Context(), r, archive, file)
	status := 0
	if err == nil {
		if status, err = download.Serve(w, r, a.files, recording, file); err != nil {
			err = fmt.Errorf("%w: %w", errFiles, err)
		}
	}
	if err != nil {
		answer := refuse(r, linkEndpoint, err)
		send(w, answer)
		status = answer.status
	}
	a.metrics.requests.WithLabelValues(linkEndpoint, fmt.Sprint(status)).Inc()
}

// linked returns the Recording whose file a request has a link to.
func (a *API) linked(ctx context.Context, r *http.Request, archive, file string) (*v1alpha1.Recording, error) {
	query := r.URL.Query()
	project, err := a.projects.Find(ctx, query.Get("project"))
	if err != nil {
		return nil, err
	}
	if project == nil {
		return nil, errLink
	}
	link, valid := download.ReadLink(query.Get("token"), project.APIKey, project.Secrets...)
	if !valid || link.File != file {
		return nil, errLink
	}
	recording, err := a.objects.Recording(ctx, project.Namespace, archive)
	switch {
	case err != nil:
		return nil, err
	case recording == nil || recording.UID != link.Recording:
		return nil, errLink
	case !slices.ContainsFunc(recording.Status.Files, func(f v1alpha1.RecordingFile) bool { return f.Name == file }):
		return nil, errArchive
	}
	return recording, nil
}
