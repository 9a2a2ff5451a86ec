package opentok

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"

	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// This file holds what clients call to come and to go: a participant's way into a room, back into
// it on another socket, and out of it.

// connect lets a client in by its token (opentok-rpc 2.1).
func connect(_ context.Context, c *call) error {
	tokenURL := c.params.text("token", maxToken)
	platform := c.params.optionalText("platform", maxPlatform)
	if err := c.params.failure(); err != nil {
		return err
	}
	switch {
	case c.participant != nil:
		return refuse(codeInvalidParameter, nameInvalidParameter, "this socket has connected already")
	case c.client.Unwelcome():
		return refuse(codeConnectRejected, nameConnectFailed, "no media pod has room for the session")
	}
	if err := c.client.SpendJoin(0); err != nil {
		return err
	}
	where, found := c.Rooms.Lookup(c.key)
	if !found {
		return refuse(codeInvalidSession, nameInvalidSession, "no session %q", shorten(c.key))
	}
	client := room.Client{Platform: platform}
	if address := c.client.Address(); address.IsValid() {
		client.Address = address.String()
	}
	request := room.JoinRequest{Token: token.FromURL(tokenURL), Client: client, Socket: c.client.Name(), Opened: c.client.Opened()}
	err := where.Join(request, c.client, func(joined room.Joined) {
		c.joined(joined.Participant)
		c.client.Resumable(joined.PrivateID, c.request.ID)
		c.replyJoined(joined)
	})
	switch {
	case errors.Is(err, room.ErrToken):
		return refuse(codeAuthentication, nameAuthentication, "the token is not valid, or was used")
	case errors.Is(err, room.ErrClosed):
		return refuse(codeConnectFailed, nameConnectFailed, "the session is closed")
	}
	return err
}

// replyJoined answers a connect. It only queues: the answer names all others, which may be much for
// each who joins.
func (c *call) replyJoined(joined room.Joined) {
	c.answered = true
	if c.request.ID == nil {
		return
	}
	answer := signalling.LongAnswer{Parts: joinParts(c.request.ID, joined)}
	for _, other := range joined.Others {
		answer.Weight += room.ParticipantJoined{Participant: other}.Weight()
	}
	c.client.ReplyInParts(answer)
}

// joinParts encodes the answer to a connect: the result, and then the others one by one.
func joinParts(id json.RawMessage, joined room.Joined) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		body, err := jsonrpc.Encode(wireJoined(joined))
		head := bytes.TrimSuffix(jsonrpc.EncodeResult(id, body), []byte("}}"))
		if !yield(append(head, `,"connections":[`...), err) {
			return
		}
		for i, other := range joined.Others {
			part, err := jsonrpc.Encode(wireConnection(other))
			if i > 0 {
				part = append([]byte(","), part...)
			}
			if !yield(part, err) {
				return
			}
		}
		yield([]byte("]}}"), nil)
	}
}

var errStopping = errors.New("the media pod stops")

// resume takes a connection up again on this socket (opentok-rpc 2.2).
func resume(_ context.Context, c *call) error {
	private := c.params.text("reconnectionId", maxName)
	if err := c.params.failure(); err != nil {
		return err
	}
	if c.participant != nil {
		return refuse(codeInvalidParameter, nameInvalidParameter, "this socket has connected already")
	}
	err := c.Rooms.Resume(c.key, private, c.client, func(resumed room.Resumed) {
		c.joined(resumed.Participant)
		c.client.Resumable(private, c.request.ID)
		c.reply(map[string]bool{"awaitsMedia": resumed.AwaitsMedia})
	})
	switch {
	case errors.Is(err, room.ErrClosed):
		// Any answer but a good one ends the client's session. It comes back elsewhere.
		c.answered = true
		c.client.Expel(errStopping)
		return nil
	case err != nil:
		return refuse(codeNotConnected, nameNotConnected, "there is no such connection any more")
	}
	return nil
}

func leave(_ context.Context, c *call) error {
	return c.participant.Leave()
}
