package recorder

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/recorder/matroska"
)

// description is the JSON of an individual recording (openvidu-rest 6.5).
type description struct {
	CreatedAt int64           `json:"createdAt"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	SessionID string          `json:"sessionId"`
	Files     []describedFile `json:"files"`
}

type describedFile struct {
	Name            string `json:"name"`
	ConnectionID    string `json:"connectionId"`
	StreamID        string `json:"streamId"`
	Size            int64  `json:"size"`
	ClientData      string `json:"clientData"`
	ServerData      string `json:"serverData"`
	HasAudio        bool   `json:"hasAudio"`
	HasVideo        bool   `json:"hasVideo"`
	TypeOfVideo     string `json:"typeOfVideo,omitempty"`
	StartTimeOffset int64  `json:"startTimeOffset"`
	EndTimeOffset   int64  `json:"endTimeOffset"`
}

// complete makes everything of a recording that is to stay, of what was written of it. It may be
// repeated after an error, and after a crash at any point.
func complete(ctx context.Context, folder string, s *state, job *egressv1.Job) error {
	if err := completeFiles(ctx, folder, s); err != nil {
		return err
	}
	if s.packed(folder, job) {
		return nil
	}
	described, err := json.MarshalIndent(describe(s, job), "", "  ")
	if err != nil {
		return fmt.Errorf("describing the recording: %w", err)
	}
	if err := replace(filepath.Join(folder, job.GetRecordingId()+".json"), described); err != nil {
		return fmt.Errorf("describing the recording: %w", err)
	}
	s.Description = int64(len(described))
	if s.Archive, err = archive(ctx, folder, s, job, described); err != nil {
		return fmt.Errorf("packing the recording: %w", err)
	}
	return nil
}

// completeFiles makes the files of the streams.
func completeFiles(ctx context.Context, folder string, s *state) error {
	for _, f := range s.Files {
		if f.Size > 0 {
			continue
		}
		if err := f.complete(ctx, folder); err != nil {
			return fmt.Errorf("completing %s: %w", f.name(), err)
		}
		if err := s.save(folder); err != nil {
			return err
		}
		f.clean(folder)
	}
	return nil
}

// packed says that the JSON and the zip are there: a process before has made them.
func (s *state) packed(folder string, job *egressv1.Job) bool {
	for name, size := range map[string]int64{job.GetRecordingId() + ".json": s.Description, job.GetRecordingId() + ".zip": s.Archive} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || size == 0 || info.Size() != size {
			return false
		}
	}
	return true
}

// complete makes the file of its fragments. One that is whole already only gets its name.
func (f *file) complete(ctx context.Context, folder string) error {
	path := filepath.Join(folder, f.name())
	if len(f.Fragments) == 1 && f.Fragments[0].Whole {
		from := filepath.Join(folder, f.Fragments[0].Name)
		if _, err := os.Stat(from); err == nil { // else it has its name already
			if err := os.Rename(from, path); err != nil {
				return err
			}
		}
	} else if err := f.merge(ctx, folder, path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f.Size = info.Size()
	return syncFolder(folder)
}

// merge writes what all fragments have, as far as they can be read, into one file.
func (f *file) merge(ctx context.Context, folder, path string) error {
	next := path + partial
	w, err := matroska.Create(next, f.Tracks)
	if err != nil {
		return err
	}
	var flushed time.Duration
	for _, part := range f.Fragments {
		err = errors.Join(err, matroska.Read(filepath.Join(folder, part.Name), func(b matroska.Block) error {
			if b.At-flushed > time.Second {
				flushed = b.At
				if err := errors.Join(ctx.Err(), w.Flush()); err != nil {
					return err
				}
			}
			return w.Add(b)
		}))
		if errors.Is(err, matroska.ErrNoFile) || errors.Is(err, os.ErrNotExist) {
			err = nil // the process ended before there was anything in it
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		return errors.Join(err, w.Abandon(), os.Remove(next))
	}
	f.EndUnixUs = max(f.EndUnixUs, f.StartUnixUs+w.End().Microseconds())
	if err := w.Finish(); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return os.Rename(next, path)
}

// clean removes the fragments of a file that is complete.
func (f *file) clean(folder string) {
	for _, part := range f.Fragments {
		_ = os.Remove(filepath.Join(folder, part.Name)) // it may have got the file's name
	}
}

func describe(s *state, job *egressv1.Job) description {
	d := description{
		CreatedAt: job.GetCreatedUnixMs(), ID: job.GetRecordingId(), Name: job.GetName(), SessionID: job.GetSessionId(), Files: []describedFile{},
	}
	for _, f := range s.Files {
		d.Files = append(d.Files, describedFile{
			Name: f.name(), ConnectionID: f.ConnectionID, StreamID: f.StreamID, Size: f.Size,
			ClientData: f.ClientData, ServerData: f.ServerData, HasAudio: f.has(false), HasVideo: f.has(true), TypeOfVideo: f.TypeOfVideo,
			StartTimeOffset: f.StartUnixUs/1000 - job.GetCreatedUnixMs(), EndTimeOffset: f.EndUnixUs/1000 - job.GetCreatedUnixMs(),
		})
	}
	return d
}

// archive packs everything, without compression: media has none left. It returns the size.
func archive(ctx context.Context, folder string, s *state, job *egressv1.Job, described []byte) (int64, error) {
	path := filepath.Join(folder, job.GetRecordingId()+".zip")
	out, err := os.Create(path + partial)
	if err != nil {
		return 0, err
	}
	packed := zip.NewWriter(out)
	err = pack(packed, archivedName(job)+".json", func(w io.Writer) error {
		_, err := w.Write(described)
		return err
	})
	for _, f := range s.Files {
		if err = errors.Join(err, ctx.Err()); err != nil {
			break
		}
		err = pack(packed, f.name(), func(w io.Writer) error {
			in, err := os.Open(filepath.Join(folder, f.name()))
			if err != nil {
				return err
			}
			defer in.Close()
			_, err = io.Copy(w, in)
			return err
		})
	}
	if err = errors.Join(err, packed.Close(), out.Sync()); err == nil {
		var info os.FileInfo
		if info, err = out.Stat(); err == nil {
			err = errors.Join(out.Close(), os.Rename(path+partial, path), syncFolder(folder))
			return info.Size(), err
		}
	}
	return 0, errors.Join(err, out.Close(), os.Remove(path+partial))
}

// archivedName is that of the recording or, where that is none of a file, its id.
func archivedName(job *egressv1.Job) string {
	if folderName.MatchString(job.GetName()) {
		return job.GetName()
	}
	return job.GetRecordingId()
}

func pack(packed *zip.Writer, name string, write func(io.Writer) error) error {
	entry, err := packed.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: time.Now()})
	if err != nil {
		return err
	}
	return write(entry)
}
