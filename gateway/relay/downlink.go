package relay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"

	"mediarooms.dev/mediarooms/internal/podhttp"
)

// codeServiceRestart is the close code of a media pod whose room another one goes on with.
const codeServiceRestart = 1012

// maxTold is how long a message for the gateway may be.
const maxTold = 4 << 10

// errMoved means that the media pod has said that another one goes on.
var errMoved = errors.New("the room is on another media pod")

// errTold means that a media pod tells the gateway what that does not know.
var errTold = errors.New("message of the media pod to the gateway is malformed")

// downlink is the way from the media pod to the client. A message that is not large is passed once
// it is complete, so that the next media pod can go on after a part of one.
type downlink struct {
	client   io.Writer
	answered func(id []byte) // a message with that id has passed

	resumption string // what the next media pod is given; "" for none
	// coming is the resumption from when the answer with the id comingWith has passed; "" for none.
	coming, comingWith string
	closed             bool // a close frame has passed: nothing more comes
	torn               bool // a part of a message has passed

	held    []byte // what has not passed of a message
	told    []byte // what has come of a message for the gateway
	telling bool   // one is coming
	text    bool   // a text message is coming
	reading envelope
}

// clientError is a failure of the way to the client.
type clientError struct{ error }

// Unwrap returns the cause.
func (e clientError) Unwrap() error { return e.error }

func (d *downlink) write(data []byte) error {
	if _, err := d.client.Write(data); err != nil {
		return clientError{err}
	}
	return nil
}

// carry passes what a media pod sends until that ends, with io.EOF at best.
func (d *downlink) carry(reader *bufio.Reader, epoch int) error {
	for {
		f, err := peekFrame(reader)
		switch {
		case err != nil:
		case f.control():
			err = f.whole(reader, func(whole []byte) error { return d.control(f, whole, epoch) })
		default:
			err = f.parts(reader, func(part []byte, offset uint64, last bool) error { return d.data(f, part, offset, last) })
		}
		if err != nil {
			return err
		}
	}
}

func (d *downlink) control(f frame, whole []byte, epoch int) error {
	switch {
	case f.opcode == opPing && epoch > 0 && f.payload < maxControl:
		return d.write(shortFrame(opPing, append([]byte{ordinal(epoch)}, f.unmasked(whole)...), false))
	case f.opcode == opClose:
		payload := f.unmasked(whole)
		if len(payload) >= 2 && binary.BigEndian.Uint16(payload) == codeServiceRestart && d.resumption != "" && !d.torn {
			return errMoved
		}
		d.closed = true
	}
	return d.write(whole)
}

// data takes a part of a data frame, of which so many bytes came before.
func (d *downlink) data(f frame, part []byte, offset uint64, last bool) error {
	if f.begins() && offset == 0 {
		d.telling, d.text = f.opcode == opBinary, f.opcode == opText
		d.reading.begin()
	}
	payload, from := f.text(part, offset)
	ends := last && f.final
	if d.telling {
		return d.tell(payload, ends)
	}
	if d.text && d.reading.id == nil && !d.reading.method {
		d.reading.take(payload, f.mask, from)
	}
	if err := d.pass(part, ends); err != nil {
		return err
	}
	if ends {
		d.torn = false
		if d.text && d.reading.id != nil {
			d.passed(d.reading.id)
		}
		d.text = false
	}
	return nil
}

// pass writes what there is of a message, if it is complete or large.
func (d *downlink) pass(part []byte, ends bool) error {
	switch {
	case !ends && !d.torn && len(d.held)+len(part) <= maxMessage:
		d.held = append(d.held, part...)
		return nil
	case len(d.held) > 0:
		part = append(d.held, part...)
		d.held = nil
	}
	d.torn = !ends
	return d.write(part)
}

// tell takes a part of a message for the gateway.
func (d *downlink) tell(part []byte, ends bool) error {
	if len(d.told)+len(part) > maxTold {
		return errTold
	}
	if d.told = append(d.told, part...); ends {
		d.resume(podhttp.ParseMessage(d.told))
		d.told, d.telling = nil, false
	}
	return nil
}

// resume takes in how the next media pod resumes the client, once it has the answer with an id. Of
// an id that is not remembered it is not known when that is.
func (d *downlink) resume(resumption string, id []byte) {
	if len(id) == 0 || len(id) > maxID {
		d.resumption, d.coming = resumption, ""
		return
	}
	d.coming, d.comingWith = resumption, string(id)
}

// passed takes in that the client has the answer with an id.
func (d *downlink) passed(id []byte) {
	if d.coming != "" && d.comingWith == string(id) {
		d.resumption, d.coming = d.coming, ""
	}
	d.answered(id)
}

// lose forgets what the lost media pod has not sent to its end. It reports whether the client can
// go on with another one.
func (d *downlink) lose() bool {
	d.held, d.told, d.telling, d.text, d.coming = nil, nil, false, false, ""
	return d.resumption != "" && !d.torn && !d.closed
}
