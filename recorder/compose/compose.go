package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Composer composes films with ffmpeg.
type Composer struct {
	// Program is ffmpeg's path.
	Program string
	// Nice is how much ffmpeg leaves to others: from 0 to 19.
	Nice int
	// Progress takes how many hundredths are done; it may be nil.
	Progress func(percent int)
}

// Files are where a composed film goes.
type Files struct {
	// Film is an MP4 or, without video, a WebM.
	Film string
	// Picture is a JPEG of its middle; "" for none.
	Picture string
}

// scratch is what folders begin with that hold what is not complete.
const scratch = ".compose-"

// limits of how long ffmpeg may take, so that one that hangs does not stay.
const (
	leastLimit = 2 * time.Minute
	limitTimes = 30 // the time of what it makes
)

func limit(length time.Duration) time.Duration { return leastLimit + limitTimes*length }

// Compose makes a film of its clips. What it has made stays in a folder beside it when it does not
// come to an end, and is used by the next try. The film is there whole, or not at all.
func (c Composer) Compose(ctx context.Context, film Film, into Files) error {
	folder := filepath.Join(filepath.Dir(into.Film), scratch+film.key())
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("making a folder for what is composed: %w", err)
	}
	w := work{Composer: c, film: film, folder: folder}
	whole := filepath.Join(folder, "film")
	if err := w.make(ctx, whole); err != nil {
		return err
	}
	if into.Picture != "" {
		if err := w.once(ctx, "picture", time.Minute, nil, func(path string) []string { return film.showing(whole, path) }); err != nil {
			return fmt.Errorf("making a picture of the film: %w", err)
		}
		if err := os.Rename(filepath.Join(folder, "picture"), into.Picture); err != nil {
			return fmt.Errorf("naming the picture: %w", err)
		}
	}
	if err := os.Rename(whole, into.Film); err != nil {
		return fmt.Errorf("naming the film: %w", err)
	}
	return errors.Join(synced(filepath.Dir(into.Film)), Clean(filepath.Dir(into.Film)))
}

// Clean removes what films that were not completed have left in a folder.
func Clean(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("reading a folder: %w", err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), scratch) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(folder, entry.Name())))
		}
	}
	return err
}

// work is one film that is being made.
type work struct {
	Composer

	film   Film
	folder string
	done   int // frames
	said   int // hundredths
}

// make makes all parts, and the whole of them.
func (w *work) make(ctx context.Context, whole string) error {
	if _, err := os.Stat(whole); err == nil {
		return nil
	}
	if !w.film.Video {
		return w.mix(ctx, opus, filepath.Base(whole))
	}
	sound := ""
	if w.film.Audio {
		sound = "sound"
		if err := w.mix(ctx, aac, sound); err != nil {
			return err
		}
		sound = filepath.Join(w.folder, sound)
	}
	shots := w.film.Shots()
	for _, shot := range shots {
		if err := w.shoot(ctx, shot); err != nil {
			return fmt.Errorf("composing what is shown from %v on: %w", w.film.time(shot.First), err)
		}
	}
	join := func(path string) []string { return w.film.joining(sound, path) }
	if err := w.once(ctx, filepath.Base(whole), limit(w.film.Length()), w.all(shots), join); err != nil {
		return fmt.Errorf("joining picture and sound: %w", err)
	}
	return nil
}

// mix makes the sound, of the files that can be read.
func (w *work) mix(ctx context.Context, to codec, name string) error {
	mix := func(film Film) error {
		return w.once(ctx, name, limit(film.Length()), nil, func(path string) []string { return film.mixing(to, path) })
	}
	err := mix(w.film)
	if errors.As(err, new(*refusedError)) {
		heard, broken, listened := w.listen(ctx)
		switch {
		case listened != nil:
			err = listened
		case broken:
			err = mix(heard)
		}
	}
	if err != nil {
		return fmt.Errorf("mixing the sound: %w", err)
	}
	return nil
}

// listen returns the film without the sound of files that can't be read, and whether there are any.
func (w *work) listen(ctx context.Context) (heard Film, broken bool, err error) {
	heard = w.film
	heard.Clips = slices.Clone(heard.Clips)
	for i, clip := range heard.Clips {
		if _, err := os.Stat(clip.Path); err != nil {
			return heard, false, err // it may come back, and the others with it
		}
		if !clip.Audio {
			continue
		}
		err := w.try(ctx, time.Minute, listening(clip))
		if errors.As(err, new(*refusedError)) {
			heard.Clips[i].Audio, broken = false, true
		} else if err != nil {
			return heard, false, err
		}
	}
	return heard, broken, nil
}

// try runs ffmpeg for nothing but how it ends.
func (w *work) try(ctx context.Context, within time.Duration, arguments []string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	p, err := w.start(ctx, arguments, false, false)
	if err != nil {
		return err
	}
	return p.wait()
}

// all writes the pictures of all shots.
func (w *work) all(shots []Shot) func(io.Writer) error {
	return func(to io.Writer) error {
		for _, shot := range shots {
			in, err := os.Open(filepath.Join(w.folder, shotName(shot)))
			if err != nil {
				return err
			}
			_, err = io.Copy(to, in)
			if err := errors.Join(err, in.Close()); err != nil {
				return err
			}
		}
		return nil
	}
}

// once has ffmpeg make a file that is not there yet, of what feed writes.
func (w *work) once(ctx context.Context, name string, within time.Duration, feed func(io.Writer) error, arguments func(path string) []string) error {
	path := filepath.Join(w.folder, name)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	next := path + ".part"
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	p, err := w.start(ctx, arguments(next), feed != nil, false)
	if err != nil {
		return err
	}
	if feed != nil {
		err = feed(p.in)
		err = errors.Join(err, p.in.Close())
	}
	if ended := p.wait(); ended != nil {
		return ended // it says more than that it takes nothing
	}
	if err != nil {
		return err
	}
	return keep(next, path)
}

// keep gives a file its name when it is on the disk.
func keep(next, path string) error {
	if err := errors.Join(synced(next), os.Rename(next, path)); err != nil {
		return fmt.Errorf("keeping a part: %w", err)
	}
	return synced(filepath.Dir(path))
}

// synced has a file or the names in a folder survive the machine.
func synced(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// progress says how far it is: of the pictures, since they take the time.
func (w *work) progress(frames int) {
	w.done += frames
	percent := min(99, 100*w.done/w.film.frames())
	if w.Progress != nil && percent != w.said {
		w.said = percent
		w.Progress(percent)
	}
}
