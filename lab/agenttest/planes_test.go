package agenttest

import (
	"testing"

	"vxlan-driver/lab/labtest"
)

// What agents hear of each other has the same effect with each plane. `make planes` runs all.
//
// A partition is tested with lists alone: both sides start containers, which etcd refuses to one of them;
// lab/etcdtest has that.
func TestPlanes(t *testing.T) {
	static, others := []labtest.Plane{labtest.Static}, []labtest.Plane{labtest.Gossip, labtest.Etcd}
	labtest.RunPlanes(t, []labtest.PlaneCase{
		{Name: "ContainersFindEachOtherByName", Test: testContainersFindEachOtherByName, Always: static, Also: others},
		{Name: "NamesFollowHostsThatLeaveAndCrash", Test: testNamesFollowHostsThatLeaveAndCrash, Always: static,
			Also: others},
		{Name: "ForwardingReachesOnlyHostsConcerned", Test: testForwardingReachesOnlyHostsConcerned, Always: static,
			Also: others},
		{Name: "ContainerMovesBetweenHosts", Test: testContainerMovesBetweenHostsWithStaticFDB, Always: static, Also: others},
		{Name: "ContainersStartWhileAgentsAreKilled", Test: testContainersStartWhileAgentsAreKilled, Always: static,
			Also: others},
	})
}
