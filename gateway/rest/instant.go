package rest

import (
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Annotations of objects that REST created.
const (
	// createdAnnotation is when the object was created, in milliseconds since 1970, UTC.
	createdAnnotation = "mediarooms.dev/created-milliseconds"
	// generatedAnnotation, "true", marks a Session whose id was generated: REST then shows no customSessionId.
	generatedAnnotation = "mediarooms.dev/generated-session-id"
)

// createdAt returns when an object was created, in milliseconds. It never changes for an object.
func createdAt(object client.Object) int64 {
	created := object.GetCreationTimestamp().UnixMilli()
	if stamp, err := strconv.ParseInt(object.GetAnnotations()[createdAnnotation], 10, 64); err == nil && stamp >= 0 {
		return stamp
	}
	// Spread over the second, so that the objects of one manifest differ.
	digest := fnv.New32a()
	_, _ = digest.Write([]byte(object.GetUID()))
	return created + int64(digest.Sum32()%1000)
}

func stamp(now time.Time) map[string]string {
	return map[string]string{createdAnnotation: strconv.FormatInt(now.UnixMilli(), 10)}
}

// milliseconds returns an observed instant, which is never before the creation of what it belongs to.
func milliseconds(instant *metav1.Time, created int64) int64 {
	if instant == nil {
		return created + 1
	}
	return max(instant.UnixMilli(), created+1)
}

// byCreation orders objects as lists show them.
func byCreation[T any, P interface {
	*T
	client.Object
}](objects []T) {
	slices.SortFunc(objects, func(a, b T) int {
		if difference := createdAt(P(&a)) - createdAt(P(&b)); difference != 0 {
			return int(max(min(difference, 1), -1))
		}
		return strings.Compare(P(&a).GetName(), P(&b).GetName())
	})
}
