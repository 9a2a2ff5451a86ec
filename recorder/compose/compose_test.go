package compose_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mediarooms.dev/mediarooms/recorder/compose"
	"mediarooms.dev/mediarooms/recorder/matroska"
)

// shot is where the files are that tests compose: each is made once.
var shot string

// TestMain removes them.
func TestMain(m *testing.M) {
	var err error
	if shot, err = os.MkdirTemp("", "compose"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(shot); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// run runs ffmpeg or ffprobe, and returns what comes out.
func run(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	command := exec.Command(program, args...)
	var errors bytes.Buffer
	command.Stderr = &errors
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", program, args, err, &errors)
	}
	return out
}

// shoot makes a file of one colour, with a beep of a fifth of a second in each second, in which the
// picture is white.
func shoot(t *testing.T, name, colour, size string, rate int, length time.Duration, sound bool) string {
	t.Helper()
	path := filepath.Join(shot, fmt.Sprintf("%s-%s-%d-%v-%t.webm", name, size, rate, length, sound))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	args := []string{
		"-loglevel", "error", "-f", "lavfi", "-i",
		fmt.Sprintf("color=%s:s=%s:r=%d:d=%f,drawbox=c=white:t=fill:enable='lt(mod(t,1),0.2)'", colour, size, rate, length.Seconds()),
	}
	if sound {
		args = append(args, "-f", "lavfi", "-i", fmt.Sprintf("aevalsrc='if(lt(mod(t,1),0.2),0.4*sin(2*PI*1000*t),0)':s=48000:d=%f", length.Seconds()))
	}
	run(t, "ffmpeg", append(args, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "500k", "-g", "9999", "-auto-alt-ref", "0",
		"-c:a", "libopus", "-f", "webm", path)...)
	return path
}

// seen are the colours of a film, small, by the frame.
type seen struct {
	width, height int
	pixels        []byte
}

func look(t *testing.T, path string, width, height int) seen {
	t.Helper()
	return seen{width, height, run(t, "ffmpeg", "-loglevel", "error", "-i", path, "-an", "-vf", fmt.Sprintf("scale=%d:%d:flags=area", width, height), "-f", "rawvideo", "-pix_fmt", "rgb24", "-")}
}

func (s seen) frames() int { return len(s.pixels) / (s.width * s.height * 3) }

// at names the colour of a place.
func (s seen) at(frame, x, y int) string {
	i := 3 * (frame*s.width*s.height + y*s.width + x)
	name := ""
	for n, letter := range "rgb" {
		if s.pixels[i+n] > 100 {
			name += string(letter)
		}
	}
	return name
}

// beeps returns when a sound begins.
func beeps(t *testing.T, path string) []time.Duration {
	t.Helper()
	raw := run(t, "ffmpeg", "-loglevel", "error", "-i", path, "-vn", "-ac", "1", "-ar", "8000", "-f", "s16le", "-")
	var all []time.Duration
	last := -time.Second
	for i := 0; i+1 < len(raw); i += 2 {
		at := time.Duration(i/2) * time.Second / 8000
		if level := math.Abs(float64(int16(binary.LittleEndian.Uint16(raw[i:])))); level > 2000 {
			if at-last > 200*time.Millisecond {
				all = append(all, at)
			}
			last = at
		}
	}
	return all
}

type probed struct {
	Streams []struct {
		CodecName     string `json:"codec_name"`
		Width, Height int
		RFrameRate    string `json:"r_frame_rate"`
	}
	Format struct {
		Duration string
	}
}

func probe(t *testing.T, path string) (probed, string) {
	t.Helper()
	var p probed
	if err := json.Unmarshal(run(t, "ffprobe", "-loglevel", "error", "-show_streams", "-show_format", "-of", "json", path), &p); err != nil {
		t.Fatal(err)
	}
	var codecs []string
	for _, s := range p.Streams {
		codecs = append(codecs, s.CodecName)
	}
	slices.Sort(codecs)
	return p, strings.Join(codecs, " ")
}

func compositor() compose.Composer { return compose.Composer{Program: "ffmpeg"} }

func made(t *testing.T, film compose.Film, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := compositor().Compose(t.Context(), film, compose.Files{Film: path, Picture: path + ".jpg"}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 {
		t.Errorf("beside the film there is %v %v", entries, err)
	}
	return path
}

func TestVideosAreInTheirCellsAndSoundGoesWithThem(t *testing.T) {
	red := shoot(t, "red", "0xff0000", "160x120", 15, 6*time.Second, true)
	blue := shoot(t, "blue", "0x0000ff", "120x160", 30, 4*time.Second, true)
	film := compose.Film{
		Width: 320, Height: 180, FrameRate: 25, Audio: true, Video: true,
		Clips: []compose.Clip{
			{Path: red, End: 6 * time.Second, Audio: true, Video: true},
			{Path: blue, Start: 2500 * time.Millisecond, End: 6500 * time.Millisecond, Audio: true, Video: true},
		},
	}
	path := made(t, film, "film.mp4")
	p, codecs := probe(t, path)
	if codecs != "aac h264" || p.Streams[0].Width != 320 || p.Streams[0].Height != 180 || p.Streams[0].RFrameRate != "25/1" || !strings.HasPrefix(p.Format.Duration, "6.5") {
		t.Errorf("the film is %q %+v", codecs, p)
	}
	s := look(t, path, 32, 18)
	if n := s.frames(); n != 163 {
		t.Fatalf("there are %d frames", n)
	}
	// While the picture of a stream is white it beeps.
	for _, c := range []struct {
		at          time.Duration
		left, right string
	}{
		{500, "r", "r"}, {1500, "r", "r"}, {2100, "rgb", "rgb"}, {2300, "r", "r"}, {2600, "r", "rgb"}, {2900, "r", "b"}, {3100, "rgb", "b"},
		{3400, "r", "b"}, {3600, "r", "rgb"}, {5100, "rgb", "b"}, {5900, "r", "b"}, {6300, "b", "b"},
	} {
		frame := int(c.at) * 25 / 1000
		if left, right := s.at(frame, 8, 9), s.at(frame, 24, 9); left != c.left || right != c.right {
			t.Errorf("at %d ms there is %q beside %q, want %q beside %q", c.at, left, right, c.left, c.right)
		}
	}
	whiteAt := func(x int, from time.Duration) time.Duration {
		frame := int(from.Milliseconds()) * 25 / 1000
		for s.at(frame, x, 9) != "rgb" {
			frame++
		}
		return time.Duration(frame) * 40 * time.Millisecond
	}
	heard := beeps(t, path)
	if len(heard) != 10 {
		t.Fatalf("beeps are at %v", heard)
	}
	for i, at := range map[int]time.Duration{1: whiteAt(8, 600*time.Millisecond), 2: whiteAt(8, 1600*time.Millisecond), 5: whiteAt(24, 3300*time.Millisecond), 6: whiteAt(8, 3600*time.Millisecond)} {
		if apart := heard[i] - at; apart > 80*time.Millisecond || apart < -80*time.Millisecond {
			t.Errorf("beep %d is at %v, its picture at %v", i, heard[i], at)
		}
	}
	if small, codec := probe(t, path+".jpg"); codec != "mjpeg" || small.Streams[0].Width != 480 {
		t.Errorf("its picture is %q %+v", codec, small)
	}
}

// changing makes a file whose picture changes its size in the middle.
func changing(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "changing.webm")
	w, err := matroska.Create(path, []matroska.Track{{Number: 2, Codec: "VP8", Width: 160, Height: 120}})
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range []string{shoot(t, "small", "0xff0000", "160x120", 25, 2*time.Second, false), shoot(t, "large", "0x00ff00", "320x240", 25, 2*time.Second, false)} {
		// The parser of recordings reads what it has written itself only.
		raw := run(t, "ffmpeg", "-loglevel", "error", "-i", part, "-c", "copy", "-f", "ivf", "-")[32:]
		for n := 0; len(raw) > 12; n++ {
			size := int(binary.LittleEndian.Uint32(raw))
			frame := raw[12:][:size]
			at := time.Duration(i)*2*time.Second + time.Duration(n)*40*time.Millisecond
			if err := w.Add(matroska.Block{Track: 2, At: at, Key: frame[0]&1 == 0, Data: frame}); err != nil {
				t.Fatal(err)
			}
			raw = raw[12+size:]
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAPictureThatChangesItsSize(t *testing.T) {
	path := changing(t)
	blue := shoot(t, "blue", "0x0000ff", "320x240", 25, 3*time.Second, false)
	film := compose.Film{Width: 320, Height: 180, FrameRate: 20, Video: true, Clips: []compose.Clip{
		{Path: path, End: 4 * time.Second, Video: true}, {Path: blue, Start: time.Second, End: 4 * time.Second, Video: true, Screen: true},
	}}
	out := made(t, film, "film.mp4")
	if _, codecs := probe(t, out); codecs != "h264" {
		t.Errorf("a film without sound is %q", codecs)
	}
	s := look(t, out, 32, 18)
	if n := s.frames(); n != 80 {
		t.Fatalf("there are %d frames", n)
	}
	for _, c := range []struct {
		at          int
		left, right string
	}{{500, "r", "r"}, {1800, "r", "b"}, {2050, "rgb", "rgb"}, {2300, "g", "b"}, {2900, "g", "b"}, {3800, "g", "b"}} {
		if left, right := s.at(c.at/50, 8, 9), s.at(c.at/50, 24, 9); left != c.left || right != c.right {
			t.Errorf("at %d ms there is %q beside %q, want %q beside %q", c.at, left, right, c.left, c.right)
		}
	}
	// Beside a screen nothing is cut off: 4:3 in cells of 160x180 leaves black above and below.
	if top := s.at(30, 8, 1); top != "" {
		t.Errorf("above a picture that is not cropped there is %q", top)
	}
	if top := s.at(10, 8, 1); top != "r" {
		t.Errorf("without a screen there is %q at the top", top)
	}
}

func TestSoundOnly(t *testing.T) {
	red := shoot(t, "red", "0xff0000", "160x120", 10, 3*time.Second, true)
	film := compose.Film{Width: 320, Height: 180, FrameRate: 25, Audio: true, Clips: []compose.Clip{
		{Path: red, End: 3 * time.Second, Audio: true, Video: true}, {Path: red, Start: 3300 * time.Millisecond, End: 6300 * time.Millisecond, Audio: true},
	}}
	path := filepath.Join(t.TempDir(), "sound.webm")
	if err := compositor().Compose(t.Context(), film, compose.Files{Film: path}); err != nil {
		t.Fatal(err)
	}
	if p, codecs := probe(t, path); codecs != "opus" || !strings.HasPrefix(p.Format.Duration, "6.3") {
		t.Errorf("it is %q %+v", codecs, p)
	}
	heard, want := beeps(t, path), []int{0, 1000, 2000, 3300, 4300, 5300}
	if len(heard) != len(want) {
		t.Fatalf("beeps are at %v", heard)
	}
	for i := range want {
		if apart := heard[i] - time.Duration(want[i])*time.Millisecond; apart > 40*time.Millisecond || apart < -40*time.Millisecond {
			t.Errorf("beep %d is at %v, want %d ms", i, heard[i], want[i])
		}
	}
}

// What can't be decoded is left out, and the rest is composed.
func TestAFileThatIsBroken(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.webm")
	if err := os.WriteFile(broken, bytes.Repeat([]byte("no film "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	green := shoot(t, "green", "0x00ff00", "160x120", 10, time.Second, true)
	film := compose.Film{Width: 320, Height: 180, FrameRate: 10, Audio: true, Video: true, Clips: []compose.Clip{
		{Path: broken, End: time.Second, Audio: true, Video: true}, {Path: green, End: time.Second, Audio: true, Video: true},
	}}
	path := made(t, film, "film.mp4")
	s := look(t, path, 32, 18)
	if left, right := s.at(7, 8, 9), s.at(7, 24, 9); left != "" || right != "g" {
		t.Errorf("there is %q beside %q", left, right)
	}
	if heard := beeps(t, path); len(heard) != 1 {
		t.Errorf("beeps are at %v", heard)
	}
}

func TestACompositionGoesOnWhereItWasEnded(t *testing.T) {
	red := shoot(t, "red", "0xff0000", "160x120", 10, 2*time.Second, true)
	clip := compose.Clip{Path: red, End: 2 * time.Second, Audio: true, Video: true}
	later := clip
	later.Start, later.End = 2*time.Second, 4*time.Second
	film := compose.Film{Width: 160, Height: 120, FrameRate: 10, Audio: true, Video: true, Clips: []compose.Clip{clip, later}}
	path := filepath.Join(t.TempDir(), "film.mp4")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := compositor()
	c.Progress = func(percent int) {
		if percent >= 70 {
			cancel()
		}
	}
	if err := c.Compose(ctx, film, compose.Files{Film: path}); err == nil {
		t.Fatal("it was ended, and is complete")
	}
	first, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".compose-*", "shot-000000000"))
	if err != nil || len(first) != 1 {
		t.Fatalf("there is no first shot: %v", err)
	}
	before, err := os.Stat(first[0])
	if err != nil {
		t.Fatal(err)
	}
	var after os.FileInfo
	c.Progress = func(percent int) {
		if percent > 60 {
			after, _ = os.Stat(first[0])
		}
	}
	if err := c.Compose(t.Context(), film, compose.Files{Film: path}); err != nil {
		t.Fatal(err)
	}
	if after == nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Error("the first shot was made twice")
	}
	if s := look(t, path, 16, 12); s.frames() != 40 {
		t.Errorf("there are %d frames", s.frames())
	}
}

func TestWhatFfmpegSaysIsTold(t *testing.T) {
	film := compose.Film{Width: 160, Height: 120, FrameRate: 10, Audio: true, Clips: []compose.Clip{{Path: "/nowhere/a.webm", End: time.Second, Audio: true}}}
	err := compositor().Compose(t.Context(), film, compose.Files{Film: filepath.Join(t.TempDir(), "film.mp4")})
	if err == nil || !strings.Contains(err.Error(), "mixing the sound: stat /nowhere/a.webm: no such file or directory") {
		t.Errorf("the error is %v", err)
	}
	err = compose.Composer{Program: "/nowhere/ffmpeg"}.Compose(t.Context(), film, compose.Files{Film: filepath.Join(t.TempDir(), "film.mp4")})
	if err == nil || !strings.Contains(err.Error(), "starting ffmpeg") {
		t.Errorf("the error is %v", err)
	}
}
