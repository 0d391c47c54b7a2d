package addresstest

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// losses are how often the machine had no room for something of a container. All hosts of a lab share its tables
// and queues, where real hosts would each have as many. So they say whether a lost packet is the lab's own fault.
type losses struct {
	limit      uint64 // gc_thresh3: how many neighbours there may be in all namespaces together
	neighbours uint64 // how often one more was refused
	backlog    uint64 // packets from other namespaces that a processor's queue had no room for
}

var (
	neighbourLimit = regexp.MustCompile(`thresh3 (\d+)`)
	neighbourFull  = regexp.MustCompile(`table_fulls (\d+)`)
)

func readLosses(t *testing.T) losses {
	t.Helper()
	table, err := exec.Command("ip", "-s", "ntable", "show", "name", "arp_cache").Output()
	if err != nil {
		t.Fatal(err)
	}
	number := func(pattern *regexp.Regexp) uint64 {
		found := pattern.FindSubmatch(table)
		if found == nil {
			t.Fatalf("ip ntable prints no %v: %s", pattern, table)
		}
		n, _ := strconv.ParseUint(string(found[1]), 10, 64) // it has digits alone
		return n
	}
	return losses{limit: number(neighbourLimit), neighbours: number(neighbourFull), backlog: backlogDrops(t)}
}

// backlogDrops adds up the second column, which is hexadecimal (net/core/net-procfs.c).
func backlogDrops(t *testing.T) (sum uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.Lines(string(text)) {
		n, err := strconv.ParseUint(strings.Fields(row)[1], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// textSince says what was lost since another look.
func (l losses) textSince(before losses) string {
	return fmt.Sprintf("on the whole machine meanwhile: the neighbour table was full %d times "+
		"(net.ipv4.neigh.default.gc_thresh3 is %d, for all namespaces together), and %d packets found a full queue "+
		"(net.core.netdev_max_backlog)", l.neighbours-before.neighbours, l.limit, l.backlog-before.backlog)
}
