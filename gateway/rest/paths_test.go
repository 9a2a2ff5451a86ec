package rest

import (
	"net/http"
	"slices"
	"testing"

	description "mediarooms.dev/mediarooms/gateway/rest/openapi"
	"mediarooms.dev/mediarooms/test/openapi"
)

func TestEverythingServedIsDescribedAndEverythingDescribedIsServed(t *testing.T) {
	var registered []openapi.Endpoint
	for i := range endpoints {
		registered = append(registered, openapi.Endpoint{Method: endpoints[i].method, Path: prefix + endpoints[i].pattern, Public: endpoints[i].public})
	}
	// Files are no endpoint: who asks decides after what is asked for.
	registered = append(registered, openapi.Endpoint{Method: http.MethodGet, Path: filesPrefix + "{recording}/{file}"})
	described := openapi.Served().Endpoints()
	for _, endpoint := range registered {
		if !slices.Contains(described, endpoint) {
			t.Errorf("%v is served, and not described like that", endpoint)
		}
	}
	for _, endpoint := range described {
		if !slices.Contains(registered, endpoint) {
			t.Errorf("%v is described, and not served like that", endpoint)
		}
	}
}

func TestTheDescriptionIsServedToEverybody(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/openvidu/api/openapi.json", "/api/openapi.json"} {
		got := w.ask(http.MethodGet, path, "")
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" || got.body+"\n" != description.Document() {
			t.Errorf("GET %s: got %d %s", path, got.status, got.header.Get("Content-Type"))
		}
	}
}
