// Package v1alpha1 is the authority on the custom resources of the group mediarooms.dev: their
// fields, defaults, validation rules, condition types and reasons. It has no behaviour.
//
// +kubebuilder:object:generate=true
// +groupName=mediarooms.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "mediarooms.dev", Version: "v1alpha1"}

// SchemeBuilder collects the kinds of this package.
var SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme adds the kinds of this package to a scheme.
var AddToScheme = SchemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Session{}, &SessionList{},
		&Connection{}, &ConnectionList{},
		&MediaPool{}, &MediaPoolList{},
		&Webhook{}, &WebhookList{},
		&Recording{}, &RecordingList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
