package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nlmsg"
)

// fdb returns the entries that lead to a VTEP and do not age: permanent ones, and
// those of `bridge fdb add … static`. The one that the kernel
// makes of the device's multicast group is left out: it is an attribute already.
//
// For a port of a bridge the kernel sends the bridge's entries too, those of its
// port alone; they are skipped here.
func (c *Conn) fdb(index uint32, group netip.Addr) ([]kernel.FDB, error) {
	msgs, err := c.dump(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, fdbMessage(index, 0, 0))
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

// fdbMessage is a struct ndmsg (linux/neighbour.h).
func fdbMessage(index uint32, state uint16, flags uint8) message {
	m := make(message, 4, unix.SizeofNdMsg)
	m[0] = unix.AF_BRIDGE
	m = binary.NativeEndian.AppendUint32(m, index)
	m = binary.NativeEndian.AppendUint16(m, state)
	return append(m, flags, 0)
}

func parseFDB(msg []byte, index uint32) (e kernel.FDB, ok bool) {
	if len(msg) < unix.SizeofNdMsg || nlmsg.U32(msg[4:]) != index {
		return e, false
	}
	state := binary.NativeEndian.Uint16(msg[8:])
	if state&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0 || msg[10]&unix.NTF_SELF == 0 {
		return e, false
	}
	for typ, b := range nlmsg.Attrs(msg[unix.SizeofNdMsg:]) {
		switch typ {
		case unix.NDA_LLADDR:
			e.MAC = mac(b)
		case unix.NDA_DST:
			e.Dst = ip(b)
		case unix.NDA_PORT:
			e.Port = nlmsg.U16BE(b)
		case unix.NDA_VNI:
			e.VNI = nlmsg.U32(b)
		case unix.NDA_IFINDEX:
			e.Index = nlmsg.U32(b)
		}
	}
	return e, e.Dst.IsValid()
}

// fdbState is that of an entry which neither ages nor is altered by what is learned,
// as `bridge fdb` sets it.
const fdbState = unix.NUD_PERMANENT | unix.NUD_NOARP

// addFDB appends an entry with the zero MAC, which the kernel doesn't replace,
// and keeps one that is there; an entry with another MAC replaces what is there,
// be it learned.
func (c *Conn) addFDB(name string, e kernel.FDB) error {
	how := unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	if e.MAC.IsZero() {
		how = unix.NLM_F_CREATE | unix.NLM_F_APPEND
	}
	return c.changeFDB(unix.RTM_NEWNEIGH, how, name, fdbState, e)
}

func (c *Conn) delFDB(name string, e kernel.FDB) error {
	return c.changeFDB(unix.RTM_DELNEIGH, 0, name, 0, e)
}

// delStatic removes the bridge's entry that leads to its port of that name.
func (c *Conn) delStatic(name string, m kernel.MAC) error {
	index, err := c.index(name)
	if err != nil {
		return err
	}
	return c.change(unix.RTM_DELNEIGH, 0, fdbMessage(index, 0, unix.NTF_MASTER), attrMAC(unix.NDA_LLADDR, m))
}

func (c *Conn) addLocal(name string, m kernel.MAC) error {
	index, err := c.index(name)
	if err != nil {
		return err
	}
	return notFound(c.change(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE,
		fdbMessage(index, unix.NUD_NOARP, unix.NTF_MASTER|sticky), attrMAC(unix.NDA_LLADDR, m)))
}

func (c *Conn) changeFDB(typ uint16, how int, name string, state uint16, e kernel.FDB) error {
	if name != c.fdbName {
		index, err := c.index(name)
		if err != nil {
			return err
		}
		c.fdbName, c.fdbIndex = name, index
	}
	attrs := []*nl.RtAttr{attrMAC(unix.NDA_LLADDR, e.MAC), attrIP(unix.NDA_DST, e.Dst)}
	if e.Port != 0 {
		attrs = append(attrs, nl.NewRtAttr(unix.NDA_PORT, binary.BigEndian.AppendUint16(nil, e.Port)))
	}
	if e.VNI != 0 {
		attrs = append(attrs, attrU32(unix.NDA_VNI, e.VNI))
	}
	if e.Index != 0 {
		attrs = append(attrs, attrU32(unix.NDA_IFINDEX, e.Index))
	}
	return notFound(c.change(typ, how, fdbMessage(c.fdbIndex, state, unix.NTF_SELF), attrs...))
}

// VTEP returns the host that a KindVXLAN device sends frames for mac to, or an invalid
// address if it knows none.
func (c *Conn) VTEP(name string, mac kernel.MAC) (netip.Addr, error) {
	index, err := c.index(name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find host of %s on %s: %w", mac, name, err)
	}
	msg, err := c.get(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, fdbMessage(index, 0, unix.NTF_SELF), attrMAC(unix.NDA_LLADDR, mac))
	if errors.Is(err, unix.ENOENT) {
		return netip.Addr{}, nil
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find host of %s on %s: %w", mac, name, err)
	}
	for typ, b := range nlmsg.Attrs(msg[unix.SizeofNdMsg:]) {
		if typ == unix.NDA_DST {
			return ip(b), nil
		}
	}
	return netip.Addr{}, nil
}
