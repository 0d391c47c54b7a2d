package gossip

import (
	"testing"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
)

// A host is reachable from when it was found until it is lost, and its round trip is measured by
// the probes that there are anyway.
func TestContact(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		host := cluster.Host{ID: b.cfg.Host.ID, Addr: hostAddr(2).Addr()}
		b.announce("c2")
		a.waitUntilSees(5*second, expectOthers(1, 2, nil))
		found := boottime.Since(a.Contact(host).Since)
		time.Sleep(10 * second)
		c := a.Contact(host)
		if age := boottime.Since(c.Since); found > second || age < 10*second || age > 12*second {
			t.Errorf("after 10 s it is reachable for %v, and when it was found for %v", age, found)
		}
		if c.RoundTrip <= 0 || c.RoundTrip > 100*time.Millisecond || boottime.Since(c.Measured) > 3*second {
			t.Errorf("a round trip took %v, measured %v ago", c.RoundTrip, boottime.Since(c.Measured))
		}
		n.partition(1, hostAddr(2))
		time.Sleep(20 * second)
		if c := a.Contact(host); c != (cluster.Contact{}) {
			t.Errorf("cut off: %+v", c)
		}
		n.partition(0, hostAddr(2))
		time.Sleep(30 * second)
		if age := boottime.Since(a.Contact(host).Since); age > 30*second {
			t.Errorf("healed: reachable for %v", age)
		}
		if c := a.Contact(cluster.Host{ID: host.ID, Addr: hostAddr(3).Addr()}); c != (cluster.Contact{}) {
			t.Errorf("a host that is not there: %+v", c)
		}
	})
}
