package recorder_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
	"mediarooms.dev/mediarooms/recorder"
	"mediarooms.dev/mediarooms/recorder/matroska"
	"mediarooms.dev/mediarooms/test/s3"
)

// ffmpeg runs it, and returns what comes out.
func ffmpeg(t *testing.T, args ...string) []byte {
	t.Helper()
	command := exec.Command("ffmpeg", append([]string{"-loglevel", "error"}, args...)...)
	var wrong bytes.Buffer
	command.Stderr = &wrong
	out, err := command.Output()
	if err != nil {
		t.Fatalf("ffmpeg %q: %v: %s", args, err, &wrong)
	}
	return out
}

// reel makes the records of streams of one colour each, in the order of their tracks.
type reel struct {
	t       *testing.T
	began   time.Time
	records []*tapv1.Record
	streams int
}

// add has a stream of a colour be there from one time to another.
func (r *reel) add(colour string, from, to time.Duration) {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), colour+".webm")
	length := fmt.Sprintf("%f", (to - from).Seconds())
	ffmpeg(r.t, "-f", "lavfi", "-i", "color="+colour+":s=160x90:r=10:d="+length, "-f", "lavfi", "-i", "sine=f=500:d="+length,
		"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "9999", "-auto-alt-ref", "0", "-c:a", "libopus", path)
	r.streams++
	said := &tapv1.Stream{
		Id: "str_" + colour, ConnectionId: "con_" + colour, HasAudio: true, HasVideo: true, AudioActive: true, VideoActive: true,
		TypeOfVideo: "CAMERA", AudioTrack: uint32(2*r.streams - 1), VideoTrack: uint32(2 * r.streams), Record: r.streams > 1,
	}
	r.say(from, &tapv1.Record{Record: &tapv1.Record_Stream{Stream: said}})
	sequences := map[uint64]uint32{}
	const audio, most = 2, 1000 // ffmpeg numbers the video first
	err := matroska.Read(path, func(b matroska.Block) error {
		at := from + b.At
		pack := func(track uint32, codec tapv1.Codec, timestamp int64, marker bool, payload []byte) {
			r.say(at, &tapv1.Record{Record: &tapv1.Record_Packets{Packets: &tapv1.Packets{Track: track, Codec: codec, Packets: []*tapv1.Packet{
				{Sequence: sequences[b.Track], Timestamp: uint32(timestamp), Marker: marker, Payload: payload},
			}}}})
			sequences[b.Track]++
		}
		if b.Track == audio {
			pack(said.GetAudioTrack(), tapv1.Codec_CODEC_OPUS, b.At.Milliseconds()*48, false, b.Data)
			return nil
		}
		first := byte(0x10)
		for data := b.Data; len(data) > 0; first = 0 {
			n := min(len(data), most)
			pack(said.GetVideoTrack(), tapv1.Codec_CODEC_VP8, b.At.Milliseconds()*90, n == len(data), append([]byte{first}, data[:n]...))
			data = data[n:]
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ended := &tapv1.Stream{Id: said.GetId(), Ended: true}
	r.say(to, &tapv1.Record{Record: &tapv1.Record_Stream{Stream: ended}})
}

func (r *reel) say(at time.Duration, record *tapv1.Record) {
	record.AtUnixUs = r.began.Add(at).UnixMicro()
	r.records = append(r.records, record)
}

// reel has two streams: red for four seconds, blue from the second one on for four.
func (w *world) reel() *film {
	r := &reel{t: w.t, began: time.Now().Add(-time.Minute).Truncate(time.Second)}
	r.add("red", 0, 4*time.Second)
	r.add("blue", 2*time.Second, 6*time.Second)
	slices.SortStableFunc(r.records, func(a, b *tapv1.Record) int { return int(a.GetAtUnixUs() - b.GetAtUnixUs()) })
	for i, record := range r.records {
		record.Position = uint64(i + 1)
	}
	return &film{records: r.records, taken: make(chan struct{})}
}

// composed is a job that makes one file.
func (w *world) composed(mode egressv1.OutputMode, f *film) *egressv1.Job {
	job := w.job()
	job.Mode, job.Picture = mode, &egressv1.Picture{Width: 320, Height: 180, FrameRate: 10}
	if mode == egressv1.OutputMode_OUTPUT_MODE_COMPOSED_AUDIO {
		job.Picture, job.HasVideo = nil, false
	}
	job.Source = &egressv1.Source{RoomUid: "room-uid", Address: w.show(f)}
	return job
}

// stays checks what the folder of the recording has in the end.
func (w *world) stays(names ...string) {
	w.t.Helper()
	w.await("what is not needed to be gone", func() error {
		entries, err := os.ReadDir(filepath.Join(w.directory, "rec-1"))
		if err != nil {
			return err
		}
		var got []string
		for _, entry := range entries {
			got = append(got, entry.Name())
		}
		if !slices.Equal(got, names) {
			return fmt.Errorf("there are %q, want %q", got, names)
		}
		return nil
	})
}

// colours are what is on the left and on the right of the film, second by second.
func (w *world) colours() string {
	w.t.Helper()
	pixels := ffmpeg(w.t, "-ss", "0.5", "-i", w.path("rec-1.mp4"), "-vf", "fps=1,format=rgb24,scale=2:1:flags=area", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
	var said strings.Builder
	for i := 0; i+5 < len(pixels); i += 6 {
		for _, p := range [][]byte{pixels[i:], pixels[i+3:]} {
			switch {
			case p[0] > 100:
				said.WriteByte('r')
			case p[2] > 100:
				said.WriteByte('b')
			default:
				said.WriteByte('-')
			}
		}
	}
	return said.String()
}

func TestStreamsAreComposedWhenTheyHaveEnded(t *testing.T) {
	w := newWorld(t)
	f := w.reel()
	w.record(false)
	job := w.composed(egressv1.OutputMode_OUTPUT_MODE_COMPOSED, f)
	w.want(job)
	w.snapshotEnd()
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	ready := w.stop(job)
	files := ready.GetFiles()
	if len(files) != 2 || files[0].GetName() != "rec-1.mp4" || files[0].GetContentType() != "video/mp4" || files[1].GetName() != "rec-1.jpg" ||
		!files[0].GetHasAudio() || !files[0].GetHasVideo() || files[0].GetSizeBytes() != ready.GetSizeBytes() || ready.GetMessage() != "" {
		t.Errorf("it is ready as %v", ready)
	}
	if d := ready.GetDurationMs(); d < 5800 || d > 6200 {
		t.Errorf("six seconds take %d ms", d)
	}
	w.stays(".state.json", "rec-1.jpg", "rec-1.mp4")
	if got := w.colours(); !strings.HasPrefix(got, "rrrrrbrbbb") {
		t.Errorf("the film shows %q", got)
	}
	answer, body, err := w.get(mtls.Gateway, "/recordings/uid-1/rec-1.mp4", "")
	if err != nil || answer.StatusCode != 200 || int64(len(body)) != ready.GetSizeBytes() || answer.Header.Get("Content-Type") != "video/mp4" {
		t.Errorf("it is fetched as %v, %d bytes, %v", answer, len(body), err)
	}
	w.worker.mu.Lock()
	defer w.worker.mu.Unlock()
	if !slices.ContainsFunc(w.worker.messages, func(said string) bool { return strings.HasPrefix(said, "Composing ") && strings.HasSuffix(said, " %") }) {
		t.Errorf("said was %q", w.worker.messages)
	}
}

func TestSoundIsMixed(t *testing.T) {
	w := newWorld(t)
	f := w.reel()
	w.record(false)
	job := w.composed(egressv1.OutputMode_OUTPUT_MODE_COMPOSED_AUDIO, f)
	job.Name = "str_red" // also that of a stream's file
	w.want(job)
	w.snapshotEnd()
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	ready := w.stop(job)
	if files := ready.GetFiles(); len(files) != 1 || files[0].GetName() != "str_red_.webm" || files[0].GetHasVideo() {
		t.Errorf("it is ready as %v", ready)
	}
	w.stays(".state.json", "str_red_.webm")
	if n := len(ffmpeg(t, "-i", w.path("str_red_.webm"), "-f", "s16le", "-ac", "1", "-ar", "8000", "-")) / 2 / 8; n < 5800 || n > 6200 {
		t.Errorf("six seconds take %d ms", n)
	}
}

// What is composed goes to S3, and the streams do not. That of a stream that can't be decoded is
// silence.
func TestACompositionGoesToS3(t *testing.T) {
	server := s3.New(t, "recordings")
	w, job := ended(t, server, func(job *egressv1.Job) {
		job.Mode, job.HasVideo = egressv1.OutputMode_OUTPUT_MODE_COMPOSED_AUDIO, false
	})
	w.record(false, keysOf(s3.Secret(t, s3.AccessKey, s3.SecretKey)))
	w.want(job)
	w.snapshotEnd()
	ready := w.awaitState("uid-1", egressv1.State_STATE_READY)
	if files := ready.GetFiles(); len(files) != 1 || files[0].GetName() != "rec-1.webm" || ready.GetLocation() != "s3://recordings/"+prefix {
		t.Errorf("it is ready as %v", ready)
	}
	want := []string{prefix + ".state.json", prefix + "rec-1.webm"}
	if keys := server.Keys("recordings"); !slices.Equal(keys, want) {
		t.Errorf("S3 has %q, want %q", keys, want)
	}
	w.stays(".state.json")
}

// A recorder that is killed while it composes goes on with what it has made.
func TestACompositionSurvivesTheRecorder(t *testing.T) {
	w := newWorld(t)
	f := w.reel()
	folder := t.TempDir()
	said, reached, blocked := filepath.Join(folder, "said"), filepath.Join(folder, "reached"), filepath.Join(folder, "blocked")
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s\ncase \"$*\" in *shot-000000020*) [ -e %s ] && : >%s && exec sleep 1000;; esac\nexec ffmpeg \"$@\"\n", said, blocked, reached)
	program := filepath.Join(folder, "ffmpeg")
	if err := errors.Join(os.WriteFile(program, []byte(script), 0o700), os.WriteFile(blocked, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv(processFFmpeg, program)
	w.record(true)
	job := w.composed(egressv1.OutputMode_OUTPUT_MODE_COMPOSED, f)
	w.want(job)
	w.snapshotEnd()
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	job.Stop, job.StopReason = true, "recordingStoppedByServer"
	w.want(job)
	w.await("the second shot to be composed", func() error {
		_, err := os.Stat(reached)
		return err
	})
	w.worker.kill()
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	w.record(true)
	w.want(job)
	w.snapshotEnd()
	w.awaitState("uid-1", egressv1.State_STATE_READY)
	w.stays(".state.json", "rec-1.jpg", "rec-1.mp4")
	if got := w.colours(); !strings.HasPrefix(got, "rrrrrbrbbb") {
		t.Errorf("the film shows %q", got)
	}
	told, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(told), "shot-000000000.part"); n != 1 {
		t.Errorf("the first shot was made %d times", n)
	}
}

// What ffmpeg can't do now is said, and tried again; the streams stay.
func TestACompositionIsTriedUntilItWorks(t *testing.T) {
	w := newWorld(t)
	f := w.reel()
	program := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no memory is left >&2\nexit 7\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.record(false, func(c *recorder.Config) { c.FFmpeg = program })
	job := w.composed(egressv1.OutputMode_OUTPUT_MODE_COMPOSED, f)
	w.want(job)
	w.snapshotEnd()
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	job.Stop, job.StopReason = true, "recordingStoppedByServer"
	w.want(job)
	w.await("it is said what is wrong", func() error {
		const want = "composing: mixing the sound: ffmpeg has ended with code 7: no memory is left"
		if status := w.status("uid-1"); status.GetState() != egressv1.State_STATE_STOPPED || status.GetMessage() != want {
			return fmt.Errorf("it is %v", status)
		}
		return nil
	})
	if _, err := os.Stat(w.path("str_red.webm")); err != nil {
		t.Errorf("the stream is not there any more: %v", err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec ffmpeg \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.awaitState("uid-1", egressv1.State_STATE_READY)
}

func TestWhatCantBeComposedIsRefused(t *testing.T) {
	w := newWorld(t)
	w.record(false, func(c *recorder.Config) { c.FFmpeg = "/nowhere/ffmpeg" })
	job := w.job()
	job.Mode, job.Picture = egressv1.OutputMode_OUTPUT_MODE_COMPOSED, &egressv1.Picture{Width: 320, Height: 180, FrameRate: 10}
	w.want(job)
	w.snapshotEnd()
	if refused := w.awaitState("uid-1", egressv1.State_STATE_FAILED); refused.GetMessage() != "output mode OUTPUT_MODE_COMPOSED: the recorder's image has no ffmpeg" {
		t.Errorf("it is %v", refused)
	}
}
