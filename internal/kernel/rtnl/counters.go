package rtnl

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Counters returns what a link has counted. A link that isn't there is kernel.ErrNotFound.
func (c linkReader) Counters(name string) (kernel.LinkCounters, error) {
	msg, err := c.linkByName(name, 0)
	if err != nil {
		return kernel.LinkCounters{}, fmt.Errorf("read counters of %s: %w", name, err)
	}
	if len(msg) < unix.SizeofIfInfomsg {
		return kernel.LinkCounters{}, fmt.Errorf("read counters of %s: the answer is too short", name)
	}
	return parseCounters(netlink.Find(msg[unix.SizeofIfInfomsg:], unix.IFLA_STATS64)), nil
}

// parseCounters reads the beginning of a struct rtnl_link_stats64 (linux/if_link.h).
func parseCounters(b []byte) (l kernel.LinkCounters) {
	for _, field := range []*uint64{
		&l.ReceivedPackets, &l.SentPackets, &l.ReceivedBytes, &l.SentBytes,
		&l.ReceiveErrors, &l.SendErrors, &l.ReceiveDropped, &l.SendDropped,
	} {
		if len(b) < 8 {
			break
		}
		*field, b = binary.NativeEndian.Uint64(b), b[8:]
	}
	return l
}
