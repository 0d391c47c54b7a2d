package gossiptest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// Assigning an address costs a start the 80 ms in which other hosts may object, and little more.
func TestAddressAssignmentCost(t *testing.T) {
	const starts = 9
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	for _, h := range l.Hosts() {
		createNetwork(t, h, "gossip", "--opt vni=100 --subnet 10.0.0.0/24")
	}
	labtest.CreateNetwork(t, l, "static", "--opt vni=101 --subnet 10.0.1.0/24")
	for _, network := range []string{"gossip", "static"} {
		began := time.Now()
		runContainer(t, a, "first-"+network, network, "")
		t.Logf("%s: the first container took %v", network, time.Since(began))
		runContainer(t, b, "other-"+network, network, "")
		labtest.Within(t, 2*time.Second, a, pingScript("first-"+network, "other-"+network))
	}
	took := make(map[string][]time.Duration)
	for i := range starts {
		for _, network := range []string{"gossip", "static"} {
			began := time.Now()
			labtest.Sh(t, a, fmt.Sprintf("podman run -d --name %s%d --network %s localhost/web", network, i, network))
			took[network] = append(took[network], time.Since(began))
		}
	}
	median := make(map[string]time.Duration)
	for network, all := range took {
		slices.Sort(all)
		median[network] = all[starts/2]
		t.Logf("%s: median %v, of %v", network, median[network], all)
	}
	if more := median["gossip"] - median["static"]; more > 200*time.Millisecond {
		t.Errorf("picking an address takes %v", more)
	}
}
