// Package compose is the authority on how the files of single streams become one: which video is
// where and when, and how ffmpeg is told so.
//
//	files of streams --> shots --decoders--> pictures --encoder--> shots on the disk --+
//	               \---> mix ------------------------------------> sound on the disk --+--> one file
//
// A shot is a time in which the same videos are shown. What is on the disk stays there when the
// process ends, and is not made again.
package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"time"

	"mediarooms.dev/mediarooms/recorder/layout"
)

const (
	// MaxCells is how many videos are shown at the same time. Of more the first ones are: each
	// takes a decoder's memory.
	MaxCells = 25
	// leastShot is the time of the shortest shot: what follows sooner is shown with it.
	leastShot = 200 * time.Millisecond
	// longestShot bounds what is lost when the process ends.
	longestShot = 2 * time.Minute
	// way numbers how films are made: what another one has left on the disk is not used.
	way = 1
)

// Film is what is to be composed.
type Film struct {
	// Clips are the files, in the order in which their streams have begun.
	Clips []Clip
	// Width and Height of the picture, and its frames in a second.
	Width, Height, FrameRate int
	// Audio and Video say which of them the film has.
	Audio, Video bool
}

// Clip is the file of one stream.
type Clip struct {
	// Path of the file.
	Path string
	// Start and End are when it begins and ends in the film.
	Start, End time.Duration
	// Audio and Video say which of them it has.
	Audio, Video bool
	// Screen says that the video shows a screen, of which nothing may be cut off.
	Screen bool
}

// Shot is a part of the film in which the same videos are shown.
type Shot struct {
	// First is its first frame, Next the first one after it.
	First, Next int
	// Shown are the videos, in the order of the cells.
	Shown []int
}

// Length is how long the film is.
func (f Film) Length() time.Duration {
	var end time.Duration
	for _, clip := range f.Clips {
		end = max(end, clip.End)
	}
	return end
}

// frames is how many pictures the film has: at least one.
func (f Film) frames() int {
	return max(1, int(math.Ceil(f.Length().Seconds()*float64(f.FrameRate))))
}

// frame is the number of the picture at a time.
func (f Film) frame(at time.Duration) int {
	return int(math.Round(at.Seconds() * float64(f.FrameRate)))
}

// time is when a picture is shown.
func (f Film) time(frame int) time.Duration {
	return time.Duration(frame) * time.Second / time.Duration(f.FrameRate)
}

// size is that of the picture: even, as its encoder needs it.
func (f Film) size() (width, height int) { return f.Width &^ 1, f.Height &^ 1 }

// Shots cuts the film where the videos change that are shown, and where a shot would be too long.
func (f Film) Shots() []Shot {
	all, least, longest := f.frames(), f.frame(leastShot), f.frame(longestShot)
	var shots []Shot
	cuts := f.cuts(all)
	for i, first := range cuts {
		next := all
		if i+1 < len(cuts) {
			next = cuts[i+1]
		}
		if n := len(shots); n > 0 && next-first < least {
			shots[n-1].Next = next
			continue
		}
		shown := f.shown(first)
		if n := len(shots); n > 0 && slices.Equal(shots[n-1].Shown, shown) {
			shots[n-1].Next = next
			continue
		}
		shots = append(shots, Shot{first, next, shown})
	}
	return split(shots, longest)
}

// cuts are the first frame, and those at which a video begins or ends.
func (f Film) cuts(all int) []int {
	cuts := []int{0}
	for _, clip := range f.Clips {
		if clip.Video {
			cuts = append(cuts, min(f.frame(clip.Start), all-1), min(f.frame(clip.End), all-1))
		}
	}
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

// shown are the videos of a frame.
func (f Film) shown(frame int) []int {
	var shown []int
	for i, clip := range f.Clips {
		if clip.Video && f.frame(clip.Start) <= frame && frame < f.frame(clip.End) && len(shown) < MaxCells {
			shown = append(shown, i)
		}
	}
	return shown
}

// split cuts shots that are too long.
func split(shots []Shot, longest int) []Shot {
	var out []Shot
	for _, shot := range shots {
		for shot.Next-shot.First > longest {
			out = append(out, Shot{shot.First, shot.First + longest, shot.Shown})
			shot.First += longest
		}
		out = append(out, shot)
	}
	return out
}

// cells are the places of the videos of a shot, on even pixels.
func (f Film) cells(shot Shot) []layout.Cell {
	cells := layout.BestFit(len(shot.Shown), f.Width, f.Height)
	width, height := f.size()
	for i, cell := range cells {
		cell.X, cell.Y = cell.X&^1, cell.Y&^1
		cell.Width, cell.Height = max(cell.Width&^1, 2), max(cell.Height&^1, 2)
		cell.X, cell.Y = min(cell.X, width-cell.Width), min(cell.Y, height-cell.Height)
		cells[i] = cell
	}
	return cells
}

// screen says that a shot shows a screen: nothing of any video is cut off then.
func (f Film) screen(shot Shot) bool {
	return slices.ContainsFunc(shot.Shown, func(i int) bool { return f.Clips[i].Screen })
}

// key tells films apart.
func (f Film) key() string {
	described, err := json.Marshal([]any{way, f})
	if err != nil {
		return "unknown" // plain data types always marshal
	}
	sum := sha256.Sum256(described)
	return hex.EncodeToString(sum[:8])
}
