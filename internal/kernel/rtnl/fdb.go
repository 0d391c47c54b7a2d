package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// fdb returns the entries that lead to a VTEP and do not age: permanent ones, and
// those of `bridge fdb add … static`. The one that the kernel
// makes of the device's multicast group is left out: it is an attribute already.
//
// For a port of a bridge the kernel sends the bridge's entries too, those of its
// port alone; they are skipped here.
func (c *Conn) fdb(index uint32, group netip.Addr) ([]kernel.FDB, error) {
	msgs, err := c.Dump(unix.RTM_GETNEIGH, neighbourMessage(unix.AF_BRIDGE, index, 0, 0))
	if err != nil {
		return nil, err
	}
	var entries []kernel.FDB
	for _, msg := range msgs {
		e, ok := parseFDB(msg, index)
		if ok && !(e.MAC.IsZero() && e.Dst == group) {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

func parseFDB(msg []byte, index uint32) (e kernel.FDB, ok bool) {
	if len(msg) < unix.SizeofNdMsg || netlink.Uint32(msg[4:]) != index {
		return e, false
	}
	state := binary.NativeEndian.Uint16(msg[8:])
	if state&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0 || msg[10]&unix.NTF_SELF == 0 {
		return e, false
	}
	for typ, b := range netlink.Attrs(msg[unix.SizeofNdMsg:]) {
		switch typ {
		case unix.NDA_LLADDR:
			e.MAC = mac(b)
		case unix.NDA_DST:
			e.Dst = ip(b)
		case unix.NDA_PORT:
			e.Port = netlink.Uint16BE(b)
		case unix.NDA_VNI:
			e.VNI = netlink.Uint32(b)
		case unix.NDA_IFINDEX:
			e.Index = netlink.Uint32(b)
		}
	}
	return e, e.Dst.IsValid()
}

// VTEP returns the host that a VXLAN device sends frames for mac to, or an invalid
// address if it knows none.
func (c *Conn) VTEP(name string, mac kernel.MAC) (netip.Addr, error) {
	index, err := c.index(name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find host of %s on %s: %w", mac, name, err)
	}
	msg, err := c.Get(unix.RTM_GETNEIGH, neighbourMessage(unix.AF_BRIDGE, index, 0, unix.NTF_SELF), attrMAC(unix.NDA_LLADDR, mac))
	if errors.Is(err, unix.ENOENT) {
		return netip.Addr{}, nil
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find host of %s on %s: %w", mac, name, err)
	}
	return ip(netlink.Find(msg[min(unix.SizeofNdMsg, len(msg)):], unix.NDA_DST)), nil
}

// StaticPorts returns behind which of its ports somebody told a bridge that MACs are, by MAC. It asks for each: beside the
// entries of thousands of remote containers there are few.
func (c *Conn) StaticPorts(bridge string, macs []kernel.MAC) (map[kernel.MAC]string, error) {
	fail := func(err error) (map[kernel.MAC]string, error) {
		return nil, fmt.Errorf("read static FDB entries of %s: %w", bridge, err)
	}
	index, err := c.index(bridge)
	if err != nil {
		return fail(err)
	}
	ports := make(map[kernel.MAC]string)
	for _, m := range macs {
		msg, err := c.Get(unix.RTM_GETNEIGH, neighbourMessage(unix.AF_BRIDGE, 0, 0, 0),
			attrMAC(unix.NDA_LLADDR, m), netlink.Uint32Attr(unix.NDA_MASTER, index))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fail(err)
		}
		if len(msg) < unix.SizeofNdMsg || binary.NativeEndian.Uint16(msg[8:])&unix.NUD_NOARP == 0 {
			continue // learned
		}
		if ports[m], err = c.NameOf(netlink.Uint32(msg[4:])); err != nil {
			return fail(err)
		}
	}
	return ports, nil
}
