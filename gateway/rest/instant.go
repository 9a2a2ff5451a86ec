package rest

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/internal/creation"
)

// generatedAnnotation, "true", marks a Session whose id was generated: REST then shows no
// customSessionId.
const generatedAnnotation = "mediarooms.dev/generated-session-id"

// createdAt returns when an object was created, in milliseconds. It never changes for an object.
func createdAt(object client.Object) int64 { return creation.Milliseconds(object) }

// milliseconds returns an observed instant, which is never before the creation of what it belongs
// to.
func milliseconds(instant *metav1.Time, created int64) int64 {
	if instant == nil {
		return created + 1
	}
	return max(instant.UnixMilli(), created+1)
}
