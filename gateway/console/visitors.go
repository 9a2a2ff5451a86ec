package console

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

const (
	// reviewValid is how long it holds what the API server has said of a token: a right that was
	// taken away is felt after this time.
	reviewValid = time.Minute
	// reviewTimeout bounds one question to the API server.
	reviewTimeout = 5 * time.Second
	// maxReviews is how many questions are asked at the same time.
	maxReviews = 8
	// maxVisitors is how many tokens are remembered.
	maxVisitors = 1000
	// maxRights is how many answers are remembered of one of them.
	maxRights = 500
)

// visitors asks the API server whose a token is and what its user may do, and remembers the answers
// for a while. It remembers digests, no tokens. Safe for concurrent use.
type visitors struct {
	live  client.Client
	turns chan struct{} // has maxReviews places

	mu      sync.Mutex // guards what follows
	digests map[[sha256.Size]byte]*visitor
}

func newVisitors(live client.Client) *visitors {
	return &visitors{live: live, turns: make(chan struct{}, maxReviews), digests: map[[sha256.Size]byte]*visitor{}}
}

// visitor is a user of Kubernetes.
type visitor struct {
	all   *visitors
	user  authenticationv1.UserInfo
	until time.Time

	mu     sync.Mutex // guards what follows
	rights map[right]bool
}

// right is to list a resource in a namespace.
type right struct{ resource, namespace string }

// known returns the user of a token of which the API server was asked a moment ago; nil for none.
func (v *visitors) known(token string, now time.Time) *visitor {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known := v.digests[sha256.Sum256([]byte(token))]; known != nil && now.Before(known.until) {
		return known
	}
	return nil
}

// review asks whose a token is; nil for nobody's.
func (v *visitors) review(ctx context.Context, token string) (*visitor, error) {
	review := authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	if err := v.ask(ctx, &review); err != nil {
		return nil, fmt.Errorf("reviewing a token: %w", err)
	}
	if !review.Status.Authenticated {
		return nil, nil
	}
	now := time.Now()
	reviewed := &visitor{all: v, user: review.Status.User, until: now.Add(reviewValid), rights: map[right]bool{}}
	v.mu.Lock()
	defer v.mu.Unlock()
	for digest, known := range v.digests {
		if len(v.digests) >= maxVisitors || !now.Before(known.until) {
			delete(v.digests, digest)
		}
	}
	v.digests[sha256.Sum256([]byte(token))] = reviewed
	return reviewed, nil
}

// ask creates a review, which is how the API server is asked. It fails with errBusy when too many
// wait.
func (v *visitors) ask(ctx context.Context, review client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	select {
	case v.turns <- struct{}{}:
		defer func() { <-v.turns }()
	case <-ctx.Done():
		return errBusy
	}
	return v.live.Create(ctx, review)
}

func (v *visitor) name() string   { return v.user.Username }
func (v *visitor) tenant() string { return "" }

// may implements viewer.
func (v *visitor) may(ctx context.Context, resource, namespace string) (bool, error) {
	for _, in := range []string{"", namespace} {
		if allowed, err := v.allowed(ctx, right{resource, in}); err != nil || allowed {
			return allowed, err
		}
	}
	return false, nil
}

func (v *visitor) allowed(ctx context.Context, to right) (bool, error) {
	v.mu.Lock()
	allowed, known := v.rights[to]
	v.mu.Unlock()
	if known {
		return allowed, nil
	}
	attributes := authorizationv1.ResourceAttributes{Namespace: to.namespace, Verb: "list", Group: v1alpha1.GroupVersion.Group, Resource: to.resource}
	switch resource, part, found := strings.Cut(to.resource, "/"); {
	case found && resource == "":
		attributes.Group, attributes.Resource = "", part
	case found:
		attributes.Verb, attributes.Resource, attributes.Subresource = "get", resource, part
	}
	extra := make(map[string]authorizationv1.ExtraValue, len(v.user.Extra))
	for key, values := range v.user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	review := authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &attributes, User: v.user.Username, Groups: v.user.Groups, UID: v.user.UID, Extra: extra,
	}}
	if err := v.all.ask(ctx, &review); err != nil {
		return false, fmt.Errorf("reviewing a right: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.rights) >= maxRights {
		clear(v.rights)
	}
	v.rights[to] = review.Status.Allowed
	return review.Status.Allowed, nil
}
