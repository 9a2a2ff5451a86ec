// Package download is the authority on how a file of a recording gets from the recorder that has it
// to a client of the gateway: which headers pass, and how slow a client may be. Who may have the
// file is up to the API that serves it.
package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

const (
	// pieceTimeout bounds the time that one piece of a file takes to a client: a whole download may
	// take long.
	pieceTimeout = time.Minute
	piece        = 64 << 10
)

// ErrUnreachable says that the recorder which has a file can't be asked. Nothing was answered.
var ErrUnreachable = errors.New("the recorder that has the files is unreachable")

// Recorders fetches files of recordings. *recorders in package gateway is one.
type Recorders interface {
	// Fetch sends a request for a file to the recorder of a pool, with some headers. The caller
	// closes the answer's body.
	Fetch(ctx context.Context, pool, method, path string, header http.Header) (*http.Response, error)
}

// Headers that go to the recorder and come back: those of ranges and of what a client has already
// (RFC 9110, sections 13 and 14).
var (
	askedHeaders    = []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"}
	answeredHeaders = []string{"Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "Last-Modified", "Etag"}
)

// Serve answers a GET or HEAD with a file of a Recording, with ranges, and returns the status. It
// fails with ErrUnreachable, and has not answered then.
func Serve(w http.ResponseWriter, r *http.Request, recorders Recorders, recording *v1alpha1.Recording, name string) (int, error) {
	header := make(http.Header)
	copyHeaders(header, r.Header, askedHeaders)
	path := "/recordings/" + url.PathEscape(string(recording.UID)) + "/" + url.PathEscape(name)
	response, err := recorders.Fetch(r.Context(), recording.Status.PoolName, r.Method, path, header)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer response.Body.Close()
	switch status := response.StatusCode; status {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable, http.StatusPreconditionFailed:
		copyHeaders(w.Header(), response.Header, answeredHeaders)
		w.WriteHeader(status)
		pass(w, response.Body)
		return status, nil
	case http.StatusNotFound:
		w.WriteHeader(status)
		return status, nil
	default:
		w.WriteHeader(http.StatusBadGateway)
		return http.StatusBadGateway, nil
	}
}

func copyHeaders(to, from http.Header, names []string) {
	for _, name := range names {
		if value := from.Get(name); value != "" {
			to.Set(name, value)
		}
	}
}

// pass passes a body on, as slowly as the client takes it, until either end goes.
func pass(w http.ResponseWriter, body io.Reader) {
	connection, buffer := http.NewResponseController(w), make([]byte, piece)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			// A writer without deadlines has no connection that could be slow.
			_ = connection.SetWriteDeadline(time.Now().Add(pieceTimeout))
			if _, err := w.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
