// Package openapi is the authority on how the REST API describes itself: its OpenAPI 3.1 document.
// That the document and the implementation agree is tested on both sides: every endpoint against
// its paths, and every answer that any test gets against its schemas (test/openapi).
package openapi

import _ "embed"

//go:embed openapi.json
var document string

// Document is the description as it is served, JSON.
func Document() string { return document }
