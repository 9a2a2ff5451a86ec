// Package jsonrpc is the single authority on the envelope of client protocols: JSON-RPC 2.0 without
// batches, with bounds on nesting and ids. What the methods are is for the protocols.
package jsonrpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// MaxDepth is how deep arrays and objects of a message may be nested.
const MaxDepth = 32

// maxID bounds an id, in bytes.
const maxID = 64

// Codes of errors (JSON-RPC 2.0, section 5.1).
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
)

// Request is a decoded message of a client. ID is the number or string that it is answered with, or
// nil for a notification, which is not.
type Request struct {
	ID     json.RawMessage
	Method string
	Params map[string]json.RawMessage
}

// Error is an error object on the wire.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	// Data is what a protocol adds; "" is nothing.
	Data string `json:"data,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Errorf makes an error.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Decode reads a message. With an error it returns what it knows of the request, so that the error
// can be answered.
func Decode(data []byte) (Request, *Error) {
	if TooDeep(data) {
		return Request{ID: TrailingID(data)}, Errorf(CodeInvalidRequest, "Invalid request: JSON is nested deeper than %d", MaxDepth)
	}
	var envelope struct {
		Version json.RawMessage `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  json.RawMessage `json:"method"`
		Params  json.RawMessage `json:"params"`
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		return Request{}, Errorf(CodeInvalidRequest, "Invalid request: batches are not supported")
	}
	if err := json.Unmarshal(data, &envelope); err != nil {
		return Request{}, Errorf(CodeParse, "Parse error: %v", err)
	}
	id, ok := requestID(envelope.ID)
	decoded := Request{ID: id}
	if !ok {
		return decoded, Errorf(CodeInvalidRequest, "Invalid request: 'id' must be a number or a string of at most %d bytes", maxID)
	}
	if string(envelope.Version) != `"2.0"` {
		return decoded, Errorf(CodeInvalidRequest, "Invalid request: 'jsonrpc' must be \"2.0\"")
	}
	if err := json.Unmarshal(envelope.Method, &decoded.Method); err != nil || decoded.Method == "" {
		return decoded, Errorf(CodeInvalidRequest, "Invalid request: 'method' must be a non-empty string")
	}
	if Absent(envelope.Params) {
		return decoded, nil
	}
	if err := json.Unmarshal(envelope.Params, &decoded.Params); err != nil {
		return decoded, Errorf(CodeInvalidParams, "Invalid params: 'params' must be an object")
	}
	return decoded, nil
}

func requestID(raw json.RawMessage) (json.RawMessage, bool) {
	if Absent(raw) {
		return nil, true
	}
	if len(raw) > maxID || (raw[0] != '"' && raw[0] != '-' && (raw[0] < '0' || raw[0] > '9')) {
		return nil, false
	}
	return raw, true
}

// Absent reports whether a member is missing, or null.
func Absent(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null"
}

// TooDeep reports whether arrays and objects are nested deeper than a message may be. It does not
// check anything else.
func TooDeep(data []byte) bool {
	depth, inString, escaped := 0, false, false
	for _, c := range data {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

var trailing = regexp.MustCompile(`"id"\s*:\s*(-?[0-9]{1,18}|"[^"\\]{1,60}")\s*}\s*$`)

// TrailingID finds the id in a message that is not decoded, where browsers put it: last. It is nil
// when there is none.
func TrailingID(tail []byte) json.RawMessage {
	tail = tail[max(0, len(tail)-128):]
	if match := trailing.FindSubmatch(tail); match != nil && json.Valid(match[1]) {
		return bytes.Clone(match[1])
	}
	return nil
}

// AnswerID returns the id that an error is answered with, nil for no answer: a request without one
// gets none, and what could not be read is answered with null (JSON-RPC 2.0, section 5).
func (r Request) AnswerID() json.RawMessage {
	if r.ID == nil && r.Method == "" {
		return json.RawMessage("null")
	}
	return r.ID
}

// EncodeResult writes an answer of which the result is encoded already.
func EncodeResult(id json.RawMessage, result []byte) []byte {
	return slices.Concat([]byte(`{"jsonrpc":"2.0","id":`), id, []byte(`,"result":`), result, []byte("}"))
}

// EncodeError writes an error as an answer.
func EncodeError(id json.RawMessage, e *Error) ([]byte, error) {
	body, err := Encode(e)
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte(`{"jsonrpc":"2.0","id":`), id, []byte(`,"error":`), body, []byte("}")), nil
}

// EncodeNotification writes a notification.
func EncodeNotification(method string, params any) ([]byte, error) {
	return Encode(struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{"2.0", method, params})
}

// Encode writes JSON without escaping what only HTML cares about.
func Encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encoding a message: %w", err)
	}
	return bytes.TrimRight(buffer.Bytes(), "\n"), nil
}
