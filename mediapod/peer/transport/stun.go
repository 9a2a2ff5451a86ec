package transport

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/pion/stun/v4"
)

const stunHeaderBytes = 20

// maxSTUNAttributes is how many attributes a message may have. Browsers send about ten.
const maxSTUNAttributes = 32

// isResponse tells a response from a request (RFC 8489, section 5). The packet must be a STUN
// message.
func isResponse(packet []byte) bool { return packet[0]&1 == 1 }

// checkedName returns the ICE user name fragment of the agent that a STUN message checks, which the
// sender has not proven to know anything of (RFC 8445, section 7.2.2); "" when there is none. The
// packet must be a STUN message (stun.IsMessage).
func checkedName(packet []byte) string {
	name, _, _ := strings.Cut(userName(packet), ":")
	return name
}

// userName returns the value of the USERNAME attribute of a STUN message (RFC 8489, section 14.3),
// "" when it has none, or too many attributes.
func userName(packet []byte) (name string) {
	rest := packet[stunHeaderBytes:]
	for range maxSTUNAttributes {
		if len(rest) < 4 {
			return name
		}
		kind, length := stun.AttrType(binary.BigEndian.Uint16(rest)), int(binary.BigEndian.Uint16(rest[2:]))
		padded := (length + 3) &^ 3
		if len(rest) < 4+padded {
			return name
		}
		if kind == stun.AttrUsername && name == "" {
			name = string(rest[4 : 4+length])
		}
		rest = rest[4+padded:]
	}
	if len(rest) >= 4 {
		return ""
	}
	return name
}

// authentic reads a connectivity check that its sender has made with the password of the agent that
// it checks; nil when it is malformed or was not.
func authentic(packet []byte, password string) *stun.Message {
	request := &stun.Message{Raw: append([]byte(nil), packet...)}
	if request.Decode() != nil || request.Type != stun.BindingRequest || stun.NewShortTermIntegrity(password).Check(request) != nil {
		return nil
	}
	if request.Contains(stun.AttrFingerprint) && stun.Fingerprint.Check(request) != nil {
		return nil
	}
	return request
}

// check answers a connectivity check of the peer (RFC 8445, section 7.3), which is how the agent
// learns where its peer is. What is malformed or not authentic is dropped, of which it returns
// false.
func (c *Conn) check(packet []byte, via route) bool {
	local, remote, ok := strings.Cut(userName(packet), ":")
	if expected := c.remoteEnd().Name; !ok || local != c.name || expected != "" && remote != expected {
		return false
	}
	request := authentic(packet, c.password)
	if request == nil {
		return false
	}
	answer := []stun.Setter{
		stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: via.address.Addr().AsSlice(), Port: int(via.address.Port())},
	}
	conflict := request.Contains(stun.AttrICEControlling)
	if conflict { // its tie-breaker is never higher (RFC 8445, section 7.3.1.1)
		answer[1], answer[2] = stun.BindingError, stun.CodeRoleConflict
	}
	response, err := stun.Build(append(answer, stun.NewShortTermIntegrity(c.password), stun.Fingerprint)...)
	if err != nil {
		return true
	}
	// Also in a conflict the peer is asked: some give way only to a check that has the higher
	// tie-breaker.
	c.reached(via, unprovenFactor*len(packet)-len(response.Raw), time.Now())
	via.write(response.Raw)
	return true
}
