package agent

import (
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

// News of another host that are not about a network do not have its tables read.
func TestNewsOfOtherNetworksReadNoForwardingTables(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(otherHost(11), otherHost(12))
		}
		r.start()
		sleep(2 * gracePeriod)
		callsFor := func(hosts ...cluster.Host) int {
			before := r.kernel.Calls
			r.cluster().show(hosts...)
			sleep(10 * newsDebounce)
			return r.kernel.Calls - before
		}
		host := otherHost(12)
		host.Memberships = append(host.Memberships, cluster.Membership{Network: cluster.NetworkKey{VNI: 200, Port: 4789}, VTEP: vtep(12)})
		elsewhere := callsFor(otherHost(11), host)
		host.Memberships[0].Endpoints = []cluster.Endpoint{{ContainerID: "c9", MAC: kernel.MAC{2, 9}, Names: []string{"web"}}}
		if here := callsFor(otherHost(11), host); elsewhere >= here {
			t.Errorf("%d calls for news of another network, %d for those of this one", elsewhere, here)
		}
		r.finish()
	})
}
