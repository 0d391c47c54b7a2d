package survey

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/doctor"
)

// overflows are how often tables have been full.
type overflows struct {
	neighbours  map[bool]uint64 // by whether it is that of IPv6
	connections uint64
}

func (c *collector) overflows() overflows {
	counts := overflows{neighbours: make(map[bool]uint64)}
	text, err := os.ReadFile("/proc/self/net/stat/nf_conntrack")
	if err == nil { // else nothing is tracked
		counts.connections = parseTrackingDrops(string(text))
	}
	ns, err := c.on.Host.Open("")
	if err != nil {
		return counts
	}
	defer ns.Close()
	tables, err := ns.NeighbourTables()
	if err != nil {
		return counts
	}
	for _, t := range tables {
		counts.neighbours[t.IPv6] = t.Overflows
	}
	return counts
}

// parseTrackingDrops adds up how many packets each processor has dropped since there was no room for
// their connection. The numbers are hexadecimal, in columns with names.
func parseTrackingDrops(text string) (sum uint64) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	at := slices.Index(strings.Fields(lines[0]), "drop")
	for _, line := range lines[1:] {
		if fields := strings.Fields(line); at >= 0 && at < len(fields) {
			count, _ := strconv.ParseUint(fields[at], 16, 64)
			sum += count
		}
	}
	return sum
}

// limits finds out how full tables are. The kernel says how often there was no room, and so it counts
// what came since before.
func (c *collector) limits(before overflows) {
	used, usedErr := readNumber("/proc/sys/net/netfilter/nf_conntrack_count")
	most, mostErr := readNumber("/proc/sys/net/netfilter/nf_conntrack_max")
	if usedErr == nil && mostErr == nil {
		c.Limits = append(c.Limits, doctor.Limit{
			Name: "connections", Parameter: "net.netfilter.nf_conntrack_max", Used: used, Max: most,
			Drops: increase(before.connections, c.overflows().connections),
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
		if earlier, known := before.neighbours[t.IPv6]; known && t.Overflows > earlier {
			l.Drops, l.Used = increase(earlier, t.Overflows), l.Max
		}
		c.Limits = append(c.Limits, l)
	}
}

// increase is what a counter has counted between two readings. If one of them failed it reads 0.
func increase(before, now uint64) uint64 {
	if now < before {
		return 0
	}
	return now - before
}

func readNumber(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
