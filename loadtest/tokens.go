package loadtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"mediarooms.dev/mediarooms/loadtest/roomclient"
)

// Tokens lets participants in by tokens that somebody else has made. Nothing is made, so nothing is
// removed.
type Tokens struct {
	endpoint string
	client   *http.Client

	mu    sync.Mutex // guards rooms
	rooms [][]string
}

// ReadTokens reads one token a line, each the URL that connect() takes. The tokens of each session
// are those of one room, in the order in which sessions are first seen. endpoint, unless "", is a
// ws:// or wss:// URL without path that is dialled instead of what tokens say: that of a media pod
// itself.
func ReadTokens(from io.Reader, endpoint string, client *http.Client) (*Tokens, error) {
	t := &Tokens{endpoint: endpoint, client: client}
	numbers := map[string]int{}
	lines := bufio.NewScanner(from)
	for line := 1; lines.Scan(); line++ {
		text := lines.Text()
		if text == "" {
			continue
		}
		parsed, err := url.Parse(text)
		if err != nil || parsed.Query().Get("sessionId") == "" {
			return nil, fmt.Errorf("reading tokens: line %d is no URL with a sessionId", line) // the line itself is secret
		}
		session := parsed.Query().Get("sessionId")
		room, known := numbers[session]
		if !known {
			room = len(t.rooms)
			numbers[session] = room
			t.rooms = append(t.rooms, nil)
		}
		t.rooms[room] = append(t.rooms[room], text)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	if len(t.rooms) == 0 {
		return nil, errors.New("reading tokens: there are none")
	}
	return t, nil
}

// Rooms is how many rooms there are tokens for.
func (t *Tokens) Rooms() int { return len(t.rooms) }

// Admit takes the next token of a room.
func (t *Tokens) Admit(_ context.Context, room int, _ bool) (roomclient.Options, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room >= len(t.rooms) || len(t.rooms[room]) == 0 {
		return roomclient.Options{}, fmt.Errorf("no tokens are left for room %d", room)
	}
	next := t.rooms[room][0]
	t.rooms[room] = t.rooms[room][1:]
	return roomclient.Options{Token: next, Endpoint: t.endpoint, HTTPClient: t.client}, nil
}

// Left does nothing: a token is used once.
func (t *Tokens) Left(int, roomclient.Options) {}

// Close does nothing.
func (t *Tokens) Close(context.Context) error { return nil }
