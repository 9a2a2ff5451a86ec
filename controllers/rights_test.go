package controllers_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

const operatorAccount = "system:serviceaccount:" + systemNamespace + ":mediarooms-manager"

// operatorConfig applies config/rbac and returns a configuration with the operator's rights.
func operatorConfig(ctx context.Context, cluster *rest.Config) (*rest.Config, error) {
	c, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}}
	if err := c.Create(ctx, namespace); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join("..", "config", "rbac", "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal(document, &object.Object); err != nil {
				return nil, fmt.Errorf("reading %s: %w", file, err)
			}
			if err := c.Create(ctx, object); err != nil {
				return nil, fmt.Errorf("creating %s %s: %w", object.GetKind(), object.GetName(), err)
			}
		}
	}
	config := rest.CopyConfig(cluster)
	config.Impersonate = rest.ImpersonationConfig{UserName: operatorAccount, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	return config, nil
}

// writesTokens lets the operator write Secrets of the tenant, as a team does that uses
// tokenSecretName.
func (w *world) writesTokens() {
	w.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenantNamespace, Name: "mediarooms-token-writer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "mediarooms-token-writer"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: systemNamespace, Name: "mediarooms-manager"}},
	}
	if err := w.Create(w.Context(), binding); err != nil {
		w.Fatal(err)
	}
	w.eventually("the API server knows of it", func() error {
		if allowed, err := mayOperator(w.Context(), w.Client, authorizationv1.ResourceAttributes{Verb: "create", Resource: "secrets", Namespace: tenantNamespace}); err != nil || !allowed {
			return fmt.Errorf("it is allowed: %v, %w", allowed, err)
		}
		return nil
	})
	w.Cleanup(func() {
		if err := w.Delete(context.Background(), binding); err != nil {
			w.Error(err)
		}
	})
}

// What the operator may not do, although something near it is needed. That its rights are enough,
// all other tests of this package show.
func TestTheOperatorsRightsAreNarrow(t *testing.T) {
	c, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		verb, group, resource, namespace, name string
		want                                   bool
	}{
		// Secrets: four of its own, one of each tenant, and no others.
		{"get", "", "secrets", systemNamespace, "mediarooms-signing-key", true},
		{"list", "", "secrets", systemNamespace, "mediarooms-signing-key", true},
		{"list", "", "secrets", systemNamespace, "", false},
		{"watch", "", "secrets", systemNamespace, "", false},
		{"get", "", "secrets", systemNamespace, "registry", false},
		{"list", "", "secrets", systemNamespace, "registry", false},
		{"delete", "", "secrets", systemNamespace, "mediarooms-ca", false},
		{"list", "", "secrets", "", v1alpha1.WebhookSecretName, true},
		{"list", "", "secrets", "", "", false},
		{"get", "", "secrets", tenantNamespace, "mediarooms-rest", false},
		{"get", "", "secrets", tenantNamespace, "anything", false},
		{"create", "", "secrets", tenantNamespace, "", false},
		{"delete", "", "secrets", tenantNamespace, "anything", false},
		// Namespaces: their labels, seen and not written.
		{"watch", "", "namespaces", "", "", true},
		{"patch", "", "namespaces", tenantNamespace, tenantNamespace, false},
		// Pods: its own namespace's, and not what runs in them.
		{"create", "", "pods", systemNamespace, "", true},
		{"create", "", "pods", tenantNamespace, "", false},
		{"list", "", "pods", "", "", false},
		// What users wrote, it does not write.
		{"create", v1alpha1.GroupVersion.Group, "sessions", tenantNamespace, "", false},
		{"update", v1alpha1.GroupVersion.Group, "sessions", tenantNamespace, "demo", false},
		{"delete", v1alpha1.GroupVersion.Group, "mediapools", "", "standard", false},
		{"patch", v1alpha1.GroupVersion.Group, "webhooks", tenantNamespace, "hook", false},
	} {
		got, err := mayOperator(t.Context(), c, authorizationv1.ResourceAttributes{
			Verb: test.verb, Group: test.group, Resource: test.resource, Namespace: test.namespace, Name: test.name,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got != test.want {
			t.Errorf("%s %s %q in %q: it is %v", test.verb, test.resource, test.name, test.namespace, got)
		}
	}
}

// mayOperator asks the API server whether the operator may do something.
func mayOperator(ctx context.Context, c client.Client, what authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: operatorAccount, Groups: []string{"system:serviceaccounts", "system:authenticated"}, ResourceAttributes: &what,
	}}
	err := c.Create(ctx, review)
	return review.Status.Allowed, err
}
