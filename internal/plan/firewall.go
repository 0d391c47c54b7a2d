package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// NetworkFingerprint is the network's element in kernel.Bridges, whose note stands for all that
// Firewall returns: while the kernel has it, nothing needs to be added or even
// computed, however many hosts the network has.
func NetworkFingerprint(n network.Network, v network.VTEP, others []network.Reservation) kernel.Element {
	sum := sha256.New()
	for _, r := range v.Remotes {
		sum.Write(r.AsSlice())
	}
	// Addresses are long to print; those of n are those of v, and the host's own.
	n.Remotes, v.Remotes = nil, nil
	fmt.Fprintf(sum, "%+v %v %d %+v", n, v, v.AgentPort, concerned(n, others))
	return kernel.Element{
		Set: kernel.Bridges, Key: kernel.Device(n.Bridge.Name),
		// The hash first: the kernel keeps no more than 127 bytes.
		Comment: hex.EncodeToString(sum.Sum(nil)[:6]) + " network " + n.Name,
	}
}

// Firewall returns the elements by which a network takes part in the firewall's
// rules, its endpoints left out. others are Podman's networks of other drivers.
func Firewall(n network.Network, v network.VTEP, others []network.Reservation) []kernel.Element {
	e := make(elements, 0, 32+3*len(v.Remotes)) // at most 3 for each host
	e = append(e, NetworkFingerprint(n, v, others))
	bridge := kernel.Device(n.Bridge.Name)
	e.add(kernel.SameBridge, kernel.Concat(bridge, bridge))
	e.add(kernel.PodmanBridges, bridge)
	e.isolation(bridge, n.Isolate)
	for _, o := range concerned(n, others) {
		e.add(kernel.PodmanBridges, kernel.Device(o.Bridge))
		e.isolation(kernel.Device(o.Bridge), o.Isolate)
	}
	e.tunnel(n, v)
	e.wayOut(n)
	e.gateways(n)
	e.names(n)
	return e
}

// concerned returns the other networks that n is to be kept from: what is isolated at neither end needs no rule.
func concerned(n network.Network, others []network.Reservation) []network.Reservation {
	var some []network.Reservation
	for _, o := range others {
		if o.Bridge != "" && (n.Isolate != network.IsolateOff || o.Isolate == network.IsolateStrict) {
			some = append(some, o)
		}
	}
	return some
}

// elements is a list under construction.
type elements []kernel.Element

func (e *elements) add(s kernel.Set, key kernel.Datum) {
	*e = append(*e, kernel.Element{Set: s, Key: key})
}

func (e *elements) addTo(s kernel.Set, key, value kernel.Datum) {
	*e = append(*e, kernel.Element{Set: s, Key: key, Value: value})
}

func (e *elements) isolation(bridge kernel.Datum, i network.Isolation) {
	if i != network.IsolateOff {
		e.add(kernel.Isolated, bridge)
	}
	if i == network.IsolateStrict {
		e.add(kernel.IsolatedStrict, bridge)
	}
}

// tunnel says who may send to the network's tunnel. Of a multicast group nobody knows the members.
func (e *elements) tunnel(n network.Network, v network.VTEP) {
	port, vni := kernel.Port(n.Tunnel.Port), kernel.VNI(n.Tunnel.VNI)
	e.add(kernel.Underlays, kernel.Device(v.Interface))
	e.add(kernel.VXLANPorts, port)
	e.add(kernel.OwnVNIs, kernel.Concat(port, vni))
	e.add(vteps(v.Local), kernel.Concat(kernel.IP(v.Local), port))
	e.agents(v)
	if n.Tunnel.Group.IsValid() {
		e.add(vteps(n.Tunnel.Group), kernel.Concat(kernel.IP(n.Tunnel.Group), port))
		return
	}
	e.add(kernel.VNIs, kernel.Concat(port, vni))
	for _, r := range v.Remotes {
		e.add(vteps(r), kernel.Concat(kernel.IP(r), port))
	}
	members := kernel.Members4
	if v.Local.Is6() {
		members = kernel.Members6
	}
	end := kernel.Concat(kernel.IP(v.Local), port, vni)
	for _, r := range v.Remotes {
		e.add(members, kernel.Concat(kernel.IP(r), end))
	}
}

// agents keeps containers from talking to other hosts' agents: their own host's address, by
// which they would come there, may be all that an agent asks for.
func (e *elements) agents(v network.VTEP) {
	if v.AgentPort == 0 {
		return
	}
	for _, a := range append([]netip.Addr{v.Local}, v.Remotes...) {
		set := kernel.Agents4
		if a.Is6() {
			set = kernel.Agents6
		}
		e.add(set, kernel.Concat(kernel.IP(a), kernel.Port(v.AgentPort)))
	}
}

func vteps(a netip.Addr) kernel.Set {
	if a.Is6() {
		return kernel.VTEPs6
	}
	return kernel.VTEPs4
}

// wayOut lets what leaves the overlay leave by an address that answers find back.
func (e *elements) wayOut(n network.Network) {
	if n.Internal {
		e.add(kernel.Internal, kernel.Device(n.Bridge.Name))
	}
	for _, s := range n.Subnets {
		pairs, out, outbound, by := kernel.Subnets4, kernel.Masquerade4, kernel.Outbound4, n.OutboundAddr4
		if s.Prefix.Addr().Is6() {
			pairs, out, outbound, by = kernel.Subnets6, kernel.Masquerade6, kernel.Outbound6, n.OutboundAddr6
		}
		for _, other := range n.Subnets {
			if other.Prefix.Addr().Is4() == s.Prefix.Addr().Is4() {
				e.add(pairs, kernel.Concat(kernel.Subnet(s.Prefix), kernel.Subnet(other.Prefix)))
			}
		}
		// In a VRF the host's address on the way out is another table's matter.
		if n.Internal || n.VRF != "" {
			continue
		}
		e.add(out, kernel.Subnet(s.Prefix))
		if by.IsValid() {
			e.addTo(outbound, kernel.Subnet(s.Prefix), kernel.IP(by))
		}
	}
}

// gateways keeps the addresses that every host has from being heard of across the tunnel.
func (e *elements) gateways(n network.Network) {
	device := kernel.Device(n.Device.Name)
	some := false
	for _, s := range n.Subnets {
		if !s.Gateway.IsValid() {
			continue
		}
		some = true
		if s.Gateway.Is4() {
			e.add(kernel.Gateways4, kernel.Concat(device, kernel.IP(s.Gateway)))
			continue
		}
		e.add(kernel.Gateways6, kernel.Concat(device, kernel.IP(s.Gateway)))
		e.add(kernel.GatewaysND, kernel.Concat(device, kernel.NDTarget(s.Gateway)))
	}
	if some {
		e.addTo(kernel.FromPort, device, kernel.Jump(kernel.ChainFromTunnel))
		e.addTo(kernel.ToPort, device, kernel.Jump(kernel.ChainToTunnel))
	}
}

const dnsPort = 53

// names leads to the resolver where it does not listen on the port that containers
// ask on. Its sockets are bound to the bridge, so this opens it to nobody else.
func (e *elements) names(n network.Network) {
	if n.DNSPort == 0 || n.DNSPort == dnsPort || !n.HasNames() {
		return
	}
	for _, a := range n.ResolverAddrs() {
		at := kernel.PortsAt4
		if a.Is6() {
			at = kernel.PortsAt6
		}
		for _, p := range []network.Protocol{network.ProtocolUDP, network.ProtocolTCP} {
			e.addTo(at, kernel.Concat(kernel.IP(a), kernel.Protocol(p.Number()), kernel.Port(dnsPort)),
				kernel.Concat(kernel.IP(a), kernel.Port(n.DNSPort)))
		}
	}
}

// EndpointFirewall returns the elements of one endpoint.
func EndpointFirewall(n network.Network, end network.Endpoint) []kernel.Element {
	return append(Published(n, end), Guards(n, end)...)
}

// Published returns those by which its ports are reached.
func Published(n network.Network, end network.Endpoint) []kernel.Element {
	var e elements
	if !n.Internal {
		e.ports(end)
	}
	return e
}

// Guards returns those that keep it from what it may not send, which its port must not be without.
func Guards(n network.Network, end network.Endpoint) []kernel.Element {
	var e elements
	if n.PortSecurity {
		e.security(n.Port(end), end)
	}
	return e
}

// ports publishes on the first address of each family.
func (e *elements) ports(end network.Endpoint) {
	for _, m := range end.Ports {
		for _, a := range firstOfEach(end.Addrs) {
			if m.HostIP.IsValid() && m.HostIP.Is4() != a.Is4() {
				continue
			}
			for i := range m.Count {
				e.port(m, a, i)
			}
		}
	}
}

func firstOfEach(prefixes []netip.Prefix) []netip.Addr {
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

func (e *elements) port(m network.PortMapping, to netip.Addr, i uint16) {
	anywhere, at := kernel.Ports4, kernel.PortsAt4
	if to.Is6() {
		anywhere, at = kernel.Ports6, kernel.PortsAt6
	}
	protocol := kernel.Protocol(m.Protocol.Number())
	host, target := kernel.Port(m.HostPort+i), kernel.Concat(kernel.IP(to), kernel.Port(m.ContainerPort+i))
	if !m.HostIP.IsValid() || m.HostIP.IsUnspecified() {
		e.addTo(anywhere, kernel.Concat(protocol, host), target)
		return
	}
	e.addTo(at, kernel.Concat(kernel.IP(m.HostIP), protocol, host), target)
}

// security lists what an endpoint may send from: its MAC and addresses, and what a
// host uses before it has any (RFC 5227, section 2.1.1; RFC 4862, section 5.4.2)
// and on the link (RFC 4291, section 2.5.6).
func (e *elements) security(port string, end network.Endpoint) {
	device := kernel.Device(port)
	e.addTo(kernel.FromPort, device, kernel.Jump(kernel.ChainPortSecurity))
	e.add(kernel.SourceMAC, kernel.Concat(device, kernel.Ethernet(end.MAC)))
	addrs := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified(), linkLocal(end.MAC)}
	for _, p := range end.Addrs {
		addrs = append(addrs, p.Addr())
	}
	for _, a := range addrs {
		if a.Is4() {
			e.add(kernel.SourceIP4, kernel.Concat(device, kernel.IP(a)))
			continue
		}
		e.add(kernel.SourceIP6, kernel.Concat(device, kernel.IP(a)))
		if !a.IsUnspecified() {
			e.add(kernel.SourceND, kernel.Concat(device, kernel.NDTarget(a)))
		}
	}
}

// linkLocal is the address that IPv6 makes of a MAC (RFC 4291, appendix A).
func linkLocal(m kernel.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}
