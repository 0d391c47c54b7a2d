package addresstest

import (
	"testing"

	"vxlan-driver/lab/labtest"
)

// Whoever has given out an address, it works in the same way. `make planes` tries all planes. Other tests of
// this package are about the parts into which hosts with lists divide a subnet.
func TestPlanes(t *testing.T) {
	static, others := []labtest.Plane{labtest.Static}, []labtest.Plane{labtest.Gossip, labtest.Etcd}
	labtest.RunPlanes(t, []labtest.PlaneCase{
		{Name: "HostsAndContainersReachEachOther", Test: testHostsAndContainersReachEachOther, Always: static, Also: others},
		{Name: "AddressMovesBetweenHosts", Test: testAddressMovesBetweenHosts, Always: static, Also: others},
		{Name: "SixtyContainersStartAtOnceOnEachHost", Test: testSixtyContainersStartAtOnceOnEachHost, Always: static,
			Also: others},
	})
}
