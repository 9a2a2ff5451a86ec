package compose

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/recorder/layout"
)

const second = time.Second

func video(start, end time.Duration) Clip {
	return Clip{Path: "/r/a.webm", Start: start, End: end, Video: true, Audio: true}
}

func TestAFilmIsCutWhereItsVideosChange(t *testing.T) {
	screen, sound := video(3*second, 5*second), video(second, 9*second)
	screen.Screen, sound.Video = true, false
	for name, c := range map[string]struct {
		clips []Clip
		want  string
	}{
		"nothing":              {nil, "[{0 1 []}]"},
		"one":                  {[]Clip{video(0, 4*second)}, "[{0 100 [0]}]"},
		"two":                  {[]Clip{video(0, 4*second), video(2*second, 6*second)}, "[{0 50 [0]} {50 100 [0 1]} {100 150 [1]}]"},
		"a pause":              {[]Clip{video(0, second), video(2*second, 3*second)}, "[{0 25 [0]} {25 50 []} {50 75 [1]}]"},
		"sound only":           {[]Clip{sound}, "[{0 225 []}]"},
		"sound does not cut":   {[]Clip{video(0, 9*second), sound}, "[{0 225 [0]}]"},
		"a screen":             {[]Clip{video(0, 6*second), screen}, "[{0 75 [0]} {75 125 [0 1]} {125 150 [0]}]"},
		"changes that are one": {[]Clip{video(0, 2*second), video(2*second+100*time.Millisecond, 4*second)}, "[{0 53 [0]} {53 100 [1]}]"},
		"too long":             {[]Clip{video(0, 250*second)}, "[{0 3000 [0]} {3000 6000 [0]} {6000 6250 [0]}]"},
		"a blink":              {[]Clip{video(0, 4*second), video(second, second)}, "[{0 100 [0]}]"},
	} {
		film := Film{Clips: c.clips, Width: 1280, Height: 720, FrameRate: 25, Audio: true, Video: true}
		if got := fmt.Sprint(film.Shots()); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Whatever clips there are, shots follow each other, and cells are even and in the picture.
func FuzzShots(f *testing.F) {
	f.Add(uint32(1000), uint32(9000), uint32(0), uint32(500), uint8(25), uint16(1280), uint16(720))
	f.Add(uint32(0), uint32(0), uint32(0), uint32(0), uint8(120), uint16(101), uint16(1999))
	f.Fuzz(func(t *testing.T, from, to, from2, to2 uint32, rate uint8, width, height uint16) {
		const hour = 3_600_000
		film := Film{FrameRate: int(rate%120) + 1, Width: int(width%1900) + 100, Height: int(height%1900) + 100, Video: true}
		for i := range uint32(40) {
			start := time.Duration((from+i*from2)%hour) * time.Millisecond
			film.Clips = append(film.Clips, video(start, start+time.Duration((to+i*to2)%hour)*time.Millisecond))
		}
		next := 0
		for _, shot := range film.Shots() {
			if shot.First != next || shot.Next <= shot.First || len(shot.Shown) > MaxCells {
				t.Fatalf("after %d frames there is %v", next, shot)
			}
			next = shot.Next
			w, h := film.size()
			for _, c := range film.cells(shot) {
				if c.X%2+c.Y%2+c.Width%2+c.Height%2 != 0 || c.X < 0 || c.Y < 0 || c.Width < 2 || c.Height < 2 || c.X+c.Width > w || c.Y+c.Height > h {
					t.Fatalf("a cell in %dx%d is %v", w, h, c)
				}
			}
		}
		if next != film.frames() {
			t.Fatalf("there are %d frames of %d", next, film.frames())
		}
	})
}

func TestFfmpegIsToldSo(t *testing.T) {
	first, second := video(0, 4*second), video(1500*time.Millisecond, 6*second)
	second.Path = "/r/-i;$(b).webm"
	film := Film{Clips: []Clip{first, second}, Width: 1280, Height: 720, FrameRate: 25, Audio: true, Video: true}
	shot, cell := Shot{First: 50, Next: 100, Shown: []int{0, 1}}, layout.Cell{X: 640, Width: 640, Height: 720}
	const start = "-nostdin -hide_banner -loglevel error -nostats -y "
	for name, c := range map[string]struct {
		got  []string
		want string
	}{
		"decoding": {film.decoding(shot, second, cell), start + "-noaccurate_seek -ss 0.500000 -threads 1 -protocol_whitelist file -f matroska -i file:/r/-i;$(b).webm -map 0:v:0 -filter_threads 1 " +
			"-vf scale=640:720:force_original_aspect_ratio=increase:flags=bilinear,crop=640:720,fps=25,trim=start=0,format=yuv420p -fps_mode cfr -r 25 -frames:v 50 -f rawvideo pipe:1"},
		"encoding": {film.encoding("/r/x"), start + "-f rawvideo -pixel_format yuv420p -video_size 1280x720 -framerate 25 -i pipe:0 " +
			"-c:v libx264 -preset veryfast -crf 26 -bf 0 -g 100 -threads 2 -f h264 file:/r/x"},
		"mixing": {film.mixing(aac, "/r/x"), start + "-vn -threads 1 -protocol_whitelist file -f matroska -i file:/r/a.webm -vn -threads 1 -protocol_whitelist file -f matroska -i file:/r/-i;$(b).webm -filter_complex_threads 1 -filter_complex " +
			"anullsrc=r=48000:cl=stereo:d=6.000000[s];" +
			"[0:a:0]aresample=48000:async=1:min_hard_comp=0.03:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=stereo,adelay=0S:all=1[a0];" +
			"[1:a:0]aresample=48000:async=1:min_hard_comp=0.03:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=stereo,adelay=72000S:all=1[a1];" +
			"[s][a0][a1]amix=inputs=3:duration=first:normalize=0,alimiter=limit=0.95:level=disabled[out] " +
			"-map [out] -c:a aac -b:a 128k -ar 48000 -f ipod file:/r/x"},
		"joining": {film.joining("/r/s", "/r/x"), start + "-f h264 -framerate 25 -i pipe:0 -i file:/r/s -map 0:v:0 -map 1:a:0 -c copy -movflags +faststart -f mp4 file:/r/x"},
		"showing": {film.showing("/r/f", "/r/x"), start + "-ss 3.000000 -i file:/r/f -frames:v 1 -vf scale=480:-2 -f mjpeg file:/r/x"},
	} {
		if got := strings.Join(c.got, " "); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
	second.Screen = true
	film.Clips[1] = second
	shot.First = 25
	if got := strings.Join(film.decoding(shot, second, cell), " "); !strings.Contains(got, "-itsoffset 0.500000 ") ||
		!strings.Contains(got, "scale=640:720:force_original_aspect_ratio=decrease:flags=bilinear,pad=640:720:(ow-iw)/2:(oh-ih)/2:black,") {
		t.Errorf("a screen that begins later: %s", got)
	}
}
