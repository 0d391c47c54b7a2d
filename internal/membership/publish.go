package membership

import (
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

// Publish returns what this host tells the others of its networks. Endpoints that still wait for
// addresses are left out: package addrclaim publishes what they claim.
func Publish(networks []Network) []cluster.Membership {
	var memberships []cluster.Membership
	for _, n := range networks {
		if len(n.Endpoints) > 0 {
			memberships = append(memberships, membershipOf(n))
		}
	}
	return memberships
}

func membershipOf(n Network) cluster.Membership {
	m := cluster.Membership{
		Network:   n.Key(),
		VTEP:      n.VTEP.Local,
		HostAddrs: n.HostAddrs(),
		BridgeMAC: network.BridgeMAC(n.Tunnel.VNI, n.VTEP.Local),
		StaticFDB: true,
	}
	for _, e := range n.Endpoints {
		if n.AwaitsAddresses(e) {
			continue
		}
		// An endpoint that the cluster would refuse is left out, rather than the whole host.
		exported := exportEndpoint(e)
		valid := exported.Check() == nil
		if valid {
			m.Endpoints = append(m.Endpoints, exported)
		}
		m.StaticFDB = m.StaticFDB && valid && !e.MAC.IsZero()
	}
	return m
}

// exportEndpoint returns what this host publishes of a container. Names that the DNS cannot carry
// are left out.
func exportEndpoint(e *network.Endpoint) cluster.Endpoint {
	exported := cluster.Endpoint{ContainerID: e.ContainerID, MAC: e.MAC, Addrs: AddrsOf(e)}
	for _, name := range e.Names() {
		if cluster.CheckName(name) == nil && len(exported.Names) < cluster.MaxNames {
			exported.Names = append(exported.Names, name)
		}
	}
	return exported
}
