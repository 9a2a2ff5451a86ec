package rest

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// echoAnnotation holds what a client of this API has set and reads back, and nothing else acts on.
const echoAnnotation = "mediarooms.dev/openvidu"

// echo is the value of echoAnnotation, as JSON with the names of this API. Of a Session it has the
// first two, of a Connection the last.
type echo struct {
	MediaMode string `json:"mediaMode,omitempty"`
	ShmSize   int64  `json:"shmSize,omitempty"`
	// KurentoOptions are without the limits, which are in the Connection's spec. They are nil when
	// the client has set none.
	KurentoOptions *kurentoJSON `json:"kurentoOptions,omitempty"`
}

// write sets the annotation, unless there is nothing to remember.
func (e echo) write(object metav1.Object) {
	text, err := json.Marshal(e)
	if err != nil || string(text) == "{}" {
		return // it does not fail: there are only strings and numbers
	}
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[echoAnnotation] = string(text)
	object.SetAnnotations(annotations)
}

// readEcho reads the annotation. What somebody else wrote into it, and is malformed, is as if it
// were not there.
func readEcho(object metav1.Object) echo {
	var e echo
	if json.Unmarshal([]byte(object.GetAnnotations()[echoAnnotation]), &e) != nil {
		return echo{}
	}
	return e
}

// projectKurentoOptions returns a Connection's limits and what is remembered beside them; nil when
// there is neither.
func projectKurentoOptions(connection *v1alpha1.Connection) *kurentoJSON {
	limits, remembered := connection.Spec.Bandwidth, readEcho(connection).KurentoOptions
	if remembered == nil {
		if limits == (v1alpha1.VideoBandwidth{}) {
			return nil
		}
		remembered = &kurentoJSON{}
	}
	remembered.VideoMaxRecvBandwidth = limits.VideoMaxRecvKbps
	remembered.VideoMaxSendBandwidth = limits.VideoMaxSendKbps
	return remembered
}
