package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/nlmsg"
)

// bufferSize holds a transaction of some 100,000 elements. It is a limit, not an
// allocation.
const bufferSize = 64 << 20

// Conn is a connection to the nftables of one network namespace. It is for one
// goroutine.
type Conn struct {
	fd  int
	seq uint32
}

// Open connects to the namespace at nspath, or for "" to the one that the caller
// is in.
func Open(nspath string) (*Conn, error) {
	c := new(Conn)
	if err := netns.In(nspath, c.open); err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return c, nil
}

func (c *Conn) open() (err error) {
	c.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bufferSize},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferSize},
		{unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1},
		{unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1}, // an error need not repeat what was sent
	} {
		if err := unix.SetsockoptInt(c.fd, o.level, o.name, o.value); err != nil {
			unix.Close(c.fd)
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// Close closes the connection.
func (c *Conn) Close() { unix.Close(c.fd) }

// reply is a message of the kernel.
type reply struct {
	typ  uint16
	seq  uint32
	body []byte // without the headers
}

// get sends one request and returns what came.
func (c *Conn) get(m *nlmsg.Builder) ([]reply, error) {
	if err := c.send(m.Message()); err != nil {
		return nil, err
	}
	replies, failed, err := c.receive()
	if err == nil && failed != nil {
		err = failed.err
	}
	return replies, err
}

// dump is get for a list. One during which something changed may lack an entry, and is asked for again.
func (c *Conn) dump(request func() *nlmsg.Builder) ([]reply, error) {
	for range 10 {
		replies, err := c.get(request())
		if !errors.Is(err, unix.EINTR) {
			return replies, err
		}
	}
	return nil, errors.New("the list kept changing while it was read")
}

func (c *Conn) send(data []byte) error {
	err := unix.Sendto(c.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	return os.NewSyscallError("send", err)
}

// failure is the kernel's word on a message that it refused.
type failure struct {
	seq uint32
	err error
}

// receive returns all that the kernel has to say: it has carried out a request
// when the send returns, but for the rest of a long list, which it makes as it is read.
func (c *Conn) receive() (replies []reply, failed *failure, err error) {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			return replies, failed, nil
		}
		if err != nil {
			return nil, nil, os.NewSyscallError("receive", err)
		}
		got, refused := parse(buf[:n])
		replies = append(replies, got...)
		if failed == nil {
			failed = refused
		}
	}
}

// parse splits what came in one read. The replies keep a copy.
func parse(b []byte) (replies []reply, failed *failure) {
	for len(b) >= unix.NLMSG_HDRLEN {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.NLMSG_HDRLEN || n > len(b) {
			return replies, failed
		}
		typ, flags, seq := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), binary.NativeEndian.Uint32(b[8:])
		body := b[unix.NLMSG_HDRLEN:n]
		switch {
		case flags&unix.NLM_F_DUMP_INTR != 0 && failed == nil:
			failed = &failure{seq, unix.EINTR}
		case typ == unix.NLMSG_ERROR:
			if err := parseError(body, flags); err != nil && failed == nil {
				failed = &failure{seq, err}
			}
		case typ != unix.NLMSG_DONE && len(body) >= genHeader:
			replies = append(replies, reply{typ, seq, append([]byte(nil), body[genHeader:]...)})
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return replies, failed
}

// parseError reads a struct nlmsgerr and the kernel's explanation, if there is
// one (NLMSGERR_ATTR_MSG).
func parseError(body []byte, flags uint16) error {
	errno := unix.Errno(-int32(nlmsg.U32(body)))
	if errno == 0 {
		return nil
	}
	const fixed = 4 + unix.NLMSG_HDRLEN
	if flags&unix.NLM_F_ACK_TLVS != 0 && len(body) > fixed {
		for typ, b := range nlmsg.Attrs(body[fixed:]) {
			if typ == unix.NLMSGERR_ATTR_MSG {
				return fmt.Errorf("%w (%s)", errno, nlmsg.Text(b))
			}
		}
	}
	return errno
}
