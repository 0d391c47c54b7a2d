package rtnl

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// viaName is a device that entries of an FDB send by, as kernel.FDB and as the kernel name it. All
// entries of a network have the same one, so the last answer is enough of a cache.
type viaName struct {
	name  string
	index uint32
}

// viaIndex returns the index of the device that an entry sends by; 0: none. Its error is
// kernel.ErrNotFound where no device of the driver has the name. What left by another program's device would
// leave in plaintext.
func (e *entryChanger) viaIndex(name string) (uint32, error) {
	if name == "" {
		return 0, nil
	}
	if e.via.name != name {
		msg, err := e.linkByName(name, skipStats)
		l := parseLink(msg)
		if err == nil && !l.IsOurWireGuard() {
			err = fmt.Errorf("%w: the one of that name is another program's", kernel.ErrNotFound)
		}
		if err != nil {
			return 0, fmt.Errorf("find the device %s, by which packets are to leave: %w", name, err)
		}
		e.via = viaName{name, l.index}
	}
	return e.via.index, nil
}

// viaNameOf returns the name of the driver's device with the index, or "" if there is none. Another device
// may have the index of one that is gone: it keeps its index when it comes from another namespace.
func (c linkReader) viaNameOf(index uint32) (string, error) {
	msg, err := c.getLink(index, netlink.Uint32Attr(unix.IFLA_EXT_MASK, skipStats))
	if err != nil {
		return "", ignoreGone(err)
	}
	if l := parseLink(msg); l.IsOurWireGuard() {
		return l.Name, nil
	}
	return "", nil
}

// goneVia begins the name of a device that is gone, before its index.
const goneVia = "#"

// formatVia names a device by its index alone.
func formatVia(index uint32) string { return goneVia + strconv.FormatUint(uint64(index), 10) }

// nameVias gives the entries the names of the devices that they send by, where they are still there
// and the driver's. The kernel keeps entries whose device is gone. It comes after the dump of the entries: one
// connection carries one request at a time.
func (c forwarding) nameVias(entries []kernel.FDB) error {
	var last struct{ index, name string }
	for i, e := range entries {
		if e.Via == "" {
			continue
		}
		if e.Via != last.index {
			index, err := strconv.ParseUint(e.Via[len(goneVia):], 10, 32)
			if err != nil {
				return err
			}
			name, err := c.viaNameOf(uint32(index))
			if err != nil {
				return fmt.Errorf("find device %s of an entry: %w", e.Via, err)
			}
			last.index, last.name = e.Via, cmp.Or(name, e.Via)
		}
		entries[i].Via = last.name
	}
	return nil
}

// deleteGone deletes the entries by devices that are gone, which the kernel refuses to name: it looks
// for the device first (vxlan_fdb_parse in drivers/net/vxlan/vxlan_core.c). It takes a deletion
// without a host, of all entries of the MAC. So those that stay are added again at once.
func (e *entryChanger) deleteGone() error {
	if len(e.gone) == 0 {
		return nil
	}
	have, err := e.tunnelEntries(e.device, netip.Addr{})
	if err != nil {
		return fmt.Errorf("find entries by devices that are gone: %w", err)
	}
	var batch netlink.Batch
	done := make(map[kernel.MAC]bool)
	for _, g := range e.gone {
		if done[g.MAC] || !slices.Contains(have, g) {
			continue
		}
		done[g.MAC] = true
		batch.Message(unix.RTM_DELNEIGH, 0, func() { putMAC(&batch, e.device, 0, g.MAC) })
		for _, h := range have {
			if h.MAC != g.MAC || strings.HasPrefix(h.Via, goneVia) {
				continue
			}
			via, err := e.viaIndex(h.Via)
			if err != nil {
				continue // gone since
			}
			flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_APPEND)
			batch.Message(unix.RTM_NEWNEIGH, flags, func() { putFDB(&batch, e.device, via, fdbState, h) })
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	refusals, err := e.socket.ExecuteBatch(&batch)
	for _, r := range refusals {
		err = cmp.Or(err, ignoreGone(r.Err))
	}
	return err
}
