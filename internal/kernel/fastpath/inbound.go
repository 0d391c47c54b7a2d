package fastpath

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Packets for containers are redirected by tc filters (cls_u32 with act_mirred) on the VXLAN
// device's ingress. Each container has one for IPv4, and for IPv6 one for TCP and one for UDP. A
// filter is in the bucket of its MAC's last octet, so a packet is compared with few. Its number
// derives from the MAC, so it can be deleted without a list. Filters of other programs on the
// device stay, and come first if they have no priority of their own.

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

	bucketCount = 256
)

// filterTable is a hash table of filters of one protocol.
type filterTable struct {
	id       uint32 // in the upper twelve bits of a filter's number
	priority uint16 // of its filters
	protocol uint16 // EtherType
}

// Numbers of tables from 0x800 on are the kernel's.
var (
	filters4 = filterTable{0x7f4 << 20, kernel.FastPathPriority4, unix.ETH_P_IP}
	filters6 = filterTable{0x7f6 << 20, kernel.FastPathPriority6, unix.ETH_P_IPV6}

	filterTables = []filterTable{filters4, filters6}
)

// filterSlot is one of a container's filters.
type filterSlot struct {
	filterTable
	handle uint32
	l4     uint8 // the transport protocol, 0 for any
}

// filterSlots returns the numbers of a MAC's filters. A number has the table, eight bits for the
// bucket, which is the last octet, and twelve bits that derive from the octets before it and are
// not zero. MACs of one subnet collide from 2,047 times 256 addresses on. Of two that collide the
// second gets no filters, and its packets pass the bridge. When it leaves, the filters of the first
// go too, until the agent sets them again.
func filterSlots(m kernel.MAC) [3]filterSlot {
	const kinds, last = 2, 0xfff
	var before uint32
	for _, octet := range m[:5] {
		before = (before<<8 + uint32(octet)) % (last / kinds)
	}
	at := uint32(m[5])<<12 | before*kinds
	return [3]filterSlot{
		{filters4, filters4.id | at + 1, 0},
		{filters6, filters6.id | at + 1, unix.IPPROTO_TCP},
		{filters6, filters6.id | at + 2, unix.IPPROTO_UDP},
	}
}

// tcMessage is a struct tcmsg (linux/rtnetlink.h).
func tcMessage(index uint32, parent, handle, info uint32) []byte {
	m := make([]byte, 4, 20)
	for _, v := range []uint32{index, handle, parent, info} {
		m = binary.NativeEndian.AppendUint32(m, v)
	}
	return m
}

// filterMessage is a struct tcmsg about a filter on a device's ingress.
func (t filterTable) filterMessage(index, handle uint32) []byte {
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, t.protocol))
	return tcMessage(index, ingressParent, handle, uint32(t.priority)<<16|uint32(protocol))
}

// u32Selector is a struct tc_u32_sel with its keys. With hash it picks a bucket by the last octet
// of the Ethernet destination.
type u32Selector struct {
	flags byte
	hash  bool
	keys  []u32Key
}

// u32Key matches a word of the packet; off counts from the network header.
type u32Key struct {
	mask, value uint32
	off         int32
}

func (s u32Selector) bytes() []byte {
	b := make([]byte, 16)
	b[0], b[2] = s.flags, byte(len(s.keys))
	if s.hash {
		binary.NativeEndian.PutUint16(b[10:], uint16(0x10000+macEnd))
		binary.BigEndian.PutUint32(b[12:], bucketCount-1)
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

func macKeys(m kernel.MAC) []u32Key {
	return []u32Key{
		{0xffff, uint32(binary.BigEndian.Uint16(m[:2])), macStart},
		{0xffffffff, binary.BigEndian.Uint32(m[2:]), macEnd},
	}
}

// Inbound implements Kernel. A port has no name if it lacks a filter, or if its filters do not all
// redirect to one link that exists.
func (ns Namespace) Inbound(device string) (have InboundFilters, err error) {
	index, err := ns.Links.Index(device)
	if err == nil {
		have, err = ns.readFilters(uint32(index))
	}
	if err != nil {
		return InboundFilters{}, fmt.Errorf("read tc filters of %s: %w", device, err)
	}
	return have, nil
}

func (ns Namespace) readFilters(index uint32) (have InboundFilters, err error) {
	msgs, err := ns.Links.Dump(unix.RTM_GETTFILTER, tcMessage(index, ingressParent, 0, 0))
	if errors.Is(err, unix.EOPNOTSUPP) {
		return have, nil // no tc
	}
	if err != nil {
		return have, err
	}
	links := 0
	targets := make(map[kernel.MAC][]uint32) // indexes of links, one for each filter
	var order []kernel.MAC
	for _, msg := range msgs {
		f := parseFilter(msg)
		if f.leadsOn {
			links++
		}
		if !f.redirects {
			continue
		}
		if targets[f.mac] == nil {
			order = append(order, f.mac)
		}
		targets[f.mac] = append(targets[f.mac], f.target)
	}
	for _, m := range order {
		name, err := ns.commonTarget(targets[m])
		if err != nil {
			return have, err
		}
		have.Ports = append(have.Ports, kernel.FastPathPort{Name: name, MAC: m})
	}
	have.Intact = links == len(filterTables)
	return have, nil
}

// commonTarget returns the name of the link that all of a container's filters lead to, or "".
func (ns Namespace) commonTarget(indexes []uint32) (string, error) {
	if len(indexes) != len(filterSlots(kernel.MAC{})) || indexes[1] != indexes[0] || indexes[2] != indexes[0] {
		return "", nil
	}
	return ns.Links.NameOf(indexes[0])
}

// observedFilter is a filter as the kernel lists it.
type observedFilter struct {
	leadsOn   bool // leads from the root to a table
	redirects bool
	mac       kernel.MAC
	target    uint32 // link's index; 0 when it is gone
}

// parseFilter returns a zero filter for one of another program.
func parseFilter(msg []byte) (f observedFilter) {
	if len(msg) < 20 || netlink.Text(netlink.Find(msg[20:], tcaKind)) != "u32" {
		return f
	}
	handle, info := netlink.Uint32(msg[8:]), netlink.Uint32(msg[16:])
	options := netlink.Find(msg[20:], tcaOptions)
	for _, t := range filterTables {
		if info>>16 != uint32(t.priority) {
			continue
		}
		if link := netlink.Find(options, u32Link); link != nil {
			f.leadsOn = netlink.Uint32(link) == t.id
			return f
		}
		sel := netlink.Find(options, u32Sel)
		for _, action := range netlink.Attrs(netlink.Find(options, u32Act)) {
			// struct tc_mirred: 20 bytes that all actions have, what to do, to which device.
			parms := netlink.Find(netlink.Find(action, actOptions), mirredParms)
			if len(parms) >= 28 && len(sel) >= 48 && handle&^0xfffff == t.id {
				f.redirects, f.target = true, netlink.Uint32(parms[24:])
				copy(f.mac[:2], sel[16+4+2:])
				copy(f.mac[2:], sel[32+4:])
			}
		}
	}
	return f
}

// loadFilters replaces all filters.
func (ns Namespace) loadFilters(c LoadFilters) error {
	index, err := ns.Links.Index(c.Device)
	if err != nil {
		return err
	}
	have, err := ns.readFilters(uint32(index))
	if err != nil {
		return err
	}
	for _, p := range have.Ports {
		if err := ns.deleteFilters(DeleteFilters{c.Device, p.MAC}); err != nil {
			return err
		}
	}
	if err := asNoFastPath(ns.addFilterTables(uint32(index))); err != nil {
		return err
	}
	var errs []error
	for _, p := range c.Ports {
		errs = append(errs, ns.addFiltersAt(uint32(index), p))
	}
	return errors.Join(errs...)
}

// addFilterTables adds what filters need: the qdisc, their tables, and the filters that lead to
// those.
func (ns Namespace) addFilterTables(index uint32) error {
	qdisc := tcMessage(index, clsactParent, clsactHandle, 0)
	err := ns.Links.Change(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, qdisc,
		netlink.TextAttr(tcaKind, "clsact"))
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	for _, t := range filterTables {
		// Without a handle it deletes all filters of the priority.
		err := ns.Links.Change(unix.RTM_DELTFILTER, 0, t.filterMessage(index, 0))
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			return err
		}
		// Beside others' u32 filters the table stays.
		if err := ns.newFilter(t, index, t.id, netlink.Uint32Attr(u32Divisor, bucketCount)); err != nil &&
			!errors.Is(err, unix.EEXIST) {
			return err
		}
		sel := u32Selector{hash: true, keys: []u32Key{{}}}
		if err := ns.newFilter(t, index, 0, netlink.Uint32Attr(u32Link, t.id),
			netlink.BytesAttr(u32Sel, sel.bytes())); err != nil {
			return err
		}
	}
	return nil
}

func (ns Namespace) newFilter(t filterTable, index, handle uint32, options ...netlink.Attr) error {
	err := ns.Links.Change(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL, t.filterMessage(index, handle),
		netlink.TextAttr(tcaKind, "u32"), netlink.NestAttr(tcaOptions, options...))
	if errors.Is(err, unix.ENODEV) {
		return kernel.ErrNotFound
	}
	return err
}

// asNoFastPath returns kernel.ErrNoFastPath for the errors of a kernel that lacks the qdisc, the
// classifier or the action.
func asNoFastPath(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w (%w)", kernel.ErrNoFastPath, err)
	}
	return err
}

func (ns Namespace) addFilters(c AddFilters) error {
	index, err := ns.Links.Index(c.Device)
	if err != nil {
		return err
	}
	return ns.addFiltersAt(uint32(index), c.Port)
}

// addFiltersAt adds a port's filters. A container's veth goes with the container, before its
// teardown. So a port may be missing, and then gets none.
func (ns Namespace) addFiltersAt(device uint32, p kernel.FastPathPort) error {
	target, err := ns.Links.Index(p.Name)
	if errors.Is(err, kernel.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	parms := make([]byte, 28)
	binary.NativeEndian.PutUint32(parms[8:], actStolen)
	binary.NativeEndian.PutUint32(parms[20:], mirredRedirect)
	binary.NativeEndian.PutUint32(parms[24:], uint32(target))
	for _, s := range filterSlots(p.MAC) {
		sel := u32Selector{flags: u32Terminal, keys: macKeys(p.MAC)}
		if s.l4 != 0 {
			sel.keys = append(sel.keys, u32Key{0xff00, uint32(s.l4) << 8, 4}) // IPv6's next header
		}
		err := ns.newFilter(s.filterTable, device, s.handle,
			netlink.Uint32Attr(u32Hash, s.handle&^0xfff),
			netlink.BytesAttr(u32Sel, sel.bytes()),
			netlink.NestAttr(u32Act, netlink.NestAttr(1, netlink.TextAttr(actKind, "mirred"),
				netlink.NestAttr(actOptions, netlink.BytesAttr(mirredParms, parms)))))
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return asNoFastPath(err)
		}
	}
	return nil
}

// deleteFilters accepts that the filters, or what they hang on, are not there.
func (ns Namespace) deleteFilters(c DeleteFilters) error {
	index, err := ns.Links.Index(c.Device)
	if errors.Is(err, kernel.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range filterSlots(c.MAC) {
		err := ns.Links.Change(unix.RTM_DELTFILTER, 0, s.filterMessage(uint32(index), s.handle),
			netlink.TextAttr(tcaKind, "u32"))
		if err != nil && !isNothingToDelete(err) {
			return err
		}
	}
	return nil
}

func isNothingToDelete(err error) bool {
	for _, missing := range []error{unix.ENOENT, unix.EINVAL, unix.EOPNOTSUPP, unix.ENODEV} {
		if errors.Is(err, missing) {
			return true
		}
	}
	return false
}
