package rtnl

import (
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// PortFlags returns how its bridge treats a link. Of a link that is no port, no flag is set.
func (c linkWriter) PortFlags(name string) (kernel.PortFlags, error) {
	msg, err := c.linkByName(name, 0)
	if err != nil {
		return kernel.PortFlags{}, fmt.Errorf("read port %s: %w", name, err)
	}
	return parsePortFlags(msg), nil
}

// parsePortFlags reads the attributes of a link as a port (IFLA_INFO_SLAVE_DATA).
func parsePortFlags(msg []byte) (f kernel.PortFlags) {
	var kind string
	var data []byte
	for typ, b := range netlink.Attrs(netlink.Find(msg[unix.SizeofIfInfomsg:], unix.IFLA_LINKINFO)) {
		switch typ {
		case unix.IFLA_INFO_SLAVE_KIND:
			kind = netlink.Text(b)
		case unix.IFLA_INFO_SLAVE_DATA:
			data = b
		}
	}
	if kind != string(kernel.KindBridge) {
		return f
	}
	for typ, b := range netlink.Attrs(data) {
		switch typ {
		case unix.IFLA_BRPORT_LEARNING:
			f.Learning = kernel.Some(netlink.Uint8(b) != 0)
		case unix.IFLA_BRPORT_NEIGH_SUPPRESS:
			f.Suppress = kernel.Some(netlink.Uint8(b) != 0)
		}
	}
	return f
}

// SetPort changes the flags that are set (br_setport in net/bridge/br_netlink.c).
//
// Like ChangeForwardingTables, it is not one of Apply's changes.
func (c linkWriter) SetPort(name string, f kernel.PortFlags) error {
	if err := c.setPort(name, f); err != nil {
		return fmt.Errorf("%s: %w", f.Command(name), err)
	}
	return nil
}

func (c linkWriter) setPort(name string, f kernel.PortFlags) error {
	var a []netlink.Attr
	a = appendOpt(a, unix.IFLA_BRPORT_LEARNING, f.Learning, flagAttr)
	a = appendOpt(a, unix.IFLA_BRPORT_NEIGH_SUPPRESS, f.Suppress, flagAttr)
	if len(a) == 0 {
		return nil
	}
	index, err := c.indexOf(name) // this request takes no name (rtnl_bridge_setlink)
	if err != nil {
		return err
	}
	m := linkMessage(index, 0, 0)
	m[0] = unix.AF_BRIDGE
	return notFound(c.Change(unix.RTM_SETLINK, 0, m, netlink.NestAttr(unix.IFLA_PROTINFO, a...)))
}
