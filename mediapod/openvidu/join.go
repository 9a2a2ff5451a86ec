package openvidu

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"mediarooms.dev/mediarooms/internal/token"
	"mediarooms.dev/mediarooms/mediapod/jsonrpc"
	"mediarooms.dev/mediarooms/mediapod/room"
	"mediarooms.dev/mediarooms/mediapod/signalling"
)

// This file holds what clients call to come and to go: a participant's way into a room, back into
// it on another socket, and out of it.

func joinRoom(_ context.Context, c *call) error {
	err := join(c)
	code := 0
	if err != nil {
		code = wireError(err, c.participant).Code
		c.joinFailed = true
		c.after = c.endGuessing
	}
	c.frontEnd.observer.Joined(code, time.Since(c.client.Opened()))
	return err
}

func join(c *call) error {
	s := c.conversation
	tokenURL := c.params.text("token", maxToken)
	session := c.params.text("session", maxName)
	metadata := c.params.optionalText("metadata", maxMessageText)
	platform := c.params.optionalText("platform", maxPlatform)
	shown := readCredential(c)
	switch {
	case c.params.err != nil:
		return c.params.err
	case s.participant != nil:
		return refuse(codeExistingUser, "Unable to join session %s. This connection has joined a session already", session)
	case len(metadata) > maxMetadata:
		return refuse(codeMetadata, "Unable to join session %s. The metadata may have at most %d bytes", session, maxMetadata)
	case strings.Contains(metadata, metadataSeparator):
		// Others would take what follows for the server's.
		return refuse(codeMetadata, "Unable to join session %s. The metadata may not contain '%s'", session, metadataSeparator)
	case s.client.Unwelcome():
		return refuse(codeNoMediaNode, "There is no available Media Node where to initialize session '%s'", session)
	}
	if err := s.client.SpendJoin(len(metadata)); err != nil {
		return err
	}
	where, found := s.frontEnd.rooms.Lookup(session)
	if !found || !s.names(session) {
		return refuse(codeRoomNotFound, "Unable to join session. Session %s cannot be found", session)
	}
	client := room.Client{Metadata: metadata, Platform: platform}
	if address := s.client.Address(); address.IsValid() {
		client.Address = address.String()
	}
	claims, ignored := s.claims(session, shown)
	request := room.JoinRequest{Token: token.FromURL(tokenURL), Client: client, Claims: claims, Socket: s.client.Name(), Opened: s.client.Opened()}
	err := where.Join(request, s.client, func(joined room.Joined) {
		s.joined(joined.Participant, joined.PrivateID)
		s.client.Resumable(joined.PrivateID, c.id)
		c.replyJoined(joined)
	})
	switch {
	case errors.Is(err, room.ErrToken) && ignored != nil:
		return ignored
	case errors.Is(err, room.ErrToken):
		return refuse(codeUnauthorized, "Unable to join session %s. Token %s is not valid", session, tokenURL)
	case errors.Is(err, room.ErrMetadata):
		return refuse(codeMetadata, "Unable to join session %s. The metadata of all who are in it may have at most %d bytes together", session, room.MaxMetadataBytes)
	case errors.Is(err, room.ErrClosed):
		return refuse(codeRoomClosed, "Unable to join the session. Session %s is closed", session)
	}
	return err
}

// replyJoined answers a joinRoom. It only queues: the answer names all others with their metadata,
// which may be much for each who joins.
func (c *call) replyJoined(joined room.Joined) {
	c.answered = true
	if c.id == nil {
		return
	}
	others := shownOthers(joined.Others)
	answer := signalling.LongAnswer{Parts: joinParts(c.id, c.frontEnd.joinResult(joined), others, c.private)}
	for _, other := range others {
		answer.Weight += room.ParticipantJoined{Participant: other}.Weight()
	}
	c.client.ReplyInParts(answer)
}

// joinPartBytes is about how much of an answer is encoded at a time.
const joinPartBytes = 8 << 10

// joinParts encodes the answer to a joinRoom: the result, and then the others, the metadata of each
// in pieces.
func joinParts(id json.RawMessage, result joinResult, others []room.Announcement, private string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		head, err := encodeResult(id, result, private)
		part := append(bytes.TrimSuffix(head, []byte("}}")), `,"value":[`...)
		more := func(text []byte, failed error) bool {
			if part, err = append(part, text...), errors.Join(err, failed); err == nil && len(part) < joinPartBytes {
				return true
			}
			goesOn := yield(part, err)
			part = part[:0]
			return goesOn
		}
		for i, other := range others {
			p := wireParticipant(other)
			text := p.Metadata
			p.Metadata = ""
			encoded, failed := jsonrpc.Encode(p)
			before, after, _ := bytes.Cut(encoded, []byte(emptyMetadata))
			if i > 0 {
				part = append(part, ',')
			}
			part = append(part, before...)
			if !more([]byte(emptyMetadata[:len(emptyMetadata)-1]), failed) {
				return
			}
			for text != "" {
				piece := text[:pieceOf(text)]
				text = text[len(piece):]
				quoted, failed := jsonrpc.Encode(piece)
				if !more(quoted[1:len(quoted)-1], failed) {
					return
				}
			}
			part = append(part, '"')
			if !more(after, nil) {
				return
			}
		}
		yield(append(part, "]}}"...), err)
	}
}

// emptyMetadata is how a participant without metadata is encoded.
const emptyMetadata = `"metadata":""`

// pieceOf returns how much of a text is encoded at a time, which ends with no half character.
func pieceOf(text string) int {
	n := min(len(text), joinPartBytes)
	for range utf8.UTFMax - 1 {
		if n < len(text) && !utf8.RuneStart(text[n]) {
			n--
		}
	}
	return n
}

func (f *FrontEnd) joinResult(joined room.Joined) joinResult {
	result := joinResult{
		ID:          joined.Self.ConnectionID,
		FinalUserID: finalUserID(joined.Self.ConnectionID),
		Created:     joined.Self.Created.UnixMilli(),
		Metadata:    metadata(joined.Self),
		Session:     joined.SessionID,
		Version:     Version,
		// The server makes the offers to subscribers (openvidu-rpc 4.2).
		MediaServer: "mediasoup",
		Record:      joined.Record,
		Role:        roleNames[joined.Role],
		Life:        f.life,
	}
	if joined.Recording != nil {
		result.RecordingID, result.RecordingName = joined.Recording.ID, joined.Recording.Name
	}
	for _, server := range joined.ICEServers {
		result.CustomICEServers = append(result.CustomICEServers, iceServer(server))
	}
	if len(result.CustomICEServers) == 0 {
		result.CustomICEServers = []iceServer{{URL: noSTUN}}
	}
	return result
}

// noSTUN is the ICE server of clients that are given no other: one that nobody can reach, since its
// name is in a domain that never exists (RFC 6761, section 6.4). They need none, because the media
// pod's candidates are in the SDP and the pod sees where they send from; but with an empty list
// openvidu-browser asks public servers (openvidu-rpc, trap 39). It must not be an address of media:
// Chromium takes every packet from the address of a STUN server for an answer of that server, and
// so loses those of the media pod (docs/adr/0017).
const noSTUN = "stun:stun.invalid"

// finalUserID stands for the reference's id of a browser session, of which there is none here. It
// only names a user in logs.
func finalUserID(connectionID string) string {
	sum := sha256.Sum256([]byte(connectionID))
	return strings.ToUpper(hex.EncodeToString(sum[:8]))
}

// sessionStatus tells a client that could not come back which life this is (openvidu-rpc 1.11).
// When it joined in another one, it tells its application that the media pod has crashed
// (nodeCrashed), on which applications join again; else that its own network was gone
// (networkDisconnect).
func sessionStatus(_ context.Context, c *call) error {
	c.reply(sessionStatusResult{Life: c.frontEnd.life})
	return nil
}

// How long browsers take to notice that nothing comes of ICE any more, and a little: Chromium 7.6 s
// to 7.9 s, Firefox 5.1 s to 9.4 s (docs/adr/0053, 0090).
const (
	iceNotice        = 8 * time.Second
	iceNoticeFirefox = 9500 * time.Millisecond
	// latestAnswer is far below the 10 s after which the client takes connect for refused.
	latestAnswer = 8 * time.Second
)

// answerAfter is how long the answer to connect waits whose client comes from a pod that is lost:
// at least for as long as the gateway has held the client, and since it lost the pod or, when it
// has not told, since the room came here.
//
// The client looks at the ICE state of its own stream when it is answered, and sends the stream
// anew when ICE is broken. If it is not yet, the client does so only 4 s after it is (openvidu-rpc
// 1.8, 4.8), and no message makes it look earlier. So the answer waits for that moment.
func answerAfter(resumed room.Resumed, held time.Duration) time.Duration {
	if !resumed.AwaitsMedia {
		return 0
	}
	notice := iceNotice
	if strings.Contains(resumed.Client.Platform, "Firefox") {
		notice = iceNoticeFirefox
	}
	return min(max(0, notice-max(held, time.Since(resumed.Restored))), latestAnswer)
}

var errStopping = errors.New("the media pod stops")

// connect takes a connection up again on this socket (openvidu-rpc 1.8).
func connect(_ context.Context, c *call) error {
	s := c.conversation
	private := c.params.text("sessionId", maxName)
	if s.participant != nil && private == s.private && s.participant.Alive() == nil {
		c.reply(map[string]string{"value": "reconnection successful"}) // it is here already
		return nil
	}
	if c.params.err != nil || s.participant != nil {
		return jsonrpc.Errorf(codeReconnection, "reconnection error")
	}
	err := s.frontEnd.rooms.Resume(s.key, private, s.client, func(resumed room.Resumed) {
		s.joined(resumed.Participant, private)
		s.client.Resumable(private, c.id)
		answer := map[string]string{"value": "reconnection successful"}
		if wait := answerAfter(resumed, s.held); wait > 0 {
			c.replyLater(answer, wait)
		} else {
			c.reply(answer)
		}
	})
	if errors.Is(err, room.ErrClosed) {
		// Any answer but a good one ends the client's session. It comes back elsewhere.
		c.answered = true
		c.client.Expel(errStopping)
		return nil
	}
	if err != nil {
		return jsonrpc.Errorf(codeReconnection, "reconnection error")
	}
	return nil
}

func closeSession(_ context.Context, c *call) error {
	if err := c.participant.Leave(); err != nil {
		return err
	}
	c.reply(map[string]string{"value": "bye"})
	return nil
}

func leaveRoom(_ context.Context, c *call) error {
	return c.participant.Leave()
}

func echo(_ context.Context, c *call) error {
	return c.participant.Alive()
}
