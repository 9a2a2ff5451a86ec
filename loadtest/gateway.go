package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// Gateway lets participants in by the REST API, as an application's server does: it makes a session
// for each room and a connection for each participant.
type Gateway struct {
	url    string
	secret string
	client *http.Client
	prefix string

	mu       sync.Mutex // guards sessions; held while one is made
	sessions map[int]string
}

// NewGateway returns a gateway by its URL, such as https://rooms.example. Sessions are named by the
// prefix and a number. client makes the requests and the handshakes of sockets.
func NewGateway(address, secret, prefix string, client *http.Client) (*Gateway, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return nil, fmt.Errorf("%q is no http or https URL", address)
	}
	return &Gateway{
		url: strings.TrimRight(address, "/") + "/openvidu/api/", secret: secret, client: client, prefix: prefix, sessions: map[int]string{},
	}, nil
}

// Admit makes the room when it is the first of it, and a connection.
func (g *Gateway) Admit(ctx context.Context, room int, publishes bool) (roomclient.Options, error) {
	session, err := g.session(ctx, room)
	if err != nil {
		return roomclient.Options{}, err
	}
	role := "SUBSCRIBER"
	if publishes {
		role = "PUBLISHER"
	}
	var connection struct {
		Token string `json:"token"`
	}
	err = g.call(ctx, http.MethodPost, "sessions/"+url.PathEscape(session)+"/connection", map[string]any{"role": role}, &connection)
	if err != nil {
		return roomclient.Options{}, fmt.Errorf("making a connection: %w", err)
	}
	return roomclient.Options{Token: connection.Token, HTTPClient: g.client}, nil
}

func (g *Gateway) session(ctx context.Context, room int) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if id, known := g.sessions[room]; known {
		return id, nil
	}
	var session struct {
		ID string `json:"id"`
	}
	err := g.call(ctx, http.MethodPost, "sessions", map[string]any{"customSessionId": fmt.Sprintf("%s-%d", g.prefix, room)}, &session)
	if err != nil {
		return "", fmt.Errorf("making a session: %w", err)
	}
	g.sessions[room] = session.ID
	return session.ID, nil
}

// Left does nothing: the connection goes with its user.
func (g *Gateway) Left(int, roomclient.Options) {}

// Close deletes the sessions. Those that have gone with their last user are no error.
func (g *Gateway) Close(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for room, id := range g.sessions {
		err := g.call(ctx, http.MethodDelete, "sessions/"+url.PathEscape(id), nil, nil)
		var status *statusError
		if errors.As(err, &status) && status.code == http.StatusNotFound {
			err = nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("deleting session %s: %w", id, err))
			continue
		}
		delete(g.sessions, room)
	}
	return errors.Join(errs...)
}

// statusError is an answer that is no success.
type statusError struct {
	code int
	text string
}

// Error implements error.
func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// call makes a request. body and result may be nil.
func (g *Gateway) call(ctx context.Context, method, path string, body, result any) error {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, g.url+path, content)
	if err != nil {
		return err
	}
	request.SetBasicAuth("OPENVIDUAPP", g.secret)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := g.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	read, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return &statusError{answer.StatusCode, strings.TrimSpace(string(read[:min(len(read), maxErrorBytes)]))}
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(read, result); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}
