package echo

import (
	"encoding/binary"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// TooBig is what a router said of a request that did not fit its next link.
type TooBig struct {
	Router netip.Addr // invalid: this host knows it by itself
	MTU    int
}

// ReportTooBig makes an Echo whose request does not fit a link on the way end as soon as a router says
// so. TooBig has to be called then.
func (c *Conn) ReportTooBig() error {
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if c.dst.Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(c.fd, level, option, 1))
}

// TooBig returns what routers said since it was called last: of several links the smallest.
func (c *Conn) TooBig() (said TooBig, ok bool) {
	control, packet := make([]byte, 512), make([]byte, maxPacket)
	for {
		_, n, _, _, err := unix.Recvmsg(c.fd, packet, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return said, ok
		}
		messages, _ := unix.ParseSocketControlMessage(control[:n])
		for _, m := range messages {
			if t, isTooBig := parseExtendedError(m.Data); isTooBig && (!ok || t.MTU < said.MTU) {
				said, ok = t, true
			}
		}
	}
}

// parseExtendedError reads a struct sock_extended_err, which the address of who sent the error follows
// (ip(7), IP_RECVERR).
func parseExtendedError(b []byte) (t TooBig, ok bool) {
	const extendedLen, sockaddr4, sockaddr6 = 16, 16, 28
	if len(b) < extendedLen || binary.NativeEndian.Uint32(b) != uint32(unix.EMSGSIZE) {
		return t, false
	}
	t.MTU = int(binary.NativeEndian.Uint32(b[8:]))
	from := b[extendedLen:]
	switch {
	case len(from) >= sockaddr4 && binary.NativeEndian.Uint16(from) == unix.AF_INET:
		t.Router = netip.AddrFrom4([4]byte(from[4:8]))
	case len(from) >= sockaddr6 && binary.NativeEndian.Uint16(from) == unix.AF_INET6:
		t.Router = netip.AddrFrom16([16]byte(from[8:24]))
	}
	return t, t.MTU > 0
}
