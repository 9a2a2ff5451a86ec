package doctor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"mediarooms.dev/mediarooms/controllers/podspec"
)

const (
	checkBuffers = "socket buffers"
	// bufferMetric is how media pods tell of their buffer.
	bufferMetric = "mediarooms_media_receive_buffer_bytes"
	// metricsPort is the name of the port where they do.
	metricsPort = "metrics"
	// enoughBuffer is what is enough for a media pod that is full, in bytes.
	enoughBuffer = 1 << 20
	// maxAsked is how many media pods are asked.
	maxAsked = 20
)

// buffers asks media pods, by way of the API server, how much the kernels of their nodes keep for
// them.
func (e *examination) buffers(ctx context.Context) {
	if e.denied["get pods/proxy"] {
		return
	}
	small, asked := map[string]int64{}, 0
	for i := range e.pods {
		pod := &e.pods[i]
		if !podReady(pod) || asked == maxAsked {
			continue
		}
		bytes, err := e.bufferOf(ctx, pod)
		if err != nil {
			e.skip(checkBuffers, fmt.Sprintf("asking media pod %s: %v", pod.Name, err))
			continue
		}
		asked++
		if bytes < enoughBuffer {
			small[pod.Spec.NodeName] = bytes
		}
	}
	var nodes []string
	for node, bytes := range small {
		nodes = append(nodes, fmt.Sprintf("%s (%d KiB)", node, bytes>>10))
	}
	slices.Sort(nodes)
	switch {
	case len(nodes) > 0:
		e.warn(checkBuffers, fmt.Sprintf("the kernel keeps little of what arrives at once: node %s; many packets at a time may be lost", listed(nodes)),
			"on the nodes: sysctl -w net.core.rmem_max=16777216 net.core.wmem_max=16777216, then replace their media pods")
	case asked > 0:
		e.ok(checkBuffers, fmt.Sprintf("those of %s are large enough", count(asked, "media pod")))
	}
}

func podReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// bufferOf reads the metric of a media pod.
func (e *examination) bufferOf(ctx context.Context, pod *corev1.Pod) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	config := rest.CopyConfig(e.Config)
	config.GroupVersion, config.APIPath = &schema.GroupVersion{Version: "v1"}, "/api"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	caller, err := rest.HTTPClientFor(config)
	if err != nil {
		return 0, err
	}
	server, err := rest.RESTClientForConfigAndClient(config, caller)
	if err != nil {
		return 0, err
	}
	text, err := server.Verb(http.MethodGet).Namespace(pod.Namespace).Resource("pods").Name(fmt.Sprintf("%s:%d", pod.Name, podspec.PortOf(pod, metricsPort))).
		SubResource("proxy").Suffix("metrics").DoRaw(ctx)
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if value, is := strings.CutPrefix(lines.Text(), bufferMetric+" "); is {
			number, err := strconv.ParseFloat(value, 64)
			return int64(number), err
		}
	}
	return 0, fmt.Errorf("it does not say: it is of an older version")
}
