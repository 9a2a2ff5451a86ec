package openvidu

import (
	"encoding/json"
	"slices"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
)

// encodeResult writes an answer. With a private id, that is put into the result, as the reference
// does (openvidu-rpc 1.3).
func encodeResult(id json.RawMessage, result any, rpcSessionID string) ([]byte, error) {
	body, err := jsonrpc.Encode(result)
	if err != nil {
		return nil, err
	}
	if rpcSessionID != "" && body[0] == '{' {
		private, err := jsonrpc.Encode(rpcSessionID)
		if err != nil {
			return nil, err
		}
		rest := body[1:]
		if rest[0] != '}' {
			rest = append([]byte(","), rest...)
		}
		body = slices.Concat([]byte(`{"sessionId":`), private, rest)
	}
	return jsonrpc.EncodeResult(id, body), nil
}
