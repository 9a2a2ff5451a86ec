// Package hosting is the single authority on whose Sessions a MediaPool hosts
// (MediaPool.spec.allowedNamespaces).
package hosting

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Open says whether a pool hosts the Sessions of all namespaces, whatever their labels.
func Open(pool *v1alpha1.MediaPool) bool {
	return pool.Spec.AllowedNamespaces == nil
}

// Allows says whether a pool hosts the Sessions of a namespace with these labels. A selector that
// can't be read allows none.
func Allows(pool *v1alpha1.MediaPool, namespace map[string]string) bool {
	if Open(pool) {
		return true
	}
	selector, err := selector(pool)
	return err == nil && selector.Matches(labels.Set(namespace))
}

// Check returns an error for a selector that can't be read.
func Check(pool *v1alpha1.MediaPool) error {
	_, err := selector(pool)
	return err
}

func selector(pool *v1alpha1.MediaPool) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(pool.Spec.AllowedNamespaces)
	if err != nil {
		return nil, fmt.Errorf("reading `allowedNamespaces`: %w", err)
	}
	return selector, nil
}
