package podhttp

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// MaxResumption bounds the text of a Resumption, in bytes.
const MaxResumption = 1024

// resumptionVersion begins each Resumption, so that a media pod of another version refuses it.
const resumptionVersion = "1"

// Resumption is what a media pod needs to go on with a client that it has not heard of. The media
// pod that the client is on tells it to a gateway that holds: in HeaderResume of its answer to the
// handshake, and in a binary message whenever it is another one. The gateway gives it to the next
// pod in HeaderResume, and does not look into it. It is a secret of the client.
//
// After a resumption the gateway sends requests that were not answered once more. In a text message
// is what no media pod has received; in a binary message is what one may have acted upon.
type Resumption struct {
	// PrivateID is what the client itself would come back by; "" while it has not joined.
	PrivateID string
	// Socket names the client's socket, on whatever pod it is; "" once the client has joined.
	Socket string
	// PingInterval is how often the client pings; 0 when that is not known.
	PingInterval time.Duration
}

// Text returns the resumption, in the characters of a header.
func (r Resumption) Text() string {
	fields := []string{resumptionVersion, strconv.FormatInt(r.PingInterval.Milliseconds(), 10), encode(r.PrivateID)}
	if r.Socket != "" {
		fields = append(fields, encode(r.Socket))
	}
	return strings.Join(fields, ".")
}

func encode(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

// Message returns what tells a gateway of the resumption, which counts from when the answer to the
// request with that id has passed (the JSON text, nil for at once).
func (r Resumption) Message(requestID []byte) []byte {
	message := []byte(r.Text())
	if requestID != nil {
		message = append(append(message, ' '), requestID...)
	}
	return message
}

// ParseMessage reads such a message, of which the resumption is not looked into.
func ParseMessage(message []byte) (resumption string, requestID []byte) {
	text, requestID, _ := bytes.Cut(message, []byte(" "))
	return string(text), requestID
}

// ParseResumption reads the text of a resumption.
func ParseResumption(text string) (Resumption, bool) {
	fields := strings.Split(text, ".")
	if len(text) > MaxResumption || len(fields) < 3 || fields[0] != resumptionVersion {
		return Resumption{}, false
	}
	milliseconds, intervalErr := strconv.ParseUint(fields[1], 10, 31)
	private, privateErr := base64.RawURLEncoding.DecodeString(fields[2])
	socket, socketErr := base64.RawURLEncoding.DecodeString(strings.Join(fields[3:], "."))
	joined := len(private) > 0
	if intervalErr != nil || privateErr != nil || socketErr != nil || joined != (len(fields) == 3) || joined == (len(socket) > 0) {
		return Resumption{}, false
	}
	return Resumption{
		PrivateID: string(private), Socket: string(socket), PingInterval: time.Duration(milliseconds) * time.Millisecond,
	}, true
}
