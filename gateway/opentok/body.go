package opentok

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// Bounds beyond every sensible request.
const (
	maxBody  = 64 << 10
	maxPath  = 1024
	maxQuery = 2048
	// bodyTimeout bounds the time that a client takes to send its body, from its header on.
	bodyTimeout = 10 * time.Second
)

// readBody returns the bytes of a body.
func readBody(c *call) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err == nil {
		// From here on the server reads only to see whether the client is still there.
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
	}
	if errors.As(err, new(*http.MaxBytesError)) {
		return nil, errBodyTooBig
	}
	if err != nil {
		return nil, errBody
	}
	return raw, nil
}

// readJSON reads a JSON object; an empty body is an empty one. Members that are not asked for are
// ignored: libraries pass on whatever the application gives them.
func readJSON(c *call, into any) error {
	raw, err := readBody(c)
	if err != nil || len(bytes.TrimSpace(raw)) == 0 {
		return err
	}
	if bytes.TrimSpace(raw)[0] != '{' || json.Unmarshal(raw, into) != nil {
		return errBody
	}
	return nil
}

// readForm reads a form; an empty body is an empty one.
func readForm(c *call) (url.Values, error) {
	raw, err := readBody(c)
	if err != nil || len(raw) == 0 {
		return url.Values{}, err
	}
	if media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		return nil, errForm
	}
	values, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, errForm
	}
	return values, nil
}
