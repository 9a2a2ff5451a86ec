package roomclient

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// prepare asks the kernel for the time at which packets come (socket(7), SO_TIMESTAMPNS), and binds
// the socket to a network interface unless that is "".
func prepare(conn *net.UDPConn, device string) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
		if set == nil && device != "" {
			set = unix.BindToDevice(int(fd), device)
		}
	})
	return errors.Join(err, set)
}

// arrivalTime finds the time in a packet's control messages; zero when there is none. It allocates
// nothing.
func arrivalTime(control []byte) time.Time {
	for len(control) >= unix.SizeofCmsghdr {
		length := int(binary.NativeEndian.Uint64(control))
		level, kind := binary.NativeEndian.Uint32(control[8:]), binary.NativeEndian.Uint32(control[12:])
		if length < unix.SizeofCmsghdr || length > len(control) {
			break
		}
		if level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMPNS && length >= unix.SizeofCmsghdr+16 {
			data := control[unix.SizeofCmsghdr:]
			return time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		}
		control = control[min((length+7)&^7, len(control)):]
	}
	return time.Time{}
}
