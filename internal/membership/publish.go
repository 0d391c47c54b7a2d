package membership

import (
	"slices"

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
		View:      viewOf(n),
		Keys:      n.Keys, KeysVersion: n.KeysVersion,
		Endpoints: make([]cluster.Endpoint, 0, len(n.Endpoints)),
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

// viewOf returns how this host was told to set up the network, as far as the others can read it.
func viewOf(n Network) cluster.NetworkView {
	v := cluster.NetworkView{MTU: uint32(max(0, n.VTEP.MTU)), UnderlayMTU: uint32(max(0, n.VTEP.UnderlayMTU))}
	if cluster.CheckName(n.Name) == nil {
		v.Name = n.Name
	}
	for _, s := range n.Subnets[:min(len(n.Subnets), cluster.MaxSubnets)] {
		v.Subnets = append(v.Subnets, cluster.Subnet{Prefix: s.Prefix, Gateway: s.Gateway})
	}
	// Some lists have the host's own address and some do not.
	if n.ListsHosts() && !n.Tunnel.Group.IsValid() {
		list := append(slices.Clone(n.Remotes), n.VTEP.Local)
		sortSet(&list)
		v.SetList(list)
	}
	return v
}

// exportEndpoint returns what this host publishes of a container: its name comes first. Names that
// the DNS cannot carry are left out. If that is the container's own, its id comes first.
func exportEndpoint(e *network.Endpoint) cluster.Endpoint {
	exported := cluster.Endpoint{ContainerID: e.ContainerID, MAC: e.MAC, Addrs: AddrsOf(e), Requested: e.Requested}
	names := e.Names()
	if cluster.CheckName(e.ContainerName) != nil {
		slices.Reverse(names)
	}
	for _, name := range names {
		if cluster.CheckName(name) == nil && len(exported.Names) < cluster.MaxNames {
			exported.Names = append(exported.Names, name)
		}
	}
	return exported
}
