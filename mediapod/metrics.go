package mediapod

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mediarooms.dev/mediarooms/internal/reasons"
	"mediarooms.dev/mediarooms/mediapod/opentok"
	"mediarooms.dev/mediarooms/mediapod/openvidu"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
	"mediarooms.dev/mediarooms/mediapod/tap"
)

// metrics counts what clients do.
type metrics struct {
	registry *prometheus.Registry
	joins    *prometheus.CounterVec
	joinTime prometheus.Histogram
	secrets  prometheus.Counter
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

// protocolMetrics counts what the clients of a protocol do.
type protocolMetrics struct {
	*metrics
	protocol string
}

var (
	_ openvidu.Observer = protocolMetrics{}
	_ opentok.Observer  = protocolMetrics{}
)

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		joins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mediarooms_joins_total", Help: "Attempts to join a room, by client protocol and its error code; 0 is success.",
		}, []string{"protocol", "code"}),
		joinTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mediarooms_join_seconds", Help: "From an open socket to the answer of a successful joinRoom or connect.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		secrets: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mediarooms_wrong_secrets_total", Help: "Secrets in joinRoom that are none of the tenant's.",
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mediarooms_requests_total", Help: "Requests of clients, by client protocol, method and error code; 0 is success.",
		}, []string{"protocol", "method", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mediarooms_request_seconds", Help: "How long the answer to a request took, by client protocol and method.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
		}, []string{"protocol", "method"}),
	}
	m.registry.MustRegister(m.joins, m.joinTime, m.secrets, m.requests, m.took,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Joined implements openvidu.Observer and opentok.Observer.
func (m protocolMetrics) Joined(code int, took time.Duration) {
	m.joins.WithLabelValues(m.protocol, strconv.Itoa(code)).Inc()
	if code == 0 {
		m.joinTime.Observe(took.Seconds())
	}
}

// WrongSecret implements openvidu.Observer.
func (m protocolMetrics) WrongSecret() { m.secrets.Inc() }

// Request implements openvidu.Observer and opentok.Observer.
func (m protocolMetrics) Request(method string, code int, took time.Duration) {
	m.requests.WithLabelValues(m.protocol, method, strconv.Itoa(code)).Inc()
	m.took.WithLabelValues(m.protocol, method).Observe(took.Seconds())
}

// handler serves the metrics, with what the parts of the pod count themselves.
func (m *metrics) handler(engine mediaEngine, rooms *room.Registry, signalling *signalling.Server, taps *tap.Service) http.Handler {
	m.registry.MustRegister(&snapshot{engine: engine, rooms: rooms, signalling: signalling, taps: taps})
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// snapshot collects the figures that the parts of the pod keep themselves.
type snapshot struct {
	engine     mediaEngine
	rooms      *room.Registry
	signalling *signalling.Server
	taps       *tap.Service
}

// figure is one metric of a snapshot.
type figure struct {
	name, help string
	kind       prometheus.ValueType
	value      float64
}

// Describe implements prometheus.Collector; it says nothing, since Collect always returns the same
// metrics.
func (s *snapshot) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *snapshot) Collect(out chan<- prometheus.Metric) {
	for _, f := range s.figures() {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(f.name, f.help, nil, nil), f.kind, f.value)
	}
	stats := s.engine.Stats()
	for transport, count := range map[string]int64{"udp": stats.UDPConnections, "tcp": stats.TCPConnections} {
		out <- prometheus.MustNewConstMetric(mediaConnections, prometheus.GaugeValue, float64(count), transport)
	}
	departures := s.rooms.Departures()
	for _, reason := range reasons.Leaving() {
		departures[reason] += 0 // a rate needs the 0 before the first one
	}
	for reason, count := range departures {
		out <- prometheus.MustNewConstMetric(participantsLeft, prometheus.CounterValue, float64(count), string(reason.Cause()), string(reason))
	}
}

var mediaConnections = prometheus.NewDesc("mediarooms_media_connections",
	"Peer connections by what their packets go over: udp, or tcp (ICE-TCP), which costs delay wherever packets are lost.", []string{"transport"}, nil)

var participantsLeft = prometheus.NewDesc("mediarooms_participants_left_total",
	"Users that left a room, by cause (ClientDisconnected, ForceDisconnected, NetworkDisconnected) and OpenVidu's reason.", []string{"cause", "reason"}, nil)

func (s *snapshot) figures() []figure {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	totals, media := s.rooms.Totals(), s.engine.Stats()
	waiting, dropped := s.rooms.Outbox().Kept()
	taps := s.taps.Stats()
	return []figure{
		{"mediarooms_rooms", "Rooms.", gauge, float64(totals.Rooms)},
		{"mediarooms_participants", "Users in rooms.", gauge, float64(totals.ActiveConnections)},
		{"mediarooms_publishers", "Published streams.", gauge, float64(totals.Publishers)},
		{"mediarooms_speaking_publishers", "Published streams in which somebody is heard, as far as their senders tell the level of the sound.", gauge, float64(media.Speaking)},
		{"mediarooms_subscriptions", "Received streams.", gauge, float64(totals.Subscriptions)},
		{"mediarooms_paused_videos", "Received streams without video for now: the path to the subscriber carries next to none.", gauge, float64(media.PausedVideos)},
		{"mediarooms_journal_events", "Events of rooms that the operator has not acknowledged.", gauge, float64(waiting)},
		{"mediarooms_journal_dropped_events_total", "Events of rooms that were lost: the operator did not take them, and there was no space for more.", counter, float64(dropped)},
		{"mediarooms_sockets", "Clients' signalling sockets.", gauge, float64(s.signalling.Sockets())},
		{"mediarooms_unjoined_sockets", "Those of them that have joined no room.", gauge, float64(s.signalling.UnjoinedSockets())},
		{"mediarooms_dropped_signals_total", "Signals, and changes of streams that the server knows nothing of, that there was no space to keep for a client that is away or reads too slowly.",
			counter, float64(s.rooms.Expended() + s.signalling.Expended())},
		{"mediarooms_publishing_connections", "Peer connections of publishers.", gauge, float64(media.PublishingConnections)},
		{"mediarooms_subscribing_connections", "Peer connections of subscribers.", gauge, float64(media.SubscribingConnections)},
		{"mediarooms_media_receive_buffer_bytes", "What the kernel keeps of packets that have arrived and were not read yet; net.core.rmem_max of the node bounds it.",
			gauge, float64(media.ReceiveBufferBytes)},
		{"mediarooms_stuck_connections_total", "Peer connections that did not close in time.", counter, float64(media.StuckConnections)},
		{"mediarooms_received_packets_total", "RTP packets of publishers.", counter, float64(media.ReceivedPackets)},
		{"mediarooms_forwarded_packets_total", "RTP packets to subscribers, without retransmissions.", counter, float64(media.ForwardedPackets)},
		{"mediarooms_forwarded_bytes_total", "RTP payload to subscribers, without retransmissions.", counter, float64(media.ForwardedBytes)},
		{"mediarooms_write_errors_total", "RTP packets that a subscriber's connection did not take.", counter, float64(media.WriteErrors)},
		{"mediarooms_nacks_sent_total", "Packets asked of publishers again.", counter, float64(media.NACKsSent)},
		{"mediarooms_nacks_received_total", "Packets that subscribers asked for again.", counter, float64(media.NACKsReceived)},
		{"mediarooms_retransmitted_packets_total", "Packets sent to subscribers again.", counter, float64(media.Retransmitted)},
		{"mediarooms_keyframes_wanted_total", "Keyframe requests of subscribers.", counter, float64(media.KeyframesWanted)},
		{"mediarooms_keyframe_requests_total", "Keyframe requests to publishers.", counter, float64(media.KeyframeRequests)},
		{"mediarooms_taps", "Rooms that workers take media out of, by worker and recording.", gauge, float64(taps.Taps)},
		{"mediarooms_tap_kept_bytes", "Media that workers have not acknowledged.", gauge, float64(taps.KeptBytes)},
		{"mediarooms_tap_packets_total", "RTP packets for workers.", counter, float64(taps.Packets)},
		{"mediarooms_tap_dropped_packets_total", "RTP packets that no worker took in time.", counter, float64(taps.Dropped)},
	}
}
