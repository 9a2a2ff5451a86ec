package opentok

import (
	"context"
	"net/http"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/gateway/opentok/credential"
	"mediarooms.dev/mediarooms/gateway/tenant"
)

// authHeader is where server libraries put the REST token of a project (opentok-rest 1.2).
const authHeader = "X-OPENTOK-AUTH"

// Projects knows who may ask. *tenant.Projects is one.
type Projects interface {
	// Find returns the project with an API key or an application id; nil for none.
	Find(ctx context.Context, name string) (*tenant.Project, error)
}

// authenticate returns the project whose REST token a request has. It fails with errNoToken, or
// with a problem of status 403. The name of the project in the path is "" where there is none.
func (a *API) authenticate(ctx context.Context, r *http.Request, inPath string) (*tenant.Project, error) {
	token := restToken(r)
	if token == "" {
		return nil, errNoToken
	}
	var project *tenant.Project
	err := a.counted(r, func() (err error) {
		project, err = a.bearer(ctx, token)
		return err
	})
	switch {
	case err != nil:
		return nil, forbidden(err)
	case inPath != "" && !project.Is(inPath):
		return nil, errOtherProject
	}
	return project, nil
}

// counted verifies a token, and counts a wrong one for the address that a request comes from:
// beyond its limit the error is errTooManyWrong.
func (a *API) counted(r *http.Request, verify func() error) (err error) {
	tooMany := a.failures.Try(a.address(r), func() (wrong bool) {
		if err = verify(); err == nil {
			return false
		}
		refusal, _ := asProblem(err)
		return refusal.status == http.StatusUnauthorized
	})
	if tooMany {
		return errTooManyWrong
	}
	return err
}

// forbidden returns an error that says who asks as one of status 403: the Node library up to 2.19.0
// takes 401 for success.
func forbidden(err error) error {
	if refusal, _ := asProblem(err); refusal.status == http.StatusUnauthorized {
		return &problem{status: http.StatusForbidden, message: refusal.message}
	}
	return err
}

// bearer returns the project of a REST token. It fails with errUnknownProject or an error of
// credential.
func (a *API) bearer(ctx context.Context, token string) (*tenant.Project, error) {
	name, err := credential.Named(token)
	if err != nil {
		return nil, err
	}
	project, err := a.projects.Find(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case project == nil:
		return nil, errUnknownProject
	}
	return project, project.VerifyREST(token, time.Now())
}

func restToken(r *http.Request) string {
	if token := r.Header.Get(authHeader); token != "" {
		return token
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
