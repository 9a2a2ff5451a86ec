package openvidu

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
)

// params reads the parameters of one request. The first one that is wrong decides the error; what
// is read after that is zero.
//
// Clients for mobiles send every value as a string (openvidu-rpc 1.5).
type params struct {
	method string
	fields map[string]json.RawMessage
	err    error
}

// wrong says which parameter is not as it must be, in the words of the reference (openvidu-rpc
// 1.5).
func (p *params) wrong(name, kind string) {
	if p.err == nil {
		p.err = jsonrpc.Errorf(codeParameter, "java.lang.RuntimeException:Request element '%s' is missing in RPC method '%s'. Check that it is given and is %s",
			name, p.method, kind)
	}
}

// has reports whether a parameter is there and not null.
func (p *params) has(name string) bool {
	return !jsonrpc.Absent(p.fields[name])
}

func (p *params) read(name, kind string, into any) {
	if !p.has(name) || json.Unmarshal(p.fields[name], into) != nil {
		p.wrong(name, kind)
	}
}

// said returns the text of a parameter that is a string.
func (p *params) said(name string) (text string, is bool) {
	is = p.has(name) && json.Unmarshal(p.fields[name], &text) == nil
	return text, is
}

// text reads a string of at most limit bytes.
func (p *params) text(name string, limit int) string {
	var value string
	p.read(name, "a string", &value)
	p.bound(name, len(value), limit)
	if p.err != nil {
		return ""
	}
	return value
}

// bound refuses a parameter of more bytes than the limit.
func (p *params) bound(name string, size, limit int) {
	if p.err == nil && size > limit {
		p.err = jsonrpc.Errorf(codeParameter, "Request element '%s' of RPC method '%s' is too long: it may have at most %d bytes", name, p.method, limit)
	}
}

// optionalText is like text, but "" when the parameter is not there.
func (p *params) optionalText(name string, limit int) string {
	if !p.has(name) {
		return ""
	}
	return p.text(name, limit)
}

// flag reads a boolean. Of the strings "true" is true, in any case, and all others are false.
func (p *params) flag(name string) bool {
	if text, is := p.said(name); is {
		return strings.EqualFold(text, "true")
	}
	var value bool
	p.read(name, "a boolean", &value)
	return value
}

func (p *params) optionalFlag(name string, absent bool) bool {
	if !p.has(name) {
		return absent
	}
	return p.flag(name)
}

// integer reads a number from low to high, and drops its fraction. A string must hold a whole one.
func (p *params) integer(name string, low, high int) int {
	var value float64
	if text, is := p.said(name); is {
		whole, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			p.wrong(name, "a number")
			return 0
		}
		value = float64(whole)
	} else {
		p.read(name, "a number", &value)
	}
	if value < float64(low) || value > float64(high) {
		p.wrong(name, fmt.Sprintf("a number from %d to %d", low, high))
		return 0
	}
	return int(value)
}

func (p *params) optionalInteger(name string, low, high, absent int) int {
	if !p.has(name) {
		return absent
	}
	return p.integer(name, low, high)
}
