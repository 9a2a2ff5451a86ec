package browser

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/chromedp/cdproto/network"
)

// Frame is one message on a socket of a page, as the browser's network stack saw it.
type Frame struct {
	// At is when this process learned of it.
	At time.Time
	// Sent says that the page sent it.
	Sent bool
	// Socket tells the sockets of a page apart.
	Socket string
	// ID is that of a request or of its response; nil in a notification.
	ID *int64 `json:"id"`
	// Method is empty in a response.
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *Failure        `json:"error"`
}

// String says which message it is. It leaves out what is in it, which may be a secret.
func (f Frame) String() string {
	direction := "<-"
	if f.Sent {
		direction = "->"
	}
	switch {
	case f.Method != "" && f.ID != nil:
		return fmt.Sprintf("%s %s #%d", direction, f.Method, *f.ID)
	case f.Method != "":
		return direction + " " + f.Method
	case f.ID != nil && f.Error != nil:
		return fmt.Sprintf("%s error of #%d: %d", direction, *f.ID, f.Error.Code)
	case f.ID != nil:
		return fmt.Sprintf("%s result of #%d", direction, *f.ID)
	}
	return direction + " (no JSON-RPC)"
}

// frame keeps what an event of the network domain says of a message on a socket. It is called in
// the order of the messages.
func (p *Page) frame(event any) {
	frame := Frame{At: time.Now()}
	var payload []byte
	switch event := event.(type) {
	case *network.EventWebSocketFrameSent:
		frame.Sent, frame.Socket, payload = true, string(event.RequestID), event.Response.PayloadData
	case *network.EventWebSocketFrameReceived:
		frame.Socket, payload = string(event.RequestID), event.Response.PayloadData
	default:
		return
	}
	// What is no JSON-RPC stays in the list as an empty message.
	_ = json.Unmarshal(payload, &frame)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames = append(p.frames, frame)
}

// Frames are all messages on the sockets of the page, in their order.
func (p *Page) Frames() []Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Frame{}, p.frames...)
}
