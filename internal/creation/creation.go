// Package creation is the single authority on when an object was created, in milliseconds:
// Kubernetes itself only knows the second, but OpenVidu's clients tell a session and one that was
// made anew under the same id by it.
package creation

import (
	"hash/fnv"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotation is when an object was created, in milliseconds since 1970, UTC, on objects that REST
// made.
const Annotation = "mediarooms.dev/created-milliseconds"

// Milliseconds returns when an object was created, in milliseconds since 1970. It never changes for
// an object.
func Milliseconds(object metav1.Object) int64 {
	created := object.GetCreationTimestamp().UnixMilli()
	if stamp, err := strconv.ParseInt(object.GetAnnotations()[Annotation], 10, 64); err == nil && stamp >= 0 {
		return stamp
	}
	// Spread over the second, so that the objects of one manifest differ.
	digest := fnv.New32a()
	_, _ = digest.Write([]byte(object.GetUID()))
	return created + int64(digest.Sum32()%1000)
}

// Stamp returns the annotation of an object that is created now.
func Stamp(now time.Time) map[string]string {
	return map[string]string{Annotation: strconv.FormatInt(now.UnixMilli(), 10)}
}
