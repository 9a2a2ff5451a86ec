package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	egressv1 "mediarooms.dev/mediarooms/internal/egress/v1"
	"mediarooms.dev/mediarooms/recorder/compose"
)

const (
	// maxCompositions is how many recordings are composed at the same time.
	maxCompositions = 1
	// progressPause is the least time between two words on how far a composition is.
	progressPause = 2 * time.Second
	// screen is the type of videos of which nothing is cut off.
	screen = "SCREEN"
)

// composition is what the streams of a composed recording have become.
type composition struct {
	// Film is the name of the file, and Size its size.
	Film string
	Size int64
	// Picture is one of its middle, and PictureSize its size; "" without video.
	Picture     string `json:",omitempty"`
	PictureSize int64  `json:",omitempty"`
}

// composes tells whether a mode is one in which one file is made of all streams.
func composes(mode egressv1.OutputMode) bool {
	return mode == egressv1.OutputMode_OUTPUT_MODE_COMPOSED || mode == egressv1.OutputMode_OUTPUT_MODE_COMPOSED_AUDIO
}

// checkMode refuses what can't be made of the streams.
func (l *library) checkMode(job *egressv1.Job) error {
	const (
		least, most = 100, 1999
		fastest     = 120
	)
	picture := job.GetPicture()
	switch {
	case job.GetMode() == egressv1.OutputMode_OUTPUT_MODE_INDIVIDUAL:
		return nil
	case !composes(job.GetMode()):
		return fmt.Errorf("output mode %s: it is INDIVIDUAL, COMPOSED or COMPOSED_AUDIO", job.GetMode())
	case l.composer.Program == "":
		return fmt.Errorf("output mode %s: the recorder's image has no ffmpeg", job.GetMode())
	case job.GetMode() == egressv1.OutputMode_OUTPUT_MODE_COMPOSED_AUDIO:
		return nil
	case min(picture.GetWidth(), picture.GetHeight()) < least || max(picture.GetWidth(), picture.GetHeight()) > most:
		return fmt.Errorf("a picture of %dx%d: each is from %d to %d", picture.GetWidth(), picture.GetHeight(), least, most)
	case picture.GetFrameRate() < 1 || picture.GetFrameRate() > fastest:
		return fmt.Errorf("%d frames per second: it is from 1 to %d", picture.GetFrameRate(), fastest)
	}
	return nil
}

// compose makes one file of those of the streams, which stay until all is settled. It may be
// repeated after an error, and after a crash at any point.
func (r *recording) compose(ctx context.Context) error {
	if err := completeFiles(ctx, r.folder, r.state); err != nil {
		return err
	}
	if r.composed() {
		return r.state.save(r.folder)
	}
	if err := r.space(); err != nil {
		return err
	}
	c := r.composition()
	if err := r.wait(ctx, c); err != nil {
		return fmt.Errorf("composing: %w", err)
	}
	for name, size := range map[string]*int64{c.Film: &c.Size, c.Picture: &c.PictureSize} {
		if name == "" {
			continue
		}
		info, err := os.Stat(filepath.Join(r.folder, name))
		if err != nil {
			return fmt.Errorf("composing: %w", err)
		}
		*size = info.Size()
	}
	r.state.Composed, r.state.Message = c, ""
	return r.state.save(r.folder)
}

// composed says that the file is there: a process before has made it.
func (r *recording) composed() bool {
	c := r.state.Composed
	if c == nil {
		return false
	}
	info, err := os.Stat(filepath.Join(r.folder, c.Film))
	return err == nil && info.Size() == c.Size
}

// composition names what is to be made. No file of a stream has that name.
func (r *recording) composition() *composition {
	base := archivedName(r.job)
	if r.job.GetMode() == egressv1.OutputMode_OUTPUT_MODE_COMPOSED {
		return &composition{Film: base + ".mp4", Picture: r.job.GetRecordingId() + ".jpg"}
	}
	for slices.ContainsFunc(r.state.Files, func(f *file) bool { return f.name() == base+".webm" }) {
		base += "_"
	}
	return &composition{Film: base + ".webm"}
}

// wait has the film made, and says how far it is. It is given up when nobody wants it any more.
func (r *recording) wait(ctx context.Context, c *composition) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	into := compose.Files{Film: filepath.Join(r.folder, c.Film)}
	if c.Picture != "" {
		into.Picture = filepath.Join(r.folder, c.Picture)
	}
	film, result, progress := r.film(), make(chan error, 1), make(chan int, 1)
	go func() { result <- r.make(ctx, film, into, progress) }()
	said, full := time.Time{}, error(nil)
	for {
		select {
		case err := <-result:
			return cmp.Or(full, err)
		case percent := <-progress:
			if time.Since(said) < progressPause {
				continue
			}
			said = time.Now()
			r.state.Message = fmt.Sprintf("Composing %d %%", percent)
			r.say()
			if full = r.space(); full != nil {
				cancel() // calls that are recorded come first
			}
		case <-r.poke:
			r.obey()
			if r.unwanted() {
				cancel() // and wait for the result
			}
		}
	}
}

// make makes a film when it is its turn. It uses nothing that may change.
func (r *recording) make(ctx context.Context, film compose.Film, into compose.Files, progress chan<- int) error {
	tell := func(percent int) {
		select {
		case progress <- percent:
		default: // the next one comes soon
		}
	}
	tell(0)
	select {
	case r.compositions <- struct{}{}:
		defer func() { <-r.compositions }()
	case <-ctx.Done():
		return ctx.Err()
	}
	composer := r.composer
	composer.Progress = tell
	return composer.Compose(ctx, film, into)
}

// film describes what is to be made of the files. Videos are in the order in which their streams
// have begun.
func (r *recording) film() compose.Film {
	picture := r.job.GetPicture()
	film := compose.Film{
		Width: int(picture.GetWidth()), Height: int(picture.GetHeight()), FrameRate: max(1, int(picture.GetFrameRate())),
		Audio: r.job.GetHasAudio(), Video: r.job.GetMode() == egressv1.OutputMode_OUTPUT_MODE_COMPOSED,
	}
	files := slices.Clone(r.state.Files)
	rank := map[string]int{}
	for i, f := range files {
		if _, known := rank[f.StreamID]; !known {
			rank[f.StreamID] = i
		}
	}
	slices.SortStableFunc(files, func(a, b *file) int { return cmp.Compare(rank[a.StreamID], rank[b.StreamID]) })
	start := r.state.start()
	for _, f := range files {
		film.Clips = append(film.Clips, compose.Clip{
			Path:  filepath.Join(r.folder, f.name()),
			Start: time.Duration(f.StartUnixUs-start) * time.Microsecond, End: time.Duration(f.EndUnixUs-start) * time.Microsecond,
			Audio: f.has(false), Video: f.has(true), Screen: f.TypeOfVideo == screen,
		})
	}
	return film
}

// files are what of a composition can be fetched.
func (c *composition) files(s *state, job *egressv1.Job) []*egressv1.File {
	all := []*egressv1.File{{
		Name: c.Film, SizeBytes: c.Size, ContentType: contentType(c.Film), DurationMs: s.duration().Milliseconds(),
		HasAudio: job.GetHasAudio(), HasVideo: c.Picture != "",
	}}
	if c.Picture != "" {
		all = append(all, &egressv1.File{Name: c.Picture, SizeBytes: c.PictureSize, ContentType: contentType(c.Picture)})
	}
	return all
}

// names are those of its files.
func (c *composition) names() []string {
	if c.Picture == "" {
		return []string{c.Film}
	}
	return []string{c.Film, c.Picture}
}

// cleared removes everything of a folder but those names.
func cleared(folder string, kept ...string) error {
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		if !slices.Contains(kept, entry.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(folder, entry.Name())))
		}
	}
	return err
}

// uncomposed takes what went wrong: it goes on with what there is.
func (r *recording) uncomposed(err error) {
	if !strings.HasPrefix(err.Error(), "composing: ") {
		r.trouble(err)
		return
	}
	r.metrics.composeErrors.Inc()
	r.complain(err)
}
