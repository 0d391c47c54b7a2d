package rtnl

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// forwarding reads and changes the tables by which frames and packets find other hosts: the FDBs of
// VXLAN devices and bridges, and neighbours.
type forwarding struct{ linkReader }

// ForwardingTables returns the entries by which the network of that bridge and VXLAN device
// forwards. These are the permanent entries of a MAC in the device's FDB, the static entries for
// the device in the bridge's FDB, and the bridge's permanent neighbours. Learned entries and the
// port's own MAC are left out. With keys it returns only the entries that they name, at the cost of
// a request for each.
//
// The kernel does not keep who added an entry of an FDB (NDA_PROTOCOL is kept of neighbours only).
// The devices are this project's, so all entries count as its own.
func (c forwarding) ForwardingTables(bridge, device string,
	only *kernel.ForwardingKeys) (t kernel.ForwardingTables, err error) {
	fail := func(err error) (kernel.ForwardingTables, error) {
		return kernel.ForwardingTables{}, fmt.Errorf("read forwarding tables of %s and %s: %w", bridge, device, notFound(err))
	}
	br, err := c.indexOf(bridge)
	if err != nil {
		return fail(err)
	}
	dev, err := c.indexOf(device)
	if err != nil {
		return fail(err)
	}
	if only != nil {
		if err := c.readEntries(&t, br, dev, *only); err != nil {
			return fail(err)
		}
		return t, nil
	}
	if err := c.readFDBs(&t, dev); err != nil {
		return fail(err)
	}
	if err := c.readNeighbours(&t, br); err != nil {
		return fail(err)
	}
	return t, nil
}

// readEntries reads single entries. The zero MAC has none: what the kernel would return is a flood
// entry. A container that another host has just announced has no MAC yet.
func (c forwarding) readEntries(t *kernel.ForwardingTables, bridge, device uint32, only kernel.ForwardingKeys) error {
	for _, m := range only.MACs {
		if m.IsZero() {
			continue
		}
		msg, err := c.getEntry(neighbourMessage(unix.AF_BRIDGE, device, 0, unix.NTF_SELF), attrMAC(unix.NDA_LLADDR, m))
		if err != nil {
			return fmt.Errorf("FDB entry of %s: %w", m, err)
		}
		if e, ok := parseFDB(msg, device); ok {
			t.FDB = append(t.FDB, e)
		}
		msg, err = c.getEntry(neighbourMessage(unix.AF_BRIDGE, 0, 0, 0),
			attrMAC(unix.NDA_LLADDR, m), netlink.Uint32Attr(unix.NDA_MASTER, bridge))
		if err != nil {
			return fmt.Errorf("static entry of %s: %w", m, err)
		}
		if mac, ok := parseStatic(msg, device); ok {
			t.Static = append(t.Static, mac)
		}
	}
	for _, a := range only.Addrs {
		msg, err := c.getEntry(neighbourMessage(addressFamily(a), bridge, 0, 0), netlink.BytesAttr(unix.NDA_DST, a.AsSlice()))
		if err != nil {
			return fmt.Errorf("neighbour %s: %w", a, err)
		}
		if n, ok := parseNeighbour(msg, bridge); ok {
			t.Neighbours = append(t.Neighbours, n)
		}
	}
	return c.nameVias(t.FDB)
}

// getEntry returns an empty message if there is no such entry.
func (c forwarding) getEntry(ndmsg []byte, key ...netlink.Attr) ([]byte, error) {
	msg, err := c.Get(unix.RTM_GETNEIGH, ndmsg, key...)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	return msg, err
}

// readFDBs reads both FDBs with one request: for a bridge's port the kernel also sends the bridge's
// entries of that port (rtnl_fdb_dump in net/core/rtnetlink.c).
func (c forwarding) readFDBs(t *kernel.ForwardingTables, index uint32) error {
	begin := func() { t.FDB, t.Flood, t.Static = t.FDB[:0], t.Flood[:0], t.Static[:0] }
	err := c.DumpEach(unix.RTM_GETNEIGH, neighbourMessage(unix.AF_BRIDGE, index, 0, 0), begin, func(msg []byte) {
		if e, ok := parseFDB(msg, index); ok {
			switch {
			case !e.MAC.IsZero():
				t.FDB = append(t.FDB, e)
			case !e.Dst.IsMulticast(): // else of the device's group
				t.Flood = append(t.Flood, e)
			}
		} else if mac, ok := parseStatic(msg, index); ok {
			t.Static = append(t.Static, mac)
		}
	})
	if err == nil {
		err = cmp.Or(c.nameVias(t.FDB), c.nameVias(t.Flood))
	}
	if err != nil {
		return fmt.Errorf("FDB: %w", err)
	}
	return nil
}

// parseStatic reads a static entry of a bridge's FDB. Those are NOARP, the MACs of the bridge's
// ports are PERMANENT, and learned entries are neither (fdb_to_nud in net/bridge/br_fdb.c). A
// kernel with VLANs has each entry once more for the port's VLAN, which only a bridge that filters
// by VLAN uses.
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

// readNeighbours reads the neighbours of both families; the kernel picks those of the link.
func (c forwarding) readNeighbours(t *kernel.ForwardingTables, index uint32) error {
	begin := func() { t.Neighbours = t.Neighbours[:0] }
	err := c.DumpEach(unix.RTM_GETNEIGH, make([]byte, unix.SizeofNdMsg), begin, func(msg []byte) {
		if n, ok := parseNeighbour(msg, index); ok {
			t.Neighbours = append(t.Neighbours, n)
		}
	}, netlink.Uint32Attr(unix.NDA_IFINDEX, index))
	if err != nil {
		return fmt.Errorf("neighbours: %w", err)
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

// tunnelEntries returns the entries of a VXLAN device that do not age: permanent ones, and those of
// `bridge fdb add … static`. The one that the kernel makes of the device's multicast group is left
// out, since that is an attribute of the device.
//
// For a port of a bridge the kernel also sends the bridge's entries of that port. They are skipped.
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
	return entries, c.nameVias(entries)
}

// parseFDB reads an entry. It names the device that the entry sends by as one that is gone: nameVias
// finds out the rest.
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
			e.Via = formatVia(netlink.Uint32(b))
		}
	}
	return e, e.Dst.IsValid()
}

// VTEP returns the host that a VXLAN device sends frames for mac to, or an invalid address if it
// has no entry.
func (c forwarding) VTEP(name string, mac kernel.MAC) (netip.Addr, error) {
	index, err := c.indexOf(name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find host of %s on %s: %w", mac, name, err)
	}
	msg, err := c.Get(unix.RTM_GETNEIGH, neighbourMessage(unix.AF_BRIDGE, index, 0, unix.NTF_SELF),
		attrMAC(unix.NDA_LLADDR, mac))
	if errors.Is(err, unix.ENOENT) {
		return netip.Addr{}, nil
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find host of %s on %s: %w", mac, name, err)
	}
	return parseIP(netlink.Find(msg[min(unix.SizeofNdMsg, len(msg)):], unix.NDA_DST)), nil
}

// StaticPorts returns the ports that a bridge has static entries of the MACs for. It asks for each
// MAC: there are few, and a list would have the entries of thousands of remote containers.
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
