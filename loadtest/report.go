package loadtest

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// Report is what is told of a run, as JSON. Names carry their units; shares are from 0 to 1.
type Report struct {
	Rooms       int `json:"rooms"`
	Publishers  int `json:"publishersPerRoom"`
	Subscribers int `json:"subscribersPerRoom"`
	// Seconds in which media was counted.
	Seconds float64 `json:"seconds"`

	Joins       AttemptsReport `json:"joins"`
	Publishes   AttemptsReport `json:"publishes"`
	LostSockets int            `json:"lostSockets"`
	// Transports counts the peer connections by what their packets go over.
	Transports TransportsReport `json:"transports"`

	Video    *StreamsReport `json:"video,omitempty"`
	Audio    *StreamsReport `json:"audio,omitempty"`
	Impaired *StreamsReport `json:"impaired,omitempty"`
	Sent     SentReport     `json:"sent"`
}

// TransportsReport counts peer connections.
type TransportsReport struct {
	UDP int `json:"udp"`
	TCP int `json:"tcp"`
}

// AttemptsReport tells of joins, or of publications.
type AttemptsReport struct {
	Succeeded    int            `json:"succeeded"`
	Failed       int            `json:"failed"`
	Success      float64        `json:"success"`
	Milliseconds Quantiles      `json:"milliseconds"`
	Errors       map[string]int `json:"errors,omitempty"`
}

// Quantiles of durations, in milliseconds.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// StreamsReport tells what receivers have seen.
type StreamsReport struct {
	Streams int     `json:"streams"`
	Layers  []int   `json:"layers,omitempty"`
	Mbps    float64 `json:"mbps"`
	Packets int64   `json:"packets"`
	// Lost never came; LostAtFirst did not come when they were first sent.
	Lost             float64 `json:"lost"`
	LostAtFirst      float64 `json:"lostAtFirst"`
	NACKs            int64   `json:"nacks"`
	Repaired         int64   `json:"repaired"`
	KeyframeRequests int64   `json:"keyframeRequests"`
	// FramesPerSecond of a stream, on average.
	FramesPerSecond   float64   `json:"framesPerSecond"`
	Freezes           int64     `json:"freezes"`
	FrozenSeconds     float64   `json:"frozenSeconds"`
	LongestGapMillis  float64   `json:"longestGapMilliseconds"`
	DelayMilliseconds Quantiles `json:"delayMilliseconds"`
}

// SentReport tells what publishers have sent.
type SentReport struct {
	Packets   int64   `json:"packets"`
	Mbps      float64 `json:"mbps"`
	Keyframes int64   `json:"keyframes"`
	NACKs     int64   `json:"nacks"`
	Repaired  int64   `json:"repaired"`
}

// NewReport makes a report of what was counted.
func NewReport(load Load, t *Totals) *Report {
	r := &Report{
		Rooms: load.Rooms, Publishers: load.Publishers, Subscribers: load.Subscribers, Seconds: t.Elapsed.Seconds(),
		Joins: attemptsReport(&t.Joins), Publishes: attemptsReport(&t.Publishes), LostSockets: t.LostSockets,
		Transports: TransportsReport{UDP: t.UDP, TCP: t.TCP},
		Sent: SentReport{
			Packets: t.Sent.Packets, Mbps: mbps(t.Sent.Bytes, t.Elapsed), Keyframes: t.Sent.Keyframes, NACKs: t.Sent.NACKs,
			Repaired: t.Sent.Repaired,
		},
	}
	if len(load.Stream.Video) > 0 {
		r.Video = streamsReport(&t.Video, len(load.Stream.Video), t.Elapsed)
	}
	if load.Stream.AudioPacketBytes > 0 {
		r.Audio = streamsReport(&t.Audio, 0, t.Elapsed)
	}
	if load.Impaired > 0 {
		r.Impaired = streamsReport(&t.Impaired, len(load.Stream.Video), t.Elapsed)
	}
	return r
}

func attemptsReport(a *Attempts) AttemptsReport {
	return AttemptsReport{
		Succeeded: a.Succeeded, Failed: a.Failed, Success: a.Success(), Milliseconds: quantiles(&a.Time), Errors: a.Errors,
	}
}

func quantiles(h *roomclient.Histogram) Quantiles {
	return Quantiles{
		P50: milliseconds(h.Quantile(0.5)), P99: milliseconds(h.Quantile(0.99)), P999: milliseconds(h.Quantile(0.999)),
		Max: milliseconds(h.Max()),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func mbps(bytes int64, in time.Duration) float64 {
	if in <= 0 {
		return 0
	}
	return float64(bytes) * 8 / 1e6 / in.Seconds()
}

func streamsReport(s *Streams, layers int, elapsed time.Duration) *StreamsReport {
	r := &StreamsReport{
		Streams: s.Streams, Mbps: mbps(s.Bytes, elapsed), Packets: s.Packets, Lost: s.Lost(), LostAtFirst: s.LostAtFirst(),
		NACKs: s.NACKs, Repaired: s.Repaired, KeyframeRequests: s.KeyframeRequests,
		Freezes: s.Freezes, FrozenSeconds: s.Frozen.Seconds(), LongestGapMillis: milliseconds(s.Longest), DelayMilliseconds: quantiles(&s.Delay),
	}
	if layers > 1 {
		r.Layers = slices.Clone(s.Layers[:min(layers, maxLayers)])
	}
	if s.Streams > 0 && elapsed > 0 {
		r.FramesPerSecond = float64(s.Frames) / elapsed.Seconds() / float64(s.Streams)
	}
	return r
}

// Write writes the report as a table for people.
func (r *Report) Write(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "\tp50\tp99\tp99.9\tmax\t\n")
	row := func(name string, q Quantiles, more string) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", name, ms(q.P50), ms(q.P99), ms(q.P999), ms(q.Max), more)
	}
	row("join (socket to first frame)", r.Joins.Milliseconds, outcome(&r.Joins))
	row("publish (socket to media path)", r.Publishes.Milliseconds, outcome(&r.Publishes))
	kinds := []struct {
		name string
		of   *StreamsReport
	}{{"video", r.Video}, {"audio", r.Audio}, {"impaired video", r.Impaired}}
	for _, kind := range kinds {
		if kind.of != nil {
			row(kind.name+" delay, one way", kind.of.DelayMilliseconds, "")
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(to)
	fmt.Fprintf(w, "received in %.0f s\tstreams\tMbps\tpackets\tlost\tof it repaired\tNACKs\tframes/s\tfreezes\tlongest gap\tlayers\n", r.Seconds)
	for _, kind := range kinds {
		if s := kind.of; s != nil {
			frames, freezes, longest := "", "", ""
			if kind.name != "audio" {
				frames, freezes, longest = fmt.Sprintf("%.1f", s.FramesPerSecond), fmt.Sprint(s.Freezes), ms(s.LongestGapMillis)
			}
			fmt.Fprintf(w, "%s\t%d\t%.1f\t%d\t%.3f %%\t%d\t%d\t%s\t%s\t%s\t%s\n", kind.name, s.Streams, s.Mbps, s.Packets, 100*s.LostAtFirst, s.Repaired,
				s.NACKs, frames, freezes, longest, strings.Trim(fmt.Sprint(s.Layers), "[]"))
		}
	}
	fmt.Fprintf(w, "sent\t%d\t%.1f\t%d\t\t%d\t%d\t\t\t\t\n", r.Publishes.Succeeded, r.Sent.Mbps, r.Sent.Packets, r.Sent.Repaired, r.Sent.NACKs)
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(to, "%d peer connections over UDP, %d over TCP\n", r.Transports.UDP, r.Transports.TCP)
	for _, text := range slices.Sorted(maps.Keys(r.Joins.Errors)) {
		fmt.Fprintf(to, "%d failed: %s\n", r.Joins.Errors[text], text)
	}
	if r.LostSockets > 0 {
		fmt.Fprintf(to, "%d sockets were lost\n", r.LostSockets)
	}
	return nil
}

func ms(v float64) string {
	if v == 0 {
		return "-"
	}
	if v < 10 {
		return fmt.Sprintf("%.2f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}

func outcome(a *AttemptsReport) string {
	return fmt.Sprintf("%d of %d succeeded", a.Succeeded, a.Succeeded+a.Failed)
}

// Line is what is told in one line while the run goes on, of video, or of audio when there is no
// video, without the impaired subscribers; wanted is how many participants there will be.
func (t *Totals) Line(wanted int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d joined", t.Present, wanted)
	if t.Joins.Failed > 0 {
		fmt.Fprintf(&b, ", %d failed", t.Joins.Failed)
	}
	media := &t.Video
	if media.Packets == 0 {
		media = &t.Audio
	}
	fmt.Fprintf(&b, "   %d streams   %.1f Mbps   lost %.2f %%   delay p50 %s p99 %s   freezes %d", media.Streams, mbps(media.Bytes, t.Elapsed),
		100*media.Lost(), ms(milliseconds(media.Delay.Quantile(0.5))), ms(milliseconds(media.Delay.Quantile(0.99))), media.Freezes)
	return b.String()
}
