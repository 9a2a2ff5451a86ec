package transport

import (
	"sync"
	"time"

	"github.com/pion/dtls/v3"
)

// restAfter is for how long nothing may have come over DTLS before a session rests.
const restAfter = 5 * time.Second

// association is the DTLS session of a connection. Media is not sent over it, so that after the
// handshake one message is left: the alert by which one end says that it closes. The library waits
// for that with three goroutines and all that it remembers of the handshake. So the session rests
// once the peer has shown by media that it has the keys, too, and repeats nothing any more: it is
// kept as a value, with our own alert, and an alert of the peer's wakes it. Only the library can
// tell whether that is authentic.
//
//	newAssociation --open--> handshake --> awake --rest--> resting --an alert--> awake
//	       \_________________________________\__________________\____close____> closed
type association struct {
	conn *Conn

	mu       sync.Mutex    // guards the fields below
	endpoint *dtlsEndpoint // nil while resting
	session  *dtls.Conn    // nil before open, and while resting
	heardAt  time.Time     // when something came over DTLS last
	resting  *dtls.State   // nil but while resting
	farewell []byte        // our alert, while resting
	closed   bool
	waking   sync.WaitGroup
}

func newAssociation(c *Conn) *association {
	return &association{conn: c, endpoint: newDTLSEndpoint(c)}
}

// open starts a session with the peer; the handshake is still to be done.
func (a *association) open(remote Remote) (*dtls.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, ErrClosed
	}
	session, err := a.endpoint.open(remote)
	if err != nil {
		return nil, err
	}
	a.session = session
	return session, nil
}

// deliver takes a DTLS packet of the peer. What is too much is lost; the peer sends it again.
func (a *association) deliver(packet []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heardAt = time.Now()
	if a.resting != nil && startsWithAlert(packet) {
		a.wake()
	}
	if a.endpoint != nil && !a.closed {
		a.endpoint.deliver(packet)
	}
}

// rest ends the library's session, unless it may be needed again soon. The peer does not notice.
func (a *association) rest(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == nil || a.closed || now.Sub(a.heardAt) < restAfter || !a.conn.heardKeys() {
		return
	}
	a.endpoint.quiet.Store(true)
	_ = a.session.Close() // it has nothing to say
	state, ok := a.session.ConnectionState()
	if !ok {
		return
	}
	state.PeerCertificates = nil // they were verified
	a.resting = &state
	if last := a.endpoint.last.Load(); last != nil {
		a.farewell = *last
	}
	a.session, a.endpoint = nil, nil
}

// wake has the library go on with the session. The caller holds a.mu.
func (a *association) wake() {
	endpoint := newDTLSEndpoint(a.conn)
	session, err := dtls.ResumeWithOptions(a.resting, endpoint, endpoint.LocalAddr(), dtls.WithLoggerFactory(a.conn.sockets.logs))
	if err != nil {
		a.conn.sockets.logs.NewLogger("transport").Warnf("resuming DTLS session: %v", err)
		return
	}
	a.endpoint, a.session, a.resting, a.farewell = endpoint, session, nil, nil
	a.waking.Go(func() { _ = session.Handshake() }) // it is done already; an error is that of the alert
}

// close ends the session, and tells the peer when there is one. It is idempotent.
func (a *association) close() {
	a.mu.Lock()
	session, endpoint, farewell := a.session, a.endpoint, a.farewell
	a.closed, a.resting, a.farewell = true, nil, nil
	a.mu.Unlock()
	if farewell != nil {
		a.conn.write(farewell)
	}
	if session != nil {
		_ = session.Close() // the peer's address may be gone
	}
	if endpoint != nil {
		_ = endpoint.Close()
	}
	a.waking.Wait()
}
