package rtnl

import (
	"encoding/binary"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
	"vxlan-driver/internal/kernel/netnstest"
)

// The tables are the kernel's, whatever namespace asks. To fill one would disturb all others, so
// the count of overflows is read from a message.
func TestNeighbourTables(t *testing.T) {
	c, err := Open(netnstest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tables, err := c.NeighbourTables()
	if err != nil || len(tables) != 2 || tables[0].IPv6 || !tables[1].IPv6 || tables[0].Limit == 0 || tables[1].Limit == 0 {
		t.Errorf("got %+v, %v", tables, err)
	}
	stats := make([]byte, 11*8)
	for i := range 11 {
		binary.NativeEndian.PutUint64(stats[8*i:], uint64(100+i))
	}
	message := append([]byte{10, 0, 0, 0}, netlink.BytesAttr(ndtaStats, stats)...)
	message = append(message, netlink.Uint32Attr(ndtaThresh3, 1024)...)
	if got, ok := parseNeighbourTable(message); !ok || got != (kernel.NeighbourTable{IPv6: true, Limit: 1024, Overflows: 110}) {
		t.Errorf("got %+v, %t", got, ok)
	}
	for _, broken := range [][]byte{nil, {2}, {2, 0, 0, 0}} {
		if got, ok := parseNeighbourTable(broken); ok {
			t.Errorf("%v is read as %+v", broken, got)
		}
	}
}
