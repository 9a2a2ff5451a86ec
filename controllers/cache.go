package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/fields"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/certs"
	"mediarooms.dev/mediarooms/controllers/podspec"
)

// CacheOptions keeps everything out of memory that the operator has no business with, and that its
// roles do not let it see.
func CacheOptions(namespace string) cache.Options {
	own := cache.ByObject{Namespaces: map[string]cache.Config{namespace: {LabelSelector: podspec.Selector()}}}
	return cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
		&corev1.Pod{}:                   own,
		&corev1.Service{}:               own,
		&policyv1.PodDisruptionBudget{}: own,
		&corev1.Secret{}:                secrets(),
		&corev1.Node{}:                  {Transform: stripNode},
		// Of Namespaces only the labels are read.
		&corev1.Namespace{}: {Transform: stripNamespace},
	}}
}

// secrets are, of each tenant, the one with the values of its Webhooks' headers.
func secrets() cache.ByObject {
	return cache.ByObject{Namespaces: map[string]cache.Config{
		cache.AllNamespaces: {FieldSelector: fields.OneTermEqualSelector("metadata.name", v1alpha1.WebhookSecretName)},
	}}
}

// ownSecrets are caches of the operator's own Secrets, each of one: its role lets it list and watch
// them only by their names. What is in them is not kept.
func ownSecrets(mgr ctrl.Manager, namespace string) ([]cache.Cache, error) {
	caches := make([]cache.Cache, 0, len(certs.SecretNames))
	for _, name := range certs.SecretNames {
		one, err := cache.New(mgr.GetConfig(), cache.Options{
			HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
			ByObject: map[client.Object]cache.ByObject{&corev1.Secret{}: {
				Namespaces: map[string]cache.Config{namespace: {FieldSelector: fields.OneTermEqualSelector("metadata.name", name)}},
				Transform:  stripSecret,
			}},
		})
		if err != nil {
			return nil, fmt.Errorf("making a cache of Secret %s: %w", name, err)
		}
		caches = append(caches, one)
	}
	return caches, nil
}

// stripSecret keeps of a Secret only that it has changed.
func stripSecret(o any) (any, error) {
	secret, ok := o.(*corev1.Secret)
	if !ok {
		return o, nil
	}
	stripped := &corev1.Secret{TypeMeta: secret.TypeMeta}
	stripped.Namespace, stripped.Name, stripped.UID, stripped.ResourceVersion = secret.Namespace, secret.Name, secret.UID, secret.ResourceVersion
	return stripped, nil
}

// stripNode keeps of a Node only its addresses, given or annotated, those of its pods, and whether
// it is ready: Nodes are large, and nothing else of them is read. Heartbeats change nothing of
// that.
func stripNode(o any) (any, error) {
	node, ok := o.(*corev1.Node)
	if !ok {
		return o, nil
	}
	stripped := &corev1.Node{TypeMeta: node.TypeMeta}
	stripped.Name, stripped.UID, stripped.ResourceVersion = node.Name, node.UID, node.ResourceVersion
	if told, annotated := node.Annotations[v1alpha1.PublicAddressAnnotation]; annotated {
		stripped.Annotations = map[string]string{v1alpha1.PublicAddressAnnotation: told}
	}
	stripped.Spec.PodCIDRs = node.Spec.PodCIDRs
	stripped.Status.Addresses = node.Status.Addresses
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			stripped.Status.Conditions = []corev1.NodeCondition{{Type: condition.Type, Status: condition.Status}}
		}
	}
	return stripped, nil
}

// stripNamespace keeps of a Namespace only its labels.
func stripNamespace(o any) (any, error) {
	namespace, ok := o.(*corev1.Namespace)
	if !ok {
		return o, nil
	}
	stripped := &corev1.Namespace{TypeMeta: namespace.TypeMeta}
	stripped.Name, stripped.UID, stripped.ResourceVersion = namespace.Name, namespace.UID, namespace.ResourceVersion
	stripped.Labels = namespace.Labels
	return stripped, nil
}
