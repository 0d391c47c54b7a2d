package plan

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Known is what this host knows of a network's Ethernet addresses.
type Known struct {
	// StaticFDB says that nothing needs to be learned, since all other hosts tell what they have.
	StaticFDB bool
	// Partial says that some hosts may not have been heard of yet.
	Partial bool
	Remotes []Remote           // in order of trust: a MAC or an address is the first one's that claims it
	Local   []network.Endpoint // of this host
}

// Remote is a container that another host says it has, or that host's own bridge.
type Remote struct {
	MAC   kernel.MAC
	VTEP  netip.Addr
	Addrs []netip.Addr
}

// Forwarding is what should be in the kernel for frames to find a network's other hosts.
type Forwarding struct {
	Device kernel.Link             // the VXLAN device: name, alias, master
	Port   kernel.PortFlags        // how its bridge treats it
	Tables kernel.ForwardingTables // sorted
	// FastPath is the wish that packets pass the bridge by.
	FastPath kernel.FastPath
	// Partial keeps entries that are there and not wanted.
	Partial bool
}

// Forward returns the entries for what is known on the host with VTEP v.
//
// Another host is believed about its own containers. But it gets no entry for what is this host's
// (a local endpoint, the bridge) or nobody's (a gateway, an address outside the network, a zero or
// multicast MAC).
func Forward(n network.Network, v network.VTEP, k Known) Forwarding {
	f := newForwardingTables(n, v, k)
	for _, r := range k.Remotes {
		f.addRemote(r)
	}
	t := &f.tables
	f.sortFDB()
	slices.SortFunc(t.Neighbours, func(a, b kernel.Neighbour) int { return a.Addr.Compare(b.Addr) })
	for _, e := range t.FDB {
		t.Static = append(t.Static, e.MAC)
	}
	fw := Forwarding{Device: deviceNames(n.Identity).VXLAN, Port: portFlags(k.StaticFDB), Tables: *t, Partial: k.Partial}
	fw.FastPath = kernel.FastPath{Device: fw.Device.Name, Bridge: fw.Device.Master, Partial: k.Partial}
	// The rules of port security and of other programs' group policy are the bridge's, and must see
	// every packet.
	if k.StaticFDB && (n.FastPath.Value || !n.FastPath.Set) && !n.PortSecurity && !n.Tunnel.GBP.Value {
		fw.FastPath.Remote = t.Static
		fw.FastPath.Ports = fastPathPorts(n, v, k.Local)
	}
	return fw
}

// sortFDB sorts the entries by their MACs, as strings: a sort of entries would add 12 kB to the
// plugin.
func (f *forwardingTables) sortFDB() {
	macs := make([]string, 0, len(f.tables.FDB))
	for _, e := range f.tables.FDB {
		macs = append(macs, string(e.MAC[:]))
	}
	slices.Sort(macs)
	for i, s := range macs {
		mac := kernel.MAC([]byte(s))
		f.tables.FDB[i] = kernel.FDB{MAC: mac, Dst: f.macs[mac]}
	}
}

// fastPathPorts are the ports of containers whose MAC is known beforehand. A MAC that two have is
// the first one's.
func fastPathPorts(n network.Network, v network.VTEP, local []network.Endpoint) (ports []kernel.FastPathPort) {
	taken := map[kernel.MAC]bool{{}: true, network.BridgeMAC(n.Tunnel.VNI, v.Local): true}
	for _, e := range local {
		if !taken[e.MAC] {
			taken[e.MAC] = true
			ports = append(ports, kernel.FastPathPort{Name: n.Port(e), MAC: e.MAC, Alias: n.EndpointAlias(e)})
		}
	}
	return ports
}

// portFlags turns on either learning or neighbour suppression. A host that learns needs to hear
// what suppression holds back: announcements of containers that have moved, and probes for an
// address.
func portFlags(staticFDB bool) kernel.PortFlags {
	return kernel.PortFlags{Learning: kernel.Some(!staticFDB), Suppress: kernel.Some(staticFDB)}
}

// forwardingTables collects entries.
type forwardingTables struct {
	n      network.Network
	local  netip.Addr
	macs   map[kernel.MAC]netip.Addr // to the VTEP; invalid: this host's
	addrs  map[netip.Addr]bool       // taken
	tables kernel.ForwardingTables
}

func newForwardingTables(n network.Network, v network.VTEP, k Known) *forwardingTables {
	f := &forwardingTables{n: n, local: v.Local,
		macs:  make(map[kernel.MAC]netip.Addr, len(k.Remotes)),
		addrs: make(map[netip.Addr]bool, len(k.Remotes)),
		tables: kernel.ForwardingTables{
			FDB:        make([]kernel.FDB, 0, len(k.Remotes)),
			Static:     make([]kernel.MAC, 0, len(k.Remotes)),
			Neighbours: make([]kernel.Neighbour, 0, len(k.Remotes)),
		},
	}
	f.macs[network.BridgeMAC(n.Tunnel.VNI, v.Local)] = netip.Addr{}
	for _, s := range n.Subnets {
		f.addrs[s.HostAddress], f.addrs[s.Gateway] = true, true
	}
	for _, e := range k.Local {
		f.macs[e.MAC] = netip.Addr{}
		for _, p := range e.Addrs {
			f.addrs[p.Addr()] = true
		}
	}
	return f
}

// addRemote adds the entries of a remote. Where its MAC is another's it adds none: its addresses
// would lead to that one.
func (f *forwardingTables) addRemote(r Remote) {
	if r.MAC.IsZero() || r.MAC[0]&1 == 1 || !f.isReachable(r.VTEP) {
		return
	}
	vtep, taken := f.macs[r.MAC]
	if taken && vtep != r.VTEP {
		return
	}
	if !taken {
		f.macs[r.MAC] = r.VTEP
		f.tables.FDB = append(f.tables.FDB, kernel.FDB{MAC: r.MAC, Dst: r.VTEP})
	}
	for _, a := range r.Addrs {
		if _, ok := f.n.SubnetOf(a); ok && !f.addrs[a] {
			f.addrs[a] = true
			f.tables.Neighbours = append(f.tables.Neighbours, kernel.Neighbour{Addr: a, MAC: r.MAC})
		}
	}
}

// isReachable tells whether a VXLAN device on this host can send to the VTEP. The kernel wants an
// address of the family of its own, and to send to oneself is a loop.
func (f *forwardingTables) isReachable(vtep netip.Addr) bool {
	return vtep.IsValid() && vtep != f.local && vtep.Is4() == f.local.Is4() &&
		!vtep.IsMulticast() && !vtep.IsUnspecified() && vtep.Zone() == ""
}
