package rtnl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Conn is a connection to the kernel that speaks of one network namespace. It
// is for one goroutine at a time.
type Conn struct{ socket *netlink.Conn }

// Open connects to the namespace at nspath, or for "" to the one that the caller
// is in. An error about the path is one of netns.Open.
func Open(nspath string) (*Conn, error) {
	socket, err := netlink.Open(nspath, unix.NETLINK_ROUTE, netlink.StrictChecks)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return &Conn{socket}, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.socket.Close() }

// Get asks for one object. Body is the fixed part of the request, as in the kernel's headers.
func (c *Conn) Get(typ uint16, body []byte, attrs ...netlink.Attr) ([]byte, error) {
	answers, err := c.execute(typ, 0, body, attrs)
	if err != nil {
		return nil, err
	}
	if len(answers) == 0 {
		return nil, errors.New("empty reply")
	}
	return answers[0], nil
}

// Dump asks for all objects that match the request.
func (c *Conn) Dump(typ uint16, body []byte, attrs ...netlink.Attr) ([][]byte, error) {
	return c.execute(typ, unix.NLM_F_DUMP, body, attrs)
}

// Change asks for a modification.
func (c *Conn) Change(typ, flags uint16, body []byte, attrs ...netlink.Attr) error {
	_, err := c.execute(typ, flags|unix.NLM_F_ACK, body, attrs)
	return err
}

func (c *Conn) execute(typ, flags uint16, body []byte, attrs []netlink.Attr) ([][]byte, error) {
	request := netlink.NewRequest(typ, flags)
	request.Raw(body...)
	request.Attrs(attrs...)
	return c.socket.Execute(request)
}

// notFound says in the vocabulary's words that there is no such link.
func notFound(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return kernel.ErrNotFound
	}
	return err
}
