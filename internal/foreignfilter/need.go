package foreignfilter

import (
	"fmt"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// Host has the facts of a host that decide which way packets take.
type Host struct {
	// Outside has the devices of the default routes; zero: there is none.
	Outside4, Outside6 Device
	// Bridged tells whether packets that pass a bridge meet the rules for routed ones too
	// (br_netfilter).
	Bridged4, Bridged6 bool
	// AgentPort is where the hosts' agents listen; 0: it is not known.
	AgentPort uint16
}

// Network is a network with what passes.
type Network struct {
	plan.PlacedNetwork
	Bridge, Underlay Device
	WireGuard        Device // by which an encrypted network's packets leave; zero: none is ready
	VXLAN, Port      Device // the VXLAN device, and the port of a container; zero: not known
	Publishes        bool   // a container publishes ports
}

// need is something that must pass.
type need struct {
	what string
	legs []leg
	// within are needs that include it. Where one of them is blocked, this one is not said besides.
	within []string
}

// leg is one way that packets of a need take. They pass if one of the packets does: by which device
// they leave or arrive is not known for sure.
type leg struct {
	hook    kernel.FilterHook
	packets []packet
	permit  permit
}

// permit is what a rule must match to let a leg pass.
type permit struct {
	hook        kernel.FilterHook
	in, out     string // devices; "": any
	frames      frameMatch
	protocol    string
	first, last uint16 // ports
	answers     bool   // of established connections only
	byZone      bool   // firewalld lets it pass by the zone of the bridge
}

const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// frameMatch matches frames in the languages of nft and ebtables. By their addresses it matches those
// of all containers, of which each has another port.
type frameMatch struct{ nft, ebtables string }

var anyPort = [2]uint16{0, 65535}

// Addresses of the world outside. Any will do that nobody has in a private network.
var (
	world4 = netip.MustParsePrefix("1.0.0.1/32")
	world6 = netip.MustParsePrefix("2600::1/128")
)

// networkNeeds returns what a start looks at: what other firewalls mostly drop. The plugin has no
// room for more.
func networkNeeds(h Host, n Network) []need {
	var all []need
	for _, s := range n.Subnets {
		outside, bridged := h.Outside4, h.Bridged4
		if s.Prefix.Addr().Is6() {
			outside, bridged = h.Outside6, h.Bridged6
		}
		if bridged {
			all = append(all, n.bridgedNeed(s))
		}
		routed := s.Gateway.IsValid() && n.VRF == ""
		if routed && !n.Internal {
			all = append(all, n.routedNeeds(s, outside)...)
		}
		if routed && n.HasNames() {
			all = append(all, n.nameNeed(s))
		}
	}
	all = append(all, n.framesNeed(), n.tunnelNeed())
	if n.Encrypts() {
		all = append(all, n.wireGuardNeed())
	}
	if n.usesAgents(h) {
		all = append(all, n.agentNeed(h.AgentPort))
	}
	return all
}

func (n Network) usesAgents(h Host) bool {
	return h.AgentPort != 0 && n.NeedsAgent() && len(n.VTEP.Remotes) > 0
}

// bridgedNeed is packets between the network's containers, where they meet rules for routed
// packets.
func (n Network) bridgedNeed(s network.Subnet) need {
	p := packet{in: n.Bridge, out: n.Bridge, src: s.Prefix, dst: s.Prefix, protocol: protocolTCP, ports: anyPort}
	to := permit{hook: kernel.HookForward, in: n.Bridge.Name}
	return need{what: "packets between its containers (br_netfilter is on)", legs: []leg{
		{kernel.HookForward, []packet{p}, to}, {kernel.HookForward, []packet{p.reversed()}, to},
	}}
}

// framesNeed is what the bridge forwards between a container and other hosts. The fast path, where
// there is one, passes these chains by. But the first packets and all others meet them.
func (n Network) framesNeed() need {
	all := need{what: whatFrames}
	if n.VXLAN.Name == "" || n.Port.Name == "" {
		return all
	}
	for _, s := range n.Subnets {
		for _, protocol := range []uint8{protocolTCP, protocolUDP} {
			out := packet{
				in: n.Port, out: n.VXLAN, src: s.Prefix, dst: s.Prefix, protocol: protocol, ports: anyPort, bridged: true,
			}
			in := out
			in.in, in.out = out.out, out.in
			for _, p := range []packet{out, in} {
				all.legs = append(all.legs, frameLeg(kernel.HookForward, p), frameLeg(kernel.HookPrerouting, p))
			}
		}
	}
	return all
}

func frameLeg(hook kernel.FilterHook, p packet) leg {
	subnet := p.src.String()
	match := frameMatch{" ip saddr " + subnet, " -p IPv4 --ip-src " + subnet}
	if p.isIPv6() {
		match = frameMatch{" ip6 saddr " + subnet, " -p IPv6 --ip6-src " + subnet}
	}
	return leg{hook, []packet{p}, permit{hook: hook, frames: match}}
}

// reversed is the answer to a packet.
func (p packet) reversed() packet {
	p.in, p.out, p.src, p.dst, p.ports, p.answer = p.out, p.in, p.dst, p.src, anyPort, true
	if p.world != worldIsNeither {
		p.world = worldIsSource + worldIsDestination - p.world
	}
	return p
}

// routedNeeds is packets to the world outside, and to published ports.
func (n Network) routedNeeds(s network.Subnet, outside Device) []need {
	world := world4
	if s.Prefix.Addr().Is6() {
		world = world6
	}
	var out, in []packet
	for _, d := range []Device{outside, n.Underlay} {
		if d.Name != "" {
			out = append(out, packet{
				in: n.Bridge, out: d, src: s.Prefix, dst: world,
				protocol: protocolTCP, ports: anyPort, world: worldIsDestination,
			})
			in = append(in, packet{
				in: d, out: n.Bridge, src: world, dst: s.Prefix,
				protocol: protocolTCP, ports: anyPort, translated: true, world: worldIsSource,
			})
		}
	}
	outgoing := permit{hook: kernel.HookForward, in: n.Bridge.Name}
	incoming := permit{hook: kernel.HookForward, out: n.Bridge.Name}
	answers := incoming
	answers.answers = true
	var all []need
	if outside.Name != "" {
		all = append(all, need{what: "what its containers send to the outside", legs: []leg{
			{kernel.HookForward, out, outgoing}, {kernel.HookForward, allReversed(out), answers},
		}})
	}
	if n.Publishes {
		all = append(all, need{what: "packets to published ports", legs: []leg{
			{kernel.HookForward, in, incoming}, {kernel.HookForward, allReversed(in), outgoing},
		}})
	}
	return all
}

func allReversed(packets []packet) []packet {
	var all []packet
	for _, p := range packets {
		all = append(all, p.reversed())
	}
	return all
}

// nameNeed is questions for container names. By the time they meet other rules, port 53 has become
// the one on which this host answers.
func (n Network) nameNeed(s network.Subnet) need {
	all := need{what: "questions for container names"}
	first, last := n.DNSPort, n.DNSPort
	if first >= network.FirstResolverPort && first <= network.LastResolverPort {
		first, last = network.FirstResolverPort, network.LastResolverPort
	}
	for _, protocol := range []uint8{protocolUDP, protocolTCP} {
		p := packet{
			in: n.Bridge, src: s.Prefix, dst: netip.PrefixFrom(s.Gateway, s.Gateway.BitLen()),
			protocol: protocol, ports: [2]uint16{n.DNSPort, n.DNSPort}, translated: true,
		}
		all.legs = append(all.legs, leg{kernel.HookInput, []packet{p}, permit{
			hook: kernel.HookInput, in: n.Bridge.Name, protocol: protocolName(protocol), first: first, last: last,
			byZone: first != last,
		}})
	}
	return all
}

func protocolName(number uint8) string {
	if number == protocolTCP {
		return "tcp"
	}
	return "udp"
}

// maxRemotes bounds how many hosts are looked at one by one. Rules that name hosts are about few.
const maxRemotes = 64

// tunnelNeed is VXLAN packets to and from the other hosts. They are not tracked. Those of an encrypted
// network come and leave by its WireGuard device.
func (n Network) tunnelNeed() need {
	if n.Encrypts() {
		n.Underlay = n.WireGuard
	}
	if n.Underlay.Name == "" {
		return need{}
	}
	port := n.Tunnel.Port
	all := need{what: fmt.Sprintf("VXLAN packets from or to other hosts (UDP port %d on %s)", port, n.Underlay.Name)}
	if len(n.VTEP.Remotes) == 0 {
		all.add(n.hostLegs(netip.Addr{}, protocolUDP, port, true))
	}
	for _, r := range n.VTEP.Remotes[:min(len(n.VTEP.Remotes), maxRemotes)] {
		all.add(n.hostLegs(r, protocolUDP, port, true))
	}
	return all
}

// wireGuardNeed is encrypted packets from the other hosts, and to theirs.
func (n Network) wireGuardNeed() (all need) {
	addrs := n.VTEP.WireGuardAddrs[:min(len(n.VTEP.WireGuardAddrs), maxRemotes)]
	for _, here := range addrs {
		if here.Addr() != n.VTEP.Local {
			continue
		}
		if all.what == "" {
			all.what = fmt.Sprintf("encrypted packets from or to other hosts (UDP port %d on %s)", here.Port(), n.Underlay.Name)
		}
		for _, there := range addrs {
			if there.Addr() != n.VTEP.Local {
				legs := n.legsBetween(there.Addr(), protocolUDP, [2]uint16{here.Port(), there.Port()}, false)
				for i := range legs {
					legs[i].permit.widenToPair()
				}
				all.add(legs)
			}
		}
	}
	return all
}

// widenToPair permits the network's other port for WireGuard too. Otherwise the next keys would not come into use, and
// after that nothing would pass again.
func (p *permit) widenToPair() {
	other := network.OtherPort(p.first)
	p.first, p.last = min(p.first, other), max(p.first, other)
}

// agentNeed is what the hosts' agents tell each other.
func (n Network) agentNeed(port uint16) need {
	all := need{what: fmt.Sprintf("messages of the agents (UDP and TCP port %d on %s)", port, n.Underlay.Name)}
	for _, r := range n.VTEP.Remotes[:min(len(n.VTEP.Remotes), maxRemotes)] {
		all.add(n.hostLegs(r, protocolUDP, port, false))
		all.add(n.hostLegs(r, protocolTCP, port, false))
	}
	return all
}

func (all *need) add(legs []leg) { all.legs = append(all.legs, legs...) }

// hostLegs is packets from another host to a port of this one, and to the same port there.
func (n Network) hostLegs(remote netip.Addr, protocol uint8, port uint16, untracked bool) []leg {
	return n.legsBetween(remote, protocol, [2]uint16{port, port}, untracked)
}

// legsBetween is packets from another host to the first port, of this host, and to the second one there.
func (n Network) legsBetween(remote netip.Addr, protocol uint8, ports [2]uint16, untracked bool) []leg {
	here := netip.PrefixFrom(n.VTEP.Local, n.VTEP.Local.BitLen())
	there := netip.PrefixFrom(remote, remote.BitLen())
	if !remote.IsValid() || n.Tunnel.Group.IsValid() {
		there = netip.PrefixFrom(n.VTEP.Local, 0)
	}
	in := packet{in: n.Underlay, src: there, dst: here, protocol: protocol, ports: [2]uint16{ports[0], ports[0]},
		untracked: untracked}
	out := packet{out: n.Underlay, src: here, dst: there, protocol: protocol, ports: [2]uint16{ports[1], ports[1]},
		untracked: untracked}
	if n.Tunnel.Group.IsValid() {
		in.dst = netip.PrefixFrom(n.VTEP.Local, 0)
	}
	var legs []leg
	allow := permit{protocol: protocolName(protocol), first: ports[0], last: ports[0]}
	for _, hook := range []kernel.FilterHook{kernel.HookIngress, kernel.HookPrerouting, kernel.HookInput} {
		allow.hook, allow.in, allow.out = hook, n.Underlay.Name, ""
		legs = append(legs, leg{hook, []packet{in}, allow})
	}
	allow.first, allow.last = ports[1], ports[1]
	for _, hook := range []kernel.FilterHook{kernel.HookOutput, kernel.HookPostrouting, kernel.HookEgress} {
		allow.hook, allow.in, allow.out = hook, "", n.Underlay.Name
		legs = append(legs, leg{hook, []packet{out}, allow})
	}
	return legs
}
