package transport

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/fingerprint"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v4/packetio"
)

// profiles are the ways to protect media, the best first: GCM is what processors do fast, the other
// one is what everybody has.
var profiles = map[dtls.SRTPProtectionProfile]srtp.ProtectionProfile{
	dtls.SRTP_AEAD_AES_128_GCM:       srtp.ProtectionProfileAeadAes128Gcm,
	dtls.SRTP_AES128_CM_HMAC_SHA1_80: srtp.ProtectionProfileAes128CmHmacSha1_80,
}

// dtlsQueue is how many bytes of DTLS wait to be read at most: a handshake has less.
const dtlsQueue = 32 << 10

// dtlsEndpoint is the connection as a session of the DTLS library sees it.
type dtlsEndpoint struct {
	conn     *Conn
	received *packetio.Buffer
	// quiet has what the library sends kept, in last, in place of being sent, and closing not be
	// taken for the peer's.
	quiet atomic.Bool
	last  atomic.Pointer[[]byte]
}

var _ net.PacketConn = (*dtlsEndpoint)(nil)

func newDTLSEndpoint(c *Conn) *dtlsEndpoint {
	e := &dtlsEndpoint{conn: c, received: packetio.NewBuffer()}
	e.received.SetLimitSize(dtlsQueue)
	return e
}

// open starts a session with the peer; the handshake is still to be done.
func (e *dtlsEndpoint) open(remote Remote) (*dtls.Conn, error) {
	options := []dtls.Option{
		dtls.WithCertificates(e.conn.certificate),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithLoggerFactory(e.conn.sockets.logs),
		// There is no chain to check: the certificate is that of the SDP, or not.
		dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyPeerCertificate(func(certificates [][]byte, _ [][]*x509.Certificate) error {
			return remote.verify(certificates)
		}),
	}
	var session *dtls.Conn
	var err error
	if remote.Passive {
		client := make([]dtls.ClientOption, 0, len(options))
		for _, o := range options {
			client = append(client, o)
		}
		session, err = dtls.ClientWithOptions(e, e.LocalAddr(), client...)
	} else {
		server := []dtls.ServerOption{
			dtls.WithClientAuth(dtls.RequireAnyClientCert),
			// ICE has made sure of the peer's address already, so DTLS need not spend a round trip
			// on it.
			dtls.WithInsecureSkipVerifyHello(true),
		}
		for _, o := range options {
			server = append(server, o)
		}
		session, err = dtls.ServerWithOptions(e, e.LocalAddr(), server...)
	}
	if err != nil {
		return nil, fmt.Errorf("opening DTLS session: %w", err)
	}
	return session, nil
}

var errFingerprint = errors.New("the certificate is not that of the session description")

// verify compares the peer's certificate with the fingerprint of its description, during the
// handshake (RFC 8122, section 6.2).
func (r Remote) verify(certificates [][]byte) error {
	if len(certificates) == 0 {
		return errFingerprint
	}
	certificate, err := x509.ParseCertificate(certificates[0])
	if err != nil {
		return fmt.Errorf("reading the peer's certificate: %w", err)
	}
	hash, err := fingerprint.HashFromString(r.Hash)
	if err != nil {
		return fmt.Errorf("reading the peer's fingerprint: %w", err)
	}
	actual, err := fingerprint.Fingerprint(certificate, hash)
	if err != nil {
		return fmt.Errorf("making the peer's fingerprint: %w", err)
	}
	if !strings.EqualFold(actual, r.Fingerprint) {
		return errFingerprint
	}
	return nil
}

// A DTLS record (RFC 6347, section 4.1) begins with its type, the version, its epoch, a number, and
// its length.
const (
	recordHeaderBytes = 13
	recordEpochAt     = 3
	recordLengthAt    = 11
	protectedEpoch    = 1 // there is one handshake
	alertRecord       = 21
)

// startsWithAlert tells that the first record of a DTLS packet is an alert. Who closes sends
// nothing before it.
func startsWithAlert(packet []byte) bool { return len(packet) > 0 && packet[0] == alertRecord }

// protected returns those records of a DTLS packet, which it moves together, that are protected by
// keys. Once there are keys, what is in the clear is of no use: who repeats the end of a handshake
// ends it with a protected record. Anybody can write the rest, and the DTLS library would believe
// an alert.
func protected(packet []byte) []byte {
	kept := packet[:0]
	for len(packet) >= recordHeaderBytes {
		size := recordHeaderBytes + int(binary.BigEndian.Uint16(packet[recordLengthAt:]))
		if size > len(packet) {
			break
		}
		if binary.BigEndian.Uint16(packet[recordEpochAt:]) == protectedEpoch {
			kept = append(kept, packet[:size]...)
		}
		packet = packet[size:]
	}
	return kept
}

// deliver takes a DTLS packet of the peer. What is too much is lost; the peer sends it again.
func (e *dtlsEndpoint) deliver(packet []byte) {
	_, _ = e.received.Write(packet)
}

// ReadFrom returns the next packet.
func (e *dtlsEndpoint) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := e.received.Read(b)
	return n, e.LocalAddr(), err
}

// WriteTo sends a packet to the peer, wherever that is by now.
func (e *dtlsEndpoint) WriteTo(b []byte, _ net.Addr) (int, error) {
	if e.quiet.Load() {
		e.last.Store(new(bytes.Clone(b)))
	} else {
		e.conn.write(b)
	}
	return len(b), nil
}

// Close ends the connection: the library calls it when the peer says that it closes.
func (e *dtlsEndpoint) Close() error {
	err := e.received.Close()
	if !e.quiet.Load() {
		e.conn.over(nil)
	}
	return err
}

// LocalAddr is a name for both ends; packets follow the peer's route.
func (e *dtlsEndpoint) LocalAddr() net.Addr { return endpointAddress{} }

// SetDeadline bounds reading; writing does not block.
func (e *dtlsEndpoint) SetDeadline(t time.Time) error { return e.received.SetReadDeadline(t) }

// SetReadDeadline bounds reading.
func (e *dtlsEndpoint) SetReadDeadline(t time.Time) error { return e.received.SetReadDeadline(t) }

// SetWriteDeadline does nothing: writing does not block.
func (e *dtlsEndpoint) SetWriteDeadline(time.Time) error { return nil }

type endpointAddress struct{}

// Network is that of DTLS.
func (endpointAddress) Network() string { return "udp" }

// String is the same for all.
func (endpointAddress) String() string { return "peer" }
