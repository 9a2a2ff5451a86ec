package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"mediarooms.dev/mediarooms/mediapod/media"
	"mediarooms.dev/mediarooms/mediapod/peer/transport"
)

// conn is one peer connection of a publisher, made of pion/webrtc.
type conn struct {
	pc     *webrtc.PeerConnection
	guest  *transport.Guest // its ICE agent
	keys   handshake
	engine *Engine
	life   *life
	// incoming has what the peer sends.
	incoming *incoming
}

// connEvents is what a connection tells its owner beside the events of its life. All are called by goroutines of pion's.
type connEvents struct {
	lifeEvents
	// control gets the RTCP of the peer, and feedback its transport-wide feedback, as in transport.Events; without feedback the peer receives nothing.
	control  func(packets []rtcp.Packet)
	feedback func(raw []byte)
	// repairs returns who takes the retransmissions of the layer with the given rid, "" without simulcast.
	repairs func(rid string) taker
}

// newConn makes a connection that negotiates the codecs of a publisher's description.
func (e *Engine) newConn(d *description, logger logr.Logger, events connEvents) (*conn, error) {
	table, err := mediaEngine(d.codecs())
	if err != nil {
		return nil, err
	}
	c := &conn{engine: e, incoming: newIncoming(d, events.repairs)}
	c.guest, err = e.ports.sockets.Admit(transport.Events{Control: events.control, Feedback: events.feedback, Ended: c.expel})
	if err != nil {
		return nil, err
	}
	c.incoming.excess = func() { c.expel(transport.ErrSSRCs) }
	settings := e.settings
	settings.SetICECredentials(c.guest.Credentials())
	settings.BufferFactory = c.incoming.buffer
	c.keys.listen(&settings)
	// Without interceptors: packets do not pass through pion's readers, and RTCP is the SFU's and the feedback's.
	api := webrtc.NewAPI(webrtc.WithMediaEngine(table), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	c.pc, err = api.NewPeerConnection(webrtc.Configuration{
		Certificates:  e.identity.webrtc,
		BundlePolicy:  webrtc.BundlePolicyMaxBundle,
		RTCPMuxPolicy: webrtc.RTCPMuxPolicyRequire,
	})
	if err != nil {
		c.guest.Close()
		return nil, fmt.Errorf("making peer connection: %w", err)
	}
	c.life = newLife(e, &e.gauges.publishing, logger, events.lifeEvents, func() {
		if err := c.pc.GracefulClose(); err != nil {
			logger.V(1).Info("Closing peer connection", "error", err.Error())
		}
		c.guest.Close()
	})
	c.pc.OnConnectionStateChange(c.stateChanged)
	c.pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		c.life.routed(over(pair.Local.Protocol == webrtc.ICEProtocolTCP))
	})
	return c, nil
}

// over names a transport.
func over(tcp bool) media.Transport {
	if tcp {
		return media.TCP
	}
	return media.UDP
}

func (c *conn) stateChanged(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		if err := c.guest.Secured(&c.keys, c.keys.srtpProfile()); err != nil {
			c.life.logger.Error(err, "Taking a publisher's keys")
			c.life.lost("without keys")
			return
		}
		c.life.connected()
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		c.life.lost(state.String())
	}
}

// expel ends the connection of a peer that is over a limit.
func (c *conn) expel(reason error) {
	c.guest.Shut()
	c.life.expel(reason)
}

// tick tells the peer when its packets arrived, when that is due.
func (c *conn) tick(now time.Time) {
	if packets := c.incoming.recorded.due(now); len(packets) > 0 {
		_ = c.pc.WriteRTCP(packets) // the peer takes what it is not told for lost
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
