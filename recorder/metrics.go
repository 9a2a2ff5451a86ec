package recorder

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
)

// metrics counts what recordings do.
type metrics struct {
	registry                                  *prometheus.Registry
	frames, bytes, leftFrames                 prometheus.Counter
	lostPackets, droppedPackets, errors, taps prometheus.Counter
	storedBytes, storeErrors, composeErrors   prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	m.frames = counter("mediarooms_recorder_frames_total", "Frames of audio and video that were written.")
	m.bytes = counter("mediarooms_recorder_written_bytes_total", "Bytes of media that were written.")
	m.leftFrames = counter("mediarooms_recorder_left_out_frames_total", "Frames of video that were left out, since something that they need was lost.")
	m.lostPackets = counter("mediarooms_recorder_lost_packets_total", "RTP packets that never came to the media pod.")
	m.droppedPackets = counter("mediarooms_recorder_dropped_packets_total", "RTP packets that the media pod dropped, since the recorder did not take them in time.")
	m.errors = counter("mediarooms_recorder_errors_total", "Errors of the disk.")
	m.taps = counter("mediarooms_recorder_lost_taps_total", "Connections to media pods that have ended, or did not come about.")
	m.storedBytes = counter("mediarooms_recorder_stored_bytes_total", "Bytes of files that S3 has taken.")
	m.storeErrors = counter("mediarooms_recorder_store_errors_total", "Errors of S3: files that it did not take, give or delete.")
	m.composeErrors = counter("mediarooms_recorder_compose_errors_total", "Compositions that have failed, and are tried again.")
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// handler serves the metrics, with what the library has.
func (m *metrics) handler(l *library) http.Handler {
	m.registry.MustRegister(&snapshot{l})
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// snapshot collects the figures of now.
type snapshot struct {
	library *library
}

var (
	recordings = prometheus.NewDesc("mediarooms_recorder_recordings",
		"Recordings on the disk, by state: starting, started, stopped, ready or failed.", []string{"state"}, nil)
	freeBytes = prometheus.NewDesc("mediarooms_recorder_free_bytes", "Bytes that are free where recordings are.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s *snapshot) Describe(out chan<- *prometheus.Desc) {
	out <- recordings
	out <- freeBytes
}

// Collect implements prometheus.Collector.
func (s *snapshot) Collect(out chan<- prometheus.Metric) {
	counts := map[egressv1.State]int{}
	for _, status := range s.library.statuses() {
		counts[status.GetState()]++
	}
	for state := egressv1.State_STATE_STARTING; state <= egressv1.State_STATE_FAILED; state++ {
		name := strings.ToLower(strings.TrimPrefix(state.String(), "STATE_"))
		out <- prometheus.MustNewConstMetric(recordings, prometheus.GaugeValue, float64(counts[state]), name)
	}
	if free, err := s.library.shared.free(s.library.root); err == nil {
		out <- prometheus.MustNewConstMetric(freeBytes, prometheus.GaugeValue, float64(free))
	}
}
