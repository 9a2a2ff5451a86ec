package compose

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/recorder/layout"
)

// quiet is what all runs of ffmpeg are told: they ask for nothing, and say only what is wrong.
var quiet = []string{"-nostdin", "-hide_banner", "-loglevel", "error", "-nostats", "-y"}

// seconds writes a time as ffmpeg reads it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

// local names a file so that ffmpeg takes it for nothing else.
func local(path string) string { return "file:" + path }

// reading has a clip read as what it is, whatever is in it: it can name no other file.
func reading(clip Clip) []string {
	return []string{"-threads", "1", "-protocol_whitelist", "file", "-f", "matroska", "-i", local(clip.Path)}
}

// decoding has the frames of a clip come out of the standard output, in the size of its cell: one
// for each frame of the shot, as long as the clip goes on. The one before the shot is its first,
// if there is one.
func (f Film) decoding(shot Shot, clip Clip, cell layout.Cell) []string {
	fit := fmt.Sprintf("scale=%[1]d:%[2]d:force_original_aspect_ratio=increase:flags=bilinear,crop=%[1]d:%[2]d", cell.Width, cell.Height)
	if f.screen(shot) {
		fit = fmt.Sprintf("scale=%[1]d:%[2]d:force_original_aspect_ratio=decrease:flags=bilinear,pad=%[1]d:%[2]d:(ow-iw)/2:(oh-ih)/2:black", cell.Width, cell.Height)
	}
	rate := strconv.Itoa(f.FrameRate)
	from := f.time(shot.First) - clip.Start
	args := append([]string{}, quiet...)
	if from > 0 {
		args = append(args, "-noaccurate_seek", "-ss", seconds(from))
	} else if from < 0 {
		args = append(args, "-itsoffset", seconds(-from))
	}
	return append(append(args, reading(clip)...), "-map", "0:v:0",
		"-filter_threads", "1", "-vf", fit+",fps="+rate+",trim=start=0,format=yuv420p", "-fps_mode", "cfr", "-r", rate,
		"-frames:v", strconv.Itoa(shot.Next-shot.First), "-f", "rawvideo", "pipe:1")
}

// encoding makes the pictures of the standard input a file. There are no frames that need later
// ones, so that shots can be put together as they are.
func (f Film) encoding(path string) []string {
	width, height := f.size()
	rate := strconv.Itoa(f.FrameRate)
	return append(append([]string{}, quiet...), "-f", "rawvideo", "-pixel_format", "yuv420p",
		"-video_size", fmt.Sprintf("%dx%d", width, height), "-framerate", rate, "-i", "pipe:0",
		"-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-bf", "0", "-g", strconv.Itoa(4*f.FrameRate),
		"-threads", "2", "-f", "h264", local(path))
}

// codec of sound, and the container that it is kept in.
type codec struct {
	name, rate, format string
}

var (
	aac  = codec{"aac", "128k", "ipod"}
	opus = codec{"libopus", "96k", "webm"}
)

// mixing makes the sound of all clips a file, of the whole time: what is missing is silence.
func (f Film) mixing(to codec, path string) []string {
	args := append([]string{}, quiet...)
	graph := []string{fmt.Sprintf("anullsrc=r=48000:cl=stereo:d=%s[s]", seconds(f.Length()))}
	mixed, n := "[s]", 0
	for _, clip := range f.Clips {
		if !clip.Audio {
			continue
		}
		args = append(append(args, "-vn"), reading(clip)...)
		graph = append(graph, fmt.Sprintf("[%d:a:0]aresample=48000:async=1:min_hard_comp=0.03:first_pts=0,"+
			"aformat=sample_fmts=fltp:channel_layouts=stereo,adelay=%dS:all=1[a%d]", n, samples(clip.Start), n))
		mixed += fmt.Sprintf("[a%d]", n)
		n++
	}
	graph = append(graph, fmt.Sprintf("%samix=inputs=%d:duration=first:normalize=0,alimiter=limit=0.95:level=disabled[out]", mixed, n+1))
	return append(args, "-filter_complex_threads", "1", "-filter_complex", strings.Join(graph, ";"),
		"-map", "[out]", "-c:a", to.name, "-b:a", to.rate, "-ar", "48000", "-f", to.format, local(path))
}

// listening decodes the first sound of a clip, for nothing.
func listening(clip Clip) []string {
	return append(append(append(append([]string{}, quiet...), "-vn"), reading(clip)...), "-map", "0:a:0", "-frames:a", "1", "-f", "null", "pipe:1")
}

func samples(d time.Duration) int { return int(math.Round(d.Seconds() * 48_000)) }

// joining puts the pictures of the standard input and the sound together; sound is "" without.
func (f Film) joining(sound, path string) []string {
	args := append(append([]string{}, quiet...), "-f", "h264", "-framerate", strconv.Itoa(f.FrameRate), "-i", "pipe:0")
	if sound != "" {
		args = append(args, "-i", local(sound), "-map", "0:v:0", "-map", "1:a:0")
	}
	return append(args, "-c", "copy", "-movflags", "+faststart", "-f", "mp4", local(path))
}

// showing makes a picture of the middle of a film.
func (f Film) showing(film, path string) []string {
	return append(append([]string{}, quiet...), "-ss", seconds(f.Length()/2), "-i", local(film),
		"-frames:v", "1", "-vf", "scale=480:-2", "-f", "mjpeg", local(path))
}
