package peer

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	dtlsextension "github.com/pion/dtls/v3/pkg/protocol/extension"
	dtlshandshake "github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"
)

// handshake is what follows from the DTLS handshake of a peer connection of pion/webrtc's: the keys of its media. A peer connection gives them to nobody, but
// RTCP has to be read before pion does, which takes megabytes for the 36 bytes of a hostile packet (docs/adr/0021). So the handshake is listened to.
type handshake struct {
	mu      sync.Mutex // guards the fields below
	hash    prf.HashFunc
	profile dtls.SRTPProtectionProfile
	server  []byte // random
	client  []byte // random
	master  []byte // secret
}

var _ srtp.KeyingMaterialExporter = (*handshake)(nil)

// listen has the settings of a connection tell of its handshake, in which we are the server.
func (h *handshake) listen(settings *webrtc.SettingEngine) {
	settings.SetDTLSServerHelloMessageHook(h.hello)
	settings.SetDTLSKeyLogWriter(h)
}

// hello notes what we say first.
func (h *handshake) hello(message dtlshandshake.MessageServerHello) dtlshandshake.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	random := message.Random.MarshalFixed()
	h.server = random[:]
	h.hash = sha256.New // RFC 5246, section 5; RFC 5289, section 3.2
	if id := message.CipherSuiteID; id != nil && strings.HasSuffix(dtls.CipherSuiteName(dtls.CipherSuiteID(*id)), "SHA384") {
		h.hash = sha512.New384
	}
	for _, e := range message.Extensions {
		if e, ok := e.(*dtlsextension.UseSRTP); ok && len(e.ProtectionProfiles) == 1 {
			h.profile = e.ProtectionProfiles[0]
		}
	}
	return &message
}

// Write takes a line of the key log: a label, the client's random and the master secret.
func (h *handshake) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 {
		return 0, errNoSecret
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var err error
	if h.client, err = hex.AppendDecode(nil, fields[1]); err != nil {
		return 0, errNoSecret // the cause would tell of it
	}
	if h.master, err = hex.AppendDecode(nil, fields[2]); err != nil {
		return 0, errNoSecret
	}
	return len(line), nil
}

var errNoSecret = errors.New("the handshake has no master secret")

// srtpProfile is how the media is protected.
func (h *handshake) srtpProfile() dtls.SRTPProtectionProfile {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.profile
}

// ExportKeyingMaterial makes keys (RFC 5705, section 4), once: the secret is forgotten.
func (h *handshake) ExportKeyingMaterial(label string, _ []byte, length int) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.master) == 0 || len(h.server) == 0 {
		return nil, errNoSecret
	}
	seed := append(append([]byte(label), h.client...), h.server...)
	material, err := prf.PHash(h.master, seed, length, h.hash)
	if err != nil {
		return nil, fmt.Errorf("making keys: %w", err)
	}
	clear(h.master)
	h.master = nil
	return material, nil
}
