package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/route"
)

// filesPort is the name of the port of a recorder from which files are fetched.
const filesPort = "files"

// recorders are the recorder pods as the gateway sees them. It implements download.Recorders.
type recorders struct {
	reader client.Reader
	// namespace of the pods.
	namespace string
	client    *http.Client
}

// newRecorders returns the recorders. identity is the gateway's towards them.
func newRecorders(reader client.Reader, namespace string, identity *tls.Config) *recorders {
	return &recorders{reader: reader, namespace: namespace, client: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: identity, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 20 * time.Second,
			DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
			// What the recorder sends is what the client gets.
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Fetch implements download.Recorders.
func (r *recorders) Fetch(ctx context.Context, pool, method, path string, header http.Header) (*http.Response, error) {
	var pods corev1.PodList
	err := r.reader.List(ctx, &pods, client.InNamespace(r.namespace),
		client.MatchingLabels{v1alpha1.ComponentLabel: v1alpha1.ComponentRecorder, v1alpha1.PoolLabel: pool})
	if err != nil {
		return nil, fmt.Errorf("looking up the recorder: %w", err)
	}
	address := ""
	for i := range pods.Items {
		if found := route.AddressOf(&pods.Items[i], filesPort); found != "" {
			address = found
		}
	}
	if address == "" {
		return nil, fmt.Errorf("looking up the recorder of MediaPool %s: none runs", pool)
	}
	request, err := http.NewRequestWithContext(ctx, method, "https://"+address+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking the recorder: %w", err)
	}
	request.Header = header
	response, err := r.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the recorder: %w", err)
	}
	return response, nil
}
