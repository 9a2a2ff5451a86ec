package transport

import "net/netip"

// route is where a peer is.
type route struct {
	address netip.AddrPort
	// socket or tcp is set.
	socket *UDPSocket
	tcp    *tcpFlow
}

// write sends one packet. What can't be sent is lost.
func (r *route) write(packet []byte) {
	if r.tcp != nil {
		r.tcp.write(packet)
		return
	}
	_, _ = r.socket.WriteToAddrPort(packet, r.address)
}

// writeBurst sends packets and returns how many of them were taken.
func (r *route) writeBurst(b *burst) int {
	if r.tcp == nil {
		return r.socket.writeBurst(b, r.address)
	}
	taken, start := 0, 0
	for _, size := range b.sizes {
		if r.tcp.write(b.data[start : start+size]) {
			taken++
		}
		start += size
	}
	return taken
}

// gone tells that nothing gets through any more.
func (r *route) gone() bool { return r.tcp != nil && r.tcp.gone() }
