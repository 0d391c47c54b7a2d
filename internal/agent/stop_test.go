package agent

import (
	"testing"
	"testing/synctest"

	"vxlan-driver/internal/kernel"
)

// An agent that is told to end may not come back, and hosts that come later must be reached.
func TestStoppedAgentLeavesNetworksToTheirStaticLists(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(otherHost(11), withoutContainer(otherHost(12)))
		}
		r.start()
		sleep(gracePeriod)
		vxlan := func() (flooded int, learning bool) {
			l, err := r.kernel.HostNamespace().Link("vxlan-blue", kernel.FacetFDB)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range l.FDB {
				if e.MAC.IsZero() {
					flooded++
				}
			}
			return flooded, l.Tunnel.Learning
		}
		if flooded, learning := vxlan(); flooded != 1 || learning {
			t.Fatalf("with an agent: flooded to %d, learning %v", flooded, learning)
		}
		r.finish()
		synctest.Wait()
		if flooded, learning := vxlan(); flooded != 2 || !learning {
			t.Errorf("without: flooded to %d, learning %v", flooded, learning)
		}
	})
}
