package recorder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/recorder/bucket"
)

const (
	// firstStoreRetry and lastStoreRetry bound how long it takes until S3 is tried again.
	firstStoreRetry = time.Second
	lastStoreRetry  = time.Minute
	// maxUploads is how many recordings are brought to S3 at the same time: each takes memory for a
	// part of a file.
	maxUploads = 2
	// maxStateBytes bounds the state of a recording that is read from S3.
	maxStateBytes = 16 << 20
)

// stored is where the files of a recording are in S3.
type stored struct {
	Place bucket.Place
	// Prefix stands before the names of the files. It ends with a slash.
	Prefix string
	// Names are the files that S3 has.
	Names []string
	// Complete says that these are all: those on the disk are not needed.
	Complete bool `json:",omitempty"`
}

// destination is where the files of a job go; nil when they stay on the disk. No two recordings
// have the same one, whatever else becomes of the disk.
func destination(job *egressv1.Job) *stored {
	s3 := job.GetS3()
	if s3 == nil {
		return nil
	}
	prefix := job.GetRecordingId() + "/" + job.GetUid() + "/"
	if s3.GetPrefix() != "" {
		prefix = s3.GetPrefix() + "/" + prefix
	}
	return &stored{Prefix: prefix, Place: bucket.Place{
		Endpoint: s3.GetEndpoint(), Bucket: s3.GetBucket(), Region: s3.GetRegion(), PathStyle: s3.GetPathStyle(),
	}}
}

func (s *stored) location() string { return "s3://" + s.Place.Bucket + "/" + s.Prefix }

// is tells whether two destinations are the same one.
func (s *stored) is(other *stored) bool {
	return s != nil && other != nil && s.Place == other.Place && s.Prefix == other.Prefix
}

// whole returns it when all files are there, and else nil.
func (s *stored) whole() *stored {
	if s == nil || !s.Complete {
		return nil
	}
	return s
}

// names are all files of a recording that is complete.
func (s *state) names(job *egressv1.Job) []string {
	if s.Composed != nil {
		return s.Composed.names()
	}
	names := make([]string, 0, len(s.Files)+2)
	for _, f := range s.Files {
		names = append(names, f.name())
	}
	return append(names, job.GetRecordingId()+".json", job.GetRecordingId()+".zip")
}

// errOtherwise says that the operator has something else in mind by now.
var errOtherwise = errors.New("the operator has changed where the files go")

// bring has S3 take what it does not have yet of a complete recording. The state comes last: where
// that is, everything is.
func (r *recording) bring(ctx context.Context) error {
	to := destination(r.job)
	if to == nil {
		r.state.Stored = nil
		return nil
	}
	if r.state.Stored.is(to) {
		to = r.state.Stored
	}
	r.state.Stored = to
	for _, name := range r.state.names(r.job) {
		if slices.Contains(to.Names, name) {
			continue
		}
		if err := r.put(ctx, to, name); err != nil {
			return fmt.Errorf("bringing %s to S3: %w", name, err)
		}
		to.Names = append(to.Names, name)
		r.state.Message = ""
		if err := r.state.save(r.folder); err != nil {
			return err
		}
		r.say()
	}
	if err := r.putState(ctx, to); err != nil {
		return fmt.Errorf("bringing the state to S3: %w", err)
	}
	to.Complete = true
	return nil
}

// put has S3 take a file. It is given up when the operator wants something else meanwhile.
func (r *recording) put(ctx context.Context, to *stored, name string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	result := make(chan error, 1)
	go func() { result <- r.upload(ctx, to.Place, to.Prefix+name, name) }()
	for {
		select {
		case err := <-result:
			if err != nil && errors.Is(context.Cause(ctx), errOtherwise) {
				err = errOtherwise
			}
			return err
		case <-r.poke:
			r.obey()
			if r.unwanted() || !to.is(destination(r.job)) {
				cancel(errOtherwise) // and wait for the result
			}
		}
	}
}

// upload has S3 take a file of the folder. It uses nothing that may change.
func (r *recording) upload(ctx context.Context, place bucket.Place, key, name string) error {
	select {
	case r.uploads <- struct{}{}:
		defer func() { <-r.uploads }()
	case <-ctx.Done():
		return ctx.Err()
	}
	in, err := os.Open(filepath.Join(r.folder, name))
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := r.store.Put(ctx, place, key, contentType(name), in, info.Size()); err != nil {
		return err
	}
	r.metrics.storedBytes.Add(float64(info.Size()))
	return nil
}

// putState has S3 take the state as it will be.
func (r *recording) putState(ctx context.Context, to *stored) error {
	state, all := *r.state, *to
	all.Complete = true
	state.State, state.Message, state.Stored = egressv1.State_STATE_READY, "", &all
	raw, err := json.MarshalIndent(state, "", " ")
	if err != nil {
		return fmt.Errorf("encoding the state: %w", err)
	}
	return r.store.Put(ctx, to.Place, to.Prefix+stateFile, "application/json", bytes.NewReader(raw), int64(len(raw)))
}

// unstored says what is wrong with S3.
func (r *recording) unstored(err error) {
	if errors.Is(err, errOtherwise) {
		return
	}
	r.metrics.storeErrors.Inc()
	r.complain(err)
}

// clear removes from the disk what S3 has, too, and what a composed file was made of.
func (r *recording) clear() {
	kept := []string{stateFile}
	switch {
	case r.state.State != egressv1.State_STATE_READY:
		return
	case r.state.Stored.whole() != nil:
	case r.state.Composed != nil:
		kept = append(kept, r.state.Composed.names()...)
	default:
		return
	}
	if err := cleared(r.folder, kept...); err != nil {
		r.log.Error(err, "Removing files that are not needed any more")
	}
}

// find returns the state of the recording that S3 has at a destination; nil when it has none.
func (r *recording) find(ctx context.Context, at *stored) (*state, error) {
	raw, err := r.store.Read(ctx, at.Place, at.Prefix+stateFile, maxStateBytes)
	if errors.Is(err, bucket.ErrNotFound) {
		return nil, nil //nolint:nilnil // there is none
	} else if err != nil {
		return nil, fmt.Errorf("looking for the recording in S3: %w", err)
	}
	var found state
	if err := json.Unmarshal(raw, &found); err != nil {
		return nil, fmt.Errorf("reading the state that is in S3: %w", err)
	}
	if found.State != egressv1.State_STATE_READY || found.Stored.whole() == nil {
		return nil, errors.New("the state that is in S3 is not that of a complete recording")
	}
	found.Stored.Place, found.Stored.Prefix = at.Place, at.Prefix
	return &found, nil
}

// bare says that the disk has nothing of a recording that was stopped: another disk may have had
// it, and brought it to S3.
func (r *recording) bare() bool {
	return r.state.State == egressv1.State_STATE_STARTING && len(r.state.Files) == 0 && r.job.GetStop() && r.job.GetS3() != nil
}

// restore takes up a recording that another disk has brought to S3. It returns false when there is
// nothing to go on with: the process ends, or nobody wants the files.
func (r *recording) restore(ctx context.Context) bool {
	return !r.bare() || r.insist(ctx, storing, func(ctx context.Context) error {
		to := destination(r.job)
		if to == nil {
			return nil
		}
		found, err := r.find(ctx, to)
		if err != nil || found == nil {
			return err
		}
		if err := errors.Join(found.setJob(r.job), found.save(r.folder)); err != nil {
			return err
		}
		*r.state = *found
		r.say()
		return nil
	})
}

// deleteStored deletes what S3 has of a recording whose run has ended, and tries again for as long
// as it takes. It returns false when the process ends.
func (r *recording) deleteStored(ctx context.Context) bool {
	said := ""
	for pause := firstStoreRetry; ctx.Err() == nil; pause = min(2*pause, lastStoreRetry) {
		err := r.tryDeleteStored(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		r.metrics.storeErrors.Inc()
		if text := err.Error(); text != said {
			said = text
			r.log.Info("Files can't be deleted from S3 yet", "reason", text)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return false
}

// tryDeleteStored deletes the state last: it says what there is.
func (r *recording) tryDeleteStored(ctx context.Context) error {
	from := r.state
	if r.bare() {
		found, err := r.find(ctx, destination(r.job))
		if err != nil || found == nil {
			return err
		}
		from = found
	}
	if from.Stored == nil {
		return nil
	}
	keys := make([]string, 0, len(from.Files)+3)
	for _, name := range append(from.names(r.job), stateFile) {
		keys = append(keys, from.Stored.Prefix+name)
	}
	return r.store.Delete(ctx, from.Stored.Place, keys...)
}

// serveStored serves a file from S3.
func (r *recording) serveStored(w http.ResponseWriter, request *http.Request, at *stored, name string) {
	object, err := r.store.Open(request.Context(), at.Place, at.Prefix+name)
	if errors.Is(err, bucket.ErrNotFound) {
		http.Error(w, "the file is gone from S3", http.StatusNotFound)
		return
	}
	if err != nil {
		if request.Context().Err() == nil {
			r.metrics.storeErrors.Inc()
			r.log.Info("A file can't be read from S3", "reason", err.Error())
		}
		http.Error(w, "S3 does not give the file now", http.StatusBadGateway)
		return
	}
	defer object.Close()
	w.Header().Set("Content-Type", contentType(name))
	if object.ETag != "" {
		w.Header().Set("ETag", object.ETag)
	}
	http.ServeContent(w, request, name, object.Modified, object)
}
