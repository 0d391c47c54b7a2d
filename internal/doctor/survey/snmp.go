package survey

import (
	"os"
	"strconv"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel/netns"
)

// sumCounters are how often the kernel dropped packets for wrong checksums, by counter, in one
// network namespace.
type sumCounters map[string]uint64

// place is a namespace whose counters are read.
type place struct{ name, namespace string }

// readSumCounters reads those of the host and of some containers.
func readSumCounters(networks []doctor.Network) map[place]sumCounters {
	all := make(map[place]sumCounters)
	read := func(p place) {
		_ = netns.DoIn(p.namespace, func() error { // a container may be ending
			all[p] = parseSumCounters(readFile("snmp"), readFile("snmp6"))
			return nil
		})
	}
	read(place{name: "this host"})
	for _, n := range networks {
		for _, e := range n.Endpoints[:min(len(n.Endpoints), maxPorts)] {
			read(place{"container " + e.ContainerName, e.Namespace})
		}
	}
	return all
}

func readFile(name string) string {
	text, _ := os.ReadFile("/proc/thread-self/net/" + name) // without IPv6 there is no snmp6
	return string(text)
}

// parseSumCounters reads the counters as the kernel lists them (proc_pid_net(5)): those of IPv4 below
// their names, those of IPv6 beside them.
func parseSumCounters(snmp, snmp6 string) sumCounters {
	found := make(sumCounters)
	lines := strings.Split(snmp, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for j, name := range names {
			if name == "InCsumErrors" && j < len(values) {
				found.set(strings.TrimSuffix(names[0], ":")+name, values[j])
			}
		}
	}
	for line := range strings.Lines(snmp6) {
		if fields := strings.Fields(line); len(fields) == 2 && strings.HasSuffix(fields[0], "InCsumErrors") {
			found.set(fields[0], fields[1])
		}
	}
	return found
}

func (c sumCounters) set(name, value string) { c[name], _ = strconv.ParseUint(value, 10, 64) }

// grown returns which counters grew.
func grown(before, after map[place]sumCounters) (all []doctor.BadSum) {
	for p, counters := range after {
		for name, count := range counters {
			if earlier, known := before[p]; known && count > earlier[name] {
				all = append(all, doctor.BadSum{Where: p.name, Counter: name, Count: count - earlier[name]})
			}
		}
	}
	return all
}
