package tenant

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Annotation is on a tenant's Secret when one of its passwords lets nobody in, with the value
// Refused. A Secret has no conditions.
const (
	Annotation = "mediarooms.dev/rest-secret"
	Refused    = "Refused"
)

// ReasonPasswordRefused is the reason of the Event that goes with the annotation.
const ReasonPasswordRefused = "PasswordRefused"

// retryInterval is after what time it is tried again to tell a tenant.
const retryInterval = time.Minute

// Notices tells tenants of passwords that let nobody in because another tenant had them first. It
// tells neither that nor who: whoever could learn from it that a password is somebody's would know
// it.
//
// Every gateway runs one. Whoever is the first to put the annotation on a Secret writes the Event.
type Notices struct {
	directory *Directory
	live      client.Client
	wake      chan struct{}
	// failed is which Secrets could not be told, to say so once: namespace -> resource version.
	failed map[string]string
}

// NewNotices returns what tells the tenants of a directory, by a client for Secrets and Events.
func NewNotices(directory *Directory, live client.Client) *Notices {
	return &Notices{directory: directory, live: live, wake: make(chan struct{}, 1), failed: map[string]string{}}
}

// Changed says that a tenant's Secret has changed. It does not wait.
func (n *Notices) Changed() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run tells until the context ends.
func (n *Notices) Run(ctx context.Context) {
	for {
		var again <-chan time.Time
		if !n.tell(ctx) {
			again = time.After(retryInterval)
		}
		select {
		case <-n.wake:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// tell brings the annotations of all tenants up to date. It returns false when that has not worked
// for some.
func (n *Notices) tell(ctx context.Context) (done bool) {
	log := logr.FromContextOrDiscard(ctx)
	secrets, err := n.directory.secrets(ctx)
	if err != nil {
		log.Error(err, "Looking for passwords that can't be used")
		return false
	}
	done = true
	owners := n.directory.owners(ctx, secrets)
	present := map[string]bool{}
	for i := range secrets {
		secret := &secrets[i]
		present[secret.Namespace] = true
		err := n.tellOne(ctx, secret, refused(owners, secret))
		switch {
		case err == nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err):
			// Another gateway was faster, or the tenant: then there is another change to come.
			delete(n.failed, secret.Namespace)
		case ctx.Err() == nil:
			done = false
			if n.failed[secret.Namespace] != secret.ResourceVersion {
				n.failed[secret.Namespace] = secret.ResourceVersion
				log.Error(err, "Telling a tenant of a password that can't be used", "namespace", secret.Namespace)
			}
		}
	}
	maps.DeleteFunc(n.failed, func(namespace, _ string) bool { return !present[namespace] })
	return done
}

// owners returns the Secret that each password counts for.
func (d *Directory) owners(ctx context.Context, secrets []corev1.Secret) map[string]*corev1.Secret {
	owners := map[string]*corev1.Secret{}
	for i := range secrets {
		for _, value := range d.valid(ctx, &secrets[i]) {
			if owner := owners[string(value)]; owner == nil || older(&secrets[i], owner) {
				owners[string(value)] = &secrets[i]
			}
		}
	}
	return owners
}

// refused returns the keys of a Secret whose passwords count for another one.
func refused(owners map[string]*corev1.Secret, secret *corev1.Secret) []string {
	var keys []string
	for _, key := range passwordKeys {
		if owner := owners[string(bytes.TrimSpace(secret.Data[key]))]; owner != nil && owner != secret {
			keys = append(keys, key)
		}
	}
	return keys
}

// tellOne brings the annotation of a Secret up to date, and writes the Event when there is news.
func (n *Notices) tellOne(ctx context.Context, secret *corev1.Secret, keys []string) error {
	if (len(keys) > 0) == (secret.Annotations[Annotation] == Refused) {
		return nil
	}
	changed := secret.DeepCopy()
	if len(keys) == 0 {
		delete(changed.Annotations, Annotation)
	} else {
		metav1.SetMetaDataAnnotation(&changed.ObjectMeta, Annotation, Refused)
	}
	if err := n.live.Patch(ctx, changed, client.MergeFromWithOptions(secret.DeepCopy(), client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("annotating a Secret: %w", err)
	}
	if len(keys) == 0 {
		return nil
	}
	if err := n.live.Create(ctx, event(secret, keys, time.Now())); err != nil {
		return fmt.Errorf("writing an Event: %w", err)
	}
	return nil
}

func event(secret *corev1.Secret, keys []string, now time.Time) *corev1.Event {
	const component = "mediarooms-gateway"
	at := metav1.NewTime(now)
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: secret.Namespace, GenerateName: secret.Name + "."},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: secret.Namespace, Name: secret.Name, UID: secret.UID},
		Type:           corev1.EventTypeWarning,
		Reason:         ReasonPasswordRefused,
		Message: fmt.Sprintf("What is in %s can't be used as a password, and lets nobody in. Choose a new one, at random: openssl rand -hex 24",
			strings.Join(keys, " and in ")),
		Source:              corev1.EventSource{Component: component},
		ReportingController: component,
		FirstTimestamp:      at,
		LastTimestamp:       at,
		Count:               1,
	}
}
