package opentok

import (
	"encoding/json"
	"maps"
	"slices"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// layoutAnnotation is on Connections that joined by this API: what recorders will need of it, and
// this API shows.
const layoutAnnotation = "mediarooms.dev/opentok"

// layout is the value of layoutAnnotation, as JSON.
type layout struct {
	// Initial are the layout classes of a stream that has none of its own.
	Initial []string `json:"initialLayoutClasses,omitempty"`
	// Streams are the layout classes of streams, by their ids.
	Streams map[string][]string `json:"layoutClasses,omitempty"`
}

// readLayout reads the annotation. What somebody else wrote into it, and is malformed, is as if it
// were not there.
func readLayout(connection *v1alpha1.Connection) layout {
	var l layout
	if json.Unmarshal([]byte(connection.Annotations[layoutAnnotation]), &l) != nil {
		return layout{}
	}
	return l
}

// classes returns the layout classes of a stream, which are never nil.
func (l layout) classes(streamID string) []string {
	if own, known := l.Streams[streamID]; known && own != nil {
		return own
	}
	if l.Initial == nil {
		return []string{}
	}
	return l.Initial
}

// with returns the layout with other classes for some streams, and without those that a Connection
// does not publish any more.
func (l layout) with(connection *v1alpha1.Connection, changes map[string][]string) layout {
	streams := map[string][]string{}
	maps.Copy(streams, l.Streams)
	maps.Copy(streams, changes)
	maps.DeleteFunc(streams, func(id string, _ []string) bool {
		return !slices.ContainsFunc(connection.Status.Publishers, func(p v1alpha1.PublisherStatus) bool { return p.StreamID == id })
	})
	return layout{Initial: l.Initial, Streams: streams}
}

// text returns the value of the annotation.
func (l layout) text() string {
	text, err := json.Marshal(l)
	if err != nil {
		return "{}" // it does not fail: there are only strings
	}
	return string(text)
}
