package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxPortAttempts is how often a free port is tried. The kernel picks one that is free for UDP,
// which may be taken for TCP.
const maxPortAttempts = 8

// sockets are a resolver's at one address, of one port.
type sockets struct {
	udp  *net.UDPConn
	tcp  *net.TCPListener
	port uint16
}

// openSockets opens sockets on the binding's port, or on any free one if that is taken. A program
// that listens on port 53 of all addresses takes it, for instance.
func openSockets(b binding) (sockets, error) {
	s, err := openSocketsOn(b, b.port)
	for range maxPortAttempts {
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
		s, err = openSocketsOn(b, 0)
	}
	return s, err
}

func openSocketsOn(b binding, port uint16) (sockets, error) {
	addr, version := b.addr, "6"
	if addr.Is4() {
		version = "4"
	} else if addr.IsLinkLocalUnicast() {
		// Of a name the net package would cache the index for a minute.
		addr = addr.WithZone(strconv.Itoa(int(b.index)))
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return bindToDevice(c, b.device, addr.Is4())
	}}
	config.SetMultipathTCP(false) // two ports of a bridge are no two paths
	packets, err := config.ListenPacket(context.Background(), "udp"+version, netip.AddrPortFrom(addr, port).String())
	if err != nil {
		return sockets{}, err
	}
	udp := packets.(*net.UDPConn)
	enlargeReceiveBuffer(udp)
	got := udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	tcp, err := config.Listen(context.Background(), "tcp"+version, netip.AddrPortFrom(addr, got).String())
	if err != nil {
		udp.Close()
		return sockets{}, err
	}
	return sockets{udp, tcp.(*net.TCPListener), got}, nil
}

// receiveBuffer is room for more than a thousand queries that arrive while the agent waits for a
// processor. The kernel's default is room for about 200.
const receiveBuffer = 1 << 20

// enlargeReceiveBuffer enlarges a socket's buffer, as far as it may.
func enlargeReceiveBuffer(udp *net.UDPConn) {
	c, err := udp.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) {
		// The first needs CAP_NET_ADMIN in the first user namespace.
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
	})
}

// bindToDevice binds a socket to a device, before it is bound to an address. The address may be
// missing: it may come later, be in duplicate address detection, or be deleted until it is
// repaired. Meanwhile nothing arrives.
func bindToDevice(c syscall.RawConn, device string, v4 bool) error {
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

// deviceIndex returns a device's number in the kernel. Sockets are bound to that, not to the name,
// so they are useless once the device was deleted and made anew.
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

// socketErrorLogInterval is how often errors of sockets are logged. What fails for one socket
// mostly fails for all, and ten times a second.
const socketErrorLogInterval = time.Minute

// socketErrorLog logs errors of sockets that are open.
type socketErrorLog struct {
	log  *slog.Logger
	mu   sync.Mutex
	last time.Time
}

// Report logs an error, unless one was logged lately.
func (s *socketErrorLog) Report(network string, on net.Addr, action string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && time.Since(s.last) < socketErrorLogInterval {
		return
	}
	s.last = time.Now()
	s.log.Warn("name server socket failed; others may too", "network", network, "on", on,
		"action", action, "error", err, "hint", strings.TrimSpace(hintFor(err)))
}

// hintFor says what to do about an error of openSockets.
func hintFor(err error) string {
	switch {
	case errors.Is(err, unix.ENODEV):
		return "\nthe bridge is not there: it is made when a container starts, and names are answered after that"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "\nrun it as root, or with CAP_NET_RAW and CAP_NET_BIND_SERVICE"
	case errors.Is(err, unix.EMFILE):
		return "\nraise the limit of open files (LimitNOFILE= in the unit)"
	case errors.Is(err, unix.ENFILE):
		return "\nraise the host's limit of open files (sysctl fs.file-max)"
	case errors.Is(err, unix.EADDRINUSE):
		return "\n`ss -lntup` shows who has it"
	}
	return ""
}
