package rtnl

import (
	"errors"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// setLink changes a link by name, in one request: the kernel looks it up under
// the lock that it makes the change under. With index 0 the name selects and does
// not rename (__rtnl_newlink in net/core/rtnetlink.c).
func (c *Conn) setLink(name string, attrs ...netlink.Attr) error {
	return c.setLinkFlags(name, 0, attrs...)
}

func (c *Conn) setLinkFlags(name string, up uint32, attrs ...netlink.Attr) error {
	attrs = append(attrs, nameAttr(name))
	return notFound(c.Change(unix.RTM_SETLINK, 0, linkMessage(0, up, up), attrs...))
}

func (c *Conn) setUp(name string) error { return c.setLinkFlags(name, unix.IFF_UP) }

func (c *Conn) setMaster(name, master string) error {
	var index uint32 // 0 frees the port
	if master != "" {
		var err error
		if index, err = c.index(master); err != nil {
			return err
		}
	}
	return c.setLink(name, netlink.Uint32Attr(unix.IFLA_MASTER, index))
}

// setLearning sends that attribute alone: of a device that is there the kernel
// takes the others from the device (vxlan_nl2conf in drivers/net/vxlan/vxlan_core.c).
func (c *Conn) setLearning(name string, on bool) error {
	l := kernel.Link{Name: name, Kind: kernel.KindVXLAN}
	return notFound(c.putLink(0, l, netlink.Uint8Attr(unix.IFLA_VXLAN_LEARNING, flag(on))))
}

func (c *Conn) setNoLinkLocal(name string) error {
	mode := netlink.Uint8Attr(unix.IFLA_INET6_ADDR_GEN_MODE, addrGenNone)
	err := c.setLink(name, netlink.NestAttr(unix.IFLA_AF_SPEC, netlink.NestAttr(unix.AF_INET6, mode)))
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // no IPv6 in this kernel (ipv6.disable=1), or not on this link (MTU below 1280)
	}
	return err
}

func (c *Conn) addAltName(name, alt string) error {
	list := netlink.NestAttr(unix.IFLA_PROP_LIST, netlink.TextAttr(unix.IFLA_ALT_IFNAME, alt))
	err := c.Change(unix.RTM_NEWLINKPROP, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_APPEND,
		linkMessage(0, 0, 0), nameAttr(name), list)
	if !errors.Is(err, unix.EEXIST) {
		return notFound(err)
	}
	// Some link of the namespace has that name; is it this one?
	have, lookup := c.index(alt)
	want, _ := c.index(name)
	if lookup == nil && have == want {
		return nil
	}
	return err
}
