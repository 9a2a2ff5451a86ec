package console

import (
	"cmp"
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/download"
)

const (
	// filesPrefix is the path below which files of recordings are: NAMESPACE/RECORDING/FILE.
	filesPrefix = prefix + "files/"
	// fileLabel is what metrics call the download of a file.
	fileLabel = "file"

	// maxLink bounds the query of a link, whose token has the name of its file.
	maxLink = 2048
	// linkIssuer says in a link's token that a gateway has signed it for the console.
	linkIssuer = "mediarooms-console"
	// A link is good for linkLeast and up to linkStep more. Those of one step are the same, so that
	// what the page plays does not change.
	linkLeast = 6 * time.Hour
	linkStep  = time.Hour
)

// filePolicy keeps a file, should a browser take it for a document, from doing anything.
const filePolicy = "default-src 'none'; sandbox"

// playback is what the view of a recording shows. Files is null when the viewer may not get them.
type playback struct {
	Viewer    whom           `json:"viewer"`
	Recording recording      `json:"recording"`
	Files     []recordedFile `json:"files"`
}

// recordedFile is a file of a Recording. Times are in milliseconds.
type recordedFile struct {
	Name  string `json:"name"`
	Type  string `json:"type,omitempty"`
	Bytes int64  `json:"bytes"`
	// Who is the user whose stream it is, else the id of the connection; "" for a file that is not
	// of one stream.
	Who      string `json:"who,omitempty"`
	Offset   int64  `json:"offset,omitempty"`
	Duration int64  `json:"duration,omitempty"`
	Audio    bool   `json:"audio"`
	Video    bool   `json:"video"`
	// URL is where it is for whoever has the link, for a few hours.
	URL string `json:"url"`
}

func (c *Console) answerRecording(ctx context.Context, who viewer, wish asked) (any, error) {
	if wish.namespace == "" || wish.name == "" {
		return nil, errMalformed
	}
	allowed, err := who.may(ctx, recordings, wish.namespace)
	if err != nil {
		return nil, err
	}
	if !allowed {
		return nil, errNoRecording
	}
	found, err := c.recording(ctx, wish.namespace, wish.name)
	if err != nil {
		return nil, err
	}
	p := &playback{Viewer: viewerOf(who, scope{namespaces: []string{wish.namespace}}), Recording: recordingOf(found)}
	if allowed, err = who.may(ctx, recordingFiles, wish.namespace); err == nil && allowed {
		p.Files, err = c.files(ctx, who, found)
	}
	return p, err
}

// recording returns a Recording from the cache.
func (c *Console) recording(ctx context.Context, namespace, name string) (*v1alpha1.Recording, error) {
	if !c.config.Watched.Recordings() {
		return nil, errUnseen
	}
	var found v1alpha1.Recording
	err := c.config.Watched.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &found)
	if apierrors.IsNotFound(err) {
		return nil, errNoRecording
	} else if err != nil {
		return nil, fmt.Errorf("looking up a Recording: %w", err)
	}
	return &found, nil
}

// files returns the files of a Recording with links to them.
func (c *Console) files(ctx context.Context, who viewer, of *v1alpha1.Recording) ([]recordedFile, error) {
	key, err := c.config.LinkKey()
	if err != nil {
		return nil, err
	}
	names, err := c.namesIn(ctx, who, of)
	if err != nil {
		return nil, err
	}
	until := linkEnd(time.Now())
	shown := []recordedFile{}
	for i := range of.Status.Files {
		file := &of.Status.Files[i]
		token, err := download.Link{Recording: of.UID, File: file.Name}.Sign(linkIssuer, key, until)
		if err != nil {
			return nil, err
		}
		link := url.URL{Path: filesPrefix + of.Namespace + "/" + of.Name + "/" + file.Name, RawQuery: url.Values{"link": {token}}.Encode()}
		shown = append(shown, recordedFile{
			Name: file.Name, Type: file.ContentType, Bytes: file.SizeBytes, Who: cmp.Or(names[file.ConnectionID], file.ConnectionID), Offset: file.StartOffsetMilliseconds, Duration: file.DurationMilliseconds,
			Audio: file.HasAudio, Video: file.HasVideo, URL: link.String(),
		})
	}
	return shown, nil
}

// linkEnd is until when links are good that are made now.
func linkEnd(now time.Time) time.Time { return now.Truncate(linkStep).Add(linkLeast + linkStep) }

// namesIn returns how those are called whose streams are in a Recording, by connection id. Those
// whose Connection is gone, or that the viewer may not see, are missing.
func (c *Console) namesIn(ctx context.Context, who viewer, of *v1alpha1.Recording) (map[string]string, error) {
	names := map[string]string{}
	for i := range of.Status.Files {
		if id := of.Status.Files[i].ConnectionID; id != "" {
			names[id] = ""
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	if allowed, err := who.may(ctx, connections, of.Namespace); err != nil || !allowed {
		return nil, err
	}
	people, err := c.config.People(ctx, of.Namespace)
	if err != nil {
		return nil, ctx.Err() // links are of use without names
	}
	for i := range people {
		if _, sends := names[people[i].Status.ConnectionID]; sends {
			names[people[i].Status.ConnectionID] = labelOf(&people[i].Status)
		}
	}
	return names, nil
}

// serveFile serves a file of a recording to who has a link, with ranges, and returns the status.
func (c *Console) serveFile(w http.ResponseWriter, r *http.Request, path string) int {
	policies.Set(w, r)
	header := w.Header()
	header.Set("Content-Security-Policy", filePolicy)
	header.Set("Cache-Control", "private, no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return refuse(w, errMethod)
	}
	recording, file, err := c.linked(r, path)
	if err != nil {
		return c.fail(w, r, err)
	}
	header.Set("Content-Disposition", mime.FormatMediaType(disposition(file), map[string]string{"filename": file.Name}))
	status, err := download.Serve(w, r, c.config.Files, recording, file.Name)
	if err != nil {
		return c.fail(w, r, fmt.Errorf("%w: %w", errFiles, err))
	}
	return status
}

// disposition says that media is played, and everything else is kept (RFC 6266).
func disposition(file *v1alpha1.RecordingFile) string {
	if kind, _, _ := strings.Cut(file.ContentType, "/"); kind == "audio" || kind == "video" {
		return "inline"
	}
	return "attachment"
}

// linked returns the file that a request has a link to. Without a link nobody learns what there is.
func (c *Console) linked(r *http.Request, path string) (*v1alpha1.Recording, *v1alpha1.RecordingFile, error) {
	namespace, path, _ := strings.Cut(path, "/")
	object, name, _ := strings.Cut(path, "/")
	if len(r.URL.RawQuery) > maxLink {
		return nil, nil, errMalformed
	}
	key, err := c.config.LinkKey()
	if err != nil {
		return nil, nil, err
	}
	link, valid := download.ReadLink(r.URL.Query().Get("link"), linkIssuer, key)
	if !valid || link.File != name {
		return nil, nil, errLink
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	found, err := c.recording(ctx, namespace, object)
	if err != nil {
		return nil, nil, err
	}
	if found.UID != link.Recording {
		return nil, nil, errLink
	}
	at := slices.IndexFunc(found.Status.Files, func(f v1alpha1.RecordingFile) bool { return f.Name == name })
	if at < 0 {
		return nil, nil, errNoFile
	}
	return found, &found.Status.Files[at], nil
}
