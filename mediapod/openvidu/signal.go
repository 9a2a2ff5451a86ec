package openvidu

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/room"
)

// signalBodyTimeout bounds how long a gateway may take to send a signal.
const signalBodyTimeout = 10 * time.Second

// signal is a message to some or all participants, from a participant or from the server. What is
// nil was not given.
type signal struct {
	To   json.RawMessage `json:"to"`
	Type *string         `json:"type"`
	Data *string         `json:"data"`
}

// parseSignal reads a signal, and its recipients: none is everybody.
func parseSignal(text []byte) (signal, []string, *jsonrpc.Error) {
	var parsed signal
	if jsonrpc.TooDeep(text) {
		return parsed, nil, refuse(codeSignalFormat, "Provided signal object has not a valid JSON format: it is nested deeper than %d", jsonrpc.MaxDepth)
	}
	if !strings.HasPrefix(strings.TrimLeft(string(text[:min(len(text), quotedSignal)]), " \t\r\n"), "{") || json.Unmarshal(text, &parsed) != nil {
		return parsed, nil, refuse(codeSignalFormat, "Provided signal object '%s' has not a valid JSON format", cut(string(text), quotedSignal))
	}
	var to []string
	if !jsonrpc.Absent(parsed.To) && json.Unmarshal(parsed.To, &to) != nil {
		return parsed, nil, refuse(codeSignalTo, `Signal "to" field invalid format: it must be an array of connectionIds`)
	}
	return parsed, to, nil
}

// serveSignal sends a signal of the server: 204 when it was sent, 404 when there is no such room,
// 406 when nobody is there or somebody of those who are meant is not, 429 when the server says too
// much in the room, 400 when it can't be read.
func (f *FrontEnd) serveSignal(w http.ResponseWriter, r *http.Request) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(signalBodyTimeout)); err != nil {
		f.log.V(1).Info("Reading a signal without a deadline", "reason", err.Error())
	}
	where, found := f.rooms.Lookup(r.PathValue("key"))
	if !found {
		http.Error(w, "no such room", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSignal))
	if err != nil {
		http.Error(w, "reading the signal: "+err.Error(), http.StatusBadRequest)
		return
	}
	message, to, refused := parseSignal(body)
	if refused != nil {
		http.Error(w, refused.Message, http.StatusBadRequest)
		return
	}
	var limit room.LimitError
	// Listeners of the client hear no type without the prefix.
	signal := room.Signal{Type: withPrefix(message.Type), Data: message.Data, Topic: message.Type}
	err = where.Signal(to, signal)
	if is[room.NotFoundError](err) {
		err = where.Signal(behind(where, to), signal)
	}
	switch {
	case errors.Is(err, room.ErrClosed):
		http.Error(w, "no such room", http.StatusNotFound)
	case errors.As(err, &limit):
		http.Error(w, overLimit(limit).Message, http.StatusTooManyRequests)
	case errors.Is(err, room.ErrEmpty):
		refused := refuse(codeSignalTo, "Nobody is in session %s", where.SessionID())
		http.Error(w, refused.Message, http.StatusNotAcceptable)
	case is[room.NotFoundError](err):
		http.Error(w, signalToNobody().Message, http.StatusNotAcceptable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func signalToNobody() *jsonrpc.Error {
	return refuse(codeSignalTo, `Signal "to" field invalid format: some connectionId does not exist in this session`)
}

// signalPrefix is what types of signals begin with on the wire. A listener of the client hears no
// others (openvidu-rpc 3.6).
const signalPrefix = "signal:"

// withPrefix and withoutPrefix return a type as clients hear it, and as the events of clients'
// signals tell it (openvidu-rest 5.3.4).
func withPrefix(kind *string) *string {
	if kind == nil || strings.HasPrefix(*kind, signalPrefix) {
		return kind
	}
	prefixed := signalPrefix + *kind
	return &prefixed
}

func withoutPrefix(kind *string) *string {
	if kind == nil {
		return nil
	}
	plain := strings.TrimPrefix(*kind, signalPrefix)
	return &plain
}
