package recorder

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/recorder/matroska"
)

// stateFile is the file of a recording's folder by which it goes on after a crash. Files whose
// names begin with a dot are not served.
const stateFile = ".state.json"

// state is everything that is known of a recording. It is written when what it says is on the disk.
type state struct {
	// Job is what the operator wants, as JSON of protocol buffers.
	Job     json.RawMessage
	State   egressv1.State
	Reason  string `json:",omitempty"`
	Message string `json:",omitempty"`
	// StartedUnixMs is when the first media was written.
	StartedUnixMs int64 `json:",omitempty"`
	// Epoch and Position say up to where everything of the tap is in the files.
	Epoch    string `json:",omitempty"`
	Position uint64 `json:",omitempty"`
	Files    []*file
	// Archive and Description are the sizes of the zip and of the JSON, once they are there.
	Archive, Description int64 `json:",omitempty"`
	// Composed is what the files of a composed recording have become; nil before.
	Composed *composition `json:",omitempty"`
	// Stored is where the files are in S3; nil before any is there.
	Stored *stored `json:",omitempty"`
}

// file is one file of a stream: what it is made of, and what it becomes.
type file struct {
	// Base is its name without the extension.
	Base         string
	StreamID     string
	ConnectionID string
	ClientData   string `json:",omitempty"`
	ServerData   string `json:",omitempty"`
	TypeOfVideo  string `json:",omitempty"`
	// Tracks are those of the file.
	Tracks []matroska.Track
	// StartUnixUs is when its first frame was, EndUnixUs when its last one.
	StartUnixUs, EndUnixUs int64
	// Fragments are its parts, each of them a file, in order.
	Fragments []fragment `json:",omitempty"`
	// Ended says that no more fragments come.
	Ended bool `json:",omitempty"`
	// Size is that of the complete file; 0 before.
	Size int64 `json:",omitempty"`
	// Last are the sequence numbers of the last packets that were written, by the kind.
	Last map[string]uint16 `json:",omitempty"`
}

// fragment is what one process has written without a break.
type fragment struct {
	Name string
	// Size is how much of it goes with the position in the state.
	Size int64
	// Whole says that it was finished: it needs no repair.
	Whole bool `json:",omitempty"`
}

// extension of a fragment; also of what is being made and not complete.
const partial = ".part"

func (f *file) name() string { return f.Base + matroska.Extension(f.Tracks) }

// has tells whether the file has a track of video or of audio.
func (f *file) has(video bool) bool {
	for _, t := range f.Tracks {
		if t.Video() == video {
			return true
		}
	}
	return false
}

func (f *file) duration() time.Duration {
	return time.Duration(f.EndUnixUs-f.StartUnixUs) * time.Microsecond
}

// bytes is what the file takes on the disk.
func (f *file) bytes() int64 {
	if f.Size > 0 {
		return f.Size
	}
	var all int64
	for _, part := range f.Fragments {
		all += part.Size
	}
	return all
}

// save writes a state into a folder, in one step: there is the old one, or the new one.
func (s *state) save(folder string) error {
	raw, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("encoding the state: %w", err)
	}
	return replace(filepath.Join(folder, stateFile), raw)
}

// replace writes a file in one step that survives the machine.
func replace(path string, content []byte) error {
	next := path + partial
	out, err := os.Create(next)
	if err != nil {
		return fmt.Errorf("making a file: %w", err)
	}
	_, err = out.Write(content)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing a file: %w", err), os.Remove(next))
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("replacing a file: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder has the names in a folder survive the machine.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening a folder: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// load reads the state of a folder, and the job in it.
func load(folder string) (*state, *egressv1.Job, error) {
	raw, err := os.ReadFile(filepath.Join(folder, stateFile))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the state: %w", err)
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, nil, fmt.Errorf("reading the state: %w", err)
	}
	var job egressv1.Job
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(s.Job, &job); err != nil {
		return nil, nil, fmt.Errorf("reading the job: %w", err)
	}
	return &s, &job, nil
}

// setJob keeps what the operator wants.
func (s *state) setJob(job *egressv1.Job) error {
	raw, err := protojson.Marshal(job)
	if err != nil {
		return fmt.Errorf("encoding the job: %w", err)
	}
	s.Job = raw
	return nil
}

// size is that of the streams' files, or of the composed one: that is what OpenVidu calls the size
// of a recording (openvidu-rest 6.4).
func (s *state) size() int64 {
	if s.Composed != nil {
		return s.Composed.Size
	}
	var all int64
	for _, f := range s.Files {
		all += f.bytes()
	}
	return all
}

// duration is from the first start to the last end.
func (s *state) duration() time.Duration {
	var end int64
	for _, f := range s.Files {
		end = max(end, f.EndUnixUs)
	}
	return time.Duration(end-s.start()) * time.Microsecond
}

// start is when the first file begins.
func (s *state) start() int64 {
	var start int64
	for i, f := range s.Files {
		if i == 0 || f.StartUnixUs < start {
			start = f.StartUnixUs
		}
	}
	return start
}

// status is what the operator is told.
func (s *state) status(job *egressv1.Job) *egressv1.JobStatus {
	said := &egressv1.JobStatus{
		Uid: job.GetUid(), State: s.State, Reason: s.Reason, Message: s.Message,
		StartedUnixMs: s.StartedUnixMs, DurationMs: s.duration().Milliseconds(), SizeBytes: s.size(),
	}
	if s.State != egressv1.State_STATE_READY {
		return said
	}
	if s.Stored != nil && s.Stored.Complete {
		said.Location = s.Stored.location()
	}
	if s.Composed != nil {
		said.Files = s.Composed.files(s, job)
		return said
	}
	for _, f := range s.Files {
		said.Files = append(said.Files, &egressv1.File{
			Name: f.name(), SizeBytes: f.Size, ContentType: contentType(f.name()), StreamId: f.StreamID, ConnectionId: f.ConnectionID,
			StartOffsetMs: f.StartUnixUs/1000 - s.StartedUnixMs, DurationMs: f.duration().Milliseconds(),
			HasAudio: f.has(false), HasVideo: f.has(true),
		})
	}
	for _, whole := range []struct {
		extension string
		size      int64
	}{{".json", s.Description}, {".zip", s.Archive}} {
		name := job.GetRecordingId() + whole.extension
		said.Files = append(said.Files, &egressv1.File{Name: name, SizeBytes: whole.size, ContentType: contentType(name)})
	}
	return said
}

func contentType(name string) string {
	switch filepath.Ext(name) {
	case ".webm":
		return "video/webm"
	case ".mkv":
		return "video/x-matroska"
	case ".mp4":
		return "video/mp4"
	case ".jpg":
		return "image/jpeg"
	case ".zip":
		return "application/zip"
	case ".json":
		return "application/json"
	}
	return "application/octet-stream"
}
