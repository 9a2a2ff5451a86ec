package relay

// maxID is how long an id may be that is remembered.
const maxID = 64

// envelope finds the id of a JSON-RPC message while its text passes. Of what is no such message it
// finds none. The zero value is before the text.
type envelope struct {
	depth             int
	inString, escaped bool
	inValue           bool   // of a member of the message itself
	name, value       []byte // of that member
	id                []byte
	method            bool // the message has one, so it is no answer
}

// begin is for a new message.
func (e *envelope) begin() {
	*e = envelope{name: e.name[:0], value: e.value[:0]}
}

// take takes a part of the text, which is masked from some place of the mask on.
func (e *envelope) take(part []byte, mask [4]byte, from uint64) {
	for i, b := range part {
		b ^= mask[(from+uint64(i))%uint64(len(mask))]
		if e.inString && e.depth > 1 && !e.escaped && b != '"' && b != '\\' {
			continue // most of a message is that
		}
		e.next(b)
	}
}

// next takes one byte more.
func (e *envelope) next(b byte) {
	switch {
	case e.escaped:
		e.escaped = false
	case e.inString:
		e.escaped, e.inString = b == '\\', b != '"'
	case b == '"':
		e.inString = true
	case b == '{' || b == '[':
		if e.depth++; e.depth == 1 {
			return
		}
	case b == '}' || b == ']':
		if e.depth == 1 {
			e.endMember()
		}
		e.depth--
		return
	case e.depth != 1:
		return
	case b == ',':
		e.endMember()
		return
	case b == ':':
		e.inValue = true
		return
	case b == ' ' || b == '\t' || b == '\r' || b == '\n':
		return
	}
	if e.depth != 1 {
		return
	}
	if part := &e.name; !e.inValue && len(*part) <= maxID {
		*part = append(*part, b)
	} else if part := &e.value; e.inValue && len(*part) <= maxID {
		*part = append(*part, b)
	}
}

// endMember looks at a member that is complete.
func (e *envelope) endMember() {
	switch string(e.name) {
	case `"method"`:
		e.method = true
	case `"id"`:
		e.id = nil
		if n := len(e.value); n > 0 && n <= maxID && string(e.value) != "null" {
			e.id = append([]byte(nil), e.value...)
		}
	}
	e.name, e.value, e.inValue = e.name[:0], e.value[:0], false
}
