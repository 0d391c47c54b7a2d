package gossiptest

import (
	"testing"

	"vxlan-driver/lab/labtest"
)

// Hosts find each other, and give containers their addresses, in the same way with each plane. `make planes`
// runs all; `make test` runs with etcd what differs most there: who is known, and what outlives an agent.
//
// Other tests of this package are for gossip alone. Without etcd no address can be given twice, so there
// nothing is reported; lab/etcdtest has what happens instead. etcd does not let a host ask another.
func TestPlanes(t *testing.T) {
	gossip, etcd := []labtest.Plane{labtest.Gossip}, []labtest.Plane{labtest.Etcd}
	both := append(gossip[:1:1], etcd...)
	labtest.RunPlanes(t, []labtest.PlaneCase{
		{Name: "ThirdHostJoinsWithOneCommand", Test: testThirdHostJoinsWithOneCommand, Always: both},
		{Name: "AddressesSurviveRestartReloadAndAgentKill", Test: testAddressesSurviveRestartReloadAndAgentKill,
			Always: both},
		{Name: "HostRebootsWithAnotherAddress", Test: testHostRebootsWithAnotherAddress, Always: gossip, Also: etcd},
		{Name: "NoContainerStartsWithoutAgent", Test: testNoContainerStartsWithoutAgent, Always: gossip, Also: etcd},
		{Name: "SixtyContainersGetDifferentAddresses", Test: testSixtyContainersGetDifferentAddresses, Always: gossip,
			Also: etcd},
		{Name: "FullSubnetIsReported", Test: testFullSubnetIsReported, Always: gossip, Also: etcd},
		{Name: "ForgottenHostFreesItsAddresses", Test: testForgottenHostFreesItsAddresses, Always: gossip, Also: etcd},
	})
}
