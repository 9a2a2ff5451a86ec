package loadtest

import (
	"maps"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// Totals are what a run has counted.
type Totals struct {
	// Elapsed is the time in which media was counted.
	Elapsed time.Duration
	// Present are the participants that are in their rooms now.
	Present int
	// Joins are those of all participants; the time of one is from the opening of its socket to its
	// first frame. Publishes are those of publishers, until their media path is up.
	Joins, Publishes Attempts
	// LostSockets counts sockets that ended before their participant left.
	LostSockets int
	// Video and Audio are what all but the impaired subscribers received, Impaired the video of
	// these.
	Video, Audio, Impaired Streams
	// Sent is what publishers sent.
	Sent roomclient.Sent
	// UDP and TCP count the peer connections of now by what their packets go over.
	UDP, TCP int
}

// route counts a peer connection.
func (t *Totals) route(protocol string) {
	switch protocol {
	case "udp":
		t.UDP++
	case "tcp":
		t.TCP++
	}
}

// Attempts are attempts and how they ended.
type Attempts struct {
	Succeeded, Failed int
	// Time is how long those took that succeeded and had something to wait for.
	Time roomclient.Histogram
	// Errors says why others failed, and how often.
	Errors map[string]int
}

func (a *Attempts) succeed(took time.Duration) {
	a.Succeeded++
	a.Time.Add(took)
}

// succeedWithout notes a success that waited for nothing.
func (a *Attempts) succeedWithout() { a.Succeeded++ }

const (
	maxErrors     = 20 // different ones
	maxErrorBytes = 200
)

func (a *Attempts) fail(err error) {
	a.Failed++
	text := strings.ToValidUTF8(err.Error(), "")
	if len(text) > maxErrorBytes {
		text = strings.ToValidUTF8(text[:maxErrorBytes], "")
	}
	a.note(text, 1)
}

// otherErrors are those that have no place of their own.
const otherErrors = "others"

func (a *Attempts) note(text string, n int) {
	if a.Errors == nil {
		a.Errors = map[string]int{}
	}
	if _, known := a.Errors[text]; !known && len(a.Errors) >= maxErrors {
		text = otherErrors
	}
	a.Errors[text] += n
}

func (a *Attempts) add(other *Attempts) {
	a.Succeeded += other.Succeeded
	a.Failed += other.Failed
	a.Time.Merge(&other.Time)
	for text, n := range other.Errors {
		a.note(text, n)
	}
}

// Success is the share of attempts that succeeded, from 0 to 1; 1 when there were none.
func (a *Attempts) Success() float64 {
	if a.Succeeded+a.Failed == 0 {
		return 1
	}
	return float64(a.Succeeded) / float64(a.Succeeded+a.Failed)
}

// maxLayers is how many simulcast layers are told apart.
const maxLayers = 4

// Streams are what receivers of one kind of media have seen.
type Streams struct {
	// Streams are those that are received now, of them Layers by the simulcast layer.
	Streams int
	Layers  [maxLayers]int
	// The others are as in roomclient.Reception.
	Packets, Bytes, Expected, Missed, Repaired, NACKs, KeyframeRequests, Frames, Freezes int64
	Frozen, Longest                                                                      time.Duration
	Delay                                                                                roomclient.Histogram
}

// reception adds what a receiver has seen.
func (s *Streams) reception(r *roomclient.Reception) {
	s.Streams++
	if r.Layer >= 0 && r.Layer < maxLayers {
		s.Layers[r.Layer]++
	}
	s.Packets += r.Packets
	s.Bytes += r.Bytes
	s.Expected += r.Expected
	s.Missed += r.Missed
	s.Repaired += r.Repaired
	s.NACKs += r.NACKs
	s.KeyframeRequests += r.KeyframeRequests
	s.Frames += r.Frames
	s.Freezes += r.Freezes
	s.Frozen += r.Frozen
	s.Longest = max(s.Longest, r.Longest)
	s.Delay.Merge(&r.Delay)
}

// add adds those of others; sign is -1 to subtract them. What is so now, and the longest freeze, is
// never subtracted.
func (s *Streams) add(other *Streams, sign int64) {
	if sign > 0 {
		s.Streams += other.Streams
		for i, n := range other.Layers {
			s.Layers[i] += n
		}
		s.Longest = max(s.Longest, other.Longest)
		s.Delay.Merge(&other.Delay)
	} else {
		s.Delay = *s.Delay.Since(&other.Delay)
	}
	s.Packets += sign * other.Packets
	s.Bytes += sign * other.Bytes
	s.Expected += sign * other.Expected
	s.Missed += sign * other.Missed
	s.Repaired += sign * other.Repaired
	s.NACKs += sign * other.NACKs
	s.KeyframeRequests += sign * other.KeyframeRequests
	s.Frames += sign * other.Frames
	s.Freezes += sign * other.Freezes
	s.Frozen += time.Duration(sign) * other.Frozen
}

// Lost is the share of packets that never came, from 0 to 1.
func (s *Streams) Lost() float64 { return share(s.Missed-s.Repaired, s.Expected) }

// LostAtFirst is the share of packets that did not come when they were first sent.
func (s *Streams) LostAtFirst() float64 { return share(s.Missed, s.Expected) }

func share(part, all int64) float64 {
	if all <= 0 {
		return 0
	}
	return max(0, float64(part)/float64(all))
}

func (t *Totals) clone() Totals {
	c := *t
	c.Joins.Errors, c.Publishes.Errors = maps.Clone(t.Joins.Errors), maps.Clone(t.Publishes.Errors)
	return c
}

// stream adds what a subscriber has seen.
func (t *Totals) stream(impaired bool, s *roomclient.Subscriber) {
	video, audio := s.Video(), s.Audio()
	if impaired {
		t.Impaired.reception(&video)
		return
	}
	if video.Packets > 0 {
		t.Video.reception(&video)
	}
	if audio.Packets > 0 {
		t.Audio.reception(&audio)
	}
}

func (t *Totals) add(other *Totals) {
	t.Present += other.Present
	t.UDP += other.UDP
	t.TCP += other.TCP
	t.Joins.add(&other.Joins)
	t.Publishes.add(&other.Publishes)
	t.LostSockets += other.LostSockets
	t.Video.add(&other.Video, 1)
	t.Audio.add(&other.Audio, 1)
	t.Impaired.add(&other.Impaired, 1)
	t.sent(&other.Sent, 1)
}

// subtract takes the media of an earlier state away.
func (t *Totals) subtract(earlier *Totals) {
	t.Video.add(&earlier.Video, -1)
	t.Audio.add(&earlier.Audio, -1)
	t.Impaired.add(&earlier.Impaired, -1)
	t.sent(&earlier.Sent, -1)
}

func (t *Totals) sent(other *roomclient.Sent, sign int64) {
	t.Sent.Packets += sign * other.Packets
	t.Sent.Bytes += sign * other.Bytes
	t.Sent.Keyframes += sign * other.Keyframes
	t.Sent.NACKs += sign * other.NACKs
	t.Sent.Repaired += sign * other.Repaired
}
