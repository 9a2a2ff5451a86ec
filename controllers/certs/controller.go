package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"mediarooms.dev/mediarooms/controllers/trigger"
	"mediarooms.dev/mediarooms/internal/mtls"
)

// Names of the Secrets in the operator's namespace.
const (
	CASecret         = "mediarooms-ca"
	MediaPodSecret   = "mediarooms-mediapod-tls"
	GatewaySecret    = "mediarooms-gateway-tls"
	WorkerSecret     = "mediarooms-worker-tls"
	SigningKeySecret = "mediarooms-signing-key"

	// ManagedLabel, with the value ManagedValue, is on every Secret of the operator.
	ManagedLabel = "app.kubernetes.io/managed-by"
	ManagedValue = "mediarooms"

	nextCertificateField = "next.crt"
	nextKeyField         = "next.key"
	// check is how often everything is looked at, whatever was deleted or edited unseen.
	check = time.Hour
)

// SecretNames are all Secrets of the operator.
var SecretNames = []string{CASecret, MediaPodSecret, GatewaySecret, WorkerSecret, SigningKeySecret}

// Controller keeps the Secrets, and holds the operator's own certificate and the signing key in
// memory.
type Controller struct {
	// Client writes, Reader reads Secrets from the API server: there are five of them.
	Client client.Client
	Reader client.Reader
	// Watched are caches that see nothing but one Secret each: the operator may list Secrets only
	// by their names.
	Watched   []cache.Cache
	Namespace string
	Clock     clock.PassiveClock
	// Identity gets the operator's own certificate.
	Identity *mtls.Memory
	// Keys gets the signing keys.
	Keys *Keys

	own   pair   // the operator's certificate; only Reconcile touches it
	roots []byte // the bundle that Identity has; only Reconcile touches it
}

// Setup adds the controller to the manager. It looks at all Secrets at once, at its start, whenever
// one changes, and once an hour.
func (c *Controller) Setup(mgr ctrl.Manager) error {
	var start trigger.Trigger
	all := types.NamespacedName{Namespace: c.Namespace, Name: CASecret}
	start.Wake(all)
	always := handler.TypedEnqueueRequestsFromMapFunc(func(context.Context, *corev1.Secret) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: all}}
	})
	controller := ctrl.NewControllerManagedBy(mgr).Named("certs").WatchesRawSource(start.Source())
	for _, watched := range c.Watched {
		if err := mgr.Add(watched); err != nil {
			return fmt.Errorf("adding the cache of a Secret: %w", err)
		}
		controller.WatchesRawSource(source.Kind(watched, &corev1.Secret{}, always))
	}
	return controller.Complete(c)
}

// Reconcile brings all Secrets to what they have to be now.
func (c *Controller) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	now := c.Clock.Now()
	authority, again, err := c.authority(ctx, now)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := c.identity(authority, now); err != nil {
		return ctrl.Result{}, err
	}
	// Last of what the others wait for: who has the key can talk to pods as well.
	if err := c.signingKeys(ctx, now); err != nil {
		return ctrl.Result{}, err
	}
	for secret, name := range map[string]string{MediaPodSecret: mtls.MediaPod, GatewaySecret: mtls.Gateway, WorkerSecret: mtls.Worker} {
		if err := c.leaf(ctx, authority, secret, name, now); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{RequeueAfter: min(check, max(time.Second, again.Sub(now)))}, nil
}

// authority reads the CA, brings it forward, and writes it when it has changed.
func (c *Controller) authority(ctx context.Context, now time.Time) (*authority, time.Time, error) {
	secret, err := c.read(ctx, CASecret)
	if err != nil {
		return nil, time.Time{}, err
	}
	var stored *authority
	if secret != nil {
		if stored, err = parseAuthority(secret.Data); err != nil {
			return nil, time.Time{}, fmt.Errorf("reading Secret %s (delete it to get a new CA): %w", CASecret, err)
		}
	}
	wanted, again, err := advance(stored, now)
	if err != nil {
		return nil, time.Time{}, err
	}
	data, err := wanted.data()
	if err != nil {
		return nil, time.Time{}, err
	}
	return wanted, again, c.write(ctx, secret, CASecret, data)
}

func parseAuthority(data map[string][]byte) (*authority, error) {
	current, err := parsePair(data[mtls.CertificateFile], data[mtls.PrivateKeyFile])
	if err != nil {
		return nil, err
	}
	out := &authority{current: current}
	if len(data[nextCertificateField]) > 0 {
		next, err := parsePair(data[nextCertificateField], data[nextKeyField])
		if err != nil {
			return nil, err
		}
		out.next = &next
	}
	trusted, err := parseBundle(data[mtls.CAFile])
	if err != nil {
		return nil, err
	}
	for _, certificate := range trusted {
		if !certificate.Equal(current.certificate) && (out.next == nil || !certificate.Equal(out.next.certificate)) {
			out.old = append(out.old, certificate)
		}
	}
	return out, nil
}

func (a *authority) data() (map[string][]byte, error) {
	certificate, key, err := a.current.pem()
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{mtls.CAFile: a.bundle(), mtls.CertificateFile: certificate, mtls.PrivateKeyFile: key}
	if a.next != nil {
		if data[nextCertificateField], data[nextKeyField], err = a.next.pem(); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// identity renews the operator's own certificate, in memory.
func (c *Controller) identity(a *authority, now time.Time) error {
	bundle := a.bundle()
	if c.own.certificate != nil && a.signed(c.own.certificate) && !due(c.own.certificate, now) && bytes.Equal(c.roots, bundle) {
		return nil
	}
	own, err := a.leaf(mtls.Manager, now)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	c.own, c.roots = own, bundle
	c.Identity.Set(tls.Certificate{Certificate: [][]byte{own.certificate.Raw}, PrivateKey: own.key, Leaf: own.certificate}, roots)
	return nil
}

// leaf renews the certificate of a part in its Secret.
func (c *Controller) leaf(ctx context.Context, a *authority, name, part string, now time.Time) error {
	secret, err := c.read(ctx, name)
	if err != nil {
		return err
	}
	bundle := a.bundle()
	if secret != nil {
		stored, err := parsePair(secret.Data[mtls.CertificateFile], secret.Data[mtls.PrivateKeyFile])
		// What can't be read is replaced: nothing depends on it but its reader.
		if err == nil && a.signed(stored.certificate) && !due(stored.certificate, now) && stored.certificate.VerifyHostname(part) == nil {
			if bytes.Equal(secret.Data[mtls.CAFile], bundle) {
				return nil
			}
			return c.write(ctx, secret, name, map[string][]byte{
				mtls.CAFile:          bundle,
				mtls.CertificateFile: secret.Data[mtls.CertificateFile],
				mtls.PrivateKeyFile:  secret.Data[mtls.PrivateKeyFile],
			})
		}
	}
	issued, err := a.leaf(part, now)
	if err != nil {
		return err
	}
	certificate, key, err := issued.pem()
	if err != nil {
		return err
	}
	return c.write(ctx, secret, name, map[string][]byte{mtls.CAFile: bundle, mtls.CertificateFile: certificate, mtls.PrivateKeyFile: key})
}

// read returns a Secret, nil when there is none.
func (c *Controller) read(ctx context.Context, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := c.Reader.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", name, err)
	}
	return &secret, nil
}

// write creates a Secret, or replaces the data of the one that was read, if it differs.
func (c *Controller) write(ctx context.Context, secret *corev1.Secret, name string, data map[string][]byte) error {
	if secret == nil {
		return c.create(ctx, name, data)
	}
	same := len(secret.Data) == len(data)
	for key, value := range data {
		same = same && bytes.Equal(secret.Data[key], value)
	}
	if same {
		return nil
	}
	// The resource version of what was read guards against a second writer: two CAs would cut the
	// parts off from each other.
	secret = secret.DeepCopy()
	secret.Data = data
	if err := c.Client.Update(ctx, secret); err != nil {
		return fmt.Errorf("updating Secret %s: %w", name, err)
	}
	log.FromContext(ctx).Info("Renewed a Secret", "Secret", name)
	return nil
}

func (c *Controller) create(ctx context.Context, name string, data map[string][]byte) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.Namespace, Name: name,
			Labels: map[string]string{ManagedLabel: ManagedValue, "app.kubernetes.io/name": "mediarooms"},
		},
		Data: data,
	}
	if err := c.Client.Create(ctx, secret); err != nil {
		return fmt.Errorf("creating Secret %s: %w", name, err)
	}
	log.FromContext(ctx).Info("Created a Secret", "Secret", name)
	return nil
}
