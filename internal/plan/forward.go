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
	Remotes *Remotes
	Local   []network.Endpoint // of this host
	// Ceded are addresses of these endpoints that containers of other hosts keep.
	Ceded map[netip.Addr]bool
	// Only names the entries that are planned; nil: all. What one host says changes few.
	Only *kernel.ForwardingKeys
	// SkipPorts says that nothing has changed on this host.
	SkipPorts bool
	// TakesIP are the VTEPs of the hosts that take IP packets of an encrypted network without a VXLAN header, by the
	// WireGuard device by which packets leave now. A host that does not answer is none: it may not hear of new
	// containers.
	TakesIP []netip.Addr
	// WishFastPath is the function WishFastPath, or nil: packets are to pass the bridge. The plugin,
	// which sets up no fast path, does without its code.
	WishFastPath func(*Forwarding, network.Network, network.VTEP, Known)
	// SetUnread is the function SetUnread, or nil: all entries that Only names are looked at before they are
	// set. The plugin does without its code, too.
	SetUnread func(*Forwarding)
}

// Forwarding is what should be in the kernel for frames to find a network's other hosts.
type Forwarding struct {
	Device kernel.Link             // the VXLAN device: name, alias, master
	Port   kernel.PortFlags        // how its bridge treats it
	Tables kernel.ForwardingTables // sorted; the hosts to flood to only with Only, else they are the device's
	// FastPath is the wish that packets pass the bridge by.
	FastPath kernel.FastPath
	// Partial keeps entries that are there and not wanted.
	Partial bool
	// Only names the entries that are looked at; nil: all. Tables has no others then, but those that are set
	// unread.
	Only *kernel.ForwardingKeys
}

// Forward returns the entries for what is known on the host with VTEP v.
//
// Another host is believed about its own containers. But it gets no entry for what is this host's
// (a local endpoint, the bridge) or nobody's (a gateway, an address outside the network, a zero or
// multicast MAC).
func Forward(n network.Network, v network.VTEP, k Known) Forwarding {
	if k.Remotes == nil {
		k.Remotes = new(Remotes)
	}
	t := newForwardingRule(n, v, k).tables(k.Only)
	if k.Only != nil && !n.Tunnel.Group.IsValid() {
		t.Flood = wantedFlood(n, v, k.Only.Flood)
	}
	fw := Forwarding{
		Device: deviceNames(n.Identity).VXLAN, Port: portFlags(k.StaticFDB), Tables: t,
		Partial: k.Partial, Only: k.Only,
	}
	if k.SetUnread != nil {
		k.SetUnread(&fw)
	}
	fw.FastPath = kernel.FastPath{Device: fw.Device.Name, Bridge: fw.Device.Master, Partial: k.Partial}
	if k.Only != nil {
		fw.FastPath.Only = append([]kernel.MAC{}, fw.Only.MACs...)
	}
	if k.StaticFDB && k.WishFastPath != nil {
		k.WishFastPath(&fw, n, v, k)
	}
	return fw
}

// SetUnread makes the entries that are wanted be set without a look at them first: to set one that is there changes
// nothing, and a look takes longer. The others are looked at, as they may have to go. Flood entries never are.
func SetUnread(fw *Forwarding) {
	t, keys := fw.Tables, fw.Only
	isNeighbour := make(map[netip.Addr]bool, len(t.Neighbours))
	for _, n := range t.Neighbours {
		isNeighbour[n.Addr] = true
	}
	isStatic := make(map[kernel.MAC]bool, len(t.Static))
	for _, m := range t.Static {
		isStatic[m] = true
	}
	fw.Only = &kernel.ForwardingKeys{
		MACs:  slices.DeleteFunc(slices.Clone(keys.MACs), func(m kernel.MAC) bool { return isStatic[m] }),
		Addrs: slices.DeleteFunc(slices.Clone(keys.Addrs), func(a netip.Addr) bool { return isNeighbour[a] }),
		Flood: keys.Flood,
	}
}

// WishFastPath adds what is to pass the bridge by, of what is to be forwarded.
func WishFastPath(fw *Forwarding, n network.Network, v network.VTEP, k Known) {
	// The rules of other programs' group policy are the bridge's, and must see every packet.
	if n.FastPath.Set && !n.FastPath.Value || n.Tunnel.GBP.Value {
		return
	}
	p := &fw.FastPath
	p.Remote, p.FDB, p.RemoteCount = fw.Tables.Static, fw.Tables.FDB, len(k.Remotes.byMAC)
	p.PortSecurity, p.Checksum = n.PortSecurity, n.Tunnel.UDPChecksum.Set && n.Tunnel.UDPChecksum.Value
	if n.Encrypts() {
		p.Encrypted = encryptedPath(fw, n, v, k)
	}
	if p.SkipPorts = k.SkipPorts; k.SkipPorts {
		return
	}
	p.Ports = fastPathPorts(n, v, k)
	if p.PortSecurity {
		p.Sources = fastPathSources(n, k.Local)
	}
}

// fastPathSources are the addresses that the firewall lets containers send from.
func fastPathSources(n network.Network, local []network.Endpoint) (sources []kernel.FastPathSource) {
	for _, e := range local {
		for _, a := range sourceAddresses(e) {
			sources = append(sources, kernel.FastPathSource{Port: n.Port(e), Addr: a})
		}
	}
	return sources
}

// wantedFlood returns those of the flood entries that should be there.
func wantedFlood(n network.Network, v network.VTEP, entries []kernel.FDB) (wanted []kernel.FDB) {
	for _, e := range entries {
		if maySend(n, v) && slices.Contains(v.Flood, e.Dst) && e == FloodEntry(v, e.Dst) {
			wanted = append(wanted, e)
		}
	}
	return wanted
}

// FloodEntry is the entry by which a host gets flooded frames.
func FloodEntry(v network.VTEP, host netip.Addr) kernel.FDB {
	return kernel.FDB{Dst: host, Via: v.WireGuard}
}

// FloodEntries are those of all hosts that get flooded frames, unless a multicast group gets them.
func FloodEntries(n network.Network, v network.VTEP) []kernel.FDB {
	if n.Tunnel.Group.IsValid() || !maySend(n, v) {
		return nil
	}
	entries := make([]kernel.FDB, 0, len(v.Flood))
	for _, host := range v.Flood {
		entries = append(entries, FloodEntry(v, host))
	}
	return entries
}

// maySend tells whether frames may leave for other hosts. Those of an encrypted network may not before
// there is a WireGuard device: an entry without one leads by the route to the host, in plaintext.
func maySend(n network.Network, v network.VTEP) bool { return !n.Encrypts() || v.WireGuard != "" }

// fastPathPorts are the ports of containers whose MAC is known beforehand. A MAC that two have is
// the first one's.
func fastPathPorts(n network.Network, v network.VTEP, k Known) (ports []kernel.FastPathPort) {
	taken := map[kernel.MAC]bool{{}: true, network.BridgeMAC(n.Tunnel.VNI, v.Local): true}
	for _, e := range k.Local {
		if !taken[e.MAC] && !k.cedesMAC(e) {
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

// forwardingRule decides what is forwarded where.
type forwardingRule struct {
	n       network.Network
	local   netip.Addr
	via     string              // the WireGuard device; "": none
	macs    map[kernel.MAC]bool // this host's
	addrs   map[netip.Addr]bool // this host's and the gateways'
	remotes *Remotes
}

func newForwardingRule(n network.Network, v network.VTEP, k Known) forwardingRule {
	f := forwardingRule{
		n: n, local: v.Local, via: v.WireGuard, remotes: k.Remotes,
		macs: map[kernel.MAC]bool{network.BridgeMAC(n.Tunnel.VNI, v.Local): true}, addrs: make(map[netip.Addr]bool),
	}
	for _, s := range n.Subnets {
		f.addrs[s.HostAddress], f.addrs[s.Gateway] = true, true
	}
	for _, e := range k.Local {
		f.macs[e.MAC] = f.macs[e.MAC] || !k.cedesMAC(e)
		for _, p := range e.Addrs {
			f.addrs[p.Addr()] = f.addrs[p.Addr()] || !k.Ceded[p.Addr()]
		}
	}
	return f
}

// cedesMAC tells whether an endpoint's MAC leads to another host: a container there keeps one of
// its addresses, and has the MAC that derives from it.
func (k Known) cedesMAC(e network.Endpoint) bool {
	for _, p := range e.Addrs {
		if remotes := k.Remotes.At(p.Addr()); k.Ceded[p.Addr()] && len(remotes) > 0 && remotes[0].MAC == e.MAC {
			return true
		}
	}
	return false
}

// tables returns the entries that the keys name, nil for all, sorted.
func (f forwardingRule) tables(only *kernel.ForwardingKeys) (t kernel.ForwardingTables) {
	var keys kernel.ForwardingKeys
	if only == nil {
		keys = f.remotes.Keys()
	} else {
		keys = SortKeys(slices.Clone(only.MACs), slices.Clone(only.Addrs))
	}
	t.FDB, t.Static = make([]kernel.FDB, 0, len(keys.MACs)), make([]kernel.MAC, 0, len(keys.MACs))
	t.Neighbours = make([]kernel.Neighbour, 0, len(keys.Addrs))
	for _, m := range keys.MACs {
		if vtep, ok := f.vtepOf(m); ok {
			t.FDB, t.Static = append(t.FDB, kernel.FDB{MAC: m, Dst: vtep, Via: f.via}), append(t.Static, m)
		}
	}
	for _, a := range keys.Addrs {
		if m, ok := f.macOf(a); ok {
			t.Neighbours = append(t.Neighbours, kernel.Neighbour{Addr: a, MAC: m})
		}
	}
	return t
}

// vtepOf returns the host that has a MAC.
func (f forwardingRule) vtepOf(m kernel.MAC) (netip.Addr, bool) {
	if m.IsZero() || m[0]&1 == 1 || f.macs[m] || f.n.Encrypts() && f.via == "" {
		return netip.Addr{}, false
	}
	for _, r := range f.remotes.byMAC[m] {
		if f.isReachable(r.VTEP) {
			return r.VTEP, true
		}
	}
	return netip.Addr{}, false
}

// macOf returns the MAC that has an address. A remote whose MAC is another's does not count: its
// addresses would lead to that one.
func (f forwardingRule) macOf(a netip.Addr) (kernel.MAC, bool) {
	if _, inside := f.n.SubnetOf(a); !inside || f.addrs[a] {
		return kernel.MAC{}, false
	}
	for _, r := range f.remotes.byAddr[a] {
		if vtep, ok := f.vtepOf(r.MAC); ok && vtep == r.VTEP {
			return r.MAC, true
		}
	}
	return kernel.MAC{}, false
}

// isReachable tells whether a VXLAN device on this host can send to the VTEP. The kernel wants an
// address of the family of its own, and to send to oneself is a loop.
func (f forwardingRule) isReachable(vtep netip.Addr) bool {
	return vtep.IsValid() && vtep != f.local && vtep.Is4() == f.local.Is4() &&
		!vtep.IsMulticast() && !vtep.IsUnspecified() && vtep.Zone() == ""
}
