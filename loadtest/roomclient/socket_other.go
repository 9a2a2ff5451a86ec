//go:build !linux

package roomclient

import (
	"errors"
	"net"
	"time"
)

// prepare does nothing: only Linux tells when packets came and binds sockets to network interfaces.
func prepare(_ *net.UDPConn, device string) error {
	if device != "" {
		return errors.New("binding to a network interface needs Linux")
	}
	return nil
}

func arrivalTime([]byte) time.Time { return time.Time{} }
