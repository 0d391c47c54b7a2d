package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nlmsg"
)

// A KindVXLAN device's redirects are filters of tc (cls_u32 with act_mirred) on its ingress: for each container one for
// IPv4, and for IPv6 one for TCP and one for UDP. A filter is in the bucket of its MAC's last octet, so a
// packet is compared with few, and has a number that its MAC gives, by which it is deleted without a look.
// Filters of other programs on the device are left alone, and come first if they have no priority of their own.

// Of linux/rtnetlink.h, pkt_cls.h and tc_act/tc_mirred.h, which package unix lacks.
const (
	tcaKind, tcaOptions = 1, 2

	u32Hash, u32Link, u32Divisor, u32Sel, u32Act = 2, 3, 4, 5, 7
	u32Terminal                                  = 1

	actKind, actOptions = 1, 2
	mirredParms         = 2
	mirredRedirect      = 1 // TCA_EGRESS_REDIR
	actStolen           = 4 // TC_ACT_STOLEN

	clsactParent  = 0xfffffff1 // TC_H_CLSACT
	clsactHandle  = 0xffff0000
	ingressParent = 0xfffffff2 // of filters

	buckets = 256
)

// filterTable is a hash table of filters of one protocol.
type filterTable struct {
	id       uint32 // in the upper twelve bits of a filter's number
	priority uint16 // of its filters; those without one get 49152 and less
	protocol uint16 // EtherType
}

// Numbers of tables from 0x800 on are the kernel's.
var (
	filters4 = filterTable{0x7f4 << 20, 60004, unix.ETH_P_IP}
	filters6 = filterTable{0x7f6 << 20, 60006, unix.ETH_P_IPV6}
)

// slot is one of a container's filters.
type slot struct {
	filterTable
	handle uint32
	l4     uint8 // the transport protocol, 0 for any
}

// slots are the numbers of a MAC's filters: the table, eight bits for the bucket, which is the last octet, and twelve for
// what the octets before it give, of which zero is no filter's. MACs of one subnet meet there from 2,047 times 256 addresses
// on. Of two that do the second has none, and goes by the bridge; when it leaves, so does the first until the agent's next turn.
func slots(m kernel.MAC) [3]slot {
	const kinds, last = 2, 0xfff
	var before uint32
	for _, octet := range m[:5] {
		before = (before<<8 + uint32(octet)) % (last / kinds)
	}
	at := uint32(m[5])<<12 | before*kinds
	return [3]slot{
		{filters4, filters4.id | at + 1, 0},
		{filters6, filters6.id | at + 1, unix.IPPROTO_TCP},
		{filters6, filters6.id | at + 2, unix.IPPROTO_UDP},
	}
}

// filterMessage is a struct tcmsg (linux/rtnetlink.h).
func filterMessage(index uint32, parent, handle, info uint32) message {
	m := make(message, 4, 20)
	for _, v := range []uint32{index, handle, parent, info} {
		m = binary.NativeEndian.AppendUint32(m, v)
	}
	return m
}

// message is about a filter on a device's ingress.
func (t filterTable) message(index, handle uint32) message {
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, t.protocol))
	return filterMessage(index, ingressParent, handle, uint32(t.priority)<<16|uint32(protocol))
}

// selector is a struct tc_u32_sel with its keys. With hash it leads on by the last octet of the Ethernet destination.
type selector struct {
	flags byte
	hash  bool
	keys  []key
}

// key matches a word of the packet; off counts from the network header.
type key struct {
	mask, value uint32
	off         int32
}

func (s selector) bytes() []byte {
	b := make([]byte, 16)
	b[0], b[2] = s.flags, byte(len(s.keys))
	if s.hash {
		binary.NativeEndian.PutUint16(b[10:], uint16(0x10000+macEnd))
		binary.BigEndian.PutUint32(b[12:], buckets-1)
	}
	for _, k := range s.keys {
		b = binary.BigEndian.AppendUint32(b, k.mask)
		b = binary.BigEndian.AppendUint32(b, k.value)
		b = binary.NativeEndian.AppendUint32(b, uint32(k.off))
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

// The Ethernet destination is the last two bytes of the word at macStart and the word at macEnd.
const macStart, macEnd = -16, -12

func macKeys(m kernel.MAC) []key {
	return []key{
		{0xffff, uint32(binary.BigEndian.Uint16(m[:2])), macStart},
		{0xffffffff, binary.BigEndian.Uint32(m[2:]), macEnd},
	}
}

// Redirects returns what leads from a KindVXLAN device to containers, and whether what it hangs on is there. A port that
// lacks a filter, or of which they do not all lead to one link that is there, has no name.
func (c *Conn) Redirects(device string) (ports []kernel.FastPathPort, intact bool, err error) {
	fail := func(err error) ([]kernel.FastPathPort, bool, error) {
		return nil, false, fmt.Errorf("read redirects of %s: %w", device, err)
	}
	index, err := c.index(device)
	if err != nil {
		return fail(err)
	}
	msgs, err := c.dump(unix.RTM_GETTFILTER, unix.RTM_NEWTFILTER, filterMessage(index, ingressParent, 0, 0))
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, false, nil // no tc
	}
	if err != nil {
		return fail(err)
	}
	links := 0
	to := make(map[kernel.MAC][]uint32) // indexes of links, one for each filter
	var order []kernel.MAC
	for _, msg := range msgs {
		f := parseFilter(msg)
		if f.leadsOn {
			links++
		}
		if !f.redirects {
			continue
		}
		if to[f.mac] == nil {
			order = append(order, f.mac)
		}
		to[f.mac] = append(to[f.mac], f.to)
	}
	for _, m := range order {
		name, err := c.common(to[m])
		if err != nil {
			return fail(err)
		}
		ports = append(ports, kernel.FastPathPort{Name: name, MAC: m})
	}
	return ports, links == 2, nil
}

// common returns the name of the link that all of a container's filters lead to, or "".
func (c *Conn) common(indexes []uint32) (string, error) {
	if len(indexes) != len(slots(kernel.MAC{})) || indexes[1] != indexes[0] || indexes[2] != indexes[0] {
		return "", nil
	}
	return c.name(indexes[0])
}

// filter is what counts of one.
type filter struct {
	leadsOn   bool // from the root to a table
	redirects bool
	mac       kernel.MAC
	to        uint32 // link's index; 0 when it is gone
}

// parseFilter returns nothing of a filter that is not this project's.
func parseFilter(msg []byte) (f filter) {
	if len(msg) < 20 || nlmsg.Text(nlmsg.Find(msg[20:], tcaKind)) != "u32" {
		return f
	}
	handle, info := nlmsg.U32(msg[8:]), nlmsg.U32(msg[16:])
	options := nlmsg.Find(msg[20:], tcaOptions)
	for _, t := range []filterTable{filters4, filters6} {
		if info>>16 != uint32(t.priority) {
			continue
		}
		if link := nlmsg.Find(options, u32Link); link != nil {
			f.leadsOn = nlmsg.U32(link) == t.id
			return f
		}
		sel := nlmsg.Find(options, u32Sel)
		for _, action := range nlmsg.Attrs(nlmsg.Find(options, u32Act)) {
			// struct tc_mirred: 20 bytes that all actions have, what to do, to which device.
			parms := nlmsg.Find(nlmsg.Find(action, actOptions), mirredParms)
			if len(parms) >= 28 && len(sel) >= 48 && handle&^0xfffff == t.id {
				f.redirects, f.to = true, nlmsg.U32(parms[24:])
				copy(f.mac[:2], sel[16+4+2:])
				copy(f.mac[2:], sel[32+4:])
			}
		}
	}
	return f
}

// setRedirects makes all anew.
func (c *Conn) setRedirects(ch kernel.SetRedirects) error {
	index, err := c.index(ch.Device)
	if err != nil {
		return err
	}
	have, _, err := c.Redirects(ch.Device)
	if err != nil {
		return err
	}
	for _, p := range have {
		if err := c.delRedirect(kernel.DelRedirect{Device: ch.Device, MAC: p.MAC}); err != nil {
			return err
		}
	}
	if err := cannot(c.hangRedirects(index)); err != nil {
		return err
	}
	var errs []error
	for _, p := range ch.Ports {
		errs = append(errs, c.redirect(index, p))
	}
	return errors.Join(errs...)
}

// hangRedirects makes what filters hang on: the qdisc, their tables, and what leads to those.
func (c *Conn) hangRedirects(index uint32) error {
	qdisc := filterMessage(index, clsactParent, clsactHandle, 0)
	err := c.change(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, qdisc, attrText(tcaKind, "clsact"))
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	for _, t := range []filterTable{filters4, filters6} {
		// All of the priority.
		err := c.change(unix.RTM_DELTFILTER, 0, t.message(index, 0))
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			return err
		}
		// Beside others' u32 filters the table stays.
		if err := c.newFilter(t, index, t.id, attrU32(u32Divisor, buckets)); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		sel := selector{hash: true, keys: []key{{}}}
		if err := c.newFilter(t, index, 0, attrU32(u32Link, t.id), nl.NewRtAttr(u32Sel, sel.bytes())); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) newFilter(t filterTable, index, handle uint32, options ...*nl.RtAttr) error {
	err := c.change(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL, t.message(index, handle),
		attrText(tcaKind, "u32"), attrNest(tcaOptions, options...))
	return notFound(err)
}

// cannot tells a kernel without what is asked for: the error is the same as of a thing that is missing.
func cannot(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w (%w)", kernel.ErrNoFastPath, err)
	}
	return err
}

func (c *Conn) addRedirect(ch kernel.AddRedirect) error {
	index, err := c.index(ch.Device)
	if err != nil {
		return err
	}
	return c.redirect(index, ch.Port)
}

// redirect adds a port's filters. A container's veth goes with the container, before its teardown; so a port that is
// not there has none.
func (c *Conn) redirect(index uint32, p kernel.FastPathPort) error {
	to, err := c.index(p.Name)
	if errors.Is(err, kernel.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	parms := make([]byte, 28)
	binary.NativeEndian.PutUint32(parms[8:], actStolen)
	binary.NativeEndian.PutUint32(parms[20:], mirredRedirect)
	binary.NativeEndian.PutUint32(parms[24:], to)
	for _, s := range slots(p.MAC) {
		sel := selector{flags: u32Terminal, keys: macKeys(p.MAC)}
		if s.l4 != 0 {
			sel.keys = append(sel.keys, key{0xff00, uint32(s.l4) << 8, 4}) // IPv6's next header
		}
		err := c.newFilter(s.filterTable, index, s.handle,
			attrU32(u32Hash, s.handle&^0xfff),
			nl.NewRtAttr(u32Sel, sel.bytes()),
			attrNest(u32Act, attrNest(1, attrText(actKind, "mirred"), attrNest(actOptions, nl.NewRtAttr(mirredParms, parms)))))
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return cannot(err)
		}
	}
	return nil
}

// delRedirect accepts that there is nothing to delete, nor what it would hang on.
func (c *Conn) delRedirect(ch kernel.DelRedirect) error {
	index, err := c.index(ch.Device)
	if errors.Is(err, kernel.ErrNotFound) {
		return nil
	}
	for _, s := range slots(ch.MAC) {
		if err == nil {
			err = c.change(unix.RTM_DELTFILTER, 0, s.message(index, s.handle), attrText(tcaKind, "u32"))
		}
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
			err = nil
		}
	}
	return err
}
