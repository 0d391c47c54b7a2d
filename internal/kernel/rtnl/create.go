package rtnl

import (
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
	"vxlan-driver/internal/kernel/netns"
)

func (c *Conn) createLink(l kernel.Link) error {
	switch l.Kind {
	case kernel.KindBridge: // spanning tree is off in a new one
		return c.newLink(l)
	case kernel.KindVXLAN:
		return c.createVXLAN(l)
	case kernel.KindVeth:
		return c.createVeth(l)
	}
	return unix.EOPNOTSUPP
}

func (c *Conn) createVXLAN(l kernel.Link) error {
	lower, err := c.index(l.Tunnel.Dev)
	if err != nil {
		return fmt.Errorf("underlay device %s: %w", l.Tunnel.Dev, err)
	}
	return c.newLink(l, tunnelAttrs(l.Tunnel, lower)...)
}

const vethInfoPeer = 1 // VETH_INFO_PEER (linux/veth.h)

// createVeth makes both ends in one request, the peer in its namespace with its
// final name: nothing has to be moved or renamed, and no half of it can be left.
func (c *Conn) createVeth(l kernel.Link) error {
	p := l.Peer
	ns, err := netns.Open(p.Namespace)
	if err != nil {
		return fmt.Errorf("peer namespace: %w", err)
	}
	defer ns.Close()
	peer := append([]netlink.Attr{linkMessage(0, 0, 0)}, linkAttrs(p.Name, p.MTU, p.MAC)...)
	peer = append(peer, netlink.Uint32Attr(unix.IFLA_NET_NS_FD, uint32(ns.Fd())))
	return c.newLink(l, netlink.NestAttr(vethInfoPeer, peer...))
}

// newLink makes a link; data is what its kind alone understands.
func (c *Conn) newLink(l kernel.Link, data ...netlink.Attr) error {
	return c.putLink(unix.NLM_F_CREATE|unix.NLM_F_EXCL, l, data...)
}

// putLink makes a link or changes one.
func (c *Conn) putLink(how uint16, l kernel.Link, data ...netlink.Attr) error {
	info := []netlink.Attr{netlink.TextAttr(unix.IFLA_INFO_KIND, string(l.Kind))}
	if len(data) > 0 {
		info = append(info, netlink.NestAttr(unix.IFLA_INFO_DATA, data...))
	}
	return c.Change(unix.RTM_NEWLINK, how, linkMessage(0, 0, 0),
		append(linkAttrs(l.Name, l.MTU, l.MAC), netlink.NestAttr(unix.IFLA_LINKINFO, info...))...)
}

func linkAttrs(name string, mtu int, mac kernel.MAC) []netlink.Attr {
	a := []netlink.Attr{netlink.TextAttr(unix.IFLA_IFNAME, name)}
	if mtu != 0 {
		a = append(a, netlink.Uint32Attr(unix.IFLA_MTU, uint32(mtu)))
	}
	if !mac.IsZero() {
		a = append(a, attrMAC(unix.IFLA_ADDRESS, mac))
	}
	return a
}

func attrMAC(typ uint16, m kernel.MAC) netlink.Attr { return netlink.BytesAttr(typ, m[:]) }
