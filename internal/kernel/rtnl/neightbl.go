package rtnl

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Attributes of a neighbour table (linux/neighbour.h), which package unix lacks.
const (
	ndtaThresh3 = 4
	ndtaStats   = 7

	ndtmsgLen = 4 // struct ndtmsg
	// fullsOffset is where a struct ndt_stats has ndts_table_fulls.
	fullsOffset = 10 * 8
)

// NeighbourTables returns the kernel's tables of IPv4 and IPv6.
func (c *Conn) NeighbourTables() ([]kernel.NeighbourTable, error) {
	var all []kernel.NeighbourTable
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		msgs, err := c.Dump(unix.RTM_GETNEIGHTBL, []byte{family, 0, 0, 0})
		if err != nil {
			return nil, fmt.Errorf("read neighbour tables: %w", err)
		}
		for _, msg := range msgs {
			if t, ok := parseNeighbourTable(msg); ok {
				all = append(all, t)
			}
		}
	}
	return all, nil
}

// parseNeighbourTable reads a table. A message about the table's parameters for one link is not ok.
func parseNeighbourTable(msg []byte) (t kernel.NeighbourTable, ok bool) {
	if len(msg) < ndtmsgLen {
		return t, false
	}
	stats := netlink.Find(msg[ndtmsgLen:], ndtaStats)
	if len(stats) < fullsOffset+8 {
		return t, false
	}
	return kernel.NeighbourTable{
		IPv6:      msg[0] == unix.AF_INET6,
		Limit:     netlink.Uint32(netlink.Find(msg[ndtmsgLen:], ndtaThresh3)),
		Overflows: binary.NativeEndian.Uint64(stats[fullsOffset:]),
	}, true
}
