package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

// maxBiDiMessage bounds one message of a browser, in bytes.
const maxBiDiMessage = 64 << 20

// errBiDiClosed is given to commands that were under way when the connection ended.
var errBiDiClosed = errors.New("the browser's connection has ended")

// bidi is a connection of WebDriver BiDi (https://www.w3.org/TR/webdriver-bidi/). It is safe for
// concurrent use.
type bidi struct {
	socket *websocket.Conn
	// event is called for each event, one after the other. It must not call commands.
	event func(method string, params json.RawMessage)
	ended chan struct{} // closed when nothing is read any more

	mu      sync.Mutex // guards what follows
	last    int64
	waiting map[int64]chan<- bidiMessage
}

// bidiMessage is what a browser sends: the answer to a command, or an event.
type bidiMessage struct {
	Type    string          `json:"type"`
	ID      int64           `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// dialBiDi connects to a browser that was started with a remote debugging port. Events are given to
// the function.
func dialBiDi(ctx context.Context, place Place, url string, event func(method string, params json.RawMessage)) (*bidi, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: place.dial}}
	socket, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client}) //nolint:bodyclose // the library says that it is never to be closed
	if err != nil {
		return nil, fmt.Errorf("connecting to the browser at %s: %w", url, err)
	}
	socket.SetReadLimit(maxBiDiMessage)
	b := &bidi{socket: socket, event: event, ended: make(chan struct{}), waiting: map[int64]chan<- bidiMessage{}}
	go b.read()
	return b, nil
}

// read hands messages out until the connection ends.
func (b *bidi) read() {
	defer close(b.ended)
	for {
		_, data, err := b.socket.Read(context.Background())
		if err != nil {
			return
		}
		var message bidiMessage
		if err := json.Unmarshal(data, &message); err != nil {
			_ = b.socket.CloseNow() // what speaks another protocol is of no use
			return
		}
		if message.Type == "event" {
			b.event(message.Method, message.Params)
			continue
		}
		b.mu.Lock()
		answer, found := b.waiting[message.ID]
		delete(b.waiting, message.ID)
		b.mu.Unlock()
		if found {
			answer <- message
		}
	}
}

// call sends a command and decodes its result unless that is nil.
func (b *bidi) call(ctx context.Context, method string, params, result any) error {
	answer := make(chan bidiMessage, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.waiting[id] = answer
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.waiting, id)
	}()
	command, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("encoding the command %s: %w", method, err)
	}
	if err := b.socket.Write(ctx, websocket.MessageText, command); err != nil {
		return fmt.Errorf("sending the command %s: %w", method, err)
	}
	select {
	case message := <-answer:
		if message.Type != "success" {
			return fmt.Errorf("the command %s: %s: %s", method, message.Error, message.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(message.Result, result)
	case <-b.ended:
		return fmt.Errorf("waiting for the answer to %s: %w", method, errBiDiClosed)
	case <-ctx.Done():
		return fmt.Errorf("waiting for the answer to %s: %w", method, ctx.Err())
	}
}

// close ends the connection.
func (b *bidi) close() {
	_ = b.socket.CloseNow()
	<-b.ended
}
