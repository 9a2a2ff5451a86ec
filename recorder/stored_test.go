package recorder_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/internal/mtls/mtlstest"
	"mediarooms.dev/mediarooms/recorder"
	"mediarooms.dev/mediarooms/test/s3"
)

// prefix stands before the keys of the files of job.
const prefix = "team/rec-1/uid-1/"

// take is the media of a recording that has ended.
var take = bytes.Repeat([]byte("media "), 1000)

// ended is a world without a room, and with a recording on the disk whose media has ended.
func ended(t *testing.T, server *s3.Server, change ...func(*egressv1.Job)) (*world, *egressv1.Job) {
	t.Helper()
	w := &world{t: t, ca: mtlstest.NewAuthority(t), directory: t.TempDir()}
	job := &egressv1.Job{
		Uid: "uid-1", RecordingId: "rec-1", SessionId: "room", Mode: egressv1.OutputMode_OUTPUT_MODE_INDIVIDUAL, HasAudio: true, HasVideo: true,
		Stop: true, StopReason: "recordingStoppedByServer", S3: destination(server),
	}
	for _, change := range change {
		change(job)
	}
	raw, err := protojson.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	state, err := json.Marshal(map[string]any{
		"Job": json.RawMessage(raw), "State": egressv1.State_STATE_STOPPED, "Reason": "recordingStoppedByServer", "StartedUnixMs": 1000,
		"Files": []any{map[string]any{
			"Base": "str_1", "StreamID": "str_1", "ConnectionID": "con_1", "Tracks": []any{map[string]any{"Number": 1, "Codec": "opus"}},
			"StartUnixUs": 1_000_000, "EndUnixUs": 3_000_000, "Ended": true, "Size": len(take),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(w.directory, "rec-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"str_1.webm": take, ".state.json": state} {
		if err := os.WriteFile(w.path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w, job
}

func destination(server *s3.Server) *egressv1.S3 {
	return &egressv1.S3{Endpoint: server.URL(), Bucket: "recordings", Region: "us-east-1", Prefix: "team", PathStyle: true}
}

// keysOf has a recorder take its keys of S3 from a folder.
func keysOf(folder string) func(*recorder.Config) {
	return func(c *recorder.Config) { c.SecretDirectory = folder }
}

// disk are the files of the recording that are on the disk.
func (w *world) disk() []string {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.directory, "rec-1"))
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// awaitMessage waits until a recording that has stopped says what is wrong.
func (w *world) awaitMessage(part string) {
	w.t.Helper()
	w.await("the status to say what is wrong", func() error {
		if status := w.status("uid-1"); status.GetState() != egressv1.State_STATE_STOPPED || !strings.Contains(status.GetMessage(), part) {
			return fmt.Errorf("it is %v", status)
		}
		return nil
	})
	if !slices.Contains(w.disk(), "str_1.webm") || !slices.Contains(w.disk(), "rec-1.zip") {
		w.t.Errorf("on the disk is %q", w.disk())
	}
}

// awaitStored waits until S3 has the recording, and the disk has not.
func (w *world) awaitStored(server *s3.Server) *egressv1.JobStatus {
	w.t.Helper()
	ready := w.awaitState("uid-1", egressv1.State_STATE_READY)
	if ready.GetLocation() != "s3://recordings/"+prefix || ready.GetMessage() != "" || len(ready.GetFiles()) != 3 || ready.GetSizeBytes() != int64(len(take)) {
		w.t.Errorf("it is ready as %v", ready)
	}
	want := []string{prefix + ".state.json", prefix + "rec-1.json", prefix + "rec-1.zip", prefix + "str_1.webm"}
	if keys := server.Keys("recordings"); !slices.Equal(keys, want) {
		w.t.Errorf("S3 has %q, want %q", keys, want)
	}
	if !bytes.Equal(server.Content("recordings", prefix+"str_1.webm"), take) {
		w.t.Error("S3 has other media")
	}
	w.await("the disk to be cleared", func() error {
		if names := w.disk(); !slices.Equal(names, []string{".state.json"}) {
			return fmt.Errorf("on it is %q", names)
		}
		return nil
	})
	return ready
}

// served checks that the gateway gets the file.
func (w *world) served() {
	w.t.Helper()
	const path = "/recordings/uid-1/str_1.webm"
	answer, body, err := w.get(mtls.Gateway, path, "")
	if err != nil || answer.StatusCode != http.StatusOK || !bytes.Equal(body, take) || answer.Header.Get("Content-Type") != "video/webm" ||
		answer.Header.Get("Accept-Ranges") != "bytes" || answer.Header.Get("ETag") == "" {
		w.t.Errorf("the file is %v with %d bytes, %v", answer, len(body), err)
	}
	for ranges, want := range map[string][]byte{"bytes=100-199": take[100:200], "bytes=5990-": take[5990:], "bytes=-10": take[len(take)-10:]} {
		answer, body, err = w.get(mtls.Gateway, path, ranges)
		if err != nil || answer.StatusCode != http.StatusPartialContent || !bytes.Equal(body, want) {
			w.t.Errorf("%s of it is %v with %d bytes, %v", ranges, answer, len(body), err)
		}
	}
	if answer, _, err = w.get(mtls.Gateway, path, "bytes=999999-"); err != nil || answer.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		w.t.Errorf("what is behind its end is %v, %v", answer, err)
	}
	for _, name := range []string{".state.json", "x", "..%2frec-1.zip"} {
		if answer, _, err := w.get(mtls.Gateway, "/recordings/uid-1/"+name, ""); err != nil || answer.StatusCode != http.StatusNotFound {
			w.t.Errorf("%s: %v, %v", name, answer, err)
		}
	}
}

// drop orders that a recording goes with its files.
func (w *world) drop(job *egressv1.Job) {
	w.t.Helper()
	job.DeleteFiles = true
	w.want(job)
	w.order(&egressv1.Order{Message: &egressv1.Order_RemoveJob{RemoveJob: &egressv1.RemoveJob{Uid: job.GetUid()}}})
}

// awaitGone waits until neither the disk nor S3 has anything.
func (w *world) awaitGone(server *s3.Server) {
	w.t.Helper()
	w.await("all files to go", func() error {
		if keys := server.Keys("recordings"); len(keys) > 0 {
			return fmt.Errorf("S3 has %q", keys)
		}
		if _, err := os.Stat(filepath.Join(w.directory, "rec-1")); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the folder: %w", err)
		}
		return nil
	})
}

func TestS3HasWhatWasRecorded(t *testing.T) {
	server := s3.New(t, "recordings")
	w, job := ended(t, server)
	w.record(false, keysOf(s3.Secret(t, s3.AccessKey, s3.SecretKey)))
	w.want(job)
	w.snapshotEnd()
	w.awaitStored(server)
	w.served()

	server.Close()
	if answer, _, err := w.get(mtls.Gateway, "/recordings/uid-1/str_1.webm", ""); err != nil || answer.StatusCode != http.StatusBadGateway {
		t.Errorf("while S3 is away: %v, %v", answer, err)
	}
	w.drop(job)
	server.Open()
	w.awaitGone(server)
}

// The whole way: from a room to S3.
func TestAStreamGoesToS3(t *testing.T) {
	server := s3.New(t, "recordings")
	w := newWorld(t, "A")
	w.record(false, keysOf(s3.Secret(t, s3.AccessKey, s3.SecretKey)))
	job := w.job()
	job.S3 = destination(server)
	w.want(job)
	w.snapshotEnd()
	a := w.publish(w.join("A"), camera)
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	w.sentPackets(a, 2*perSecond)
	w.stop(job)
	path := filepath.Join(t.TempDir(), "a.webm")
	if err := os.WriteFile(path, server.Content("recordings", prefix+a.StreamID+".webm"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := frames(t, path)
	unbroken(t, "audio", all[1])
	unbroken(t, "video", all[2])
	w.begins(a, all)
}

// What S3 does not take stays on the disk, the status says why, and it goes on by itself.
func TestNothingIsLostWhileS3DoesNotTakeIt(t *testing.T) {
	for said, test := range map[string]struct {
		spoil, heal func(server *s3.Server, secret string)
	}{
		"is not the one that S3": {
			func(_ *s3.Server, secret string) { s3.WriteSecret(t, secret, s3.AccessKey, "wrong") },
			func(_ *s3.Server, secret string) { s3.WriteSecret(t, secret, s3.AccessKey, s3.SecretKey) },
		},
		"the Secret of S3 has no": {
			func(_ *s3.Server, secret string) { s3.WriteSecret(t, secret, "", "") },
			func(_ *s3.Server, secret string) { s3.WriteSecret(t, secret, s3.AccessKey, s3.SecretKey) },
		},
		"has no bucket \"recordings\"": {
			func(server *s3.Server, _ string) { server.Drop("recordings") },
			func(server *s3.Server, _ string) { server.Make("recordings") },
		},
		"can't be reached": {
			func(server *s3.Server, _ string) { server.Close() },
			func(server *s3.Server, _ string) { server.Open() },
		},
	} {
		t.Run(said, func(t *testing.T) {
			server, secret := s3.New(t, "recordings"), s3.Secret(t, s3.AccessKey, s3.SecretKey)
			w, job := ended(t, server)
			test.spoil(server, secret)
			w.record(false, keysOf(secret))
			w.want(job)
			w.snapshotEnd()
			w.awaitMessage(said)
			test.heal(server, secret)
			w.awaitStored(server)
			w.served()
		})
	}
}

func TestARestartedRecorderGoesOnToS3(t *testing.T) {
	server, secret := s3.New(t, "recordings"), s3.Secret(t, s3.AccessKey, s3.SecretKey)
	w, job := ended(t, server)
	server.Close()
	for range 2 { // it knows where the files go without an operator
		w.record(false, keysOf(secret))
		w.awaitMessage("can't be reached")
		w.worker.end()
	}
	server.Open()
	w.record(false, keysOf(secret))
	w.awaitStored(server)
	w.worker.end()
	w.record(false, keysOf(secret))
	w.want(job)
	w.snapshotEnd()
	w.awaitStored(server)
	w.served()
}

// The next process brings only what S3 does not have.
func TestARestartedRecorderBringsWhatIsMissing(t *testing.T) {
	server, secret := s3.New(t, "recordings"), s3.Secret(t, s3.AccessKey, s3.SecretKey)
	w, _ := ended(t, server)
	server.Refuse("rec-1.zip")
	w.record(false, keysOf(secret))
	w.awaitMessage("bringing rec-1.zip to S3: S3 at " + server.URL() + " does not work now")
	w.worker.end()
	if puts := server.Puts(); !slices.Equal(puts, []string{"str_1.webm", "rec-1.json"}) {
		t.Errorf("at first %q were brought", puts)
	}
	server.Refuse("")
	w.record(false, keysOf(secret))
	w.awaitStored(server)
	if puts := server.Puts(); !slices.Equal(puts, []string{"rec-1.zip", ".state.json"}) {
		t.Errorf("then %q were brought", puts)
	}
}

// A destination that can't be right is put right with the pool.
func TestWhereFilesGoMayChange(t *testing.T) {
	server, secret := s3.New(t, "recordings"), s3.Secret(t, s3.AccessKey, s3.SecretKey)
	w, job := ended(t, server, func(job *egressv1.Job) { job.S3.Bucket = "typo" })
	w.record(false, keysOf(secret))
	w.want(job)
	w.snapshotEnd()
	w.awaitMessage(`has no bucket "typo"`)
	job.S3.Bucket = "recordings"
	w.want(job)
	w.awaitStored(server)
}

func TestFilesStayOnTheDiskWhereThePoolSaysSoAgain(t *testing.T) {
	server := s3.New(t)
	w, job := ended(t, server)
	w.record(false, keysOf(t.TempDir()))
	w.want(job)
	w.snapshotEnd()
	w.awaitMessage("the Secret of S3 has no")
	job.S3 = nil
	w.want(job)
	ready := w.awaitState("uid-1", egressv1.State_STATE_READY)
	if ready.GetLocation() != "" || ready.GetMessage() != "" || !slices.Contains(w.disk(), "rec-1.zip") {
		t.Errorf("it is %v; on the disk is %q", ready, w.disk())
	}
}

// The disk is a buffer: a recorder with another one finds what S3 has, and deletes it when it is
// told so.
func TestALostDiskLosesNothingThatS3Has(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprintf("S3 is away at first: %v", away), func(t *testing.T) {
			server, secret := s3.New(t, "recordings"), s3.Secret(t, s3.AccessKey, s3.SecretKey)
			w, job := ended(t, server)
			w.record(false, keysOf(secret))
			w.awaitStored(server)
			w.worker.end()

			w.directory = t.TempDir()
			if away {
				server.Close()
			}
			w.record(false, keysOf(secret))
			w.want(job)
			w.snapshotEnd()
			if away {
				w.await("the status to say what is wrong", func() error {
					if status := w.status("uid-1"); !strings.Contains(status.GetMessage(), "looking for the recording in S3") {
						return fmt.Errorf("it is %v", status)
					}
					return nil
				})
				server.Open()
			}
			w.awaitStored(server)
			w.served()
			w.worker.end()

			w.directory = t.TempDir()
			w.record(false, keysOf(secret))
			w.drop(job)
			w.awaitGone(server)
		})
	}
}

// A recording that nobody wants any more is not brought anywhere.
func TestARecordingGoesWhileS3IsAway(t *testing.T) {
	server, secret := s3.New(t, "recordings"), s3.Secret(t, s3.AccessKey, s3.SecretKey)
	w, job := ended(t, server)
	server.Close()
	w.record(false, keysOf(secret))
	w.want(job)
	w.snapshotEnd()
	w.awaitMessage("can't be reached")
	w.drop(job)
	server.Open()
	w.awaitGone(server)
}
