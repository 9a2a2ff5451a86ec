package openvidu

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// request is a decoded message of a client. ID is the number or string that it is answered with, or
// nil for a notification, which is not.
type request struct {
	ID     json.RawMessage
	Method string
	Params map[string]json.RawMessage
}

// decode reads a message. With an error it returns what it knows of the request, so that the error
// can be answered.
func decode(data []byte) (request, *Error) {
	if tooDeep(data) {
		return request{ID: trailingID(data)}, bare(codeInvalidRequest, "Invalid request: JSON is nested deeper than %d", maxDepth)
	}
	var envelope struct {
		Version json.RawMessage `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  json.RawMessage `json:"method"`
		Params  json.RawMessage `json:"params"`
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		return request{}, bare(codeInvalidRequest, "Invalid request: batches are not supported")
	}
	if err := json.Unmarshal(data, &envelope); err != nil {
		return request{}, bare(codeParse, "Parse error: %v", err)
	}
	id, ok := requestID(envelope.ID)
	decoded := request{ID: id}
	if !ok {
		return decoded, bare(codeInvalidRequest, "Invalid request: 'id' must be a number or a string of at most %d bytes", maxID)
	}
	if string(envelope.Version) != `"2.0"` {
		return decoded, bare(codeInvalidRequest, "Invalid request: 'jsonrpc' must be \"2.0\"")
	}
	if err := json.Unmarshal(envelope.Method, &decoded.Method); err != nil || decoded.Method == "" {
		return decoded, bare(codeInvalidRequest, "Invalid request: 'method' must be a non-empty string")
	}
	if absent(envelope.Params) {
		return decoded, nil
	}
	if err := json.Unmarshal(envelope.Params, &decoded.Params); err != nil {
		return decoded, bare(codeInvalidParams, "Invalid params: 'params' must be an object")
	}
	return decoded, nil
}

const (
	maxDepth = 32
	maxID    = 64
)

func requestID(raw json.RawMessage) (json.RawMessage, bool) {
	if absent(raw) {
		return nil, true
	}
	if len(raw) > maxID || (raw[0] != '"' && raw[0] != '-' && (raw[0] < '0' || raw[0] > '9')) {
		return nil, false
	}
	return raw, true
}

func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null"
}

// tooDeep reports whether arrays and objects are nested deeper than maxDepth. It does not check
// anything else.
func tooDeep(data []byte) bool {
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
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

var trailing = regexp.MustCompile(`"id"\s*:\s*(-?[0-9]{1,18}|"[^"\\]{1,60}")\s*}\s*$`)

// trailingID finds the id in a message that is not decoded, where the browser puts it: last.
func trailingID(tail []byte) json.RawMessage {
	tail = tail[max(0, len(tail)-128):]
	if match := trailing.FindSubmatch(tail); match != nil && json.Valid(match[1]) {
		return bytes.Clone(match[1])
	}
	return nil
}

// encodeResult writes an answer. With a private id, that is put into the result, as the reference
// does (openvidu-rpc 1.3).
func encodeResult(id json.RawMessage, result any, rpcSessionID string) ([]byte, error) {
	body, err := encode(result)
	if err != nil {
		return nil, err
	}
	if rpcSessionID != "" && body[0] == '{' {
		private, err := encode(rpcSessionID)
		if err != nil {
			return nil, err
		}
		rest := body[1:]
		if rest[0] != '}' {
			rest = append([]byte(","), rest...)
		}
		body = slices.Concat([]byte(`{"sessionId":`), private, rest)
	}
	return slices.Concat([]byte(`{"jsonrpc":"2.0","id":`), id, []byte(`,"result":`), body, []byte("}")), nil
}

func encodeError(id json.RawMessage, e *Error) ([]byte, error) {
	body, err := encode(e)
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte(`{"jsonrpc":"2.0","id":`), id, []byte(`,"error":`), body, []byte("}")), nil
}

// encode writes JSON without escaping what only HTML cares about.
func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encoding a message: %w", err)
	}
	return bytes.TrimRight(buffer.Bytes(), "\n"), nil
}
