// The custom resource definitions of others against which manifests are checked. They are files of
// these modules: no code of them is built.
module mediarooms.dev/mediarooms/hack/schemas

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
