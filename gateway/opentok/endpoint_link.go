package opentok

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/download"
	"mediarooms.dev/mediarooms/gateway/tenant"
)

const (
	// linkTimeout is for how long a link to a file of an archive is good.
	linkTimeout = 10 * time.Minute
	// linkAudience makes a token one of a link, and of nothing else.
	linkAudience = "mediarooms-archive"
	// linkEndpoint is what metrics and the log call the download of a file.
	linkEndpoint = "GET archive file"
)

// linkClaims say which file a link is to.
type linkClaims struct {
	jwt.RegisteredClaims

	File string `json:"file"`
}

// signLink returns the token of a link to a file. Whoever has it may fetch the file for a while.
func signLink(project *tenant.Project, recording *v1alpha1.Recording, file string, now time.Time) (string, error) {
	claims := linkClaims{File: file, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: project.APIKey, Audience: jwt.ClaimStrings{linkAudience}, Subject: string(recording.UID), ExpiresAt: jwt.NewNumericDate(now.Add(linkTimeout)),
	}}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(project.Secrets[0])
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
	claims := readLink(project, query.Get("token"))
	if claims == nil || claims.File != file {
		return nil, errLink
	}
	recording, err := a.objects.Recording(ctx, project.Namespace, archive)
	switch {
	case err != nil:
		return nil, err
	case recording == nil || string(recording.UID) != claims.Subject:
		return nil, errLink
	case !slices.ContainsFunc(recording.Status.Files, func(f v1alpha1.RecordingFile) bool { return f.Name == file }):
		return nil, errArchive
	}
	return recording, nil
}

// readLink returns what the token of a link says; nil when no secret of the project has signed it,
// or it has ended.
func readLink(project *tenant.Project, token string) *linkClaims {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(),
		jwt.WithAudience(linkAudience), jwt.WithIssuer(project.APIKey))
	for _, secret := range project.Secrets {
		claims := &linkClaims{}
		if _, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return secret, nil }); err == nil {
			return claims
		}
	}
	return nil
}
