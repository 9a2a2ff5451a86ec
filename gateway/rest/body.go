package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds beyond every sensible request: data of 10,000 characters, 16 ICE servers, a signal to
// maxRecipients.
const (
	maxBody = 256 << 10
	// maxElements and maxMembers bound what arrays and objects hold: what is made of each takes far
	// more time and memory than its bytes.
	maxElements = 12000
	maxMembers  = 1000
	// maxQuery bounds a query. The server itself takes 16 KiB of a header.
	maxQuery = 2048
)

// readBody returns a request's JSON object; nil for a request without a body.
func readBody(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	// What was done before may have taken the time that ServeHTTP gives. A writer without deadlines
	// has no connection that could be slow.
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(bodyTimeout))
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		// From here on the server reads only to see whether the client is still there.
		_ = connection.SetReadDeadline(time.Time{})
	}
	if errors.As(err, new(*http.MaxBytesError)) {
		return nil, errBodyTooLarge
	}
	if err != nil {
		return nil, errMalformedBody
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, errUnsupportedMedia
	}
	if elements, members := countValues(raw); elements > maxElements || members > maxMembers {
		return nil, errTooManyValues
	}
	if !utf8.Valid(raw) {
		return nil, errNoText
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil {
		return nil, errMalformedBody
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errMalformedBody
	}
	return values, nil
}

// countValues returns how many elements and members there are in the arrays and objects of a JSON
// text at most. Each member is an element, too.
func countValues(text []byte) (elements, members int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == ':':
			members++
		case c == ',' || c == '[' || c == '{':
			elements++
		}
	}
	return elements, members
}

// requireBody returns a request's JSON object, and fails for a request without a body.
func requireBody(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	values, err := readBody(w, r)
	if err == nil && values == nil {
		err = errForbidden
	}
	return values, err
}

// fields reads typed values out of a JSON object and keeps the first thing that is wrong. JSON null
// is the same as an absent key.
type fields struct {
	values map[string]any
	prefix string // of names in messages, such as "defaultRecordingProperties."
	err    error
}

func (f *fields) fail(format string, arguments ...any) {
	if f.err == nil {
		f.err = badRequest(format, arguments...)
	}
}

// text returns a string; ok is false for an absent one.
func (f *fields) text(key string) (value string, ok bool) {
	switch v := f.values[key].(type) {
	case nil:
		return "", false
	case string:
		return v, true
	default:
		f.fail("'%s%s' must be a string", f.prefix, key)
		return "", false
	}
}

// required returns a string that must be there.
func (f *fields) required(key string) string {
	value, ok := f.text(key)
	if !ok {
		f.fail("'%s%s' is mandatory", f.prefix, key)
	}
	return value
}

// flag returns a boolean; nil for an absent one.
func (f *fields) flag(key string) *bool {
	switch v := f.values[key].(type) {
	case nil:
	case bool:
		return &v
	default:
		f.fail("'%s%s' must be a boolean", f.prefix, key)
	}
	return nil
}

// number returns a number without its fraction; nil for an absent one.
func (f *fields) number(key string) *int64 {
	switch v := f.values[key].(type) {
	case nil:
		return nil
	case json.Number:
		if float, err := v.Float64(); err == nil && math.Abs(float) <= 1<<53 {
			whole := int64(float)
			return &whole
		}
	}
	f.fail("'%s%s' must be a number", f.prefix, key)
	return nil
}

// bounded returns a number within bounds; nil for an absent one.
func (f *fields) bounded(key string, low, high int64) *int64 {
	v := f.number(key)
	if v != nil && (*v < low || *v > high) {
		f.fail("'%s%s' must be from %d to %d", f.prefix, key, low, high)
	}
	return v
}

// object returns a JSON object; nil for an absent one.
func (f *fields) object(key string) map[string]any {
	switch v := f.values[key].(type) {
	case nil:
	case map[string]any:
		return v
	default:
		f.fail("'%s%s' must be an object", f.prefix, key)
	}
	return nil
}

// list returns a JSON array; nil for an absent one.
func (f *fields) list(key string) []any {
	switch v := f.values[key].(type) {
	case nil:
	case []any:
		return v
	default:
		f.fail("'%s%s' must be an array", f.prefix, key)
	}
	return nil
}

// enum is the names of the values of an enum: in REST, and in the custom resources.
type enum[T ~string] []struct {
	rest     string
	resource T
}

// choose returns the value of an enum; the fallback for an absent one.
func choose[T ~string](f *fields, key string, values enum[T], fallback T) T {
	name, ok := f.text(key)
	if !ok {
		return fallback
	}
	names := make([]string, 0, len(values))
	for _, value := range values {
		if value.rest == name {
			return value.resource
		}
		names = append(names, value.rest)
	}
	f.fail("'%s%s' must be one of %s", f.prefix, key, strings.Join(names, ", "))
	return fallback
}

// name returns what REST calls a value; the first name for a value that it does not know.
func (e enum[T]) name(value T) string {
	for _, known := range e {
		if known.resource == value {
			return known.rest
		}
	}
	return e[0].rest
}
