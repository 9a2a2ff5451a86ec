// Package otcompat is the single authority on the browser library for applications that were
// written for the OpenTok.js v2 API: its source in TypeScript is in src, and speaks opentok-rpc.
//
// The library is built by "make build" into dist, which is embedded. It is this project's own work,
// and neither affiliated with nor endorsed by the vendor of OpenTok.
package otcompat

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed all:dist
var dist embed.FS

// Path is where applications load the library from: that of the vendor's, so that naming another
// host is enough.
const Path = "/v2/js/opentok.min.js"

// Beside it are the library for bundlers, and the types of both for applications in TypeScript.
const (
	ModulePath = "/v2/js/opentok.mjs"
	TypesPath  = "/v2/js/opentok.d.ts"
)

// script is the Content-Type of JavaScript. Types have none of their own.
const script = "text/javascript; charset=utf-8"

// contentTypes are the files of dist that are served, by their paths.
var contentTypes = map[string]string{Path: script, ModulePath: script, TypesPath: "text/plain; charset=utf-8"}

// caching lets browsers keep the library for a while: its address is the same in all releases.
const caching = "public, max-age=300"

// Script returns the library for script elements; false in a gateway that was built without it.
func Script() ([]byte, bool) {
	return file(Path)
}

func file(served string) ([]byte, bool) {
	content, err := dist.ReadFile("dist/" + path.Base(served))
	return content, err == nil
}

// Serves reports whether a path is one that Handler serves.
func Serves(served string) bool {
	_, ok := contentTypes[served]
	return ok
}

// Handler serves the library, as a script and as a module, and its types to pages of any origin.
// Without the library it answers 503. It is safe for concurrent use.
func Handler() http.Handler {
	contents, tags := map[string][]byte{}, map[string]string{}
	for served := range contentTypes {
		if content, built := file(served); built {
			digest := sha256.Sum256(content)
			contents[served], tags[served] = content, `"`+hex.EncodeToString(digest[:8])+`"`
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, built := contents[r.URL.Path]
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Cross-Origin-Resource-Policy", "cross-origin")
		switch {
		case !Serves(r.URL.Path):
			http.NotFound(w, r)
			return
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "The library can only be read.", http.StatusMethodNotAllowed)
			return
		case !built:
			http.Error(w, "This gateway was built without the library: make build", http.StatusServiceUnavailable)
			return
		}
		header.Set("Content-Type", contentTypes[r.URL.Path])
		header.Set("Cache-Control", caching)
		header.Set("ETag", tags[r.URL.Path])
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}
