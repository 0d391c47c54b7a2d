package rtnl

import (
	"errors"
	"fmt"
	"slices"

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

// linkReader reads links.
type linkReader struct{ requester }

// Ports returns the names of a bridge's ports. The kernel looks for them among all links of the
// namespace, which takes half a microsecond for each on Linux 6.18.
func (c linkReader) Ports(bridge string) ([]string, error) {
	index, err := c.indexOf(bridge)
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

// PortLinks returns a bridge's ports as Link does, with no facet but FacetSysctls. One request for
// all takes a seventh of one for each.
func (c linkReader) PortLinks(bridge string) ([]kernel.Link, error) {
	index, err := c.indexOf(bridge)
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

// withoutMaster asks for links without a master (link_master_filtered in net/core/rtnetlink.c).
const withoutMaster = 1<<32 - 1

// UnattachedLinks returns the links that are ports of no bridge, without facets. The kernel makes
// no message of the others. With many containers those messages are what a list costs: each veth's
// other end is looked up among all namespaces.
//
// The request has no IFLA_EXT_MASK. With one the kernel would first compute the length of each
// link's message (rtnl_calcit in net/core/rtnetlink.c).
func (c linkReader) UnattachedLinks() ([]kernel.Link, error) {
	msgs, err := c.withMaster(withoutMaster)
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
func (c linkReader) withMaster(index uint32, attrs ...netlink.Attr) ([][]byte, error) {
	attrs = append(attrs, netlink.Uint32Attr(unix.IFLA_MASTER, index))
	return c.Dump(unix.RTM_GETLINK, linkMessage(0, 0, 0), attrs...)
}

// Tunnels returns all VXLAN devices of the namespace, without facets. The kernel picks them as it
// does for Ports.
func (c linkReader) Tunnels() ([]kernel.Link, error) {
	msgs, err := c.tunnelMessages()
	if err != nil {
		return nil, fmt.Errorf("read VXLAN devices: %w", err)
	}
	var links []kernel.Link
	for _, msg := range msgs {
		// Without the vxlan module the kernel ignores the filter (rtnl_dump_ifinfo in
		// net/core/rtnetlink.c).
		raw := parseLink(msg)
		if raw.Kind != kernel.KindVXLAN {
			continue
		}
		l, err := c.resolveNames(raw)
		if err != nil {
			return nil, fmt.Errorf("read VXLAN device %s: %w", raw.Name, err)
		}
		links = append(links, l)
	}
	return links, nil
}

func (c linkReader) tunnelMessages() ([][]byte, error) {
	kind := netlink.NestAttr(unix.IFLA_LINKINFO, netlink.TextAttr(unix.IFLA_INFO_KIND, string(kernel.KindVXLAN)))
	return c.Dump(unix.RTM_GETLINK, linkMessage(0, 0, 0), kind)
}

// linkByName asks for a link. The kernel takes alternative names of any length as IFLA_ALT_IFNAME,
// and those that fit as IFLA_IFNAME too.
func (c linkReader) linkByName(name string, mask uint32) ([]byte, error) {
	if name == "" || len(name) > maxAltName {
		return nil, kernel.ErrNotFound
	}
	return c.getLink(0, nameAttr(name), netlink.Uint32Attr(unix.IFLA_EXT_MASK, mask))
}

func (c linkReader) getLink(index uint32, attrs ...netlink.Attr) ([]byte, error) {
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
func (c linkReader) Index(name string) (int, error) {
	index, err := c.indexOf(name)
	if err != nil {
		return 0, fmt.Errorf("find index of %s: %w", name, err)
	}
	return int(index), nil
}

// indexOf returns a link's index. It is never cached: another process may have recreated the link.
func (c linkReader) indexOf(name string) (uint32, error) {
	msg, err := c.linkByName(name, skipStats)
	if err != nil || len(msg) < unix.SizeofIfInfomsg {
		return 0, err
	}
	return netlink.Uint32(msg[4:]), nil
}

// NameOf returns the name of the link with the index, or "" if there is none.
func (c linkReader) NameOf(index uint32) (string, error) {
	if index == 0 {
		return "", nil
	}
	msg, err := c.getLink(index, netlink.Uint32Attr(unix.IFLA_EXT_MASK, skipStats))
	if errors.Is(err, kernel.ErrNotFound) {
		return "", nil
	}
	if err != nil || len(msg) < unix.SizeofIfInfomsg {
		return "", err
	}
	return netlink.Text(netlink.Find(msg[unix.SizeofIfInfomsg:], unix.IFLA_IFNAME)), nil
}

// rawLink is a link as the kernel describes it: it refers to others by index.
type rawLink struct {
	kernel.Link
	index, master, lower uint32
	foreign              bool // lower is an index in another namespace
	loopback             bool
	spec                 []byte // what each family has to say (IFLA_AF_SPEC)
}

// resolveNames resolves the indices.
func (c linkReader) resolveNames(raw rawLink) (kernel.Link, error) {
	l := raw.Link
	var err error
	if l.Master, err = c.NameOf(raw.master); err != nil {
		return l, err
	}
	if !raw.foreign {
		l.Tunnel.Dev, err = c.NameOf(raw.lower)
	}
	return l, err
}

// parseLink reads an RTM_NEWLINK message.
func parseLink(msg []byte) rawLink {
	var l rawLink
	if len(msg) < unix.SizeofIfInfomsg {
		return l
	}
	l.index = netlink.Uint32(msg[4:])
	flags := netlink.Uint32(msg[8:])
	l.Up, l.loopback = flags&unix.IFF_UP != 0, flags&unix.IFF_LOOPBACK != 0
	l.NoLinkLocal = true // unless there is IPv6 and it says otherwise
	for typ, b := range netlink.Attrs(msg[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.Name = netlink.Text(b)
		case unix.IFLA_IFALIAS:
			l.Alias = netlink.Text(b)
		case unix.IFLA_MTU:
			l.MTU = int(netlink.Uint32(b))
		case unix.IFLA_ADDRESS:
			l.MAC = parseMAC(b)
		case unix.IFLA_MASTER:
			l.master = netlink.Uint32(b)
		case unix.IFLA_LINK_NETNSID:
			l.foreign = true
		case unix.IFLA_PROP_LIST:
			l.AltNames = parseAltNames(b)
		case unix.IFLA_AF_SPEC:
			l.spec = b
			l.NoLinkLocal = parseNoLinkLocal(b)
		case unix.IFLA_LINKINFO:
			l.parseInfo(b)
		}
	}
	return l
}

func (l *rawLink) parseInfo(b []byte) {
	var data []byte
	for typ, b := range netlink.Attrs(b) {
		switch typ {
		case unix.IFLA_INFO_KIND:
			l.Kind = kernel.Kind(netlink.Text(b))
		case unix.IFLA_INFO_DATA:
			data = b
		}
	}
	if l.Kind == kernel.KindVXLAN {
		l.Tunnel, l.lower = parseTunnel(data)
	}
}

func parseAltNames(b []byte) []string {
	var names []string
	for typ, b := range netlink.Attrs(b) {
		if typ == unix.IFLA_ALT_IFNAME {
			names = append(names, netlink.Text(b))
		}
	}
	slices.Sort(names)
	return names
}

func parseNoLinkLocal(b []byte) bool {
	for typ, b := range netlink.Attrs(b) {
		if typ != unix.AF_INET6 {
			continue
		}
		for typ, b := range netlink.Attrs(b) {
			if typ == unix.IFLA_INET6_ADDR_GEN_MODE {
				return netlink.Uint8(b) == addrGenNone
			}
		}
	}
	return true
}
