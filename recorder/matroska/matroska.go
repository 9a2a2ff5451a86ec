// Package matroska is the authority on the files of recordings: WebM, and Matroska where WebM has
// not the codec. A file grows by whole clusters, so that what is there is readable at any moment,
// whatever becomes of who writes.
package matroska

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/at-wat/ebml-go"
	"github.com/at-wat/ebml-go/webm"
)

const (
	// cuesBytes is what is kept free before the first cluster for the index, which is known last.
	cuesBytes = 8 << 10
	// cueBytes is what an entry of it takes at most.
	cueBytes = 24
	// cueInterval is the least time between two entries.
	cueInterval = 2 * time.Second
	// maxClusterBytes bounds what a reader takes for a cluster.
	maxClusterBytes = 256 << 20
	// maxClusterTime is how much of time a cluster holds at most: its blocks have 16 bits of it.
	maxClusterTime = 20 * time.Second
)

// Track describes one track of a file.
type Track struct {
	// Number is from 1.
	Number uint64
	// Codec is its SDP encoding name: "opus", "VP8", "VP9" or "H264".
	Codec string
	// Width and Height are those of a video's first picture.
	Width, Height int
	// Private is what the decoder needs beforehand.
	Private []byte
}

// Video tells whether the track is one of video.
func (t Track) Video() bool { return t.Codec != "opus" }

// Extension is that of the file with such tracks, and ContentType its media type.
func Extension(tracks []Track) string {
	for _, t := range tracks {
		if t.Codec == "H264" {
			return ".mkv"
		}
	}
	return ".webm"
}

// Block is one frame in a file.
type Block struct {
	// Track is the number of its track.
	Track uint64
	// At is when it is shown, from the beginning of the file, in whole milliseconds.
	At   time.Duration
	Key  bool
	Data []byte
}

// Writer writes a file. It is not safe for concurrent use.
type Writer struct {
	file     *os.File
	video    uint64 // the number of the video's track; 0 without
	duration int64  // where the duration is
	segment  int64  // where the segment's data begins
	cuesAt   int64
	size     int64
	pending  []ebml.Block
	base     time.Duration // of the pending cluster
	last     map[uint64]time.Duration
	end      time.Duration
	cues     []webm.CuePoint
}

var ids = map[string]string{"opus": "A_OPUS", "VP8": "V_VP8", "VP9": "V_VP9", "H264": "V_MPEG4/ISO/AVC"}

// opusHead is the identification header (RFC 7845, section 5.1): stereo, 48 kHz.
var opusHead = []byte{'O', 'p', 'u', 's', 'H', 'e', 'a', 'd', 1, 2, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0}

// Create makes a file, in the place of what there is under its name, and writes its header.
func Create(path string, tracks []Track) (*Writer, error) {
	header, err := encodeHeader(tracks)
	if err != nil {
		return nil, fmt.Errorf("describing %s: %w", path, err)
	}
	w := &Writer{last: map[uint64]time.Duration{}}
	for _, t := range tracks {
		if t.Video() {
			w.video = t.Number
		}
	}
	w.segment = int64(bytes.Index(header, segmentID) + len(segmentID) + 8)
	w.duration = int64(bytes.Index(header, durationID) + len(durationID))
	w.cuesAt = int64(len(header))
	header = append(header, void(cuesBytes)...)
	if w.file, err = os.Create(path); err != nil {
		return nil, fmt.Errorf("making a file: %w", err)
	}
	if err := w.write(header); err != nil {
		return nil, errors.Join(err, w.file.Close(), os.Remove(path))
	}
	return w, nil
}

var (
	ebmlID     = []byte{0x1a, 0x45, 0xdf, 0xa3}
	segmentID  = []byte{0x18, 0x53, 0x80, 0x67}
	durationID = []byte{0x44, 0x89, 0x88} // with its size, 8
	clusterID  = []byte{0x1f, 0x43, 0xb6, 0x75}
)

func encodeHeader(tracks []Track) ([]byte, error) {
	docType := "webm"
	if Extension(tracks) == ".mkv" {
		docType = "matroska"
	}
	var head struct {
		Header  webm.EBMLHeader `ebml:"EBML"`
		Segment struct {
			Info   webm.Info   `ebml:"Info"`
			Tracks webm.Tracks `ebml:"Tracks"`
		} `ebml:"Segment,size=unknown"`
	}
	head.Header = webm.EBMLHeader{
		EBMLVersion: 1, EBMLReadVersion: 1, EBMLMaxIDLength: 4, EBMLMaxSizeLength: 8,
		DocType: docType, DocTypeVersion: 4, DocTypeReadVersion: 2,
	}
	head.Segment.Info = webm.Info{
		TimecodeScale: uint64(time.Millisecond), MuxingApp: "mediarooms", WritingApp: "mediarooms", Duration: math.SmallestNonzeroFloat64,
	}
	for _, t := range tracks {
		id, known := ids[t.Codec]
		if !known {
			return nil, fmt.Errorf("codec %q is none of opus, VP8, VP9 and H264", t.Codec)
		}
		entry := webm.TrackEntry{TrackNumber: t.Number, TrackUID: t.Number, CodecID: id, CodecPrivate: t.Private}
		if t.Video() {
			entry.TrackType = 1
			entry.Video = &webm.Video{PixelWidth: uint64(max(t.Width, 1)), PixelHeight: uint64(max(t.Height, 1))}
		} else {
			entry.TrackType, entry.CodecPrivate = 2, opusHead
			entry.SeekPreRoll = uint64(80 * time.Millisecond)
			entry.Audio = &webm.Audio{SamplingFrequency: 48000, Channels: 2}
		}
		head.Segment.Tracks.TrackEntry = append(head.Segment.Tracks.TrackEntry, entry)
	}
	var buffer bytes.Buffer
	if err := ebml.Marshal(&head, &buffer); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// void is an element of so many bytes that says nothing; at least 9.
func void(size int) []byte {
	b := make([]byte, size)
	b[0] = 0xec
	binary.BigEndian.PutUint64(b[1:], 1<<56|uint64(size-9))
	return b
}

func (w *Writer) write(b []byte) error {
	n, err := w.file.Write(b)
	if err != nil {
		// Half a cluster would hide what comes after it.
		return errors.Join(fmt.Errorf("writing %d bytes, of which %d were: %w", len(b), n, err), w.file.Truncate(w.size))
	}
	w.size += int64(n)
	return nil
}

// Size returns how many bytes are written, without what waits for Flush.
func (w *Writer) Size() int64 { return w.size }

// End returns when the last frame is shown.
func (w *Writer) End() time.Duration { return w.end }

// Add takes a frame. It is written by Flush, or when a cluster is full. Frames of one track never
// go back in time: one that would is shown a millisecond after the one before.
func (w *Writer) Add(b Block) error {
	at := max(b.At.Truncate(time.Millisecond), 0)
	if last, shown := w.last[b.Track]; shown && at <= last {
		at = last + time.Millisecond
	}
	starts := b.Key && b.Track == w.video
	if len(w.pending) > 0 && (starts || at-w.base > maxClusterTime || w.base-at > maxClusterTime) {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if len(w.pending) == 0 {
		w.base = at
		w.index(at, b.Track, starts)
	}
	w.last[b.Track] = at
	w.end = max(w.end, at)
	w.pending = append(w.pending, ebml.Block{
		TrackNumber: b.Track, Timecode: int16((at - w.base).Milliseconds()), Keyframe: b.Key, Data: [][]byte{b.Data},
	})
	return nil
}

// index notes where the cluster begins, when a player can start there.
func (w *Writer) index(at time.Duration, track uint64, starts bool) {
	if !starts && w.video != 0 {
		return
	}
	if n := len(w.cues); n > 0 && at-time.Duration(w.cues[n-1].CueTime)*time.Millisecond < cueInterval {
		return
	}
	w.cues = append(w.cues, webm.CuePoint{CueTime: uint64(at.Milliseconds()), CueTrackPositions: []webm.CueTrackPosition{{
		CueTrack: track, CueClusterPosition: uint64(w.size - w.segment),
	}}})
}

// Flush writes what was added as one cluster. After an error the file is as before, and what was
// added is lost.
func (w *Writer) Flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	var buffer bytes.Buffer
	cluster := struct {
		Cluster struct {
			Timecode    uint64       `ebml:"Timecode"`
			SimpleBlock []ebml.Block `ebml:"SimpleBlock"`
		} `ebml:"Cluster"`
	}{}
	cluster.Cluster.Timecode = uint64(w.base.Milliseconds())
	cluster.Cluster.SimpleBlock = w.pending
	w.pending = nil
	if err := ebml.Marshal(&cluster, &buffer); err != nil {
		return fmt.Errorf("encoding a cluster: %w", err)
	}
	return w.write(buffer.Bytes())
}

// Sync has what is written survive the machine.
func (w *Writer) Sync() error { return w.file.Sync() }

// Finish writes what is left, the duration and the index, and closes the file.
func (w *Writer) Finish() error {
	return errors.Join(w.conclude(), w.file.Close())
}

func (w *Writer) conclude() error {
	if err := w.Flush(); err != nil {
		return err
	}
	duration := binary.BigEndian.AppendUint64(nil, math.Float64bits(float64(w.end.Milliseconds())))
	if _, err := w.file.WriteAt(duration, w.duration); err != nil {
		return fmt.Errorf("writing the duration: %w", err)
	}
	if err := w.writeCues(); err != nil {
		return fmt.Errorf("writing the index: %w", err)
	}
	return w.file.Sync()
}

func (w *Writer) writeCues() error {
	cues := w.cues
	for len(cues)*cueBytes > cuesBytes-16 { // every other one
		n := 0
		for i := 0; i < len(cues); i += 2 {
			cues[n] = cues[i]
			n++
		}
		cues = cues[:n]
	}
	if len(cues) == 0 {
		return nil
	}
	var buffer bytes.Buffer
	index := struct {
		Cues webm.Cues `ebml:"Cues"`
	}{webm.Cues{CuePoint: cues}}
	if err := ebml.Marshal(&index, &buffer); err != nil {
		return err
	}
	if buffer.Len() > cuesBytes-9 {
		return nil // a file without an index plays as well
	}
	_, err := w.file.WriteAt(append(buffer.Bytes(), void(cuesBytes-buffer.Len())...), w.cuesAt)
	return err
}

// Abandon closes the file as it is, without what waits for Flush.
func (w *Writer) Abandon() error { return w.file.Close() }

// ErrNoFile marks what is no file that a Writer has written.
var ErrNoFile = errors.New("no file of a recording")

// Read gives the frames of a file, in their order there, to a function. It ends without an error
// where the file was cut.
func Read(path string, take func(Block) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading a file: %w", err)
	}
	defer file.Close()
	r := &reader{file: file}
	for {
		id, size, err := r.element()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		switch {
		case bytes.Equal(id, segmentID):
			continue // what follows is in it
		case !bytes.Equal(id, clusterID):
			if _, err := file.Seek(size, io.SeekCurrent); err != nil {
				return fmt.Errorf("reading %s: %w", path, err)
			}
			continue
		}
		if err := r.cluster(size, take); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("reading %s: %w", path, err)
		}
	}
}

type reader struct {
	file *os.File
	read bool
}

// element reads the head of the next element.
func (r *reader) element() (id []byte, size int64, err error) {
	id, _, err = r.vint()
	if err != nil {
		return nil, 0, err
	}
	if !r.read && !bytes.Equal(id, ebmlID) {
		return nil, 0, ErrNoFile
	}
	r.read = true
	_, value, err := r.vint()
	return id, value, err
}

// vint reads a number of variable size (RFC 8794, section 4), with and without its marker.
func (r *reader) vint() ([]byte, int64, error) {
	raw := make([]byte, 8)
	if _, err := io.ReadFull(r.file, raw[:1]); err != nil {
		return nil, 0, err
	}
	n := 1
	for mask := byte(0x80); mask != 0 && raw[0]&mask == 0; mask >>= 1 {
		n++
	}
	if n > 8 {
		return nil, 0, ErrNoFile
	}
	if _, err := io.ReadFull(r.file, raw[1:n]); err != nil {
		return nil, 0, err
	}
	value := int64(raw[0]) & (1<<(8-n) - 1)
	for _, b := range raw[1:n] {
		value = value<<8 | int64(b)
	}
	return raw[:n], value, nil
}

func (r *reader) cluster(size int64, take func(Block) error) error {
	if size > maxClusterBytes {
		return fmt.Errorf("%w: a cluster has %d bytes", ErrNoFile, size)
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(r.file, raw); err != nil {
		return err
	}
	var cluster struct {
		Timecode    uint64       `ebml:"Timecode"`
		SimpleBlock []ebml.Block `ebml:"SimpleBlock"`
	}
	if err := ebml.Unmarshal(bytes.NewReader(raw), &cluster, ebml.WithIgnoreUnknown(true)); err != nil {
		return fmt.Errorf("%w: %w", ErrNoFile, err)
	}
	for _, b := range cluster.SimpleBlock {
		if len(b.Data) != 1 {
			return fmt.Errorf("%w: a block has %d frames", ErrNoFile, len(b.Data))
		}
		at := time.Duration(int64(cluster.Timecode)+int64(b.Timecode)) * time.Millisecond
		if err := take(Block{Track: b.TrackNumber, At: at, Key: b.Keyframe, Data: b.Data[0]}); err != nil {
			return err
		}
	}
	return nil
}
