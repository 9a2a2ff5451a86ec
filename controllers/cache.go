package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/certs"
)

// CacheOptions keeps everything out of memory that the operator has no business with, and that its roles do not let it see.
func CacheOptions(namespace string) cache.Options {
	own := func(key, value string) cache.ByObject {
		return cache.ByObject{Namespaces: map[string]cache.Config{
			namespace: {LabelSelector: labels.SelectorFromSet(labels.Set{key: value})},
		}}
	}
	return cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
		&corev1.Pod{}:     own(v1alpha1.ComponentLabel, v1alpha1.ComponentMediaPod),
		&corev1.Service{}: own(v1alpha1.ComponentLabel, v1alpha1.ComponentMediaPod),
		&corev1.Secret{}:  secrets(namespace),
		&corev1.Node{}:    {Transform: stripNode},
		// Of Namespaces only the labels are read.
		&corev1.Namespace{}: {Transform: stripNamespace},
	}}
}

// secrets are the operator's own, and of each tenant the one with the values of its Webhooks' headers.
func secrets(namespace string) cache.ByObject {
	return cache.ByObject{Namespaces: map[string]cache.Config{
		namespace:           {LabelSelector: labels.SelectorFromSet(labels.Set{certs.ManagedLabel: certs.ManagedValue})},
		cache.AllNamespaces: {FieldSelector: fields.OneTermEqualSelector("metadata.name", v1alpha1.WebhookSecretName)},
	}}
}

// stripNode keeps of a Node only its addresses and those of its pods: Nodes are large, and nothing else of them is read.
func stripNode(o any) (any, error) {
	node, ok := o.(*corev1.Node)
	if !ok {
		return o, nil
	}
	stripped := &corev1.Node{TypeMeta: node.TypeMeta}
	stripped.Name, stripped.UID, stripped.ResourceVersion = node.Name, node.UID, node.ResourceVersion
	stripped.Spec.PodCIDRs = node.Spec.PodCIDRs
	stripped.Status.Addresses = node.Status.Addresses
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
