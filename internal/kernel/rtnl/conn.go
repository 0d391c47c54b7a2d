package rtnl

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	libns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
)

// Conn is a connection to the kernel that speaks of one network namespace. It
// is for one goroutine at a time.
type Conn struct {
	socket  *nl.NetlinkSocket
	sockets map[int]*nl.SocketHandle // as nl.NetlinkRequest wants it

	// fdbName and fdbIndex are the device that FDB entries were last changed on: a
	// network of a thousand hosts has as many, one after the other.
	fdbName  string
	fdbIndex uint32
}

// Open connects to the namespace at nspath, or for "" to the one that the caller
// is in. An error about the path is one of netns.Open.
func Open(nspath string) (*Conn, error) {
	c := new(Conn)
	if err := netns.In(nspath, c.open); err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return c, nil
}

func (c *Conn) open() error {
	// None twice: in the thread's namespace, without switching.
	s, err := nl.GetNetlinkSocketAt(libns.None(), libns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	// The kernel ignores what a dump is to be filtered by unless checking is
	// strict (Linux 4.20); then everything would come and be filtered here.
	err = unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	if err == nil {
		// On this socket, not by the library's global variable.
		err = s.SetExtAck(true)
	}
	if err != nil {
		s.Close()
		return err
	}
	c.socket = s
	c.sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}
	return nil
}

// Close closes the connection.
func (c *Conn) Close() { c.socket.Close() }

// get asks for one object, the reply's type being that of a new one.
func (c *Conn) get(typ, reply uint16, body nl.NetlinkRequestData, attrs ...*nl.RtAttr) ([]byte, error) {
	msgs, err := c.do(typ, 0, reply, body, attrs)
	if err != nil {
		return nil, err
	}
	if len(msgs) == 0 {
		return nil, errors.New("empty reply")
	}
	return msgs[0], nil
}

// dump asks for all objects that match the request.
func (c *Conn) dump(typ, reply uint16, body nl.NetlinkRequestData, attrs ...*nl.RtAttr) ([][]byte, error) {
	return c.do(typ, unix.NLM_F_DUMP, reply, body, attrs)
}

// change asks for a modification.
func (c *Conn) change(typ uint16, flags int, body nl.NetlinkRequestData, attrs ...*nl.RtAttr) error {
	_, err := c.do(typ, flags|unix.NLM_F_ACK, 0, body, attrs)
	return err
}

func (c *Conn) do(typ uint16, flags int, reply uint16, body nl.NetlinkRequestData, attrs []*nl.RtAttr) ([][]byte, error) {
	req := nl.NewNetlinkRequest(int(typ), flags)
	req.Sockets = c.sockets
	// A dump during which something changed may have missed an object or hold it
	// twice (NLM_F_DUMP_INTR): the library asks up to ten times.
	req.RetryInterrupted = true
	req.AddData(body)
	for _, a := range attrs {
		req.AddData(a)
	}
	msgs, err := req.Execute(unix.NETLINK_ROUTE, reply)
	return msgs, explain(err)
}

// explain prints the kernel's own explanation (NETLINK_EXT_ACK), which the
// library appends to the error number's text, as a remark on that text.
func explain(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	remark, ok := strings.CutPrefix(err.Error(), errno.Error()+": ")
	if !ok {
		return errno
	}
	return fmt.Errorf("%w (%s)", errno, strings.TrimSuffix(remark, "."))
}
