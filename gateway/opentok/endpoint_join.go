package opentok

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
	"mediarooms.dev/mediarooms/gateway/opentok/credential"
	"mediarooms.dev/mediarooms/gateway/tenant"
	"mediarooms.dev/mediarooms/internal/creation"
	"mediarooms.dev/mediarooms/internal/opentokid"
	"mediarooms.dev/mediarooms/internal/podhttp"
)

// reuseTimeout bounds the wait of a join for the closing of the Session that has the id.
const reuseTimeout = 10 * time.Second

// joinRequest is what the client library asks with.
type joinRequest struct {
	// APIKey is the API key, or the application id.
	APIKey    string `json:"apiKey"`
	SessionID string `json:"sessionId"`
	// Token is a connect token.
	Token string `json:"token"`
}

// joinAnswer is where the client library goes.
type joinAnswer struct {
	// URL is that of the WebSocket. It works once.
	URL string `json:"url"`
}

// roles are what the roles of OpenTok are in the custom resources.
var roles = map[credential.Role]v1alpha1.Role{
	credential.RoleSubscriber:    v1alpha1.RoleSubscriber,
	credential.RolePublisher:     v1alpha1.RolePublisher,
	credential.RolePublisherOnly: v1alpha1.RolePublisherOnly,
	credential.RoleModerator:     v1alpha1.RoleModerator,
}

// join serves POST JoinPath: it admits the bearer of a connect token, who may come any number of
// times. It makes the Session when there is none, and a Connection each time.
func (a *API) join(ctx context.Context, c *call) (reply, error) {
	var request joinRequest
	if err := readJSON(c, &request); err != nil {
		return reply{}, err
	}
	if request.APIKey == "" || request.SessionID == "" || request.Token == "" {
		return reply{}, badRequest("The body must have 'apiKey', 'sessionId' and 'token'")
	}
	now := time.Now()
	var project *tenant.Project
	var said credential.Connect
	err := a.counted(c.r, func() (err error) {
		project, said, err = a.verify(ctx, request, now)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	if !a.joins.allow(project.Namespace+"/"+request.SessionID, now) {
		return reply{}, errTooManyJoins
	}
	connection, err := a.admit(ctx, project.Namespace, request.SessionID, admission(said, now), now)
	if err != nil {
		return reply{}, err
	}
	address, err := socketURL(connection.Status.Token)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: joinAnswer{URL: address}}, nil
}

// verify returns what the token of somebody who asks to join says, and whose project it is of.
func (a *API) verify(ctx context.Context, request joinRequest, now time.Time) (*tenant.Project, credential.Connect, error) {
	project, err := a.projects.Find(ctx, request.APIKey)
	switch {
	case err != nil:
		return nil, credential.Connect{}, err
	case project == nil:
		return nil, credential.Connect{}, errUnknownProject
	}
	if err := checkSessionID(&project.Project, request.SessionID); err != nil {
		return nil, credential.Connect{}, err
	}
	said, err := project.VerifyConnect(request.Token, request.SessionID, now)
	return project, said, err
}

// admission returns the Connection that a connect token asks for.
func admission(said credential.Connect, now time.Time) *v1alpha1.Connection {
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Annotations: creation.Stamp(now)},
		Spec: v1alpha1.ConnectionSpec{
			Type:             v1alpha1.ConnectionTypeWebRTC,
			Role:             roles[said.Role],
			Data:             said.Data,
			WhenDisconnected: v1alpha1.WhenDisconnectedDelete,
		},
	}
	connection.Annotations[layoutAnnotation] = layout{Initial: said.LayoutClasses}.text()
	return connection
}

// admit creates a Connection of the session with an id, and returns it once it has its token. The
// Session may be closing, since the last user has just left: then there will be another one.
func (a *API) admit(ctx context.Context, namespace, id string, wanted *v1alpha1.Connection, now time.Time) (*v1alpha1.Connection, error) {
	session, err := a.objects.LikelySession(ctx, namespace, id)
	if err != nil {
		return nil, err
	}
	for retried := false; ; retried = true {
		if session == nil {
			if session, err = a.openSession(ctx, namespace, id); err != nil {
				return nil, err
			}
		}
		if err := a.sweep(ctx, session, now); err != nil {
			return nil, err
		}
		connection, err := a.objects.Admit(ctx, session, wanted)
		if retried || !errors.Is(err, objects.ErrClosing) {
			return connection, err
		}
		session = nil
	}
}

// openSession returns the Session of a namespace that has a session id, and makes it when there is
// none. It makes none for an id without the form of OpenTok's: those are ids of Sessions that
// somebody declared.
func (a *API) openSession(ctx context.Context, namespace, id string) (*v1alpha1.Session, error) {
	wanted := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Annotations: creation.Stamp(time.Now())},
		Spec:       v1alpha1.SessionSpec{SessionID: id, WhenEmpty: v1alpha1.WhenEmptyDelete},
	}
	if err := a.archiving(ctx, &wanted.Spec); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(reuseTimeout); ; {
		session, err := a.objects.Session(ctx, namespace, id)
		switch {
		case err != nil:
			return nil, err
		case session != nil && objects.Exists(session):
			return session, nil
		case session == nil && opentokid.APIKeyOf(id) == "":
			return nil, errSessionUnknown
		case session == nil:
			// Many may join at once; one of them makes it.
			session, err = a.objects.CreateSession(ctx, wanted, true)
			if err == nil {
				return session, nil
			}
			if !errors.Is(err, objects.ErrExists) {
				return nil, err
			}
		default:
			if _, err := a.objects.WaitGone(ctx, session, time.Until(deadline)); err != nil {
				return nil, err
			}
		}
		if time.Now().After(deadline) {
			return nil, errStillClosing
		}
	}
}

// socketURL returns the URL of the WebSocket for the token of a Connection.
func socketURL(token string) (string, error) {
	address, err := url.Parse(token)
	if err != nil {
		return "", fmt.Errorf("reading a token: %w", err)
	}
	address.Path = podhttp.OpenTokPath
	return address.String(), nil
}
