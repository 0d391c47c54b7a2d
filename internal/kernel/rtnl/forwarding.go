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

// forwarding has the tables by which frames and packets find other hosts: the FDBs of VXLAN devices and bridges, and neighbours.
type forwarding struct{ linkReader }

// ForwardingTables returns the entries by which the network of that bridge and VXLAN device
// forwards: of the device's FDB those that are permanent and of a MAC, of the
// bridge's those that somebody added for the device's port, and its permanent
// neighbours. Learned ones are left out, and the port's own MAC.
//
// There is no mark of who added an entry: the kernel keeps NDA_PROTOCOL of
// neighbours, but of neither FDB. The devices are this project's, and so is what is in their tables.
func (c forwarding) ForwardingTables(bridge, device string) (t kernel.ForwardingTables, err error) {
	fail := func(err error) (kernel.ForwardingTables, error) {
		return kernel.ForwardingTables{}, fmt.Errorf("read forwarding tables of %s and %s: %w", bridge, device, err)
	}
	br, err := c.indexOf(bridge)
	if err != nil {
		return fail(err)
	}
	dev, err := c.indexOf(device)
	if err != nil {
		return fail(err)
	}
	if err := c.readFDBs(&t, dev); err != nil {
		return fail(err)
	}
	if err := c.readNeighbours(&t, br); err != nil {
		return fail(err)
	}
	return t, nil
}

// readFDBs reads both FDBs: of a bridge's port the kernel sends the bridge's entries
// for that port too (rtnl_fdb_dump in net/core/rtnetlink.c).
func (c forwarding) readFDBs(t *kernel.ForwardingTables, index uint32) error {
	msgs, err := c.Dump(unix.RTM_GETNEIGH, neighbourMessage(unix.AF_BRIDGE, index, 0, 0))
	if err != nil {
		return fmt.Errorf("FDB: %w", err)
	}
	for _, msg := range msgs {
		if e, ok := parseFDB(msg, index); ok {
			if !e.MAC.IsZero() {
				t.FDB = append(t.FDB, e)
			}
		} else if mac, ok := parseStatic(msg, index); ok {
			t.Static = append(t.Static, mac)
		}
	}
	return nil
}

// parseStatic reads an entry of a bridge's FDB that somebody added. The bridge shows
// those as NOARP, the MACs of its ports as PERMANENT and learned ones as neither
// (fdb_to_nud in net/bridge/br_fdb.c). Where the kernel has VLANs, the entry is there
// once more for the port's VLAN, which counts only if the bridge filters by VLANs.
func parseStatic(msg []byte, index uint32) (m kernel.MAC, ok bool) {
	if len(msg) < unix.SizeofNdMsg || netlink.Uint32(msg[4:]) != index {
		return m, false
	}
	state := binary.NativeEndian.Uint16(msg[8:])
	for typ, b := range netlink.Attrs(msg[unix.SizeofNdMsg:]) {
		switch typ {
		case unix.NDA_LLADDR:
			m = parseMAC(b)
		case unix.NDA_MASTER:
			ok = state&unix.NUD_NOARP != 0
		case unix.NDA_VLAN:
			return m, false
		}
	}
	return m, ok
}

// readNeighbours reads those of both families: the kernel has a table for each, and
// picks what is of the link.
func (c forwarding) readNeighbours(t *kernel.ForwardingTables, index uint32) error {
	msgs, err := c.Dump(unix.RTM_GETNEIGH,
		make([]byte, unix.SizeofNdMsg), netlink.Uint32Attr(unix.NDA_IFINDEX, index))
	if err != nil {
		return fmt.Errorf("neighbours: %w", err)
	}
	for _, msg := range msgs {
		if n, ok := parseNeighbour(msg, index); ok {
			t.Neighbours = append(t.Neighbours, n)
		}
	}
	return nil
}

func parseNeighbour(msg []byte, index uint32) (n kernel.Neighbour, ok bool) {
	if len(msg) < unix.SizeofNdMsg || netlink.Uint32(msg[4:]) != index {
		return n, false
	}
	if binary.NativeEndian.Uint16(msg[8:])&unix.NUD_PERMANENT == 0 || msg[10]&unix.NTF_PROXY != 0 {
		return n, false
	}
	for typ, b := range netlink.Attrs(msg[unix.SizeofNdMsg:]) {
		switch typ {
		case unix.NDA_DST:
			n.Addr = parseIP(b)
		case unix.NDA_LLADDR:
			n.MAC = parseMAC(b)
		}
	}
	return n, n.Addr.IsValid()
}

// tunnelEntries returns the entries that lead to a VTEP and do not age: permanent ones, and
// those of `bridge fdb add … static`. The one that the kernel
// makes of the device's multicast group is left out: it is an attribute already.
//
// For a port of a bridge the kernel sends the bridge's entries too, those of its
// port alone; they are skipped here.
func (c forwarding) tunnelEntries(index uint32, group netip.Addr) ([]kernel.FDB, error) {
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
			e.MAC = parseMAC(b)
		case unix.NDA_DST:
			e.Dst = parseIP(b)
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
func (c forwarding) VTEP(name string, mac kernel.MAC) (netip.Addr, error) {
	index, err := c.indexOf(name)
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
	return parseIP(netlink.Find(msg[min(unix.SizeofNdMsg, len(msg)):], unix.NDA_DST)), nil
}

// StaticPorts returns behind which of its ports somebody told a bridge that MACs are, by MAC. It asks for each: beside the
// entries of thousands of remote containers there are few.
func (c forwarding) StaticPorts(bridge string, macs []kernel.MAC) (map[kernel.MAC]string, error) {
	fail := func(err error) (map[kernel.MAC]string, error) {
		return nil, fmt.Errorf("read static FDB entries of %s: %w", bridge, err)
	}
	index, err := c.indexOf(bridge)
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
