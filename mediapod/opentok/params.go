package opentok

import (
	"encoding/json"
	"fmt"
	"math"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
)

// params reads the parameters of one request. The first one that is wrong decides the error; what
// is read after that is zero.
type params struct {
	fields  map[string]json.RawMessage
	refused *jsonrpc.Error
}

// failure returns the error; nil when nothing is wrong.
func (p *params) failure() error {
	if p.refused == nil {
		return nil
	}
	return p.refused
}

// wrong says which parameter is not as it must be.
func (p *params) wrong(name, want string) {
	if p.refused == nil {
		p.refused = refuse(codeInvalidParameter, nameInvalidParameter, "%q must be %s", name, want)
	}
}

// has reports whether a parameter is there and not null.
func (p *params) has(name string) bool { return !jsonrpc.Absent(p.fields[name]) }

func (p *params) read(name, want string, into any) bool {
	if !p.has(name) || json.Unmarshal(p.fields[name], into) != nil {
		p.wrong(name, want)
	}
	return p.refused == nil
}

// text reads a string of at most limit bytes that is not empty.
func (p *params) text(name string, limit int) string {
	value := p.optionalText(name, limit)
	if value == "" {
		p.wrong(name, fmt.Sprintf("a string of 1 to %d bytes", limit))
	}
	return value
}

// optionalText reads a string of at most limit bytes, "" when it is not there.
func (p *params) optionalText(name string, limit int) string {
	want := fmt.Sprintf("a string of at most %d bytes", limit)
	var value string
	if !p.has(name) || !p.read(name, want, &value) {
		return ""
	}
	if len(value) > limit {
		p.wrong(name, want)
		return ""
	}
	return value
}

// texts reads a list of at most limit strings, each of at most maxName bytes; it may be missing.
func (p *params) texts(name string, limit int) []string {
	want := fmt.Sprintf("a list of at most %d strings of at most %d bytes", limit, maxName)
	var values []string
	if !p.has(name) || !p.read(name, want, &values) {
		return nil
	}
	if len(values) > limit {
		p.wrong(name, want)
		return nil
	}
	for _, value := range values {
		if len(value) > maxName {
			p.wrong(name, want)
			return nil
		}
	}
	return values
}

// flag reads a boolean.
func (p *params) flag(name string) (value bool) {
	p.read(name, "a boolean", &value)
	return value
}

// optionalFlag reads a boolean that may be missing.
func (p *params) optionalFlag(name string, absent bool) bool {
	if !p.has(name) {
		return absent
	}
	return p.flag(name)
}

// optionalInteger reads a number from low to high, which is rounded; it may be missing.
func (p *params) optionalInteger(name string, low, high, absent int) int {
	if !p.has(name) {
		return absent
	}
	want := fmt.Sprintf("a number from %d to %d", low, high)
	var value float64
	if !p.read(name, want, &value) {
		return absent
	}
	if value = math.Round(value); value < float64(low) || value > float64(high) {
		p.wrong(name, want)
		return absent
	}
	return int(value)
}

// shorten bounds what is quoted of a client's message.
func shorten(text string) string {
	const limit = 100
	if len(text) <= limit {
		return text
	}
	return text[:limit] + "..."
}
