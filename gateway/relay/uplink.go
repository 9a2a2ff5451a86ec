package relay

import (
	"io"
	"sync"
	"time"

	"mediarooms.dev/mediarooms/internal/podhttp"
)

// Bounds of what is kept of one client's messages: those that were not answered, those that wait
// for a media pod, and the one that is coming. Without a media pod no more is read of the client;
// with one the texts beyond the bounds pass and are not kept, and while one of these is not
// answered the media pod can't be replaced.
const (
	maxKept        = 256
	maxKeptBytes   = 256 << 10
	maxMessage     = 64 << 10
	maxOutstanding = 4096 // ids
)

// doubtAfter is how long an answer may take before the relay asks whether the room is still where
// it was. A client that gets no answer to a ping for 5 s reconnects.
const doubtAfter = time.Second

// message is one of the client.
type message struct {
	id   string // "" for none
	raw  []byte // its frames as they came; nil when it is not kept
	sent bool   // to a media pod, perhaps not to its end
	at   time.Time
}

// uplink is the way from the client to the media pod. What is on it and has no answer is sent once
// more to the next media pod.
type uplink struct {
	moved func() bool // whether the room is on another media pod now

	mu    sync.Mutex // guards what follows
	freed *sync.Cond // pod or ended has changed
	pod   io.ReadWriteCloser
	epoch int  // how many media pods there were before
	ended bool // nothing is sent any more
	// final says that the media pod is not to be replaced any more: the client is going, or there
	// are too many requests to know what to repeat.
	final bool

	kept  []message // what is to be repeated or sent, oldest first
	bytes int       // of their texts and of that of coming
	doubt *time.Timer

	coming  message // what of a message has come
	whole   bool    // all of that is in coming.raw
	text    bool    // it is text
	binary  bool    // it is binary, which only the relay sends
	reading envelope
}

func newUplink(pod io.ReadWriteCloser, moved func() bool) *uplink {
	u := &uplink{pod: pod, moved: moved, whole: true}
	u.freed = sync.NewCond(&u.mu)
	return u
}

// data passes a part of a data frame on, of which so many bytes came before. Binary messages are
// dropped: media pods would take them for requests that the relay repeats.
func (u *uplink) data(f frame, part []byte, offset uint64, last bool) {
	u.mu.Lock()
	for u.pod == nil && !u.ended && !u.fits(len(part)) {
		u.freed.Wait()
	}
	if f.begins() && offset == 0 {
		u.text, u.binary = f.opcode == opText, f.opcode == opBinary
		u.reading.begin()
	}
	if u.binary {
		u.mu.Unlock()
		return
	}
	u.keep(part)
	u.read(f, part, offset)
	if last && f.final {
		u.complete()
	}
	pod := u.pod
	u.mu.Unlock()
	send(pod, part)
}

// control passes a control frame on. It reports whether the media pod may still be replaced.
func (u *uplink) control(f frame, whole []byte) bool {
	u.mu.Lock()
	pod, epoch := u.pod, u.epoch
	switch {
	case f.opcode == opClose:
		u.final = true
	case pod == nil && f.opcode == opPing && u.fits(len(whole)):
		u.kept = append(u.kept, message{raw: append([]byte(nil), whole...)})
		u.bytes += len(whole)
	}
	final := u.final
	u.mu.Unlock()
	if f.opcode == opPong && epoch > 0 {
		payload := f.unmasked(whole)
		if len(payload) > 0 && payload[0] == ordinal(epoch) {
			send(pod, shortFrame(opPong, payload[1:], true))
		}
		return !final
	}
	send(pod, whole)
	return !final
}

// ordinal is what the pings of a media pod begin with. Those of the first one do not; what they
// begin with is no ordinal, either, since media pods count their pings in ASCII.
func ordinal(epoch int) byte { return 0x80 | byte(epoch) }

// send writes to a media pod, if there is one. One that takes nothing is lost, which whoever reads
// from it finds out.
func send(pod io.WriteCloser, data []byte) {
	if pod == nil {
		return
	}
	if _, err := pod.Write(data); err != nil {
		_ = pod.Close()
	}
}

// fits reports whether so many bytes more can be kept. The uplink is locked.
func (u *uplink) fits(more int) bool {
	return len(u.kept) < maxKept && u.bytes+more <= maxKeptBytes && len(u.coming.raw)+more <= maxMessage
}

// keep keeps a part of what comes. The uplink is locked.
func (u *uplink) keep(part []byte) {
	switch {
	case !u.whole:
	case u.fits(len(part)):
		u.coming.raw = append(u.coming.raw, part...)
		u.bytes += len(part)
	default:
		u.forget(&u.coming)
		u.whole = false
	}
}

// forget drops the text of a message. The uplink is locked.
func (u *uplink) forget(m *message) {
	u.bytes -= len(m.raw)
	m.raw = nil
}

// read looks for the id in a part of what comes. The uplink is locked.
func (u *uplink) read(f frame, part []byte, offset uint64) {
	if u.text {
		text, from := f.text(part, offset)
		u.reading.take(text, f.mask, from)
	}
}

// complete is for the end of a message. The uplink is locked.
func (u *uplink) complete() {
	m := u.coming
	m.id, m.sent, m.at = string(u.reading.id), u.pod != nil, time.Now()
	if !u.text {
		m.id = ""
	}
	u.coming, u.whole, u.text = message{}, true, false
	switch {
	case m.id == "" && m.sent:
		u.forget(&m) // nobody waits for an answer
	case len(u.kept) >= maxOutstanding:
		u.forget(&m)
		u.final = true
	default:
		u.kept = append(u.kept, m)
		u.arm()
	}
}

// answered is called with the id of a message that the media pod has sent.
func (u *uplink) answered(id []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range u.kept {
		if u.kept[i].id != string(id) {
			continue
		}
		u.forget(&u.kept[i])
		copy(u.kept[1:i+1], u.kept[:i]) // most often it is the oldest
		u.kept[0] = message{}
		if u.kept = u.kept[1:]; len(u.kept) == 0 {
			u.kept = nil
		}
		return
	}
}

// arm has the relay doubt the media pod in a while. The uplink is locked.
func (u *uplink) arm() {
	if u.doubt == nil {
		u.doubt = time.AfterFunc(doubtAfter, u.check)
	} else if len(u.kept) == 1 {
		u.doubt.Reset(doubtAfter)
	}
}

// check gives the media pod up if it does not answer and the room is on another one.
func (u *uplink) check() {
	u.mu.Lock()
	pod := u.pod
	waiting := len(u.kept) > 0 && !u.ended
	overdue := waiting && pod != nil && !u.final && time.Since(u.kept[0].at) >= doubtAfter
	if waiting {
		u.doubt.Reset(doubtAfter)
	}
	u.mu.Unlock()
	if overdue && u.moved() {
		_ = pod.Close()
	}
}

// lose takes note that the media pod is lost. It reports whether another one can take its place.
func (u *uplink) lose() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pod = nil
	if u.final || u.ended || !u.whole {
		return false
	}
	for _, m := range u.kept {
		if m.raw == nil {
			return false
		}
	}
	return true
}

// attach takes another media pod, sends it what is kept, and returns how many there were before. It
// is to be closed when the relay ends meanwhile, which fails the sending.
func (u *uplink) attach(pod io.ReadWriteCloser) (epoch int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return 0, errEnded
	}
	for i := range u.kept {
		m := &u.kept[i]
		if m.sent && m.id != "" {
			m.raw[0] = m.raw[0]&^opcodeBits | opBinary
		}
		if _, err := pod.Write(m.raw); err != nil {
			return 0, err
		}
		m.sent, m.at = true, time.Now()
	}
	requests := u.kept[:0]
	for _, m := range u.kept {
		if m.id == "" {
			u.forget(&m)
			continue
		}
		requests = append(requests, m)
	}
	clear(u.kept[len(requests):])
	u.kept = requests
	if len(u.coming.raw) > 0 {
		if _, err := pod.Write(u.coming.raw); err != nil {
			return 0, err
		}
	}
	u.pod = pod
	u.epoch++
	u.freed.Broadcast()
	return u.epoch, nil
}

// attached reports whether there is a media pod.
func (u *uplink) attached() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pod != nil
}

// gone tells the media pod that the client has ended its connection, unless that knows by a close
// frame. It is called between two frames. After the end it says nothing: then the relay ends, not
// the client.
func (u *uplink) gone() {
	u.mu.Lock()
	pod := u.pod
	if u.final || u.ended {
		pod = nil
	}
	u.mu.Unlock()
	send(pod, shortFrame(opBinary, []byte(podhttp.ClientGone), true))
}

// leave is for when the client sends nothing more. It reports whether a media pod is told.
func (u *uplink) leave() bool {
	u.mu.Lock()
	u.final = true
	pod := u.pod
	u.mu.Unlock()
	half, halves := pod.(interface{ CloseWrite() error })
	return halves && half.CloseWrite() == nil
}

// end lets nothing be sent any more, and whoever waits go on.
func (u *uplink) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	if u.doubt != nil {
		u.doubt.Stop()
	}
	u.freed.Broadcast()
}
