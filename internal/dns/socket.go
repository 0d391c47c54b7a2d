package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// attempts at a port that is free for UDP and TCP; the kernel picks for UDP.
const attempts = 8

// sockets are what a resolver needs at one address.
type sockets struct {
	udp  *net.UDPConn
	tcp  *net.TCPListener
	port uint16
}

// listen opens sockets on a port of an address, or on any free one where that is
// taken: somebody who listens on port 53 of all addresses, say, keeps this one too.
func listen(p place) (sockets, error) {
	s, err := listenOn(p, p.port)
	for range attempts {
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
		s, err = listenOn(p, 0)
	}
	return s, err
}

func listenOn(p place, port uint16) (sockets, error) {
	addr, version := p.addr, "6"
	if addr.Is4() {
		version = "4"
	} else if addr.IsLinkLocalUnicast() {
		addr = addr.WithZone(strconv.Itoa(int(p.index))) // for a name the net package keeps an old index for a minute
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return prepare(c, p.device, addr.Is4()) }}
	config.SetMultipathTCP(false) // two ports of a bridge are no two paths
	packets, err := config.ListenPacket(context.Background(), "udp"+version, netip.AddrPortFrom(addr, port).String())
	if err != nil {
		return sockets{}, err
	}
	udp := packets.(*net.UDPConn)
	got := udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	listener, err := config.Listen(context.Background(), "tcp"+version, netip.AddrPortFrom(addr, got).String())
	if err != nil {
		udp.Close()
		return sockets{}, err
	}
	return sockets{udp, listener.(*net.TCPListener), got}, nil
}

// prepare binds a socket to a device before it is bound to an address. The address
// may be missing: it may come later, be waiting for duplicate address detection, or
// be gone until somebody repairs it, and meanwhile nothing arrives.
func prepare(c syscall.RawConn, device string, v4 bool) error {
	var err error
	control := c.Control(func(fd uintptr) {
		if err = unix.BindToDevice(int(fd), device); err != nil {
			err = fmt.Errorf("bind to device %q: %w", device, err)
		} else if v4 {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		}
	})
	return errors.Join(control, err)
}

// deviceIndex returns a device's number in the kernel. To that, not the name, a
// socket is bound, so it is lost with a device that is deleted and made anew.
func deviceIndex(device string) (uint32, error) {
	request, err := unix.NewIfreq(device)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	return request.Uint32(), err
}

// hint says what to do about an error of listen.
func hint(err error) string {
	switch {
	case errors.Is(err, unix.ENODEV):
		return "\nthe bridge is not there: it is made when a container starts, and its names are answered after the next Set"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "\nrun it as root, or with CAP_NET_RAW and CAP_NET_BIND_SERVICE"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return "\nraise the limit of open files (LimitNOFILE= in the unit)"
	case errors.Is(err, unix.EADDRINUSE):
		return "\n`ss -lntup` shows who has it"
	}
	return ""
}
