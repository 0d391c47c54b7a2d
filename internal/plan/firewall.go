package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// networkFingerprint is the network's element in kernel.Bridges. Its comment stands for all that
// networkElements returns. While the kernel has it, nothing needs to be added or even computed,
// however many hosts the network has.
func networkFingerprint(p PlacedNetwork) kernel.Element {
	n, v := p.Network, p.VTEP
	sum := sha256.New()
	for _, r := range v.Remotes {
		sum.Write(r.AsSlice())
	}
	// To print addresses takes long; those of n are those of v, and the host's own.
	n.Remotes, v.Remotes = nil, nil
	fmt.Fprintf(sum, "%+v %v %d %d %+v", n, v, v.AgentPort, v.AllowedUsers, isolatedFrom(n, p.Foreign))
	for _, o := range p.Foreign {
		for _, r := range o.Remotes {
			sum.Write(netip.AddrPortFrom(r, o.Port).AppendTo(nil))
		}
	}
	for _, a := range v.WireGuardAddrs {
		sum.Write(a.AppendTo(nil))
	}
	if p.membersLater {
		sum.Write([]byte("without members"))
	}
	comment := hex.EncodeToString(sum.Sum(nil)[:6]) + " network " + n.Name
	return kernel.Element{
		Set: kernel.Bridges, Key: kernel.Device(n.Bridge.Name),
		Comment: comment[:min(len(comment), kernel.MaxCommentLen)],
	}
}

// networkElements returns the elements by which a network takes part in the firewall's rules, its
// endpoints left out.
func networkElements(p PlacedNetwork) []kernel.Element {
	return elementsBeside(networkFingerprint(p), p)
}

// elementsBeside returns a network's elements, with a fingerprint that may stand for more of them.
func elementsBeside(fingerprint kernel.Element, p PlacedNetwork) []kernel.Element {
	n, v := p.Network, p.VTEP
	e := make(elementList, 0, 40+3*len(v.Remotes)) // at most 3 for each host
	e = append(e, fingerprint)
	bridge := kernel.Device(n.Bridge.Name)
	e.addKey(kernel.SameBridge, kernel.Concat(bridge, bridge))
	e.addKey(kernel.PodmanBridges, bridge)
	e.addIsolation(bridge, n.Isolate)
	for _, o := range isolatedFrom(n, p.Foreign) {
		e.addKey(kernel.PodmanBridges, kernel.Device(o.Bridge))
		e.addIsolation(kernel.Device(o.Bridge), o.Isolate)
	}
	e.addTunnel(n, v)
	if !p.membersLater {
		e.addMembers(n, v)
	}
	e.addOtherTunnels(p.Foreign, v.AgentPort)
	e.addUsers(v)
	e.addOutbound(n)
	e.addGateways(n)
	e.addResolvers(n)
	return e
}

// addUsers lets some users of this host send where otherwise only root may.
func (e *elementList) addUsers(v network.VTEP) {
	for _, id := range v.AllowedUsers {
		e.addKey(kernel.AllowedUsers, kernel.User(id))
	}
}

// isolatedFrom returns the other networks that n is kept from. Where neither is isolated no rule is
// needed.
func isolatedFrom(n network.Network, others []network.Reservation) []network.Reservation {
	var some []network.Reservation
	for _, o := range others {
		if o.Bridge != "" && (n.Isolate != network.IsolateOff || o.Isolate == network.IsolateStrict) {
			some = append(some, o)
		}
	}
	return some
}

// elementList is a list under construction.
type elementList []kernel.Element

// addKey is not inlined: that would be 16 kB of the plugin, together with addPair.
//
//go:noinline
func (e *elementList) addKey(s kernel.Set, key kernel.Datum) {
	*e = append(*e, kernel.Element{Set: s, Key: key})
}

//go:noinline
func (e *elementList) addPair(s kernel.Set, key, value kernel.Datum) {
	*e = append(*e, kernel.Element{Set: s, Key: key, Value: value})
}

func (e *elementList) addIsolation(bridge kernel.Datum, i network.Isolation) {
	if i != network.IsolateOff {
		e.addKey(kernel.Isolated, bridge)
	}
	if i == network.IsolateStrict {
		e.addKey(kernel.IsolatedStrict, bridge)
	}
}

// addTunnel keeps containers and this host's users from the network's tunnel, and all hosts that are no
// members. Of a multicast group nobody knows the members.
func (e *elementList) addTunnel(n network.Network, v network.VTEP) {
	port, vni := kernel.Port(n.Tunnel.Port), kernel.VNI(n.Tunnel.VNI)
	e.addKey(kernel.Underlays, kernel.Device(v.Interface))
	e.addTunnelPort(port)
	e.addKey(kernel.OwnVNIs, kernel.Concat(port, vni))
	e.addKey(vtepSet(v.Local), kernel.Concat(kernel.IP(v.Local), port))
	e.addAgents(v)
	if n.Encrypts() {
		e.addEncryption(n, v)
	}
	if n.Tunnel.Group.IsValid() {
		e.addKey(vtepSet(n.Tunnel.Group), kernel.Concat(kernel.IP(n.Tunnel.Group), port))
		return
	}
	e.addKey(kernel.VNIs, kernel.Concat(port, vni))
	for _, r := range v.Remotes {
		e.addKey(vtepSet(r), kernel.Concat(kernel.IP(r), port))
	}
}

// addEncryption lets the network's VXLAN packets leave and come by its WireGuard devices only, and
// nothing else come by these. Containers are kept from WireGuard as they are from agents.
func (e *elementList) addEncryption(n network.Network, v network.VTEP) {
	tunnel := kernel.Concat(kernel.Port(n.Tunnel.Port), kernel.VNI(n.Tunnel.VNI))
	e.addKey(kernel.Encrypted, tunnel)
	for _, d := range n.WireGuard {
		e.addKey(kernel.WireGuardLinks, kernel.Device(d.Name))
		e.addKey(kernel.WireGuard, kernel.Concat(kernel.Device(d.Name), tunnel))
	}
	ports := make([]uint16, 0, 4)
	for _, a := range v.WireGuardAddrs {
		e.addAgent(a.Addr(), a.Port())
		if !slices.Contains(ports, a.Port()) {
			ports = append(ports, a.Port())
			e.addKey(kernel.WireGuardPorts, kernel.Port(a.Port()))
		}
	}
}

// addTunnelPort adds a UDP port of VXLAN packets.
func (e *elementList) addTunnelPort(port kernel.Datum) {
	e.addKey(kernel.VXLANPorts, port)
	e.addKey(kernel.RootPorts, port)
}

// membersOf returns the elements that let the VXLAN packets of other hosts in.
func membersOf(p PlacedNetwork) []kernel.Element {
	var e elementList
	e.addMembers(p.Network, p.VTEP)
	return e
}

// addMembers lets the VXLAN packets of other hosts in.
func (e *elementList) addMembers(n network.Network, v network.VTEP) {
	if n.Tunnel.Group.IsValid() {
		return
	}
	port, vni := kernel.Port(n.Tunnel.Port), kernel.VNI(n.Tunnel.VNI)
	members := kernel.Members4
	if v.Local.Is6() {
		members = kernel.Members6
	}
	end := kernel.Concat(kernel.IP(v.Local), port, vni)
	for _, r := range v.Remotes {
		e.addKey(members, kernel.Concat(kernel.IP(r), end))
	}
}

// addOtherTunnels keeps containers from the tunnels of networks that have no container here. The
// members of such a network take this host, which is listed, for one of their own.
func (e *elementList) addOtherTunnels(others []network.Reservation, agentPort uint16) {
	for _, o := range others {
		if len(o.Remotes) > 0 {
			e.addTunnelPort(kernel.Port(o.Port))
		}
		for _, r := range o.Remotes {
			e.addKey(vtepSet(r), kernel.Concat(kernel.IP(r), kernel.Port(o.Port)))
			e.addAgent(r, agentPort)
		}
	}
}

// addAgents keeps containers, and users of this host, from talking to hosts' agents. They would arrive
// with their own host's address, which may be all that an agent asks for.
func (e *elementList) addAgents(v network.VTEP) {
	if v.AgentPort != 0 {
		e.addKey(kernel.RootPorts, kernel.Port(v.AgentPort))
	}
	for _, a := range append([]netip.Addr{v.Local}, v.Remotes...) {
		e.addAgent(a, v.AgentPort)
	}
}

// addAgent adds one host's agent, if there are agents.
func (e *elementList) addAgent(host netip.Addr, port uint16) {
	if port == 0 {
		return
	}
	set := kernel.Agents4
	if host.Is6() {
		set = kernel.Agents6
	}
	e.addKey(set, kernel.Concat(kernel.IP(host), kernel.Port(port)))
}

func vtepSet(a netip.Addr) kernel.Set {
	if a.Is6() {
		return kernel.VTEPs6
	}
	return kernel.VTEPs4
}

// addOutbound gives packets that leave the overlay a source address to which answers come back.
func (e *elementList) addOutbound(n network.Network) {
	if n.Internal {
		e.addKey(kernel.Internal, kernel.Device(n.Bridge.Name))
	}
	for _, s := range n.Subnets {
		pairs, out, outbound, by := kernel.Subnets4, kernel.Masquerade4, kernel.Outbound4, n.OutboundAddr4
		if s.Prefix.Addr().Is6() {
			pairs, out, outbound, by = kernel.Subnets6, kernel.Masquerade6, kernel.Outbound6, n.OutboundAddr6
		}
		for _, other := range n.Subnets {
			if other.Prefix.Addr().Is4() == s.Prefix.Addr().Is4() {
				e.addKey(pairs, kernel.Concat(kernel.Subnet(s.Prefix), kernel.Subnet(other.Prefix)))
			}
		}
		// In a VRF another routing table decides about the host's address.
		if n.Internal || n.VRF != "" {
			continue
		}
		e.addKey(out, kernel.Subnet(s.Prefix))
		if by.IsValid() {
			e.addPair(outbound, kernel.Subnet(s.Prefix), kernel.IP(by))
		}
	}
}

// addGateways keeps ARP and ND for the gateways, which every host has, from crossing the tunnel.
func (e *elementList) addGateways(n network.Network) {
	device := kernel.Device(n.Device.Name)
	some := false
	for _, s := range n.Subnets {
		if !s.Gateway.IsValid() {
			continue
		}
		some = true
		if s.Gateway.Is4() {
			e.addKey(kernel.Gateways4, kernel.Concat(device, kernel.IP(s.Gateway)))
			continue
		}
		e.addKey(kernel.Gateways6, kernel.Concat(device, kernel.IP(s.Gateway)))
		e.addKey(kernel.GatewaysND, kernel.Concat(device, kernel.NDTarget(s.Gateway)))
	}
	if some {
		e.addPair(kernel.FromPort, device, kernel.Jump(kernel.ChainFromTunnel))
		e.addPair(kernel.ToPort, device, kernel.Jump(kernel.ChainToTunnel))
	}
}

const dnsPort = 53

// addResolvers redirects to the agent's name server where it does not listen on port 53. Its
// sockets are bound to the bridge, so this opens it to nobody else.
func (e *elementList) addResolvers(n network.Network) {
	if n.DNSPort == 0 || n.DNSPort == dnsPort || !n.HasNames() {
		return
	}
	for _, a := range n.ResolverAddrs() {
		at := kernel.PortsAt4
		if a.Is6() {
			at = kernel.PortsAt6
		}
		for _, p := range []network.Protocol{network.ProtocolUDP, network.ProtocolTCP} {
			e.addPair(at, kernel.Concat(kernel.IP(a), kernel.Protocol(p.Number()), kernel.Port(dnsPort)),
				kernel.Concat(kernel.IP(a), kernel.Port(n.DNSPort)))
		}
	}
}

// endpointElements returns the elements of one endpoint.
func endpointElements(n network.Network, end network.Endpoint) []kernel.Element {
	return append(PublishedElements(n, end), guardElements(n, end)...)
}

// PublishedElements returns those by which an endpoint's ports are reached.
func PublishedElements(n network.Network, end network.Endpoint) []kernel.Element {
	var e elementList
	if !n.Internal {
		e.publishPorts(end)
	}
	return e
}

// guardElements returns those that keep an endpoint from sending by another's addresses. Its port
// must never be without them.
func guardElements(n network.Network, end network.Endpoint) []kernel.Element {
	var e elementList
	if n.PortSecurity {
		e.securePort(n.Port(end), end)
	}
	return e
}

// publishPorts publishes on the first address of each family.
func (e *elementList) publishPorts(end network.Endpoint) {
	for _, m := range end.Ports {
		for _, a := range firstOfEachFamily(end.Addrs) {
			if m.HostIP.IsValid() && m.HostIP.Is4() != a.Is4() {
				continue
			}
			for i := range m.Count {
				e.publishPort(m, a, i)
			}
		}
	}
}

func firstOfEachFamily(prefixes []netip.Prefix) []netip.Addr {
	var v4, v6 bool
	var all []netip.Addr
	for _, p := range prefixes {
		seen := &v4
		if p.Addr().Is6() {
			seen = &v6
		}
		if !*seen {
			*seen = true
			all = append(all, p.Addr())
		}
	}
	return all
}

func (e *elementList) publishPort(m network.PortMapping, to netip.Addr, i uint16) {
	anywhere, at := kernel.Ports4, kernel.PortsAt4
	if to.Is6() {
		anywhere, at = kernel.Ports6, kernel.PortsAt6
	}
	protocol := kernel.Protocol(m.Protocol.Number())
	host, target := kernel.Port(m.HostPort+i), kernel.Concat(kernel.IP(to), kernel.Port(m.ContainerPort+i))
	if !m.HostIP.IsValid() || m.HostIP.IsUnspecified() {
		e.addPair(anywhere, kernel.Concat(protocol, host), target)
		return
	}
	e.addPair(at, kernel.Concat(kernel.IP(m.HostIP), protocol, host), target)
}

// sourceAddresses are those that an endpoint may send from: its own, and its link-local address (RFC
// 4291, section 2.5.6). It may also use the unspecified addresses, as a host does before it has one
// (RFC 5227, section 2.1.1; RFC 4862, section 5.4.2).
func sourceAddresses(end network.Endpoint) []netip.Addr {
	addrs := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified(), linkLocal(end.MAC)}
	for _, p := range end.Addrs {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// securePort lists the MAC and the source addresses that an endpoint may use.
func (e *elementList) securePort(port string, end network.Endpoint) {
	device := kernel.Device(port)
	e.addPair(kernel.FromPort, device, kernel.Jump(kernel.ChainPortSecurity))
	e.addKey(kernel.SourceMAC, kernel.Concat(device, kernel.Ethernet(end.MAC)))
	for _, a := range sourceAddresses(end) {
		if a.Is4() {
			e.addKey(kernel.SourceIP4, kernel.Concat(device, kernel.IP(a)))
			continue
		}
		e.addKey(kernel.SourceIP6, kernel.Concat(device, kernel.IP(a)))
		if !a.IsUnspecified() {
			e.addKey(kernel.SourceND, kernel.Concat(device, kernel.NDTarget(a)))
		}
	}
}

// linkLocal is the address that IPv6 makes of a MAC (RFC 4291, appendix A).
func linkLocal(m kernel.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}
