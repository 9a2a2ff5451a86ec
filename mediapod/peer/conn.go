package peer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// conn is one peer connection with all that runs for it. It has one offer and one answer; there is no renegotiation
// (openvidu-rpc 4.1).
//
//	newConn -- negotiated --> connecting -- ICE and DTLS --> connected -- failed, or closed by the peer --> closed
//	                              \------ connectDeadline ----------------------------------------------------^
type conn struct {
	pc     *webrtc.PeerConnection
	engine *Engine
	logger logr.Logger
	gauge  *atomic.Int64
	events connEvents
	// incoming has what the peer sends.
	incoming *incoming

	mu       sync.Mutex // guards the fields below
	running  sync.WaitGroup
	deadline *time.Timer
	closing  bool
	up       bool

	done chan struct{} // closed when nothing runs any more
}

// connEvents is what a connection tells its owner. All are called by goroutines of pion's.
type connEvents struct {
	// connected is called once, when packets can be sent; ended once, when the connection ends, or never connects.
	connected, ended func()
	// control gets the RTCP of the peer, packet by packet. It must not block.
	control func(packets []rtcp.Packet)
	// repair gets the packets of a publisher's retransmission streams, with the rid of the layer that they repair when there is one.
	repair func(rid string, packet []byte)
	// layered tells that there is simulcast.
	layered bool
}

// newConn makes a connection that negotiates the given codecs.
func (e *Engine) newConn(d direction, codecs []codec, logger logr.Logger, events connEvents) (*conn, error) {
	table, err := mediaEngine(codecs, d)
	if err != nil {
		return nil, err
	}
	chain, err := interceptors(d, events, pionLogs{e.logger})
	if err != nil {
		return nil, err
	}
	settings := e.settings
	in := newIncoming(events.control)
	settings.BufferFactory = in.buffer
	api := webrtc.NewAPI(webrtc.WithMediaEngine(table), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{
		Certificates:  e.identity,
		BundlePolicy:  webrtc.BundlePolicyMaxBundle,
		RTCPMuxPolicy: webrtc.RTCPMuxPolicyRequire,
	})
	if err != nil {
		return nil, fmt.Errorf("making peer connection: %w", err)
	}
	gauge := &e.gauges.publishing
	if d == sending {
		gauge = &e.gauges.subscribing
	}
	gauge.Add(1)
	c := &conn{pc: pc, engine: e, logger: logger, gauge: gauge, events: events, incoming: in, done: make(chan struct{})}
	pc.OnConnectionStateChange(c.stateChanged)
	return c, nil
}

func (c *conn) stateChanged(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		c.mu.Lock()
		first := !c.up && !c.closing
		c.up = true
		if c.deadline != nil {
			c.deadline.Stop()
		}
		c.mu.Unlock()
		if first {
			c.logger.V(1).Info("Media connected")
			c.events.connected()
		}
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		c.mu.Lock()
		closing := c.closing
		c.mu.Unlock()
		if closing {
			return
		}
		// A client comes back with a new connection only, so that this one is of no more use. Not from here: closing
		// waits for this callback.
		c.logger.V(1).Info("Media connection ended", "state", state.String())
		go c.close()
	}
}

// run starts f, which close waits for, unless the connection is closing.
func (c *conn) run(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.running.Go(f)
	}
}

// setLocal applies our description and returns it as the peer gets it: with our candidates in it.
func (c *conn) setLocal(ctx context.Context, description webrtc.SessionDescription, video bitrates) (string, error) {
	addresses, err := c.engine.advertised()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, gatherDeadline)
	defer cancel()
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(description); err != nil {
		return "", fmt.Errorf("setting local description: %w", err)
	}
	select { // until then the mux drops the peer's checks
	case <-gathered:
	case <-ctx.Done():
		return "", fmt.Errorf("preparing ICE: %w", ctx.Err())
	}
	return decorate(description.SDP, addresses, video)
}

// setRemote applies the peer's description.
func (c *conn) setRemote(kind webrtc.SDPType, d *description) error {
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: d.raw}); err != nil {
		return fmt.Errorf("%w: %w", media.ErrSDP, err)
	}
	return nil
}

// negotiated starts the time that the peer has to connect.
func (c *conn) negotiated() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.up {
		return
	}
	c.deadline = time.AfterFunc(connectDeadline, func() {
		c.logger.V(1).Info("Media did not connect in time")
		c.close()
	})
}

// close ends the connection and waits until nothing of it runs any more, but not longer than closeDeadline. It is
// idempotent. It must not be called by what run started, nor from a callback of pion.
func (c *conn) close() {
	c.mu.Lock()
	first := !c.closing
	c.closing = true
	if c.deadline != nil {
		c.deadline.Stop()
	}
	c.mu.Unlock()
	if first {
		c.events.ended()
		go func() {
			if err := c.pc.GracefulClose(); err != nil {
				c.logger.V(1).Info("Closing peer connection", "error", err.Error())
			}
			c.running.Wait()
			c.gauge.Add(-1)
			close(c.done)
		}()
	}
	timeout := time.NewTimer(closeDeadline)
	defer timeout.Stop()
	select {
	case <-c.done:
	case <-timeout.C:
		if first {
			c.engine.gauges.stuck.Add(1)
			c.logger.Info("Peer connection does not close")
		}
	}
}
