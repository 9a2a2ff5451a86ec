package doctor

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// kinds are the custom resources: the plural name, the Go type and a list.
var kinds = []struct {
	plural string
	of     reflect.Type
	list   client.ObjectList
}{
	{"sessions", reflect.TypeFor[v1alpha1.Session](), &v1alpha1.SessionList{}},
	{"connections", reflect.TypeFor[v1alpha1.Connection](), &v1alpha1.ConnectionList{}},
	{"mediapools", reflect.TypeFor[v1alpha1.MediaPool](), &v1alpha1.MediaPoolList{}},
	{"recordings", reflect.TypeFor[v1alpha1.Recording](), &v1alpha1.RecordingList{}},
	{"webhooks", reflect.TypeFor[v1alpha1.Webhook](), &v1alpha1.WebhookList{}},
}

const (
	checkDefinitions  = "custom resources"
	remedyDefinitions = "install them: make install, or kubectl apply --server-side -k config/crd (package managers install them once and do not upgrade them)"
)

// definitions checks that the custom resource definitions are there, are served, and know the
// fields that this version knows.
func (e *examination) definitions(ctx context.Context) {
	if e.unlisted("customresourcedefinitions") {
		e.served(ctx)
		return
	}
	var absent []string
	sound := 0
	for _, kind := range kinds {
		name := kind.plural + "." + ours
		var definition apiextensionsv1.CustomResourceDefinition
		err := e.Objects.Get(ctx, client.ObjectKey{Name: name}, &definition)
		switch {
		case apierrors.IsNotFound(err):
			absent = append(absent, name)
			e.missing[kind.plural] = true
		case err != nil:
			e.skip(checkDefinitions, fmt.Sprintf("reading %s: %v", name, err))
		case e.define(kind.plural, kind.of, &definition):
			sound++
		}
	}
	if len(absent) > 0 {
		e.problem(checkDefinitions, "the cluster does not have "+strings.Join(absent, ", "), remedyDefinitions)
	}
	if sound == len(kinds) {
		e.ok(checkDefinitions, fmt.Sprintf("all %d are there and know all fields of %s", sound, v1alpha1.GroupVersion.Version))
	}
}

// define says whether a definition is as it has to be.
func (e *examination) define(plural string, of reflect.Type, definition *apiextensionsv1.CustomResourceDefinition) bool {
	for _, condition := range definition.Status.Conditions {
		if condition.Type == apiextensionsv1.Established && condition.Status != apiextensionsv1.ConditionTrue {
			e.missing[plural] = true
			e.problem(checkDefinitions, fmt.Sprintf("%s is not established: %s", definition.Name, condition.Message), remedyDefinitions)
			return false
		}
	}
	for _, version := range definition.Spec.Versions {
		if version.Name != v1alpha1.GroupVersion.Version || !version.Served || version.Schema == nil || version.Schema.OpenAPIV3Schema == nil {
			continue
		}
		unknown := unknownFields(of, version.Schema.OpenAPIV3Schema, "", nil)
		if len(unknown) == 0 {
			return true
		}
		e.problem(checkDefinitions, fmt.Sprintf("%s is of an older version: it does not know %s", definition.Name, listed(unknown)), remedyDefinitions)
		return false
	}
	e.missing[plural] = true
	e.problem(checkDefinitions, fmt.Sprintf("%s does not serve %s", definition.Name, v1alpha1.GroupVersion.Version), remedyDefinitions)
	return false
}

// served checks by asking for objects, where definitions may not be read.
func (e *examination) served(ctx context.Context) {
	var absent []string
	for _, kind := range kinds {
		list := kind.list.DeepCopyObject().(client.ObjectList)
		if err := e.Objects.List(ctx, list, client.InNamespace(e.Namespace), client.Limit(1)); meta.IsNoMatchError(err) {
			absent = append(absent, kind.plural+"."+ours)
			e.missing[kind.plural] = true
		}
	}
	if len(absent) > 0 {
		e.problem(checkDefinitions, "the cluster does not have "+strings.Join(absent, ", "), remedyDefinitions)
		return
	}
	e.ok(checkDefinitions, "they are there; you may not read whether they are of this version")
}

// unknownFields returns the paths of the fields of a Go type that a schema does not have. What is
// below the types of Kubernetes itself is not looked at.
func unknownFields(of reflect.Type, schema *apiextensionsv1.JSONSchemaProps, path string, unknown []string) []string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		if of.Kind() == reflect.Slice {
			if schema.Items == nil || schema.Items.Schema == nil {
				return unknown
			}
			schema = schema.Items.Schema
		}
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of.PkgPath() != reflect.TypeFor[v1alpha1.Session]().PkgPath() {
		return unknown
	}
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" || name == "metadata" && path == "" {
			continue
		}
		below := strings.TrimPrefix(path+"."+name, ".")
		property, known := schema.Properties[name]
		if !known {
			unknown = append(unknown, below)
			continue
		}
		unknown = unknownFields(field.Type, &property, below, unknown)
	}
	return unknown
}

// maxListed is how many names a finding has.
const maxListed = 4

// listed writes some of many names.
func listed(names []string) string {
	if len(names) <= maxListed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), len(names)-maxListed)
}

// count writes a number of things: "1 node", "2 nodes".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
