package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// ForwardingTables returns the entries by which the network of that bridge and VXLAN device
// forwards: of the device's FDB those that are permanent and of a MAC, of the
// bridge's those that somebody added for the device's port, and its permanent
// neighbours. Learned ones are left out, and the port's own MAC.
//
// There is no mark of who added an entry: the kernel keeps NDA_PROTOCOL of
// neighbours, but of neither FDB. The devices are this project's, and so is what is in their tables.
func (c *Conn) ForwardingTables(bridge, device string) (t kernel.ForwardingTables, err error) {
	fail := func(err error) (kernel.ForwardingTables, error) {
		return kernel.ForwardingTables{}, fmt.Errorf("read forwarding tables of %s and %s: %w", bridge, device, err)
	}
	br, err := c.index(bridge)
	if err != nil {
		return fail(err)
	}
	dev, err := c.index(device)
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
func (c *Conn) readFDBs(t *kernel.ForwardingTables, index uint32) error {
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
			m = mac(b)
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
func (c *Conn) readNeighbours(t *kernel.ForwardingTables, index uint32) error {
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
			n.Addr = ip(b)
		case unix.NDA_LLADDR:
			n.MAC = mac(b)
		}
	}
	return n, n.Addr.IsValid()
}

// ChangeForwardingTables makes the changes in batches: 30,000 entries one by one would take
// three times as long. Its error names the first of the entries that failed.
//
// It is not one of Apply's changes, so that a program which makes none of these is
// not linked with them.
func (c *Conn) ChangeForwardingTables(ch kernel.ForwardingChanges) error {
	fail := func(err error) error {
		return fmt.Errorf("change forwarding tables of %s: %w", strings.TrimPrefix(ch.Bridge+" and "+ch.Device, " and "), err)
	}
	var br uint32
	if ch.Bridge != "" {
		var err error
		if br, err = c.index(ch.Bridge); err != nil {
			return fail(err)
		}
	}
	dev, err := c.index(ch.Device)
	if err != nil {
		return fail(err)
	}
	if err := c.socket.SetReceiveBuffer(receiveBuffer); err != nil {
		return fail(fmt.Errorf("enlarge the receive buffer: %w", err))
	}
	changer := entryChanger{socket: c.socket, bridge: br, device: dev}
	for one := range ch.All() {
		if err := changer.add(one); err != nil {
			return fail(errors.Join(err, changer.refusals()))
		}
	}
	if err := errors.Join(changer.flush(), changer.refusals()); err != nil {
		return fail(err)
	}
	return nil
}
