package rtnl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Conn is a connection to the kernel that speaks of one network namespace. It is for one goroutine
// at a time.
type Conn struct {
	linkReader
	linkWriter
	addressTable
	routeTable
	forwarding
}

// Open connects to the namespace at nspath, or for "" to the one that the caller is in. An error
// about the path is one of netns.Open.
func Open(nspath string) (*Conn, error) {
	socket, err := netlink.Open(nspath, unix.NETLINK_ROUTE, netlink.StrictChecks)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	r := linkReader{requester{socket}}
	return &Conn{r, linkWriter{r}, addressTable{r}, routeTable{r}, forwarding{r}}, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.socket.Close() }

// Link returns the link with the name or alternative name, or an error that is kernel.ErrNotFound.
//
// NoLinkLocal is true also where the link has no IPv6 at all. A master or an underlay device in
// another namespace has no name here and is "".
func (c *Conn) Link(name string, f kernel.Facets) (kernel.Link, error) {
	l, err := c.readLink(name, f)
	if err != nil {
		return kernel.Link{}, fmt.Errorf("read link %s: %w", name, err)
	}
	return l, nil
}

func (c *Conn) readLink(name string, f kernel.Facets) (kernel.Link, error) {
	msg, err := c.linkByName(name, 0)
	if err != nil {
		return kernel.Link{}, err
	}
	raw := parseLink(msg)
	l, err := c.resolveNames(raw)
	if err != nil {
		return l, err
	}
	if f&kernel.FacetSysctls != 0 {
		l.Sysctls = parseParams(raw.spec, l.Name)
	}
	if f&kernel.FacetAddrs != 0 {
		addrs, err := c.findAddrs(unix.AF_UNSPEC, raw.index)
		if err != nil {
			return l, fmt.Errorf("addresses: %w", err)
		}
		for _, a := range addrs {
			switch {
			case a.isGlobal():
				l.Addrs = append(l.Addrs, kernel.Addr{Prefix: a.Prefix})
			case a.Addr().Is4():
				l.Narrow = append(l.Narrow, a.Prefix)
			}
		}
	}
	if f&kernel.FacetRoutes != 0 {
		if l.Routes, err = c.linkRoutes(raw.index); err != nil {
			return l, fmt.Errorf("routes: %w", err)
		}
	}
	if f&kernel.FacetFDB != 0 && l.Kind == kernel.KindVXLAN {
		if l.FDB, err = c.tunnelEntries(raw.index, l.Tunnel.Group); err != nil {
			return l, fmt.Errorf("FDB: %w", err)
		}
	}
	return l, nil
}

// Apply makes the change. Its error begins with the change as a command and ends with the kernel's
// own explanation, if it gave one. A link that isn't there is kernel.ErrNotFound, except to a
// change that deletes.
func (c *Conn) Apply(ch kernel.Change) error {
	if err := c.applyChange(ch); err != nil {
		return fmt.Errorf("%s: %w", ch, err)
	}
	return nil
}

func (c *Conn) applyChange(ch kernel.Change) error {
	switch ch := ch.(type) {
	case kernel.AddAddr:
		return c.addAddr(ch.Name, ch.Addr)
	case kernel.DelAddr:
		return ignoreGone(c.delAddr(ch.Name, ch.Addr))
	case kernel.AddRoute:
		return c.addRoute(ch.Name, ch.Route)
	case kernel.DelRoute:
		return ignoreGone(c.delRoute(ch.Route))
	case kernel.AddFDB:
		return c.changeEntry(ch.Name, ch)
	case kernel.DelFDB:
		return c.changeEntry(ch.Name, ch)
	case kernel.AddStatic:
		return c.changeEntry(ch.Name, ch)
	case kernel.DelStatic:
		return c.changeEntry(ch.Name, ch)
	}
	return c.changeLink(ch)
}

// requester sends requests.
type requester struct{ socket *netlink.Conn }

// Get asks for one object. Body is the fixed part of the request, as in the kernel's headers.
func (c requester) Get(typ uint16, body []byte, attrs ...netlink.Attr) ([]byte, error) {
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
func (c requester) Dump(typ uint16, body []byte, attrs ...netlink.Attr) ([][]byte, error) {
	return c.execute(typ, unix.NLM_F_DUMP, body, attrs)
}

// DumpEach is Dump for a list that may be long. See netlink.Conn.ExecuteEach.
func (c requester) DumpEach(typ uint16, body []byte, begin func(), each func(msg []byte), attrs ...netlink.Attr) error {
	return c.socket.ExecuteEach(newRequest(typ, unix.NLM_F_DUMP, body, attrs), begin, each)
}

// Change asks for a modification.
func (c requester) Change(typ, flags uint16, body []byte, attrs ...netlink.Attr) error {
	_, err := c.execute(typ, flags|unix.NLM_F_ACK, body, attrs)
	return err
}

func (c requester) execute(typ, flags uint16, body []byte, attrs []netlink.Attr) ([][]byte, error) {
	return c.socket.Execute(newRequest(typ, flags, body, attrs))
}

func newRequest(typ, flags uint16, body []byte, attrs []netlink.Attr) *netlink.Builder {
	request := netlink.NewRequest(typ, flags)
	request.Raw(body...)
	request.Attrs(attrs...)
	return request
}

// ErrExists says that the object exists already. For a VXLAN device it may be another one, with the
// same VNI and port. It is the kernel's EEXIST.
const ErrExists = unix.EEXIST

// notFound returns kernel.ErrNotFound for the kernel's error.
func notFound(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return kernel.ErrNotFound
	}
	return err
}

// ignoreGone accepts the errors of a deletion whose object, or whose link, does not exist.
func ignoreGone(err error) error {
	for _, gone := range []error{kernel.ErrNotFound, unix.ENODEV, unix.ENOENT, unix.ESRCH, unix.EADDRNOTAVAIL} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}
