// Package web is the single authority on what a browser gets from the gateway: the room page and
// its security headers.
//
// The page is built by "make build" into dist, which is embedded. Its only script is the bundle of
// src with the unmodified npm package openvidu-browser; it talks to nothing but the gateway that
// served it.
package web

import (
	"embed"
	"fmt"
	"io/fs"

	"mediarooms.dev/mediarooms/gateway/page"
)

//go:embed all:dist
var dist embed.FS

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

// New returns what serves the room page at /, and what it loads.
func New() (*page.Handler, error) {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("opening the embedded page: %w", err)
	}
	return page.New(built, page.Policies{Content: contentSecurityPolicy, Permissions: permissionsPolicy, Unbuilt: unbuilt})
}
