package doctor

import (
	"fmt"
	"maps"
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
	SilentRouters                   []SilentRouter
	Unowned                         []netip.Addr // that the interface has, and the table local lacks
	Parameters                      map[string]string
	Hooks                           []DeviceHook
	NoGateway                       bool // its gateway does not answer its ping
	// Filters are what it has of its own that may drop its packets. They count where some are lost.
	Filters []Rule
}

// SilentRouter is a router of a route, which nobody is on the network.
type SilentRouter struct {
	Router netip.Addr
	Dst    string // as ip prints it
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
				mac, known := n.macOf(k.Addr)
				if !known && len(k.Answers) == 1 {
					mac, known = k.Answers[0], true
				}
				if known && mac != k.MAC {
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
			for _, r := range in.SilentRouters {
				if r.Dst != "default" {
					add(fmt.Sprintf("it sends to %s what is for %s, and nobody has that address", r.Router, r.Dst),
						"ip route show", fmt.Sprintf("ip route delete %s via %s dev %s", r.Dst, r.Router, in.Interface))
					continue
				}
				add(fmt.Sprintf("it sends to %s what leaves the network, and nobody has that address", r.Router),
					"ip route show default",
					fmt.Sprintf("ip route replace default via %s dev %s", n.gatewayFor(r.Router), in.Interface))
			}
			for _, a := range in.Unowned {
				add(fmt.Sprintf("it does not take packets to its address %s for its own", a), "ip route show table local",
					fmt.Sprintf("%s route add local %s dev %s table local", ipCommand(a), a, in.Interface))
			}
			for _, key := range slices.Sorted(maps.Keys(in.Parameters)) {
				if r := badParameter(key, in.Parameters[key]); r != nil {
					add(fmt.Sprintf("%s is %s: %s", dotted(key), in.Parameters[key], r.effect), "sysctl "+key,
						fmt.Sprintf("sysctl -w %s=%s", key, r.better))
				}
			}
			findings = append(findings, n.ownFilters(in)...)
			for _, h := range in.Hooks {
				if h.Drops {
					add("a "+h.What+" drops its packets", h.Text, h.Remove)
				}
			}
		}
	}
	return findings
}

// lacksNames tells whether the name server does not answer a container.
func (n Network) lacksNames(container string) bool {
	return slices.ContainsFunc(n.Names, func(a NameAnswer) bool { return a.Container == container && a.Err != "" })
}

// ownFilters is about what a container has of its own that may drop its packets, where it does not
// answer, or gets no answer from its gateway or from somebody who answers this host.
func (n Network) ownFilters(in Inside) []diagnosis.Finding {
	isSilent := slices.ContainsFunc(n.Silent, func(s SilentContainer) bool { return s.Name == in.Container })
	getsNone := slices.ContainsFunc(n.Exchanges, func(e Exchange) bool {
		return e.From == in.Container && !e.Ping && e.HostPing
	})
	isLost := in.NoGateway || isSilent || getsNone || n.lacksNames(in.Container)
	if !isLost || len(in.Filters) == 0 {
		return nil
	}
	found := diagnosis.Finding{
		Code: diagnosis.ContainerAltered, Level: diagnosis.Failure, Network: n.Name,
		Summary: fmt.Sprintf("container %s: filters of its own drop its packets", in.Container),
	}
	for _, r := range in.Filters {
		found.Evidence = append(found.Evidence, "in the container: "+cut(r.Text, maxLine))
		found.Mend = append(found.Mend, "nsenter --net="+in.Namespace+" "+r.Delete)
	}
	found.Evidence = atMost(found.Evidence, maxEvidence)
	return []diagnosis.Finding{found}
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
