package peer

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"mediarooms.dev/mediarooms/mediapod/media"
)

// life is the life of one connection, whatever it is made of. It has one offer and one answer;
// there is no renegotiation (openvidu-rpc 4.1).
//
//	newLife -- negotiated --> connecting -- ICE and DTLS --> connected -- failed, or closed by the peer --> closed
//	                              \------ connectDeadline -----------------------------------------------------^
type life struct {
	logger logr.Logger
	gauges *gauges
	gauge  *atomic.Int64 // of connections of this direction
	events lifeEvents
	// shutdown closes what the connection is made of, and waits for it.
	shutdown func()

	mu        sync.Mutex // guards the fields below
	deadline  *time.Timer
	closing   bool
	up        bool
	transport media.Transport

	done chan struct{} // closed when nothing runs any more
}

// lifeEvents is what a connection tells its owner.
type lifeEvents struct {
	// connected is called once, when packets can be sent; ended once, when the connection ends, or
	// never connects.
	connected, ended func()
	// rerouted, when set, is called when packets go over another transport than before. It must not
	// block.
	rerouted func()
}

func newLife(e *Engine, gauge *atomic.Int64, logger logr.Logger, events lifeEvents, shutdown func()) *life {
	gauge.Add(1)
	return &life{logger: logger, gauges: &e.gauges, gauge: gauge, events: events, shutdown: shutdown, done: make(chan struct{})}
}

// connected notes that packets can be sent.
func (l *life) connected() {
	l.mu.Lock()
	first := !l.up && !l.closing
	l.up = true
	if l.deadline != nil {
		l.deadline.Stop()
	}
	l.mu.Unlock()
	if first {
		l.logger.V(1).Info("Media connected")
		l.events.connected()
	}
}

// routed notes what packets go over from now on.
func (l *life) routed(over media.Transport) {
	l.mu.Lock()
	changed := l.transport != over && !l.closing
	if changed {
		l.gauges.reroute(l.transport, over)
		l.transport = over
	}
	l.mu.Unlock()
	if changed && l.events.rerouted != nil {
		l.events.rerouted()
	}
}

// route is what packets go over.
func (l *life) route() media.Transport {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.transport
}

// over names a transport.
func over(tcp bool) media.Transport {
	if tcp {
		return media.TCP
	}
	return media.UDP
}

// over notes that the connection has ended from the peer's side, with a reason when it is over a
// limit. A client comes back with a new connection only, so that this one is of no more use.
func (l *life) over(reason error) {
	l.mu.Lock()
	closing := l.closing
	l.mu.Unlock()
	switch {
	case closing:
		return
	case reason != nil:
		l.logger.Info("Media connection is closed", "reason", reason.Error())
	default:
		l.logger.V(1).Info("Media connection ended", "state", "gone")
	}
	go l.close() // not from here: closing waits for who calls this
}

// negotiated starts the time that the peer has to connect.
func (l *life) negotiated() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing || l.up {
		return
	}
	l.deadline = time.AfterFunc(connectDeadline, func() {
		l.logger.V(1).Info("Media did not connect in time")
		l.close()
	})
}

// close ends the connection and waits until nothing of it runs any more, but not longer than
// closeDeadline. It is idempotent. It must not be called from a callback of what the connection is
// made of.
func (l *life) close() {
	l.mu.Lock()
	first := !l.closing
	l.closing = true
	l.gauges.reroute(l.transport, media.NoTransport)
	l.transport = media.NoTransport
	if l.deadline != nil {
		l.deadline.Stop()
	}
	l.mu.Unlock()
	if first {
		l.events.ended()
		go func() {
			l.shutdown()
			l.gauge.Add(-1)
			close(l.done)
		}()
	}
	timeout := time.NewTimer(closeDeadline)
	defer timeout.Stop()
	select {
	case <-l.done:
	case <-timeout.C:
		if first {
			l.gauges.stuck.Add(1)
			l.logger.Info("Peer connection does not close")
		}
	}
}
