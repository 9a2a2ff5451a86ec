// Package web is the single authority on what a browser gets from the gateway: the room page and
// its security headers.
//
// The page is built by "make build" into dist, which is embedded. Its only script is the bundle of
// src with the unmodified npm package openvidu-browser; it talks to nothing but the gateway that
// served it.
package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

// indexFile is the page; everything else in the build carries a hash of its content in its name.
const indexFile = "index.html"

// pageCaching keeps the page out of caches: it changes with every release, and its address may
// carry a token.
const pageCaching = "no-cache, no-store"

// unbuilt is what a gateway answers that was built without its page.
const unbuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Mediarooms</title>
<h1>This gateway was built without its room page.</h1>
<p>Run <code>make build</code>, which needs Node.js and npm, and start the gateway again. Signalling and the REST API work without it.</p>
</html>
`

// contentSecurityPolicy lets the page load what its own gateway serves, and nothing else. Sockets
// may go to any host: a token names the gateway as its guests reach it, which need not be the name
// under which the page was opened; the page shows such a host to the guest.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; " +
	"media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// permissionsPolicy gives the page the devices that a call needs.
const permissionsPolicy = "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), speaker-selection=(self), autoplay=(self), " +
	"geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=()"

// Handler serves the room page at / and what it loads. Safe for concurrent use.
type Handler struct {
	files map[string]file // URL path -> file
}

type file struct {
	content   []byte
	gzipped   []byte // nil when it is no smaller
	name      string
	immutable bool
}

// New returns the handler of the embedded page.
func New() (*Handler, error) {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("opening the embedded page: %w", err)
	}
	return newHandler(built)
}

func newHandler(built fs.FS) (*Handler, error) {
	h := &Handler{files: map[string]file{}}
	err := fs.WalkDir(built, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		content, err := fs.ReadFile(built, name)
		if err != nil {
			return err
		}
		f := file{content: content, name: name, immutable: true}
		if f.gzipped, err = compress(content); err != nil {
			return err
		}
		if name == indexFile {
			f.immutable = false
			h.files["/"] = f
			return nil
		}
		h.files["/"+name] = f
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the embedded page: %w", err)
	}
	return h, nil
}

// compress returns the content for clients that take gzip, or nil when that is not worth it.
func compress(content []byte) ([]byte, error) {
	var smaller bytes.Buffer
	w, err := gzip.NewWriterLevel(&smaller, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if smaller.Len() >= len(content) {
		return nil, nil
	}
	return smaller.Bytes(), nil
}

// ServeHTTP answers with a file of the page, or says that the page was not built.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", contentSecurityPolicy)
	header.Set("Permissions-Policy", permissionsPolicy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.TLS != nil {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "This page can only be read.", http.StatusMethodNotAllowed)
		return
	}
	found, ok := h.files[r.URL.Path]
	switch {
	case ok && found.immutable:
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	case ok:
		header.Set("Cache-Control", pageCaching)
	case r.URL.Path == "/":
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Cache-Control", pageCaching)
		w.WriteHeader(http.StatusServiceUnavailable)
		// A client that has gone needs no answer.
		_, _ = w.Write([]byte(unbuilt))
		return
	default:
		http.NotFound(w, r)
		return
	}
	content := found.content
	header.Set("Vary", "Accept-Encoding")
	if found.gzipped != nil && takesGzip(r) {
		header.Set("Content-Encoding", "gzip")
		content = found.gzipped
	}
	if kind := mime.TypeByExtension(path.Ext(found.name)); kind != "" {
		header.Set("Content-Type", kind)
	} else {
		// Compressed content can't be guessed at.
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	http.ServeContent(w, r, found.name, time.Time{}, bytes.NewReader(content))
}

// takesGzip says whether a client named gzip and did not refuse it (RFC 9110 12.5.3). A client that
// only says * gets the plain content.
func takesGzip(r *http.Request) bool {
	for offer := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, weight, _ := strings.Cut(strings.ReplaceAll(offer, " ", ""), ";")
		if strings.EqualFold(coding, "gzip") {
			return strings.Trim(strings.TrimPrefix(strings.ToLower(weight), "q="), "0.") != "" || weight == ""
		}
	}
	return false
}
