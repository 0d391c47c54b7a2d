package survey

import (
	"os"
	"strconv"
	"strings"

	"vxlan-driver/internal/doctor"
)

// overflows returns how often each table of neighbours has been full, by whether it is of IPv6.
func (c *collector) overflows() map[bool]uint64 {
	ns, err := c.on.Host.Open("")
	if err != nil {
		return nil
	}
	defer ns.Close()
	tables, err := ns.NeighbourTables()
	if err != nil {
		return nil
	}
	counts := make(map[bool]uint64)
	for _, t := range tables {
		counts[t.IPv6] = t.Overflows
	}
	return counts
}

// limits finds out how full tables are. Of neighbours the kernel says how often there was no room,
// and so it counts what came since before.
func (c *collector) limits(before map[bool]uint64) {
	used, usedErr := readNumber("/proc/sys/net/netfilter/nf_conntrack_count")
	most, mostErr := readNumber("/proc/sys/net/netfilter/nf_conntrack_max")
	if usedErr == nil && mostErr == nil {
		c.Limits = append(c.Limits, doctor.Limit{
			Name: "connections", Parameter: "net.netfilter.nf_conntrack_max", Used: used, Max: most,
		})
	}
	tables, err := c.ns.NeighbourTables()
	c.gap("the tables of neighbours", err)
	for _, t := range tables {
		family := "ipv4"
		if t.IPv6 {
			family = "ipv6"
		}
		l := doctor.Limit{Name: "neighbours of " + family, Max: int(t.Limit)}
		l.Parameter = "net." + family + ".neigh.default.gc_thresh3"
		if earlier, known := before[t.IPv6]; known && t.Overflows > earlier {
			l.Drops, l.Used = t.Overflows-earlier, l.Max
		}
		c.Limits = append(c.Limits, l)
	}
}

func readNumber(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
