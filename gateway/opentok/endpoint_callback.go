package opentok

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/internal/creation"
)

// callbackLabel is on Webhooks that this API has made, which it shows and deletes. Its value is
// GROUP.EVENT.
const callbackLabel = "mediarooms.dev/opentok-callback"

// callbackEvents are the events of Webhooks by those of callbacks, as GROUP.EVENT.
var callbackEvents = map[string]v1alpha1.WebhookEvent{
	"session.created":      v1alpha1.EventSessionCreated,
	"session.destroyed":    v1alpha1.EventSessionDestroyed,
	"connection.created":   v1alpha1.EventParticipantJoined,
	"connection.destroyed": v1alpha1.EventParticipantLeft,
	"stream.created":       v1alpha1.EventWebRTCConnectionCreated,
	"stream.destroyed":     v1alpha1.EventWebRTCConnectionDestroyed,
	"archive.status":       v1alpha1.EventRecordingStatusChanged,
}

// callbackJSON is a callback (opentok-rest 4.8).
type callbackJSON struct {
	ID    string `json:"id"`
	Group string `json:"group"`
	Event string `json:"event"`
	URL   string `json:"url"`
	// CreatedAt is in milliseconds since 1970.
	CreatedAt int64 `json:"createdAt"`
}

func projectCallback(hook *v1alpha1.Webhook) callbackJSON {
	group, event, _ := strings.Cut(hook.Labels[callbackLabel], ".")
	return callbackJSON{ID: hook.Name, Group: group, Event: event, URL: hook.Spec.URL, CreatedAt: creation.Milliseconds(hook)}
}

// registerCallbackJSON is the body of registerCallback.
type registerCallbackJSON struct {
	Group string `json:"group"`
	Event string `json:"event"`
	URL   string `json:"url"`
}

// webhook returns the Webhook that is asked for.
func (j registerCallbackJSON) webhook(c *call, class string) (*v1alpha1.Webhook, error) {
	name := j.Group + "." + j.Event
	event, known := callbackEvents[name]
	switch {
	case name == "broadcast.status":
		return nil, missing("broadcasts")
	case !known:
		return nil, badRequest("'group' must be session, connection or stream, with the 'event' created or destroyed, or archive with status")
	case j.URL == "":
		return nil, errCallbackURL
	}
	return &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.project.Namespace, GenerateName: "callback-", Labels: map[string]string{callbackLabel: name}, Annotations: creation.Stamp(time.Now()),
		},
		Spec: v1alpha1.WebhookSpec{ClassName: class, URL: j.URL, Format: v1alpha1.WebhookFormatOpenTok, Events: []v1alpha1.WebhookEvent{event}},
	}, nil
}

// registerCallback serves POST PROJECT/callback. Who registers the same again gets what is there:
// applications do so whenever they start.
func (a *API) registerCallback(ctx context.Context, c *call) (reply, error) {
	var body registerCallbackJSON
	if err := readJSON(c, &body); err != nil {
		return reply{}, err
	}
	wanted, err := body.webhook(c, string(a.objects.Class))
	if err != nil {
		return reply{}, err
	}
	hooks, err := a.webhooks(ctx, c)
	if err != nil {
		return reply{}, err
	}
	same := slices.IndexFunc(hooks, func(hook v1alpha1.Webhook) bool {
		return hook.Labels[callbackLabel] == wanted.Labels[callbackLabel] && hook.Spec.URL == wanted.Spec.URL
	})
	switch {
	case same >= 0:
		return reply{status: http.StatusOK, body: projectCallback(&hooks[same])}, nil
	case len(hooks) >= v1alpha1.MaxWebhooks:
		return reply{}, errManyCallbacks
	}
	err = a.objects.Live.Create(ctx, wanted)
	switch {
	case apierrors.IsInvalid(err):
		return reply{}, errCallbackURL
	case err != nil:
		return reply{}, unbound(fmt.Errorf("creating a Webhook: %w", err))
	}
	return reply{status: http.StatusOK, body: projectCallback(wanted)}, nil
}

// listCallbacks serves GET PROJECT/callback.
func (a *API) listCallbacks(ctx context.Context, c *call) (reply, error) {
	hooks, err := a.callbacks(ctx, c)
	if err != nil {
		return reply{}, err
	}
	list := make([]callbackJSON, 0, len(hooks))
	for i := range hooks {
		list = append(list, projectCallback(&hooks[i]))
	}
	return reply{status: http.StatusOK, body: list}, nil
}

// unregisterCallback serves DELETE PROJECT/callback/CALLBACK. Webhooks that this API has not made
// it leaves alone.
func (a *API) unregisterCallback(ctx context.Context, c *call) (reply, error) {
	hooks, err := a.callbacks(ctx, c)
	if err != nil {
		return reply{}, err
	}
	i := slices.IndexFunc(hooks, func(hook v1alpha1.Webhook) bool { return hook.Name == c.callback })
	if i < 0 {
		return reply{}, errCallback
	}
	if err := a.objects.Live.Delete(ctx, &hooks[i], client.Preconditions{UID: &hooks[i].UID}); err != nil && !gone(err) {
		return reply{}, unbound(fmt.Errorf("deleting Webhook %s: %w", hooks[i].Name, err))
	}
	return reply{status: http.StatusNoContent}, nil
}

// callbacks returns the Webhooks of a project that this API has made.
func (a *API) callbacks(ctx context.Context, c *call) ([]v1alpha1.Webhook, error) {
	hooks, err := a.webhooks(ctx, c)
	return slices.DeleteFunc(hooks, func(hook v1alpha1.Webhook) bool { return hook.Labels[callbackLabel] == "" }), err
}

// webhooks returns all Webhooks of a project's namespace that are this installation's, by name.
func (a *API) webhooks(ctx context.Context, c *call) ([]v1alpha1.Webhook, error) {
	var list v1alpha1.WebhookList
	if err := a.objects.Live.List(ctx, &list, client.InNamespace(c.project.Namespace)); err != nil {
		return nil, unbound(fmt.Errorf("listing Webhooks: %w", err))
	}
	return slices.DeleteFunc(list.Items, func(hook v1alpha1.Webhook) bool { return hook.Spec.ClassName != string(a.objects.Class) }), nil
}

// unbound returns what is missing when the API server forbids to touch Webhooks.
func unbound(err error) error {
	if apierrors.IsForbidden(err) && !overQuota(err) {
		return errCallbacksUnbound
	}
	return err
}
