package plan

import (
	"bytes"
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Known is what this host knows of a network's Ethernet addresses.
type Known struct {
	// StaticFDB tells that nothing needs to be learned: all other hosts say what they have.
	StaticFDB bool
	// Partial tells that some hosts may not have been heard of yet.
	Partial bool
	Remotes []Remote           // in order of trust: the first that claims a MAC or an address has it
	Local   []network.Endpoint // of this host
}

// Remote is what another host says is behind it: a container, or its own bridge.
type Remote struct {
	MAC   kernel.MAC
	VTEP  netip.Addr
	Addrs []netip.Addr
}

// Forwarding is what should be in the kernel for frames to find a network's other
// hosts.
type Forwarding struct {
	Device kernel.Link             // the KindVXLAN device: name, mark, master
	Port   kernel.PortFlags        // how its bridge treats it
	Tables kernel.ForwardingTables // sorted
	// FastPath leads past the bridge.
	FastPath kernel.FastPath
	// Partial lets entries be that are there and not wanted.
	Partial bool
}

// Forward returns the entries for what is known on the host with VTEP v.
//
// Another host is believed as far as its own containers go. What it says of a
// local endpoint, of this host's bridge or of a gateway, of an address outside the
// network, or of a MAC that is none or many, gives no entry.
func Forward(n network.Network, v network.VTEP, k Known) Forwarding {
	f := newForwarder(n, v, k)
	for _, r := range k.Remotes {
		f.add(r)
	}
	t := &f.tables
	slices.SortFunc(t.FDB, func(a, b kernel.FDB) int { return bytes.Compare(a.MAC[:], b.MAC[:]) })
	slices.SortFunc(t.Neighbours, func(a, b kernel.Neighbour) int { return a.Addr.Compare(b.Addr) })
	for _, e := range t.FDB {
		t.Static = append(t.Static, e.MAC)
	}
	fw := Forwarding{Device: Names(n.Identity, nil).Device, Port: portFlags(k.StaticFDB), Tables: *t, Partial: k.Partial}
	fw.FastPath = kernel.FastPath{Device: fw.Device.Name, Bridge: fw.Device.Master, Partial: k.Partial}
	// What the bridge's rules see, they see of all: those of port security, and by other programs of group policy.
	if k.StaticFDB && (n.FastPath.Value || !n.FastPath.Set) && !n.PortSecurity && !n.Tunnel.GBP.Value {
		fw.FastPath.Remote = t.Static
		fw.FastPath.Ports = fastPathPorts(n, v, k.Local)
	}
	return fw
}

// fastPathPorts are those of containers whose MAC is known before they have it. A MAC that two have is the first one's.
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

// portFlags: who learns needs to hear what a port with neighbour suppression keeps
// to itself: the announcement of a container that has moved, and the question whether
// somebody has an address. So both change together.
func portFlags(exact bool) kernel.PortFlags {
	return kernel.PortFlags{Learning: kernel.Some(!exact), Suppress: kernel.Some(exact)}
}

// forwarder collects entries.
type forwarder struct {
	n      network.Network
	local  netip.Addr
	macs   map[kernel.MAC]netip.Addr // to the VTEP; invalid: this host's
	addrs  map[netip.Addr]bool       // taken
	tables kernel.ForwardingTables
}

func newForwarder(n network.Network, v network.VTEP, k Known) *forwarder {
	f := &forwarder{n: n, local: v.Local,
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

// add adds the entries of a remote, unless its MAC is another's: addresses alone
// would lead to that one.
func (f *forwarder) add(r Remote) {
	if r.MAC.IsZero() || r.MAC[0]&1 == 1 || !f.reachable(r.VTEP) {
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

// reachable tells whether a KindVXLAN device on this host can send to the VTEP: the
// kernel wants one of the family of its own address, and sending to oneself is a loop.
func (f *forwarder) reachable(vtep netip.Addr) bool {
	return vtep.IsValid() && vtep != f.local && vtep.Is4() == f.local.Is4() &&
		!vtep.IsMulticast() && !vtep.IsUnspecified() && vtep.Zone() == ""
}
