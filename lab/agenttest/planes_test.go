package agenttest

import (
	"testing"

	"vxlan-driver/lab/labtest"
)

// What agents hear of each other has the same effect with each plane. `make planes` runs all.
//
// Two tests are for lists alone. In a partition etcd lets one side start no container; lab/etcdtest has that.
// And where an agent picks the addresses, a start fails while it is killed again and again.
func TestPlanes(t *testing.T) {
	t.Parallel()
	static, others := []labtest.Plane{labtest.Static}, []labtest.Plane{labtest.Gossip, labtest.Etcd}
	labtest.RunPlanes(t, []labtest.PlaneCase{
		{Name: "ContainersFindEachOtherByName", Test: testContainersFindEachOtherByName, Always: static, Also: others},
		{Name: "NamesFollowHostsThatLeaveAndCrash", Test: testNamesFollowHostsThatLeaveAndCrash, Always: static,
			Also: others},
		{Name: "ForwardingReachesOnlyHostsConcerned", Test: testForwardingReachesOnlyHostsConcerned, Always: static,
			Also: others},
		{Name: "ContainerMovesBetweenHosts", Test: testContainerMovesBetweenHostsWithStaticFDB, Always: static, Also: others},
	})
}
