package route

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"mediarooms.dev/mediarooms/internal/naming"
	"mediarooms.dev/mediarooms/internal/podhttp"
)

const (
	// signalTimeout bounds the wait for a room that is moving to another media pod.
	signalTimeout = 8 * time.Second
	// maxAnswer bounds what is read of a media pod's answer.
	maxAnswer = 4 << 10
)

// ErrUnreachable means that a room's media pod could not be reached, nor another one took its place
// in time.
var ErrUnreachable = errors.New("media pod is unreachable")

// ErrTooMuch means that more was said in a room than it takes at the moment. Nobody was told.
var ErrTooMuch = errors.New("too many signals in the room")

// Signal is what a server says to users of a room. Absent and empty differ for its type and its
// data.
type Signal struct {
	// To is the connection ids of those whom it is for; none is everybody.
	To []string `json:"to,omitempty"`
	// Type and Data are passed on as they are.
	Type *string `json:"type,omitempty"`
	Data *string `json:"data,omitempty"`
}

// Signals takes signals, and wishes for mute, to the media pods. Safe for concurrent use.
type Signals struct {
	rooms            Rooms
	client           *http.Client
	defaultNamespace string
	wait, retry      time.Duration
}

// NewSignals returns the way for signals, with the identity towards media pods. The default
// namespace is the one whose Sessions' routing key is the bare session id.
func NewSignals(rooms Rooms, identity *tls.Config, defaultNamespace string) *Signals {
	return &Signals{
		rooms:            rooms,
		defaultNamespace: defaultNamespace,
		wait:             signalTimeout,
		retry:            usualHolds.retry,
		client: &http.Client{
			Timeout:       responseTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
				TLSClientConfig:     identity,
				TLSHandshakeTimeout: dialTimeout,
				MaxIdleConnsPerHost: 8,
				IdleConnTimeout:     30 * time.Second,
			},
		},
	}
}

// Send sends a signal to users of the Session with a session id. It returns false, and nobody was
// told anything, when nobody is in the room or somebody whom the signal is for is not. An error
// that wraps ErrUnreachable means that it is not known who is in the room, ErrTooMuch that it may
// be tried again in a while.
func (s *Signals) Send(ctx context.Context, namespace, sessionID string, signal Signal) (sent bool, err error) {
	return s.tell(ctx, naming.RoutingKey(namespace, sessionID, s.defaultNamespace), podhttp.SignalPath, signal)
}

// Mute tells users of the Session with a session id to mute their audio, or that they no longer
// have to. It returns false, and nobody was told anything, when nobody is in the room or the stream
// is not. Errors are as of Send.
func (s *Signals) Mute(ctx context.Context, namespace, sessionID string, mute podhttp.Mute) (told bool, err error) {
	return s.tell(ctx, naming.RoutingKey(namespace, sessionID, s.defaultNamespace), podhttp.MutePath, mute)
}

// tell posts what is for the room with a routing key to a path of its media pod, once it has one.
func (s *Signals) tell(ctx context.Context, key string, path func(key string) string, what any) (told bool, err error) {
	message, err := json.Marshal(what)
	if err != nil {
		return false, fmt.Errorf("writing a signal: %w", err)
	}
	began := time.Now()
	for {
		changed := s.rooms.Changed()
		room, err := s.rooms.Find(ctx, key)
		if err != nil {
			return false, err
		}
		if room.Address == "" && !room.Occupied {
			return false, nil
		}
		result := fmt.Errorf("%w: there is none", ErrUnreachable)
		if room.Address != "" {
			var status int
			var written bool
			status, written, result = s.post(ctx, room.Address, path(key), message)
			switch {
			case result != nil && written:
				// It may have arrived. Twice would be worse than an error.
				return false, result
			case result != nil:
			case status == http.StatusNoContent:
				return true, nil
			case status == http.StatusNotAcceptable, status == http.StatusNotFound && !room.Occupied:
				return false, nil
			case status == http.StatusTooManyRequests:
				return false, ErrTooMuch
			case status == http.StatusNotFound:
				result = fmt.Errorf("%w: it does not have the room", ErrUnreachable)
			default:
				return false, fmt.Errorf("sending a signal: the media pod at %s answered %d", room.Address, status)
			}
		}
		if time.Since(began) >= s.wait {
			return false, result
		}
		if err := waitFor(ctx, changed, s.retry); err != nil {
			return false, err
		}
	}
}

// post returns a media pod's answer, and whether the request was written at all.
func (s *Signals) post(ctx context.Context, pod, path string, message []byte) (status int, written bool, err error) {
	var wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+pod+path, bytes.NewReader(message))
	if err != nil {
		return 0, false, fmt.Errorf("sending a signal: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if ctx.Err() != nil {
		return 0, wrote.Load(), ctx.Err()
	}
	if err != nil {
		return 0, wrote.Load(), fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, true, nil
}
