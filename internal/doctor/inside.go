package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Inside is what a container's network namespace has that no network asks for.
type Inside struct {
	Container, Namespace, Interface string
	NoARP                           bool
	Addrs                           []netip.Prefix // of global scope
	Neighbours                      []Neighbour    // that somebody fixed
	DeadEnds                        []Route        // for addresses of the network
	Rules                           []Rule         // that refuse
	SilentRouters                   []netip.Addr   // of default routes, where nobody answers
	Hooks                           []DeviceHook
}

// FixedEntry is a forwarding or neighbour entry of a network's devices that neither ages nor is learned.
type FixedEntry struct {
	Device string
	MAC    kernel.MAC
	Self   bool       // of the VXLAN device itself, not of the bridge
	Dst    netip.Addr // host behind which it is
	Addr   netip.Addr // of a neighbour; zero: it is a forwarding entry
}

// checkInsides says what somebody has set in containers, against which no packet passes. As all in
// them it is left to people.
func checkInsides(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, in := range n.Insides {
			add := func(what, seen, command string) {
				findings = append(findings, diagnosis.Finding{
					Code: diagnosis.ContainerAltered, Level: diagnosis.Failure, Network: n.Name,
					Summary:  fmt.Sprintf("container %s: %s", in.Container, what),
					Evidence: []string{"in the container: " + seen}, Mend: []string{"nsenter --net=" + in.Namespace + " " + command},
				})
			}
			if in.NoARP {
				add(in.Interface+" has ARP switched off", "ip link show dev "+in.Interface, "ip link set "+in.Interface+" arp on")
			}
			for _, k := range in.Neighbours {
				if mac, known := n.macOf(k.Addr); known && mac != k.MAC {
					add(fmt.Sprintf("it sends to %s by the MAC %s, and %s has the address", k.Addr, k.MAC, mac),
						"ip neigh show nud permanent", fmt.Sprintf("ip neigh delete %s dev %s", k.Addr, in.Interface))
				}
			}
			for _, a := range in.Addrs {
				if owner, taken := n.ownerBeside(in.Container, a.Addr()); taken {
					findings = append(findings, diagnosis.Finding{
						Code: diagnosis.DuplicateAddress, Level: diagnosis.Failure, Network: n.Name,
						Summary: fmt.Sprintf("container %s has the address %s, which is that of another container", in.Container,
							a.Addr()),
						Evidence: []string{"in the container: ip address show dev " + in.Interface,
							fmt.Sprintf("%s has the address", owner)},
						Mend: []string{fmt.Sprintf("nsenter --net=%s ip address delete %s dev %s", in.Namespace, a, in.Interface)},
					})
				}
			}
			for _, r := range in.DeadEnds {
				add(fmt.Sprintf("it has a route of type %s to %s", r.Type, r.Dst), "ip route show table all type "+r.Type, r.Delete)
			}
			for _, r := range in.Rules {
				add("it has a rule that refuses packets", "ip rule: "+r.Text, r.Delete)
			}
			for _, router := range in.SilentRouters {
				gateway := n.gatewayFor(router)
				add(fmt.Sprintf("it sends to %s what leaves the network, and nobody has that address", router),
					"ip route show default",
					fmt.Sprintf("ip route replace default via %s dev %s", gateway, in.Interface))
			}
			for _, h := range in.Hooks {
				if h.Drops {
					add("a "+h.What+" drops its packets", h.Text, h.Remove)
				}
			}
		}
	}
	return findings
}

// ownerBeside returns whose an address is beside a container's, as far as this host knows: another
// container's here, or one's of another host, whose neighbour entry the agent wrote.
func (n Network) ownerBeside(container string, addr netip.Addr) (owner string, taken bool) {
	for _, e := range n.Endpoints {
		has := slices.ContainsFunc(e.Addrs, func(p netip.Prefix) bool { return p.Addr() == addr })
		if has {
			return "container " + e.ContainerName, e.ContainerName != container
		}
	}
	for _, x := range n.FixedEntries {
		if x.Addr == addr && n.VTEP.StaticFDB {
			return "the container with the MAC " + x.MAC.String(), true
		}
	}
	return "", false
}

// macOf returns the MAC of one of this host's own addresses on a network: its bridge's, or that of a
// container.
func (n Network) macOf(addr netip.Addr) (mac kernel.MAC, known bool) {
	for _, s := range n.Subnets {
		if addr == s.Gateway || addr == s.HostAddress {
			return network.BridgeMAC(n.Tunnel.VNI, n.VTEP.Local), addr.IsValid()
		}
	}
	for _, e := range n.Endpoints {
		for _, p := range e.Addrs {
			if p.Addr() == addr && !e.MAC.IsZero() {
				return e.MAC, true
			}
		}
	}
	return mac, false
}

func (n Network) gatewayFor(addr netip.Addr) netip.Addr {
	s, _ := n.SubnetOf(addr)
	return s.Gateway
}

// checkFixedEntries says which entries somebody fixed that lead packets to this host's containers, or
// of a network that learns, elsewhere.
func checkFixedEntries(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, x := range n.FixedEntries {
			found := diagnosis.Finding{Level: diagnosis.Failure, Network: n.Name}
			if f.isOfDuplicate(n, x) || !n.explainFixed(x, &found) {
				continue
			}
			findings = append(findings, found)
		}
	}
	return findings
}

// isOfDuplicate tells whether an entry is for the MAC of a container whose address a container of another
// host keeps. The agent then sends frames for the MAC, which is made from the address, to that host.
func (f *Facts) isOfDuplicate(n Network, x FixedEntry) bool {
	if f.Agent.Report == nil || x.Addr.IsValid() {
		return false
	}
	for _, e := range n.Endpoints {
		isNamed := func(conflict string) bool {
			m := duplicateText.FindStringSubmatch(conflict)
			return m != nil && m[1] == n.Name && m[2] == e.ContainerName
		}
		if e.MAC == x.MAC && slices.ContainsFunc(f.Agent.Report.Conflicts, isNamed) {
			return true
		}
	}
	return false
}

// explainFixed tells whether an entry is wrong, and says how.
func (n Network) explainFixed(x FixedEntry, found *diagnosis.Finding) bool {
	if x.Addr.IsValid() {
		mac, known := n.macOf(x.Addr)
		found.Code = diagnosis.NeighbourAltered
		found.Summary = fmt.Sprintf("this host sends to the container at %s by the MAC %s, and %s has the address", x.Addr,
			x.MAC, mac)
		found.Evidence = []string{"ip neigh show dev " + x.Device + " nud permanent"}
		found.Mend = []string{fmt.Sprintf("ip neigh delete %s dev %s", x.Addr, x.Device)}
		return known && mac != x.MAC
	}
	found.Code, found.Evidence = diagnosis.ForwardingAltered, []string{"bridge fdb show dev " + x.Device}
	if x.Self {
		found.Summary = fmt.Sprintf("somebody has fixed that %s is behind host %s, in a network that learns that", x.MAC,
			x.Dst)
		found.Mend = []string{fmt.Sprintf("bridge fdb delete %s dev %s dst %s self", x.MAC, x.Device, x.Dst)}
		isUnicast := !x.MAC.IsZero() && x.MAC[0]&1 == 0
		return x.Device == n.Device.Name && isUnicast && x.Dst.IsValid() && !n.NeedsAgent() // which would have written it
	}
	if x.MAC == network.BridgeMAC(n.Tunnel.VNI, n.VTEP.Local) && x.Device != n.Bridge.Name {
		found.Summary = fmt.Sprintf("the bridge %s has its own MAC behind %s, so nobody reaches the gateway", n.Bridge.Name, x.Device)
		found.Mend = []string{fmt.Sprintf("bridge fdb delete %s dev %s master", x.MAC, x.Device), fmt.Sprintf("bridge fdb replace %s dev %s self permanent", x.MAC, n.Bridge.Name)}
		return true
	}
	for _, e := range n.Endpoints {
		if e.MAC == x.MAC && x.Device != n.Port(e.Endpoint) && !e.MAC.IsZero() {
			found.Summary = fmt.Sprintf("the bridge %s has the MAC of container %s behind %s", n.Bridge.Name, e.ContainerName,
				x.Device)
			found.Mend = []string{fmt.Sprintf("bridge fdb delete %s dev %s master", x.MAC, x.Device)}
			return true
		}
	}
	return false
}
