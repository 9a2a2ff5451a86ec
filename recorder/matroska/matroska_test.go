package matroska

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/at-wat/ebml-go"
	"github.com/at-wat/ebml-go/webm"
)

var both = []Track{{Number: 1, Codec: "opus"}, {Number: 2, Codec: "VP8", Width: 640, Height: 480}}

// write makes a file of 50 frames of sound and 25 of video a second, with a key frame a second.
func write(t *testing.T, path string, seconds int) *Writer {
	t.Helper()
	w, err := Create(path, both)
	if err != nil {
		t.Fatal(err)
	}
	for i := range seconds * 50 {
		at := time.Duration(i) * 20 * time.Millisecond
		must(t, w.Add(Block{Track: 1, At: at, Key: true, Data: fmt.Appendf(nil, "audio %d", i)}))
		if i%2 == 0 {
			must(t, w.Add(Block{Track: 2, At: at, Key: i%50 == 0, Data: fmt.Appendf(nil, "video %d", i)}))
		}
	}
	must(t, w.Flush())
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []Block {
	t.Helper()
	var blocks []Block
	must(t, Read(path, func(b Block) error {
		blocks = append(blocks, b)
		return nil
	}))
	return blocks
}

func TestAFinishedFileIsWhatOthersRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.webm")
	w := write(t, path, 10)
	must(t, w.Finish())
	raw, err := os.ReadFile(path)
	must(t, err)
	var file struct {
		Header  webm.EBMLHeader `ebml:"EBML"`
		Segment webm.Segment    `ebml:"Segment,size=unknown"`
	}
	must(t, ebml.Unmarshal(bytes.NewReader(raw), &file, ebml.WithIgnoreUnknown(true)))
	if file.Header.DocType != "webm" || file.Segment.Info.Duration != 9980 {
		t.Errorf("the file is a %s of %f ms", file.Header.DocType, file.Segment.Info.Duration)
	}
	if entries := file.Segment.Tracks.TrackEntry; len(entries) != 2 || entries[0].CodecID != "A_OPUS" || entries[1].CodecID != "V_VP8" ||
		entries[1].Video.PixelWidth != 640 {
		t.Errorf("the tracks are %+v", entries)
	}
	blocks := 0
	for _, cluster := range file.Segment.Cluster {
		blocks += len(cluster.SimpleBlock)
	}
	if blocks != 750 {
		t.Errorf("there are %d frames", blocks)
	}
	if file.Segment.Cues == nil || len(file.Segment.Cues.CuePoint) != 5 {
		t.Fatalf("the index is %+v", file.Segment.Cues)
	}
	for _, cue := range file.Segment.Cues.CuePoint { // each leads to a cluster that begins then
		at := int64(cue.CueTrackPositions[0].CueClusterPosition) + w.segment
		if !bytes.Equal(raw[at:at+4], clusterID) {
			t.Errorf("the cue of %d ms leads to %x", cue.CueTime, raw[at:at+4])
		}
	}
}

func TestACutFileIsReadUpToTheCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.webm")
	w := write(t, path, 10)
	must(t, w.Abandon())
	whole := read(t, path)
	if len(whole) != 750 {
		t.Fatalf("there are %d frames", len(whole))
	}
	size := w.Size()
	for cut := size; cut > 0; cut -= size/97 + 1 {
		must(t, os.Truncate(path, cut))
		blocks := read(t, path)
		for i, b := range blocks {
			if b.Track != whole[i].Track || b.At != whole[i].At || !bytes.Equal(b.Data, whole[i].Data) {
				t.Fatalf("cut at %d of %d, frame %d is %+v", cut, size, i, b)
			}
		}
		if float64(len(blocks)) < 750*float64(cut-w.cuesAt-cuesBytes)/float64(size)-90 {
			t.Errorf("cut at %d of %d, there are %d frames", cut, size, len(blocks))
		}
	}
}

func TestTimeDoesNotGoBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.webm")
	w, err := Create(path, both)
	must(t, err)
	for _, ms := range []int{0, 40, 40, 30, 90} {
		must(t, w.Add(Block{Track: 2, At: time.Duration(ms) * time.Millisecond, Data: []byte{1}}))
	}
	must(t, w.Add(Block{Track: 1, At: 35 * time.Millisecond, Data: []byte{1}}))
	must(t, w.Finish())
	var times []int64
	for _, b := range read(t, path) {
		times = append(times, b.At.Milliseconds())
	}
	if fmt.Sprint(times) != "[0 40 41 42 90 35]" {
		t.Errorf("frames are shown at %v", times)
	}
}

func TestALongFileHasAnIndexThatFits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.webm")
	w, err := Create(path, both)
	must(t, err)
	for i := range 5000 {
		must(t, w.Add(Block{Track: 2, At: time.Duration(i) * 2 * time.Second, Key: true, Data: []byte{1}}))
	}
	must(t, w.Finish())
	if n := len(read(t, path)); n != 5000 {
		t.Errorf("there are %d frames", n)
	}
	raw, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(raw[w.cuesAt:w.cuesAt+4], []byte{0x1c, 0x53, 0xbb, 0x6b}) {
		t.Errorf("in the place of the index is %x", raw[w.cuesAt:w.cuesAt+4])
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, content := range []string{"text", "\x00\x00", "\x1a\x45\xdf\xa3\x80\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff"} {
		must(t, os.WriteFile(path, []byte(content), 0o600))
		if err := Read(path, func(Block) error { return nil }); !errors.Is(err, ErrNoFile) {
			t.Errorf("%q: %v", content, err)
		}
	}
	if _, err := Create(path, []Track{{Number: 1, Codec: "AV1"}}); err == nil {
		t.Error("an unknown codec is taken")
	}
}
