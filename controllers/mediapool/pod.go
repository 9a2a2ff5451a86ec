package mediapool

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/podspec"
)

// hashAnnotation is the digest of everything that a pod was made from.
const hashAnnotation = "mediarooms.dev/template-hash"

// podSpec returns what a media pod of a pool is made from. It is pure.
func podSpec(pool *v1alpha1.MediaPool, namespace, name string, image podspec.Image, a createPod) podspec.Spec {
	return podspec.Spec{
		Kind: podspec.Media, Namespace: namespace, Name: name,
		Owner: metav1.OwnerReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "MediaPool", Name: pool.Name, UID: pool.UID,
			Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(false),
		},
		Labels: map[string]string{v1alpha1.PoolLabel: pool.Name},
		Annotations: map[string]string{
			hashAnnotation: templateHash(pool, image), evictAnnotation: "true", failuresAnnotation: strconv.Itoa(a.failures),
		},
		Template: pool.Spec.Template, Exposure: pool.Spec.Exposure, Port: a.port, GraceSeconds: pool.Spec.DrainSeconds,
		Image: image, AvoidNodes: a.avoid,
	}
}

// templateHash is the digest of everything that a pod of the pool is made from, without its name
// and its port. A pod with another one is replaced.
func templateHash(pool *v1alpha1.MediaPool, image podspec.Image) string {
	exposure := pool.Spec.Exposure
	// The address is sent to running pods.
	exposure.PublicAddress = ""
	// These are applied to the Services that there are.
	exposure.Service.Annotations, exposure.Service.ExternalTrafficPolicy = nil, ""
	parts, err := json.Marshal([]any{"v2", pool.Spec.Template, exposure, pool.Spec.DrainSeconds, image})
	if err != nil {
		// Plain data types always marshal; a pod that is replaced once too often is the harmless
		// side.
		return "unknown"
	}
	sum := sha256.Sum256(parts)
	return hex.EncodeToString(sum[:8])
}
