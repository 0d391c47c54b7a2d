package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// An entry of a forwarding table is a struct ndmsg with attributes (linux/neighbour.h). That is so
// for the FDB of a VXLAN device, the FDB of a bridge, and the neighbours of a link. All are changed
// in batches, even if only of one entry.

const (
	// fdbState is the state of a VXLAN device's entry that neither ages nor is changed by learning,
	// as `bridge fdb` sets it.
	fdbState = unix.NUD_PERMANENT | unix.NUD_NOARP

	sticky = 1 << 6 // NTF_STICKY, since Linux 4.20
)

const (
	// entriesPerBatch is how many messages go to the kernel at once. With more the time for each
	// falls no further, and their refusals must fit into the receive buffer.
	entriesPerBatch = 256

	// receiveBuffer has room for a batch of which every message fails: the kernel drops answers
	// that do not fit. Each takes up to 2 KiB there, with what the kernel adds around it; the
	// kernel doubles this number.
	receiveBuffer = 1 << 20

	// errorsNamed is how many failed entries an error names. Usually all fail for one reason, such
	// as a device that is gone or an FDB that is full.
	errorsNamed = 10
)

// ChangeForwardingTables makes the changes in batches: 30,000 entries one by one would take three
// times as long. Its error names the first of the entries that failed.
//
// It is not one of Apply's changes. So a program that does not call it does not link it.
func (c forwarding) ChangeForwardingTables(ch kernel.ForwardingChanges) error {
	fail := func(err error) error {
		return fmt.Errorf("change forwarding tables of %s: %w", strings.TrimPrefix(ch.Bridge+" and "+ch.Device, " and "), err)
	}
	var br uint32
	if ch.Bridge != "" {
		var err error
		if br, err = c.indexOf(ch.Bridge); err != nil {
			return fail(err)
		}
	}
	dev, err := c.indexOf(ch.Device)
	if err != nil {
		return fail(err)
	}
	if err := c.socket.SetReceiveBuffer(receiveBuffer); err != nil {
		return fail(fmt.Errorf("enlarge the receive buffer: %w", err))
	}
	changer := entryChanger{forwarding: c, bridge: br, device: dev}
	for one := range ch.All() {
		if err := changer.add(one); err != nil {
			return fail(errors.Join(err, changer.refusals()))
		}
	}
	if err := errors.Join(changer.flush(), changer.deleteGone(), changer.refusals()); err != nil {
		return fail(err)
	}
	return nil
}

// changeEntry changes one entry of the FDB of the link of that name, or of its bridge.
func (c forwarding) changeEntry(name string, change kernel.Change) error {
	index, err := c.indexOf(name)
	if err == nil {
		err = c.changeEntryOf(index, change)
	}
	if _, isOfBridge := change.(kernel.DelStatic); isOfBridge && errors.Is(err, unix.EOPNOTSUPP) {
		return nil // the link is on no bridge any more
	}
	if isDeletion(change) {
		return ignoreGone(err)
	}
	return err
}

func (c forwarding) changeEntryOf(index uint32, change kernel.Change) error {
	changer := entryChanger{forwarding: c, bridge: index, device: index}
	if err := changer.append(change); err != nil {
		return err
	}
	if changer.batch.Len() == 0 {
		return changer.deleteGone()
	}
	refusals, err := c.socket.ExecuteBatch(&changer.batch)
	if err != nil || len(refusals) == 0 {
		return err
	}
	return notFound(refusals[0].Err)
}

func isDeletion(change kernel.Change) bool {
	switch change.(type) {
	case kernel.DelFDB, kernel.DelStatic, kernel.DelNeighbour:
		return true
	}
	return false
}

// entryChanger changes many entries, and goes on after those that the kernel refuses.
type entryChanger struct {
	forwarding
	bridge, device uint32 // indexes: of the link that neighbours are of, and that entries of an FDB are of
	via            viaName
	gone           []kernel.FDB // to be deleted, by devices that are gone

	batch   netlink.Batch
	changes []kernel.Change // in the batch
	refused int
	errs    []error // of the first that were refused
}

// add adds a change. Its error is one of the connection; those of single entries are collected.
func (e *entryChanger) add(change kernel.Change) error {
	before := e.batch.Len()
	err := e.append(change)
	if errors.Is(err, kernel.ErrNotFound) { // the device that the entry is to send by
		e.noteRefusal(change, err)
		return nil
	}
	if err != nil {
		return err
	}
	if e.batch.Len() == before {
		return nil // deleteGone does it
	}
	e.changes = append(e.changes, change)
	if len(e.changes) < entriesPerBatch {
		return nil
	}
	return e.flush()
}

// flush makes the changes that were added.
func (e *entryChanger) flush() error {
	if e.batch.Len() == 0 {
		return nil
	}
	refusals, err := e.socket.ExecuteBatch(&e.batch)
	if err != nil {
		return fmt.Errorf("change %d entries: %w", len(e.changes), err)
	}
	for _, r := range refusals {
		e.noteRefusal(e.changes[r.Index], r.Err)
	}
	e.batch.Reset()
	e.changes = e.changes[:0]
	return nil
}

func (e *entryChanger) noteRefusal(change kernel.Change, err error) {
	if isDeletion(change) && ignoreGone(err) == nil {
		return
	}
	e.refused++
	if len(e.errs) < errorsNamed {
		e.errs = append(e.errs, fmt.Errorf("%s: %w", change, notFound(err)))
	}
}

// refusals returns an error that names the first entries that were refused.
func (e *entryChanger) refusals() error {
	if more := e.refused - len(e.errs); more > 0 {
		return errors.Join(append(e.errs, fmt.Errorf("and %d entries more", more))...)
	}
	return errors.Join(e.errs...)
}

// append appends the request for a change of an entry to the batch. Its error is kernel.ErrNotFound
// where the entry is to send by a device that is not there.
func (e *entryChanger) append(change kernel.Change) error {
	const replace = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	b, bridge, device := &e.batch, e.bridge, e.device
	switch c := change.(type) {
	case kernel.AddFDB:
		via, err := e.viaIndex(c.FDB.Via)
		if err != nil {
			return err
		}
		// The kernel refuses to replace entries of the zero MAC, and keeps one that is there.
		flags := uint16(replace)
		if c.FDB.MAC.IsZero() {
			flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND
		}
		b.Message(unix.RTM_NEWNEIGH, flags, func() { putFDB(b, device, via, fdbState, c.FDB) })
	case kernel.DelFDB:
		if strings.HasPrefix(c.FDB.Via, goneVia) {
			e.gone = append(e.gone, c.FDB)
			return nil
		}
		via, err := e.viaIndex(c.FDB.Via)
		if err != nil {
			return err
		}
		b.Message(unix.RTM_DELNEIGH, 0, func() { putFDB(b, device, via, 0, c.FDB) })
	case kernel.AddStatic:
		b.Message(unix.RTM_NEWNEIGH, replace, func() { putStatic(b, device, unix.NUD_NOARP, sticky, c.MAC) })
	case kernel.DelStatic:
		b.Message(unix.RTM_DELNEIGH, 0, func() { putStatic(b, device, 0, 0, c.MAC) })
	case kernel.AddNeighbour:
		b.Message(unix.RTM_NEWNEIGH, replace, func() { putNeighbour(b, bridge, unix.NUD_PERMANENT, c.Neighbour) })
	case kernel.DelNeighbour:
		b.Message(unix.RTM_DELNEIGH, 0, func() { putNeighbour(b, bridge, 0, c.Neighbour) })
	default:
		return fmt.Errorf("not a change of an entry: %s", change)
	}
	return nil
}

func putFDB(b *netlink.Batch, index, via uint32, state uint16, e kernel.FDB) {
	putMAC(b, index, state, e.MAC)
	putDestination(b, e.Dst)
	if e.Port != 0 {
		b.Attrs(netlink.Uint16BEAttr(unix.NDA_PORT, e.Port))
	}
	if e.VNI != 0 {
		b.Attrs(netlink.Uint32Attr(unix.NDA_VNI, e.VNI))
	}
	if via != 0 {
		b.Attrs(netlink.Uint32Attr(unix.NDA_IFINDEX, via))
	}
}

func putMAC(b *netlink.Batch, index uint32, state uint16, mac kernel.MAC) {
	b.Raw(neighbourMessage(unix.AF_BRIDGE, index, state, unix.NTF_SELF)...)
	b.Bytes(unix.NDA_LLADDR, mac[:])
}

func putStatic(b *netlink.Batch, index uint32, state uint16, flags uint8, mac kernel.MAC) {
	b.Raw(neighbourMessage(unix.AF_BRIDGE, index, state, unix.NTF_MASTER|flags)...)
	b.Bytes(unix.NDA_LLADDR, mac[:])
}

func putNeighbour(b *netlink.Batch, index uint32, state uint16, n kernel.Neighbour) {
	b.Raw(neighbourMessage(addressFamily(n.Addr), index, state, 0)...)
	putDestination(b, n.Addr)
	if state != 0 {
		b.Bytes(unix.NDA_LLADDR, n.MAC[:])
		b.Bytes(netlink.NDAProtocol, []byte{kernel.NeighbourProtocol})
	}
}

func putDestination(b *netlink.Batch, a netip.Addr) {
	if a = a.Unmap(); a.Is4() {
		addr := a.As4()
		b.Bytes(unix.NDA_DST, addr[:])
		return
	}
	addr := a.As16()
	b.Bytes(unix.NDA_DST, addr[:])
}

// neighbourMessage is a struct ndmsg.
func neighbourMessage(family uint8, index uint32, state uint16, flags uint8) []byte {
	m := make([]byte, unix.SizeofNdMsg)
	m[0] = family
	binary.NativeEndian.PutUint32(m[4:], index)
	binary.NativeEndian.PutUint16(m[8:], state)
	m[10] = flags
	return m
}
