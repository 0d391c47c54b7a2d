package rtnl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Bits of IFLA_EXT_MASK and a value of IFLA_INET6_ADDR_GEN_MODE (linux/if_link.h).
const (
	skipStats   = 1 << 3 // RTEXT_FILTER_SKIP_STATS; it leaves out addr_gen_mode too
	addrGenNone = 1      // IN6_ADDR_GEN_MODE_NONE
	maxAltName  = 127    // ALTIFNAMSIZ less the terminating zero
)

// Link returns the link with the name or alternative name, or an error that is
// kernel.ErrNotFound.
//
// NoLinkLocal is true also where the link has no IPv6 at all. A master or an
// underlay device in another namespace has no name here and is "".
func (c *Conn) Link(name string, f kernel.Facets) (kernel.Link, error) {
	l, err := c.link(name, f)
	if err != nil {
		return kernel.Link{}, fmt.Errorf("read link %s: %w", name, err)
	}
	return l, nil
}

func (c *Conn) link(name string, f kernel.Facets) (kernel.Link, error) {
	msg, err := c.linkByName(name, 0)
	if err != nil {
		return kernel.Link{}, err
	}
	raw := parseLink(msg)
	l, err := c.named(raw)
	if err != nil {
		return l, err
	}
	if f&kernel.FacetSysctls != 0 {
		l.Sysctls = parseParams(raw.spec, l.Name)
	}
	if f&kernel.FacetAddrs != 0 {
		if l.Addrs, err = c.addrs(raw.index); err != nil {
			return l, fmt.Errorf("addresses: %w", err)
		}
	}
	if f&kernel.FacetRoutes != 0 {
		if l.Routes, err = c.routes(raw.index); err != nil {
			return l, fmt.Errorf("routes: %w", err)
		}
	}
	if f&kernel.FacetFDB != 0 && l.Kind == kernel.KindVXLAN {
		if l.FDB, err = c.fdb(raw.index, l.Tunnel.Group); err != nil {
			return l, fmt.Errorf("FDB: %w", err)
		}
	}
	return l, nil
}

// Ports returns the names of a bridge's ports. The kernel picks them from all
// links of the namespace, which costs it a look at each and no message:
// half a microsecond on Linux 6.18.
func (c *Conn) Ports(bridge string) ([]string, error) {
	index, err := c.index(bridge)
	if err != nil {
		return nil, fmt.Errorf("read ports of %s: %w", bridge, err)
	}
	msgs, err := c.withMaster(index, netlink.Uint32Attr(unix.IFLA_EXT_MASK, skipStats))
	if err != nil {
		return nil, fmt.Errorf("read ports of %s: %w", bridge, err)
	}
	var names []string
	for _, msg := range msgs {
		if l := parseLink(msg); l.master == index {
			names = append(names, l.Name)
		}
	}
	return names, nil
}

// PortLinks returns a bridge's ports as Link does, with no facet but Params. To ask for all at once
// takes a seventh of asking for each.
func (c *Conn) PortLinks(bridge string) ([]kernel.Link, error) {
	index, err := c.index(bridge)
	if err != nil {
		return nil, fmt.Errorf("read ports of %s: %w", bridge, err)
	}
	msgs, err := c.withMaster(index)
	if err != nil {
		return nil, fmt.Errorf("read ports of %s: %w", bridge, err)
	}
	name, err := c.NameOf(index) // bridge may be an alternative one
	if err != nil {
		return nil, fmt.Errorf("read ports of %s: %w", bridge, err)
	}
	var links []kernel.Link
	for _, msg := range msgs {
		if l := parseLink(msg); l.master == index {
			l.Master, l.Sysctls = name, parseParams(l.spec, l.Name)
			links = append(links, l.Link)
		}
	}
	return links, nil
}

// noMaster asks for links without a master (link_master_filtered in
// net/core/rtnetlink.c).
const noMaster = 1<<32 - 1

// UnattachedLinks returns the links that are ports of no bridge, without facets. Of the others the
// kernel makes no message, which with many containers is what a list costs: each
// veth's other end is looked up among all namespaces. It is not asked to leave something out of the messages
// (IFLA_EXT_MASK): then it would first compute for each link how long its message would be (rtnl_calcit in net/core/rtnetlink.c).
func (c *Conn) UnattachedLinks() ([]kernel.Link, error) {
	msgs, err := c.withMaster(noMaster)
	if err != nil {
		return nil, fmt.Errorf("read links without a bridge: %w", err)
	}
	var loose []kernel.Link
	for _, msg := range msgs {
		if l := parseLink(msg); l.master == 0 {
			loose = append(loose, l.Link)
		}
	}
	return loose, nil
}

// withMaster asks for the links with that master.
func (c *Conn) withMaster(index uint32, attrs ...netlink.Attr) ([][]byte, error) {
	attrs = append(attrs, netlink.Uint32Attr(unix.IFLA_MASTER, index))
	return c.Dump(unix.RTM_GETLINK, linkMessage(0, 0, 0), attrs...)
}

// Tunnels returns all VXLAN devices of the namespace, without facets. The kernel
// picks them as it does for Ports.
func (c *Conn) Tunnels() ([]kernel.Link, error) {
	msgs, err := c.tunnelMessages()
	if err != nil {
		return nil, fmt.Errorf("read VXLAN devices: %w", err)
	}
	var links []kernel.Link
	for _, msg := range msgs {
		// Without the vxlan module the kernel ignores the filter (rtnl_dump_ifinfo
		// in net/core/rtnetlink.c).
		raw := parseLink(msg)
		if raw.Kind != kernel.KindVXLAN {
			continue
		}
		l, err := c.named(raw)
		if err != nil {
			return nil, fmt.Errorf("read VXLAN device %s: %w", raw.Name, err)
		}
		links = append(links, l)
	}
	return links, nil
}

func (c *Conn) tunnelMessages() ([][]byte, error) {
	kind := netlink.NestAttr(unix.IFLA_LINKINFO, netlink.TextAttr(unix.IFLA_INFO_KIND, string(kernel.KindVXLAN)))
	return c.Dump(unix.RTM_GETLINK, linkMessage(0, 0, 0), kind)
}

// linkByName asks for a link. The kernel takes alternative names of any length
// as IFLA_ALT_IFNAME, and those that fit as IFLA_IFNAME too.
func (c *Conn) linkByName(name string, mask uint32) ([]byte, error) {
	if name == "" || len(name) > maxAltName {
		return nil, kernel.ErrNotFound
	}
	return c.getLink(0, nameAttr(name), netlink.Uint32Attr(unix.IFLA_EXT_MASK, mask))
}

func (c *Conn) getLink(index uint32, attrs ...netlink.Attr) ([]byte, error) {
	msg, err := c.Get(unix.RTM_GETLINK, linkMessage(index, 0, 0), attrs...)
	return msg, notFound(err)
}

func nameAttr(name string) netlink.Attr {
	if len(name) > kernel.MaxNameLen {
		return netlink.TextAttr(unix.IFLA_ALT_IFNAME, name)
	}
	return netlink.TextAttr(unix.IFLA_IFNAME, name)
}

// Index returns a link's index, for sockets that are bound to it.
func (c *Conn) Index(name string) (int, error) {
	index, err := c.index(name)
	if err != nil {
		return 0, fmt.Errorf("find index of %s: %w", name, err)
	}
	return int(index), nil
}

// index returns a link's index. It is asked for each time: another process may
// have deleted the link and made it anew.
func (c *Conn) index(name string) (uint32, error) {
	msg, err := c.linkByName(name, skipStats)
	if err != nil {
		return 0, err
	}
	return parseLink(msg).index, nil
}

// NameOf returns the name of the link with the index, or "" if there is none.
func (c *Conn) NameOf(index uint32) (string, error) {
	if index == 0 {
		return "", nil
	}
	msg, err := c.getLink(index, netlink.Uint32Attr(unix.IFLA_EXT_MASK, skipStats))
	if errors.Is(err, kernel.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return parseLink(msg).Name, nil
}
