package route

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/gateway/relay"
	"mediarooms.dev/mediarooms/internal/podhttp"
)

// This file takes in clients for whom there is no media pod: the gateway accepts the WebSocket
// itself, answers pings, and waits for the client to join. Then it looks for the pod once more and,
// when there is one, passes on what the client has sent. A client that has no room in its URL is
// taken in at once: the token that it joins with has the room.

const (
	// receptionTimeout bounds how long a client is taken in that does not join.
	receptionTimeout = 60 * time.Second
	// maxRequestID is how long the id of a request may be that is answered, in bytes.
	maxRequestID = 64
)

// protocol is what the gateway knows of a client protocol.
type protocol struct {
	// path is where clients and media pods open WebSockets of it.
	path string
	// join is the method by which a client joins.
	join string
	// noPod is the error of a join for which there is no media pod, as media pods say it.
	noPod func(join request) wireError
}

// wireError is an error of JSON-RPC 2.0.
type wireError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    string `json:"data,omitempty"`
}

var openVidu = protocol{podhttp.OpenViduPath, "joinRoom", func(join request) wireError {
	const code = 204
	return wireError{Code: code, Message: fmt.Sprintf("There is no available Media Node where to initialize session '%s'. Code: %d", join.Params.Session, code)}
}}

var openTok = protocol{podhttp.OpenTokPath, "connect", func(request) wireError {
	return wireError{Code: 1007, Message: "no media pod has room for the session", Data: "OT_CONNECT_FAILED"}
}}

// protocolOf returns the client protocol of a request, which its path says.
func protocolOf(r *http.Request) protocol {
	if r.URL.Path == openTok.path {
		return openTok
	}
	return openVidu
}

// request is what the gateway reads of a message of a client.
type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Token   string `json:"token"`
		Session string `json:"session"`
	} `json:"params"`
}

// key returns the routing key in the token of a join; "" when there is none.
func (r request) key() string {
	token, err := url.Parse(r.Params.Token)
	if err != nil {
		return ""
	}
	if key := token.Query().Get("sessionId"); len(key) <= maxKeyLength {
		return key
	}
	return ""
}

// takesIn says whether a client is taken in whom no pod has taken.
func (h *handshake) takesIn(err error) bool {
	return !h.reconnect && (errors.Is(err, errNoPod) || errors.As(err, new(*unreachableError)))
}

// receive takes a client in, and carries its WebSocket once there is a pod. It returns when that
// has ended. An error means that the client was not answered.
func (h *handshake) receive(ctx context.Context) error {
	key := h.r.Header.Get("Sec-WebSocket-Key")
	if key == "" || h.r.Header.Get("Sec-WebSocket-Version") != "13" {
		h.w.Header().Set("Sec-WebSocket-Version", "13")
		h.handler.refuse(h.w, http.StatusUpgradeRequired, refusedHandshake, "This address takes WebSockets of openvidu-browser only.")
		return nil
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, section 4.2.2
	client, err := h.accept([]string{base64.StdEncoding.EncodeToString(sum[:])})
	if err != nil || client == nil {
		return err
	}
	unwatch := context.AfterFunc(ctx, func() { _ = client.conn.Close() })
	defer unwatch()
	defer func() { _ = client.conn.Close() }()
	prelude := relay.NewPrelude(client.reader)
	pod, err := h.converse(ctx, client, prelude)
	if err != nil {
		logr.FromContextOrDiscard(ctx).V(1).Info("A client without a media pod has gone", "reason", err.Error())
		return nil
	}
	unwatch()
	client.reader = prelude.Reader()
	h.run(client, pod)
	return nil
}

// found is a pod that has taken a handshake.
type found struct {
	connection io.ReadWriteCloser
	address    string
	resumption string // what the client may be resumed by at another pod; "" for nothing
}

// converse answers a client until a pod takes it.
func (h *handshake) converse(ctx context.Context, client *accepted, prelude *relay.Prelude) (found, error) {
	if err := client.conn.SetDeadline(time.Now().Add(receptionTimeout)); err != nil {
		return found{}, err
	}
	spoken := protocolOf(h.r)
	for {
		message, err := prelude.Next()
		if err != nil {
			return found{}, err
		}
		var asked request
		if json.Unmarshal(message, &asked) != nil {
			continue // the pod answers it
		}
		switch asked.Method {
		case "ping":
			err = client.answer(asked.ID, "result", map[string]string{"value": "pong"})
		case spoken.join:
			pod, findErr := h.find(ctx, asked)
			if findErr == nil {
				return pod, client.conn.SetDeadline(time.Time{})
			}
			h.handler.metrics.refusals.WithLabelValues(string(refusedNoPod)).Inc()
			err = client.answer(asked.ID, "error", spoken.noPod(asked))
		default:
			continue // the pod answers it
		}
		if err != nil {
			return found{}, err
		}
		prelude.Drop()
	}
}

// find looks for the pod of a client that joins, waiting if need be.
func (h *handshake) find(ctx context.Context, join request) (found, error) {
	if h.key == "" {
		h.key = join.key()
	}
	h.arrived = time.Now()
	var pod found
	err := h.route(ctx, func(address string, toldWaiting bool) error {
		response, err := h.ask(ctx, address, toldWaiting)
		if err != nil {
			return err
		}
		connection, switched := response.Body.(io.ReadWriteCloser)
		if response.StatusCode != http.StatusSwitchingProtocols || !switched {
			_ = response.Body.Close()
			return errNoPod
		}
		pod = found{connection, address, response.Header.Get(podhttp.HeaderResume)}
		return nil
	})
	return pod, err
}

// answer answers a request of the client; one without an id gets no answer.
func (c *accepted) answer(id json.RawMessage, kind string, content any) error {
	if len(id) == 0 || len(id) > maxRequestID {
		return nil
	}
	text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, kind: content})
	if err != nil {
		return fmt.Errorf("answering a client: %w", err)
	}
	_, err = c.conn.Write(relay.TextFrame(text))
	return err
}
