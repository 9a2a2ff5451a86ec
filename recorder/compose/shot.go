package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"mediarooms.dev/mediarooms/recorder/layout"
)

func shotName(shot Shot) string { return fmt.Sprintf("shot-%09d", shot.First) }

// shoot makes the pictures of a shot, if they are not there yet: the decoders of its videos give
// theirs, which are put into one, which goes to an encoder.
func (w *work) shoot(ctx context.Context, shot Shot) error {
	if _, err := os.Stat(filepath.Join(w.folder, shotName(shot))); err == nil {
		w.progress(shot.Next - shot.First)
		return nil
	}
	length := w.film.time(shot.Next) - w.film.time(shot.First)
	ctx, cancel := context.WithTimeout(ctx, limit(length))
	defer cancel()
	var sources []*source
	defer func() {
		cancel() // they may wait to be read
		for _, s := range sources {
			_ = s.decoder.wait()
		}
	}()
	for i, cell := range w.film.cells(shot) {
		clip := w.film.Clips[shot.Shown[i]]
		decoder, err := w.start(ctx, w.film.decoding(shot, clip, cell), false, true)
		if err != nil {
			return err
		}
		sources = append(sources, newSource(decoder, cell))
	}
	feed := func(to io.Writer) error { return w.paint(to, shot, sources) }
	return w.once(ctx, shotName(shot), limit(length), feed, w.film.encoding)
}

// paint writes the pictures of a shot.
func (w *work) paint(to io.Writer, shot Shot, sources []*source) error {
	width, height := w.film.size()
	canvas := black(width, height)
	for range shot.Next - shot.First {
		for _, s := range sources {
			if err := s.next(); err != nil {
				return err
			}
			canvas.put(s.picture, s.cell.X, s.cell.Y)
		}
		if _, err := to.Write(canvas.pixels); err != nil {
			return fmt.Errorf("encoding: %w", err)
		}
		w.progress(1)
	}
	return nil
}

// source is one video of a shot.
type source struct {
	decoder *process
	cell    layout.Cell
	picture picture
	ended   bool
}

func newSource(decoder *process, cell layout.Cell) *source {
	return &source{decoder: decoder, cell: cell, picture: black(cell.Width, cell.Height)}
}

// next reads the next picture; after the last one that stays.
func (s *source) next() error {
	if s.ended {
		return nil
	}
	_, err := io.ReadFull(s.decoder.out, s.picture.pixels)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		s.ended = true
		err = s.decoder.wait()
		if errors.As(err, new(*refusedError)) {
			return nil // a file that can't be read is not shown; the others are
		}
	}
	if err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	return nil
}

// picture is one of YUV 4:2:0, plane by plane.
type picture struct {
	width, height int
	pixels        []byte
}

// black returns a black picture of an even size.
func black(width, height int) picture {
	p := picture{width, height, make([]byte, width*height*3/2)}
	for i := range p.pixels {
		p.pixels[i] = 16
		if i >= width*height {
			p.pixels[i] = 128
		}
	}
	return p
}

// put copies a picture to a place, of even coordinates.
func (p picture) put(other picture, x, y int) {
	from, to := other.pixels, p.pixels
	for plane := range 3 {
		part := 2
		if plane == 0 {
			part = 1
		}
		width, height, across := other.width/part, other.height/part, p.width/part
		for row := range height {
			copy(to[(y/part+row)*across+x/part:][:width], from[row*width:][:width])
		}
		from, to = from[width*height:], to[across*(p.height/part):]
	}
}
