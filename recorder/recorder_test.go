package recorder_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	"mediarooms.dev/mediarooms/loadtest/roomclient"
	"mediarooms.dev/mediarooms/recorder"
)

// sentPackets waits until a publisher has sent so many packets of video.
func (w *world) sentPackets(p *roomclient.Publisher, least int64) {
	w.t.Helper()
	w.await("packets to be sent", func() error {
		if n := p.Packets(); n < least {
			return fmt.Errorf("there are %d of %d", n, least)
		}
		return nil
	})
}

func TestAStreamIsRecordedWhole(t *testing.T) {
	w := newWorld(t, "A", "B")
	w.record(false)
	job := w.job()
	w.want(job)
	w.snapshotEnd()
	w.awaitState("uid-1", egressv1.State_STATE_STARTING)
	a := w.publish(w.join("A"), camera)
	started := w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	if started.GetStartedUnixMs() == 0 {
		t.Errorf("it has started: %v", started)
	}
	b := w.publish(w.join("B"), roomclient.Stream{AudioPacketBytes: 80})
	w.sentPackets(a, 4*perSecond)
	w.sentPackets(b, 50)
	ready := w.stop(job)

	if ready.GetReason() != "recordingStoppedByServer" || ready.GetMessage() != "" || ready.GetDurationMs() < 1000 || ready.GetSizeBytes() < 10_000 {
		t.Errorf("it is ready as %v", ready)
	}
	var names []string
	for _, f := range ready.GetFiles() {
		names = append(names, f.GetName())
	}
	slices.Sort(names)
	want := []string{a.StreamID + ".webm", b.StreamID + ".webm", "rec-1.json", "rec-1.zip"}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("the files are %q, want %q", names, want)
	}
	all := frames(t, w.path(a.StreamID+".webm"))
	audio, video := all[1], all[2]
	unbroken(t, "audio", audio)
	unbroken(t, "video", video)
	w.begins(a, all)
	if n := packets(all); n < 3*perSecond {
		t.Errorf("of %d packets %d are there", 4*perSecond, n)
	}
	if only := frames(t, w.path(b.StreamID+".webm")); len(only[2]) != 0 || len(only[1]) == 0 {
		t.Errorf("of a stream without video there are %d frames of video, %d of audio", len(only[2]), len(only[1]))
	}
	w.described(a.StreamID, job)
}

// begins checks where a file begins: with a key frame, of the first second of what the media pod
// has received.
func (w *world) begins(p *roomclient.Publisher, all map[uint64][]stamped) {
	w.t.Helper()
	if len(all[1]) == 0 || len(all[2]) == 0 {
		w.t.Fatalf("there are %d frames of audio, %d of video", len(all[1]), len(all[2]))
	}
	if first := all[2][0]; !first.key || first.frame > 15 || all[1][0].frame > 50 {
		w.t.Errorf("the file of %s begins with frames %d and %d", p.StreamID, all[1][0].frame, first.frame)
	}
}

// packets is of how many packets a file of the camera is. How many are of sound and how many of
// pictures is up to the machine.
func packets(all map[uint64][]stamped) int { return len(all[1]) + 2*len(all[2]) }

// described checks the archive, and the JSON in it.
func (w *world) described(streamID string, job *egressv1.Job) {
	w.t.Helper()
	raw, err := os.ReadFile(w.path("rec-1.zip"))
	if err != nil {
		w.t.Fatal(err)
	}
	packed, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		w.t.Fatal(err)
	}
	names := map[string]uint64{}
	for _, f := range packed.File {
		names[f.Name] = f.UncompressedSize64
	}
	described, err := os.ReadFile(w.path("rec-1.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	var d struct {
		CreatedAt           int64
		ID, Name, SessionID string
		Files               []map[string]any
	}
	if err := json.Unmarshal(described, &d); err != nil {
		w.t.Fatal(err)
	}
	if d.ID != "rec-1" || d.Name != "the name" || d.SessionID != "room" || d.CreatedAt != job.GetCreatedUnixMs() || len(d.Files) != len(names)-1 {
		w.t.Errorf("the recording is described as %s; in the archive is %v", described, names)
	}
	for _, f := range d.Files {
		if uint64(f["size"].(float64)) != names[f["name"].(string)] {
			w.t.Errorf("%v is described, in the archive is %v", f, names)
		}
		if f["streamId"] != streamID {
			continue
		}
		if f["connectionId"] != "con_A" || f["clientData"] != "client A" || f["serverData"] != "server A" || f["hasAudio"] != true ||
			f["hasVideo"] != true || f["typeOfVideo"] != "CAMERA" || f["startTimeOffset"].(float64) < 0 ||
			f["endTimeOffset"].(float64) < f["startTimeOffset"].(float64)+1000 {
			w.t.Errorf("A's file is described as %v", f)
		}
	}
}

func TestAKilledRecorderGoesOn(t *testing.T) {
	w := newWorld(t, "A")
	w.record(true)
	job := w.job()
	w.want(job)
	w.snapshotEnd()
	a := w.publish(w.join("A"), camera)
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	for i := range int64(3) {
		w.sentPackets(a, (i+1)*2*perSecond)
		w.worker.kill()
		parts, err := filepath.Glob(w.path("*.part"))
		if err != nil || len(parts) == 0 {
			t.Fatalf("there are %v, %v", parts, err)
		}
		for _, part := range parts { // what was written until then can be read
			if strings.HasPrefix(filepath.Base(part), ".") {
				continue
			}
			read := frames(t, part)
			unbroken(t, "audio of "+part, read[1])
			unbroken(t, "video of "+part, read[2])
		}
		w.record(true)
		if state := w.status("uid-1").GetState(); state != egressv1.State_STATE_STARTED {
			t.Errorf("another process says that it is %s", state)
		}
		w.want(job)
		w.snapshotEnd()
	}
	w.sentPackets(a, 8*perSecond)
	ready := w.stop(job)
	if len(ready.GetFiles()) != 3 {
		t.Errorf("the files are %v", ready.GetFiles())
	}
	all := frames(t, w.path(a.StreamID+".webm"))
	unbroken(t, "audio", all[1])
	unbroken(t, "video", all[2])
	w.begins(a, all)
	if n := packets(all); n < 7*perSecond {
		t.Errorf("of %d packets %d are there", 8*perSecond, n)
	}
	left, err := filepath.Glob(w.path("*.part"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestAKilledRecorderCompletesWhatItHas(t *testing.T) {
	w := newWorld(t, "A")
	w.record(true)
	job := w.job()
	w.want(job)
	w.snapshotEnd()
	a := w.publish(w.join("A"), camera)
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	w.sentPackets(a, 3*perSecond)
	w.worker.kill()
	w.stopPod() // there is nothing to go on with
	w.record(true)
	job.Source = nil
	ready := w.stop(job)
	if ready.GetDurationMs() == 0 || ready.GetSizeBytes() == 0 || ready.GetReason() == "" {
		t.Errorf("it is ready as %v", ready)
	}
	all := frames(t, w.path(a.StreamID+".webm"))
	unbroken(t, "audio", all[1])
	unbroken(t, "video", all[2])
	if n := packets(all); n < perSecond {
		t.Errorf("of %d packets %d are there", 3*perSecond, n)
	}
}

func TestARecordingGoesOnOnAnotherPod(t *testing.T) {
	w := newWorld(t, "A")
	w.record(false)
	job := w.job()
	w.want(job)
	w.snapshotEnd()
	a := w.publish(w.join("A"), camera)
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	w.sentPackets(a, 2*perSecond)
	w.stopPod()
	w.startPod("A")
	b := w.publish(w.join("A"), camera) // another stream, since the client has come anew
	job.Source.Address = w.pod.ControlAddress()
	w.want(job)
	w.sentPackets(b, 3*perSecond)
	w.await("the second stream to be on the disk", func() error {
		if parts, _ := filepath.Glob(w.path(b.StreamID + "*")); len(parts) == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	ready := w.stop(job)
	if len(ready.GetFiles()) != 4 {
		t.Errorf("the files are %v", ready.GetFiles())
	}
	for _, id := range []string{a.StreamID, b.StreamID} {
		all := frames(t, w.path(id+".webm"))
		unbroken(t, "audio", all[1])
		unbroken(t, "video", all[2])
	}
}

func TestAPublisherThatReconnectsStaysInOneFile(t *testing.T) {
	w := newWorld(t, "A")
	w.record(false)
	job := w.job()
	w.want(job)
	w.snapshotEnd()
	client := w.join("A")
	a := w.publish(client, camera)
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	w.sentPackets(a, perSecond)
	again, err := client.Republish(t.Context(), w.media, a)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	w.sentPackets(again, 3*perSecond)
	ready := w.stop(job)
	if len(ready.GetFiles()) != 3 {
		t.Errorf("the files are %v", ready.GetFiles())
	}
	all := frames(t, w.path(a.StreamID+".webm"))
	begins := 1
	for i := 1; i < len(all[2]); i++ {
		if f := all[2][i]; f.frame < all[2][i-1].frame {
			begins++
			if !f.key {
				t.Errorf("frame %d begins a connection and is no key frame", i)
			}
		}
	}
	if n := packets(all); begins != 2 || n < 2*perSecond {
		t.Errorf("%d connections are in the file, with %d packets", begins, n)
	}
}

func TestAFullDiskIsSaidAndHeals(t *testing.T) {
	w := newWorld(t, "A")
	var free atomic.Uint64
	free.Store(1 << 30)
	w.record(false, func(c *recorder.Config) {
		c.ReserveBytes = 1 << 20
		c.Free = func(string) (uint64, error) { return free.Load(), nil }
	})
	job := w.job()
	w.want(job)
	w.snapshotEnd()
	a := w.publish(w.join("A"), camera)
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	w.sentPackets(a, 2*perSecond)
	free.Store(1000)
	w.await("the status to say so", func() error {
		if status := w.status("uid-1"); !strings.Contains(status.GetMessage(), "disk is full") || status.GetState() != egressv1.State_STATE_STARTED {
			return fmt.Errorf("it is %v", status)
		}
		return nil
	})
	free.Store(1 << 30)
	w.await("the status to say that all is well", func() error {
		if status := w.status("uid-1"); status.GetMessage() != "" {
			return fmt.Errorf("it is %v", status)
		}
		return nil
	})
	w.sentPackets(a, a.Packets()+3*perSecond)
	w.stop(job)
	all := frames(t, w.path(a.StreamID+".webm"))
	gaps := 0
	for i := 1; i < len(all[2]); i++ {
		if all[2][i].frame != all[2][i-1].frame+1 {
			gaps++
			if !all[2][i].key {
				t.Errorf("after a gap there is frame %d, which is no key frame", all[2][i].frame)
			}
		}
	}
	if gaps == 0 || !all[2][0].key {
		t.Errorf("the file begins with frame %d and has %d gaps", all[2][0].frame, gaps)
	}
}

func TestOnlyWhatMayBeRecordedIs(t *testing.T) {
	w := newWorld(t, "A", "Private")
	w.record(false)
	job := w.job()
	job.HasAudio = false
	w.want(job)
	w.snapshotEnd()
	a := w.publish(w.join("A"), camera)
	private := w.publish(w.join("Private"), camera)
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	w.sentPackets(a, 2*perSecond)
	w.sentPackets(private, 2*perSecond)
	ready := w.stop(job)
	if len(ready.GetFiles()) != 3 {
		t.Errorf("the files are %v", ready.GetFiles())
	}
	for _, f := range ready.GetFiles() {
		if f.GetStreamId() == private.StreamID {
			t.Error("a stream is recorded that may not be")
		}
		if f.GetStreamId() == a.StreamID && (f.GetHasAudio() || !f.GetHasVideo()) {
			t.Errorf("A's file is %v", f)
		}
	}
	if all := frames(t, w.path(a.StreamID+".webm")); len(all[1]) != 0 || len(all[2]) == 0 {
		t.Errorf("there are %d frames of audio and %d of video", len(all[1]), len(all[2]))
	}
}

func TestFilesAreForTheGateway(t *testing.T) {
	w := newWorld(t, "A")
	w.record(false)
	job := w.job()
	w.want(job)
	w.snapshotEnd()
	a := w.publish(w.join("A"), camera)
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	path := "/recordings/uid-1/" + a.StreamID + ".webm"
	if answer, _, err := w.get(mtls.Gateway, path, ""); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("before it is ready: %v, %v", answer, err)
	}
	w.stop(job)
	whole, err := os.ReadFile(w.path(a.StreamID + ".webm"))
	if err != nil {
		t.Fatal(err)
	}
	answer, body, err := w.get(mtls.Gateway, path, "")
	if err != nil || answer.StatusCode != http.StatusOK || !bytes.Equal(body, whole) || answer.Header.Get("Content-Type") != "video/webm" {
		t.Errorf("the file is %v with %d bytes, %v", answer, len(body), err)
	}
	answer, body, err = w.get(mtls.Gateway, path, "bytes=100-199")
	if err != nil || answer.StatusCode != http.StatusPartialContent || !bytes.Equal(body, whole[100:200]) {
		t.Errorf("a part of it is %v, %v", answer, err)
	}
	for _, path := range []string{
		"/recordings/uid-1/.state.json", "/recordings/uid-1/x", "/recordings/other/rec-1.zip", "/recordings/uid-1/..%2f..%2fetc%2fpasswd", "/recordings/uid-1/", "/",
	} {
		if answer, _, err := w.get(mtls.Gateway, path, ""); err != nil || answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %v, %v", path, answer, err)
		}
	}
	for _, part := range []string{mtls.Manager, mtls.MediaPod, mtls.Worker} {
		if _, _, err := w.get(part, path, ""); err == nil {
			t.Errorf("%s gets files", part)
		}
	}
}

func TestFilesGoWithAJobThatSaysSo(t *testing.T) {
	w := newWorld(t, "A")
	w.record(false)
	keep, drop := w.job(), w.job()
	drop.Uid, drop.RecordingId, drop.DeleteFiles = "uid-2", "rec-2", true
	w.want(keep, drop)
	w.snapshotEnd()
	w.publish(w.join("A"), camera)
	w.awaitState("uid-1", egressv1.State_STATE_STARTED)
	w.awaitState("uid-2", egressv1.State_STATE_STARTED)
	for _, uid := range []string{"uid-1", "uid-2"} {
		w.order(&egressv1.Order{Message: &egressv1.Order_RemoveJob{RemoveJob: &egressv1.RemoveJob{Uid: uid}}})
	}
	w.awaitState("uid-1", egressv1.State_STATE_READY)
	w.await("the files to go", func() error {
		if _, err := os.Stat(filepath.Join(w.directory, "rec-2")); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the folder: %w", err)
		}
		return nil
	})
	if _, err := os.Stat(w.path("rec-1.zip")); err != nil {
		t.Error(err)
	}
	w.worker.end()
	w.record(false) // an operator that knows of no job
	if status := w.status("uid-1"); status.GetState() != egressv1.State_STATE_READY {
		t.Errorf("what is on the disk is %v", status)
	}
	w.snapshotEnd()
}

func TestJobsThatCannotBeDoneAreRefused(t *testing.T) {
	w := newWorld(t)
	w.record(false)
	for i, change := range []func(*egressv1.Job){
		func(j *egressv1.Job) { j.RecordingId = "../x" },
		func(j *egressv1.Job) { j.RecordingId = ".x" },
		func(j *egressv1.Job) { j.RecordingId = "" },
		func(j *egressv1.Job) { j.Mode = egressv1.OutputMode_OUTPUT_MODE_UNSPECIFIED },
		func(j *egressv1.Job) { j.HasAudio, j.HasVideo = false, false },
	} {
		job := w.job()
		job.Uid = fmt.Sprint("uid-", i)
		change(job)
		w.want(job)
		if status := w.awaitState(job.GetUid(), egressv1.State_STATE_FAILED); status.GetMessage() == "" {
			t.Errorf("job %d: it is not said why", i)
		}
	}
	first, second := w.job(), w.job()
	second.Uid = "uid-other"
	w.want(first, second)
	w.awaitState("uid-1", egressv1.State_STATE_STARTING)
	w.awaitState("uid-other", egressv1.State_STATE_STARTING) // in a folder of its own
	first.Stop = true
	w.want(first)
	if status := w.awaitState("uid-1", egressv1.State_STATE_FAILED); status.GetMessage() == "" {
		t.Error("it is not said why there is nothing")
	}
	entries, err := os.ReadDir(w.directory)
	if err != nil || len(entries) != 2 {
		t.Errorf("in the folder is %v, %v", entries, err)
	}
}

func TestOnlyItsOperatorOrdersARecorder(t *testing.T) {
	w := newWorld(t)
	w.record(false)
	for part, want := range map[string]codes.Code{mtls.MediaPod: codes.Unavailable, mtls.Gateway: codes.Unavailable} {
		stream, err := egressv1.NewWorkerClient(w.dial(part, mtls.Worker, w.worker.control, false)).Sync(t.Context())
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != want {
			t.Errorf("%s: %v", part, err)
		}
	}
	stream, err := egressv1.NewWorkerClient(w.worker.connection).Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&egressv1.Order{Message: &egressv1.Order_Hello{Hello: &egressv1.Hello{PodUid: "another"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("an operator that means another pod: %v", err)
	}
}

func TestARecordingIsNoLongerThanItMayBe(t *testing.T) {
	w := newWorld(t, "A")
	w.record(false)
	job := w.job()
	job.MaxDurationSeconds = 1
	w.want(job)
	w.snapshotEnd()
	w.publish(w.join("A"), camera)
	if ready := w.awaitState("uid-1", egressv1.State_STATE_READY); ready.GetReason() != "automaticStop" || ready.GetDurationMs() == 0 {
		t.Errorf("it is ready as %v", ready)
	}
}
