package console

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// username is the user of a tenant's password, as in the REST API.
const username = "OPENVIDUAPP"

// maxCredential bounds a password or token, in bytes. Tokens with many audiences have 2 KiB.
const maxCredential = 8 << 10

// The resources that a viewer may or may not list. Those of the core group begin with a slash. A
// part of a resource can't be listed: the viewer may or may not get it.
const (
	sessions    = "sessions"
	connections = "connections"
	recordings  = "recordings"
	mediaPools  = "mediapools"
	// recordingFiles is no part that the API server has: roles name it for the console.
	recordingFiles = "recordings/files"
	coreEvents     = "/events"
	corePods       = "/pods"
)

// viewer is who looks.
type viewer interface {
	// name is what the viewer is called.
	name() string
	// tenant is the viewer's own namespace; "" for who has none.
	tenant() string
	// may says whether the viewer may list a resource in a namespace, or get a part of one; "" is
	// all namespaces.
	may(ctx context.Context, resource, namespace string) (bool, error)
}

// tenantViewer is the tenant of a namespace.
type tenantViewer string

func (t tenantViewer) name() string   { return string(t) }
func (t tenantViewer) tenant() string { return string(t) }

// may implements viewer: a tenant has its namespace. Pools and pods would tell it of others.
func (t tenantViewer) may(_ context.Context, resource, namespace string) (bool, error) {
	switch resource {
	case sessions, connections, recordings, recordingFiles, coreEvents:
		return namespace == string(t), nil
	}
	return false, nil
}

// authenticate returns who looks. It fails with errUnauthenticated or errTooMany.
//
// A right password enters whatever others at the same address have tried, as in the REST API. A
// token that was right a moment ago does so, too; of others the API server would have to be asked,
// so an address with too many failures has to wait.
func (c *Console) authenticate(ctx context.Context, r *http.Request) (viewer, error) {
	header := r.Header.Get("Authorization")
	if header == "" || len(header) > maxCredential {
		return nil, errUnauthenticated
	}
	if token, found := bearer(header); found {
		return c.byToken(ctx, r, token)
	}
	user, password, given := r.BasicAuth()
	if !given {
		return nil, errUnauthenticated
	}
	var namespace string
	var err error
	tooMany := c.config.Failures.Try(c.config.Address(r), func() (wrong bool) {
		if user == username && password != "" {
			namespace, err = c.config.Tenants.Holder(ctx, password)
		}
		return namespace == "" && err == nil
	})
	switch {
	case err != nil:
		return nil, err
	case tooMany:
		return nil, errTooMany
	case namespace == "":
		return nil, errUnauthenticated
	}
	return tenantViewer(namespace), nil
}

// bearer returns the token of a header.
func bearer(header string) (token string, found bool) {
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

func (c *Console) byToken(ctx context.Context, r *http.Request, token string) (viewer, error) {
	if known := c.visitors.known(token, time.Now()); known != nil {
		return known, nil
	}
	from := c.config.Address(r)
	if !c.config.Failures.Take(from, time.Now()) {
		return nil, errTooMany
	}
	visitor, err := c.visitors.review(ctx, token)
	if visitor != nil || err != nil {
		c.config.Failures.GiveBack(from)
	}
	switch {
	case err != nil:
		return nil, err
	case visitor == nil:
		return nil, errUnauthenticated
	}
	return visitor, nil
}
