// Package page is the single authority on how the gateway serves a page that was built into it:
// what browsers may keep, in which coding files come, and the security headers that all pages have.
// bundle.mjs builds pages, and languages.js chooses their language.
package page

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// indexFile is the page; everything else in the build carries a hash of its content in its name.
const indexFile = "index.html"

// Caching keeps a page out of caches: it changes with every release, and its address may carry a
// token.
const Caching = "no-cache, no-store"

// Policies are what a page may do.
type Policies struct {
	// Content is its Content-Security-Policy.
	Content string
	// Permissions is its Permissions-Policy.
	Permissions string
	// Unbuilt is what is served in place of a page that was not built.
	Unbuilt string
}

// Set writes the security headers that every answer has.
func (p Policies) Set(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", p.Content)
	header.Set("Permissions-Policy", p.Permissions)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.TLS != nil {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// Handler serves a page at / and what it loads. Safe for concurrent use.
type Handler struct {
	policies Policies
	files    map[string]file // URL path -> file
}

type file struct {
	content   []byte
	gzipped   []byte // nil when it is no smaller
	name      string
	immutable bool
}

// New returns the handler of what was built; a page that was not is no error.
func New(built fs.FS, policies Policies) (*Handler, error) {
	h := &Handler{policies: policies, files: map[string]file{}}
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

// Built says whether there is a page.
func (h *Handler) Built() bool {
	_, built := h.files["/"]
	return built
}

// File returns the content of a file by its path; nil for none.
func (h *Handler) File(path string) []byte { return h.files[path].content }

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
	h.policies.Set(w, r)
	header := w.Header()
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
		header.Set("Cache-Control", Caching)
	case r.URL.Path == "/":
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Cache-Control", Caching)
		w.WriteHeader(http.StatusServiceUnavailable)
		// A client that has gone needs no answer.
		_, _ = w.Write([]byte(h.policies.Unbuilt))
		return
	default:
		http.NotFound(w, r)
		return
	}
	content := found.content
	header.Set("Vary", "Accept-Encoding")
	if found.gzipped != nil && TakesGzip(r) {
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

// TakesGzip says whether a client named gzip and did not refuse it (RFC 9110 12.5.3). A client that
// only says * gets the plain content.
func TakesGzip(r *http.Request) bool {
	for offer := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, weight, _ := strings.Cut(strings.ReplaceAll(offer, " ", ""), ";")
		if strings.EqualFold(coding, "gzip") {
			return strings.Trim(strings.TrimPrefix(strings.ToLower(weight), "q="), "0.") != "" || weight == ""
		}
	}
	return false
}
