package rtnl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// ErrExists says that the object exists already. For a VXLAN
// device it may be another one, with the same VNI and port. It is the kernel's
// EEXIST.
const ErrExists = unix.EEXIST

// Apply makes the change. Its error begins with the change as a command and ends
// with the kernel's own explanation, if it gave one. A link that isn't there is
// kernel.ErrNotFound, except to a change that deletes.
func (c *Conn) Apply(ch kernel.Change) error {
	if err := c.applyChange(ch); err != nil {
		return fmt.Errorf("%s: %w", ch, err)
	}
	return nil
}

func (c *Conn) applyChange(ch kernel.Change) error {
	switch ch := ch.(type) {
	case kernel.CreateLink:
		return c.createLink(ch.Link)
	case kernel.DeleteLink:
		return c.deleteLink(ch.Name)
	case kernel.DeleteLinks:
		return c.deleteLinks(ch.Names)
	case kernel.SetAlias:
		return c.setLink(ch.Name, netlink.TextAttr(unix.IFLA_IFALIAS, ch.Alias))
	case kernel.AddAltName:
		return c.addAltName(ch.Name, ch.AltName)
	case kernel.SetMTU:
		return c.setLink(ch.Name, netlink.Uint32Attr(unix.IFLA_MTU, uint32(ch.MTU)))
	case kernel.SetMAC:
		return c.setLink(ch.Name, attrMAC(unix.IFLA_ADDRESS, ch.MAC))
	case kernel.SetMaster:
		return c.setMaster(ch.Name, ch.Master)
	case kernel.SetLearning:
		return c.setLearning(ch.Name, ch.On)
	case kernel.SetNoLinkLocal:
		return c.setNoLinkLocal(ch.Name)
	case kernel.SetUp:
		return c.setUp(ch.Name)
	case kernel.AddAddr:
		return c.addAddr(ch.Name, ch.Addr)
	case kernel.DelAddr:
		return ignoreGone(c.delAddr(ch.Name, ch.Addr))
	case kernel.AddRoute:
		return c.addRoute(ch.Name, ch.Route)
	case kernel.AddFDB:
		return c.changeEntry(ch.Name, ch)
	case kernel.DelFDB:
		return ignoreGone(c.changeEntry(ch.Name, ch))
	case kernel.AddStatic:
		return c.changeEntry(ch.Name, ch)
	case kernel.DelStatic:
		return ignoreGone(c.changeEntry(ch.Name, ch))
	}
	return errors.New("unknown change") // a type added to package kernel only
}

// ignoreGone accepts the errors of a deletion whose object, or whose link, does not exist.
func ignoreGone(err error) error {
	for _, gone := range []error{kernel.ErrNotFound, unix.ENODEV, unix.ENOENT, unix.EADDRNOTAVAIL} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}
