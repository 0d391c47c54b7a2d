package echo

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
)

// Conn sends echo requests to one address.
type Conn struct {
	fd  int
	dst netip.Addr
	id  int
	seq int
}

// Errors of an echo.
var (
	ErrNoAnswer = errors.New("no answer")
	ErrTooLarge = errors.New("larger than the interface's MTU")
)

// DefaultSize is that of the packets that ping(8) sends over IPv4, in bytes.
const DefaultSize = 84

const (
	protocolICMP   = 1
	protocolICMPv6 = 58
	headerIPv4     = 20
	headerIPv6     = 40
	headerEcho     = 8
	maxPacket      = 65535
)

// Open opens a connection in the network namespace at a path; "" is the caller's. Packets leave from
// src, or if that is zero from the address that the kernel picks.
func Open(namespace string, src, dst netip.Addr) (*Conn, error) {
	c := &Conn{dst: dst, id: os.Getpid() & 0xffff}
	err := netns.DoIn(namespace, func() (err error) {
		c.fd, err = openSocket(src, dst)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ping %s: %w", dst, err)
	}
	return c, nil
}

// openSocket opens a socket whose packets are never fragmented, not even by what the kernel knows of
// the path: a ping finds out what passes.
func openSocket(src, dst netip.Addr) (fd int, err error) {
	family, protocol, level, option, value := unix.AF_INET, protocolICMP, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER,
		unix.IP_PMTUDISC_PROBE
	if dst.Is6() {
		family, protocol, level, option, value = unix.AF_INET6, protocolICMPv6, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER,
			unix.IPV6_PMTUDISC_PROBE
	}
	fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return 0, err
	}
	err = unix.SetsockoptInt(fd, level, option, value)
	if err == nil && src.IsValid() {
		err = unix.Bind(fd, sockaddr(src))
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(dst))
	}
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}

// Close closes the connection.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// Echo sends a request whose IP packet has so many bytes, and waits for its answer.
func (c *Conn) Echo(size int, timeout time.Duration) (time.Duration, error) {
	c.seq++
	request, err := c.request(size)
	if err != nil {
		return 0, err
	}
	sent := time.Now()
	switch _, err := unix.Write(c.fd, request); {
	case errors.Is(err, unix.EMSGSIZE):
		return 0, fmt.Errorf("ping %s: %w", c.dst, ErrTooLarge)
	case err != nil && !errors.Is(err, unix.ENOBUFS): // the link dropped it: no answer comes
		return 0, fmt.Errorf("ping %s: %w", c.dst, err)
	}
	deadline := sent.Add(timeout)
	buf := make([]byte, maxPacket)
	for {
		n, err := c.receive(buf, time.Until(deadline))
		if err != nil {
			return 0, fmt.Errorf("ping %s: %w", c.dst, err)
		}
		if c.isAnswer(buf[:n]) {
			return time.Since(sent), nil
		}
	}
}

func (c *Conn) request(size int) ([]byte, error) {
	var kind icmp.Type = ipv4.ICMPTypeEcho
	header := headerIPv4
	if c.dst.Is6() {
		kind, header = ipv6.ICMPTypeEchoRequest, headerIPv6
	}
	if size < header+headerEcho || size > maxPacket {
		return nil, fmt.Errorf("ping %s: no echo request has %d bytes; from %d to %d are possible", c.dst, size,
			header+headerEcho, maxPacket)
	}
	body := &icmp.Echo{ID: c.id, Seq: c.seq, Data: make([]byte, size-header-headerEcho)}
	return (&icmp.Message{Type: kind, Body: body}).Marshal(nil) // of ICMPv6 the kernel adds the checksum
}

// receive waits for one packet.
func (c *Conn) receive(buf []byte, timeout time.Duration) (int, error) {
	if timeout <= 0 {
		return 0, ErrNoAnswer
	}
	wait := unix.NsecToTimespec(timeout.Nanoseconds())
	n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, &wait, nil)
	switch {
	case errors.Is(err, unix.EINTR):
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, ErrNoAnswer
	}
	return unix.Read(c.fd, buf)
}

// isAnswer tells whether a packet answers the last request. Of IPv4 the kernel delivers the IP
// header too.
func (c *Conn) isAnswer(packet []byte) bool {
	protocol := protocolICMPv6
	var kind icmp.Type = ipv6.ICMPTypeEchoReply
	if c.dst.Is4() {
		protocol, kind = protocolICMP, ipv4.ICMPTypeEchoReply
		if len(packet) < headerIPv4 || len(packet) < int(packet[0]&0x0f)*4 {
			return false
		}
		packet = packet[int(packet[0]&0x0f)*4:]
	}
	m, err := icmp.ParseMessage(protocol, packet)
	if err != nil || m.Type != kind {
		return false
	}
	echo, ok := m.Body.(*icmp.Echo)
	return ok && echo.ID == c.id && echo.Seq == c.seq
}
