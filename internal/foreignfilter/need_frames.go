package foreignfilter

import (
	"fmt"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Types of ICMP and ICMPv6 (RFC 792, RFC 4443, RFC 4861).
const (
	echoRequest      = 8
	echoRequestIPv6  = 128
	neighbourRequest = 135
)

// What needs are that include others.
const (
	whatFrames     = "frames between its containers"
	whatHostFrames = "frames between its containers and this host"
)

// furtherNeeds returns what must pass beside networkNeeds, at hooks where few programs filter.
func furtherNeeds(h Host, n Network) []need {
	all := []need{n.bridgeFramesNeed(), n.hostFramesNeed(), n.addressNeed()}
	for _, s := range n.Subnets {
		outside := h.Outside4
		if s.Prefix.Addr().Is6() {
			outside = h.Outside6
		}
		routed := s.Gateway.IsValid() && n.VRF == ""
		if routed && !n.Internal && outside.Name != "" {
			all = append(all, n.entryNeed(s))
		}
		if routed && n.HasNames() {
			all = append(all, n.nameQuestionsNeed(h, s), n.nameAnswersNeed(s))
		}
	}
	return all
}

// entryNeed is what comes from the bridge for the world outside, before it is routed.
func (n Network) entryNeed(s network.Subnet) need {
	world := world4
	if s.Prefix.Addr().Is6() {
		world = world6
	}
	p := packet{in: n.Bridge, src: s.Prefix, dst: world, protocol: protocolTCP, ports: anyPort, world: worldIsDestination}
	allow := permit{hook: kernel.HookPrerouting, in: n.Bridge.Name}
	return need{what: "what its containers send to the outside", legs: []leg{{kernel.HookPrerouting, []packet{p}, allow}}}
}

// nameQuestionsNeed is questions for container names before their port is translated: at the hook of
// IP, and at those of devices before it.
func (n Network) nameQuestionsNeed(h Host, s network.Subnet) need {
	all := need{what: "questions for container names", within: []string{whatFrames, whatHostFrames}}
	const port = 53
	for _, protocol := range []uint8{protocolUDP, protocolTCP} {
		p := packet{
			in: n.Bridge, src: s.Prefix, dst: netip.PrefixFrom(s.Gateway, s.Gateway.BitLen()),
			protocol: protocol, ports: [2]uint16{port, port},
		}
		frame := p
		frame.in, frame.bridged = n.Port, true
		legs := append([]leg{{
			hook: kernel.HookPrerouting, packets: []packet{p}, permit: permit{hook: kernel.HookPrerouting, in: n.Bridge.Name},
		}}, deviceLegs(p)...)
		if n.Port.Name != "" {
			legs = append(legs, deviceLegs(frame)...)
		}
		for _, l := range legs {
			l.permit.protocol, l.permit.first, l.permit.last = protocolName(protocol), port, port
			all.legs = append(all.legs, l)
		}
		if n.Port.Name != "" {
			all.legs = append(all.legs, n.questionFrames(h, frame)...)
		}
	}
	return all
}

// questionFrames is a question for container names as chains of bridges see it. With br_netfilter its
// port is translated between them.
func (n Network) questionFrames(h Host, frame packet) (legs []leg) {
	hooks := []kernel.FilterHook{kernel.HookPrerouting, kernel.HookInput}
	if frame.isIPv6() && h.Bridged6 || !frame.isIPv6() && h.Bridged4 {
		frame.ports, hooks = [2]uint16{n.DNSPort, n.DNSPort}, hooks[1:]
	}
	for _, hook := range hooks {
		l := frameLeg(hook, frame)
		l.permit.frames.nft += fmt.Sprintf(" %s dport %d", protocolName(frame.protocol), frame.ports[0])
		legs = append(legs, l)
	}
	return legs
}

// nameAnswersNeed is answers to questions for container names.
func (n Network) nameAnswersNeed(s network.Subnet) need {
	p := packet{
		out: n.Bridge, src: netip.PrefixFrom(s.Gateway, s.Gateway.BitLen()), dst: s.Prefix,
		protocol: protocolUDP, ports: anyPort, answer: true,
	}
	allow := permit{hook: kernel.HookOutput, out: n.Bridge.Name}
	return need{what: "answers to questions for container names", legs: []leg{{kernel.HookOutput, []packet{p}, allow}}}
}

// bridgeFramesNeed is framesNeed at the other hooks, and pings.
func (n Network) bridgeFramesNeed() need {
	all := need{what: whatFrames}
	if n.VXLAN.Name == "" || n.Port.Name == "" {
		return all
	}
	for _, s := range n.Subnets {
		for _, p := range sampleFrames(s.Prefix) {
			all.add(n.bridgeLegs(p))
		}
	}
	return all
}

// sampleFrames are one of each kind between the containers of a subnet.
func sampleFrames(subnet netip.Prefix) []packet {
	p := packet{src: subnet, dst: subnet, ports: anyPort, bridged: true}
	ping := p
	ping.protocol, ping.icmpType = protocolICMP, echoRequest
	if subnet.Addr().Is6() {
		ping.protocol, ping.icmpType = protocolICMPv6, echoRequestIPv6
	}
	tcp, udp := p, p
	tcp.protocol, udp.protocol = protocolTCP, protocolUDP
	return []packet{tcp, udp, ping}
}

// bridgeLegs is a frame's way between a container's port and the VXLAN device, both ways.
func (n Network) bridgeLegs(p packet) (legs []leg) {
	for _, way := range [][2]Device{{n.Port, n.VXLAN}, {n.VXLAN, n.Port}} {
		through := p.between(way[0], way[1])
		legs = append(legs,
			bridgeLeg(kernel.HookForward, through),
			bridgeLeg(kernel.HookPrerouting, p.between(way[0], Device{})),
			bridgeLeg(kernel.HookPostrouting, p.between(Device{}, way[1])))
		legs = append(legs, deviceLegs(through)...)
	}
	return legs
}

func (p packet) between(in, out Device) packet {
	p.in, p.out = in, out
	return p
}

// bridgeLeg is a frame of any kind at a hook of bridges.
func bridgeLeg(hook kernel.FilterHook, p packet) leg {
	l := frameLeg(hook, p)
	match, subnet := &l.permit.frames, p.src.String()
	switch {
	case p.arp:
		*match = frameMatch{" arp saddr ip " + subnet, " -p ARP --arp-ip-src " + subnet}
	case p.icmpType == neighbourRequest:
		*match = frameMatch{" meta l4proto ipv6-icmp", " -p IPv6 --ip6-proto ipv6-icmp"}
	case p.src.Bits() == 0 && p.isIPv6():
		*match = frameMatch{" ip6 daddr " + p.dst.String(), " -p IPv6 --ip6-dst " + p.dst.String()}
	case p.src.Bits() == 0:
		*match = frameMatch{" ip daddr " + p.dst.String(), " -p IPv4 --ip-dst " + p.dst.String()}
	}
	return l
}

// deviceLegs is a packet at the devices by which it comes and goes.
func deviceLegs(p packet) (legs []leg) {
	if in := p; p.in.Name != "" {
		in.out = Device{}
		legs = append(legs, leg{kernel.HookIngress, []packet{in}, permit{hook: kernel.HookIngress, in: p.in.Name}})
	}
	if out := p; p.out.Name != "" {
		out.in = Device{}
		legs = append(legs, leg{kernel.HookEgress, []packet{out}, permit{hook: kernel.HookEgress, out: p.out.Name}})
	}
	return legs
}

// hostFramesNeed is what containers and this host send each other: the way to names and to the
// outside leads through the gateway.
func (n Network) hostFramesNeed() need {
	all := need{what: whatHostFrames}
	if n.Port.Name == "" {
		return all
	}
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() {
			all.add(n.hostFrameLegs(s))
		}
	}
	return all
}

func (n Network) hostFrameLegs(s network.Subnet) (legs []leg) {
	anywhere := netip.PrefixFrom(s.Gateway, 0)
	for _, p := range sampleFrames(s.Prefix) {
		in, out := p, p
		in.dst, out.src = anywhere, anywhere
		in, out = in.between(n.Port, Device{}), out.between(Device{}, n.Port)
		legs = append(legs, bridgeLeg(kernel.HookInput, in), bridgeLeg(kernel.HookOutput, out))
		in.in, in.bridged, out.out, out.bridged = n.Bridge, false, n.Bridge, false
		legs = append(append(legs, deviceLegs(in)...), deviceLegs(out)...)
	}
	return legs
}

// addressNeed is how containers and hosts find each other's MACs: ARP, or neighbour discovery.
func (n Network) addressNeed() need {
	all := need{what: "requests for MAC addresses (ARP, or ICMPv6 of neighbour discovery)"}
	for _, s := range n.Subnets {
		p := addressRequest(s.Prefix)
		all.add(hostAddressLegs(p, n.Bridge))
		if n.VXLAN.Name == "" || n.Port.Name == "" {
			continue
		}
		p.bridged = true
		all.add(n.bridgeLegs(p))
		all.legs = append(all.legs,
			bridgeLeg(kernel.HookInput, p.between(n.Port, Device{})),
			bridgeLeg(kernel.HookOutput, p.between(Device{}, n.Port)))
	}
	if n.VTEP.Local.IsValid() {
		all.add(hostAddressLegs(addressRequest(netip.PrefixFrom(n.VTEP.Local, 0)), n.Underlay))
	}
	return all
}

// addressRequest is a request for an address of a range. Those of IPv6 are not tracked.
func addressRequest(of netip.Prefix) packet {
	if !of.Addr().Is6() {
		return packet{arp: true, src: of, dst: of}
	}
	multicast := netip.PrefixFrom(netip.MustParseAddr("ff02::1:ff00:0"), 104)
	return packet{protocol: protocolICMPv6, icmpType: neighbourRequest, src: of, dst: multicast, ports: anyPort,
		untracked: true}
}

// hostAddressLegs is a request that this host receives or sends by a device.
func hostAddressLegs(p packet, by Device) []leg {
	in, out := p.between(by, Device{}), p.between(Device{}, by)
	legs := []leg{
		{kernel.HookInput, []packet{in}, permit{hook: kernel.HookInput, in: by.Name}},
		{kernel.HookOutput, []packet{out}, permit{hook: kernel.HookOutput, out: by.Name}},
	}
	legs = append(append(legs, deviceLegs(in)...), deviceLegs(out)...)
	for i := range legs {
		switch ofDevice := i > 1; {
		case !p.arp:
			legs[i].permit.protocol = "ipv6-icmp"
		case ofDevice:
			legs[i].permit.frames.nft = " meta protocol arp"
		}
	}
	return legs
}
