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
	"time"
)

//go:embed all:dist
var dist embed.FS

// Path is where applications load the library from: that of the vendor's, so that naming another
// host is enough.
const Path = "/v2/js/opentok.min.js"

// scriptFile is the library for script elements.
const scriptFile = "dist/opentok.min.js"

// caching lets browsers keep the library for a while: its address is the same in all releases.
const caching = "public, max-age=300"

// Script returns the library for script elements; false in a gateway that was built without it.
func Script() ([]byte, bool) {
	script, err := dist.ReadFile(scriptFile)
	return script, err == nil
}

// Handler serves the library to pages of any origin. Without the library it answers 503. It is safe
// for concurrent use.
func Handler() http.Handler {
	script, built := Script()
	digest := sha256.Sum256(script)
	tag := `"` + hex.EncodeToString(digest[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Cross-Origin-Resource-Policy", "cross-origin")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "The library can only be read.", http.StatusMethodNotAllowed)
			return
		case !built:
			http.Error(w, "This gateway was built without the library: make build", http.StatusServiceUnavailable)
			return
		}
		header.Set("Content-Type", "text/javascript; charset=utf-8")
		header.Set("Cache-Control", caching)
		header.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(script))
	})
}
