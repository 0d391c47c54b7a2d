package rtnl

import (
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// rawLink is a link as the kernel has it, which refers to others by index.
type rawLink struct {
	kernel.Link
	index, master, lower uint32
	foreign              bool // lower is an index in another namespace
	loopback             bool
	spec                 []byte // what each family has to say (IFLA_AF_SPEC)
}

// named resolves the indices.
func (c *Conn) named(raw rawLink) (kernel.Link, error) {
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
			l.MAC = mac(b)
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
