package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
)

const (
	// Bytes that VXLAN adds to a frame's payload: inner Ethernet 14, VXLAN 8,
	// UDP 8 and an outer IPv4 header of 20 or IPv6 header of 40 (RFC 7348,
	// section 5).
	overhead4 = 50
	overhead6 = 70

	minMTU4 = 576  // what every IPv4 host must accept (RFC 791)
	minMTU6 = 1280 // the least that IPv6 works with (RFC 8200, section 5)
)

// VTEP is this host's end of a network's tunnel.
type VTEP struct {
	Local     netip.Addr
	Interface string       // underlay device
	Remotes   []netip.Addr // the other hosts, sorted; empty with a multicast group
	MTU       int          // of the overlay, bytes

	// What Peers sets is not stored with the rest.
	Flood     []netip.Addr `json:"-"` // hosts that get flooded packets
	StaticFDB bool         `json:"-"` // agents write all FDB entries, so the device learns none
	AgentPort uint16       `json:"-"` // where the hosts' agents listen; 0: no agents
}

// placeOnHost finds the network's VTEP on the host. Only lookups that fail are an error; what is
// wrong with the network or the host is added to problems.
func placeOnHost(n Network, host InterfaceLookup, problems *Problems) (VTEP, error) {
	iface, err := findInterface(n, host, problems)
	if err != nil || iface.Name == "" {
		return VTEP{}, err
	}
	v := VTEP{Interface: iface.Name}
	v.Local = findLocalAddr(n, iface, problems)
	// Leave out all addresses of this host, not only Local: a host that floods to itself learns
	// its own containers' MACs from the tunnel.
	for _, r := range n.Remotes {
		if r != v.Local && !iface.HasAddr(r) && !n.Gossip {
			v.Remotes = append(v.Remotes, r)
		}
	}
	v.Flood = v.Remotes
	if len(v.Remotes) == 0 && !n.Gossip && !n.Tunnel.Group.IsValid() && !problems.haveProblemWith("option remote_ips") {
		problems.Add("option remote_ips", v.Local.String(), "has no host but this one; name at least one other")
	}
	if err := checkVRF(n, host, problems); err != nil {
		return VTEP{}, err
	}
	v.MTU = findMTU(n, iface, v.Local.Is6(), problems)
	checkOverlap(n, v, iface, problems)
	return v, nil
}

// findInterface returns the underlay interface, or a zero Interface and adds a problem.
func findInterface(n Network, host InterfaceLookup, problems *Problems) (kernel.Interface, error) {
	const option = "option physical_interface"
	var (
		iface kernel.Interface
		err   error
	)
	switch {
	case problems.haveProblemWith(option):
	case n.PhysicalInterface != "":
		if iface, err = host.Interface(n.PhysicalInterface); err == nil && iface.Name == "" {
			problems.Add(option, n.PhysicalInterface, "this host has no such interface; see `ip link`")
		}
	case problems.haveProblemWith("option local_ip"):
	case n.LocalIP.IsValid():
		if iface, err = host.InterfaceByAddr(n.LocalIP); err == nil && iface.Name == "" {
			problems.Add("option local_ip", n.LocalIP.String(), "no interface of this host has this address; see `ip address`")
		}
	default:
		if iface, err = host.DefaultRouteInterface(n.wantsIPv6()); err == nil && iface.Name == "" {
			problems.Add(option, autoValue, "this host has no default route to find it by; name the interface")
		}
	}
	if err != nil {
		return kernel.Interface{}, fmt.Errorf("find the physical interface: %w", err)
	}
	if iface.Name != "" && !iface.Up {
		problems.Add(option, iface.Name, "is down; bring it up with `ip link set %s up`", iface.Name)
	}
	return iface, nil
}

// wantsIPv6 tells whether the other hosts' addresses are IPv6.
func (n Network) wantsIPv6() bool {
	if len(n.Remotes) > 0 {
		return n.Remotes[0].Is6()
	}
	return n.Tunnel.Group.Is6()
}

// findLocalAddr returns this host's VTEP address, or an invalid one and adds a problem.
func findLocalAddr(n Network, iface kernel.Interface, problems *Problems) netip.Addr {
	const option = "option local_ip"
	if problems.haveProblemWith(option) {
		return netip.Addr{}
	}
	var (
		listed, first netip.Addr // of the list, and of its family
		has           []string
	)
	for _, p := range iface.Addrs {
		a := p.Addr()
		if !listed.IsValid() && slices.Contains(n.Remotes, a) {
			listed = a
		}
		if !first.IsValid() && a.Is6() == n.wantsIPv6() {
			first = a
		}
		has = append(has, a.String())
	}
	switch {
	case !n.LocalIP.IsValid() && listed.IsValid():
		return listed // the address by which the other hosts list this one
	case !n.LocalIP.IsValid() && first.IsValid():
		return first
	case iface.HasAddr(n.LocalIP) && listed.IsValid() && !slices.Contains(n.Remotes, n.LocalIP):
		problems.Add(option, n.LocalIP.String(), "is not in remote_ips, but %s is, which this host has too; use the one that the other hosts list", listed)
		return n.LocalIP
	case iface.HasAddr(n.LocalIP):
		return n.LocalIP
	}
	if n.LocalIP.IsValid() {
		problems.Add(option, n.LocalIP.String(), "is not an address of %s, which has %s", iface.Name, joinOr(has, "none"))
	} else {
		problems.Add(option, autoValue, "%s has no address of the remote hosts' family; it has %s", iface.Name, joinOr(has, "none"))
	}
	return netip.Addr{}
}

// checkVRF refuses a device that is not there. The driver does not create it, since its routing
// table is the administrator's choice.
func checkVRF(n Network, host InterfaceLookup, problems *Problems) error {
	if n.VRF == "" || problems.haveProblemWith("option vrf") {
		return nil
	}
	iface, err := host.Interface(n.VRF)
	if err != nil {
		return fmt.Errorf("find the VRF: %w", err)
	}
	switch {
	case iface.Name == "":
		problems.Add("option vrf", n.VRF, "this host has no such device; make it with `ip link add %s type vrf table N`, which needs a kernel with VRF", n.VRF)
	case iface.Kind != "vrf":
		problems.Add("option vrf", n.VRF, "is not a VRF but a %s device", cmp.Or(string(iface.Kind), "physical"))
	}
	return nil
}

func joinOr(items []string, none string) string {
	if len(items) == 0 {
		return none
	}
	return strings.Join(items, ", ")
}

// findMTU returns the overlay's MTU: the one asked for, or the most that fits.
func findMTU(n Network, iface kernel.Interface, ipv6 bool, problems *Problems) int {
	overhead := overhead4
	if ipv6 {
		overhead = overhead6
	}
	most := iface.MTU - overhead
	least := minMTU4
	if n.HasIPv6() {
		least = minMTU6
	}
	if most < least {
		problems.Add("option physical_interface", iface.Name, "has an MTU of %d, which leaves %d for the overlay; it needs %d", iface.MTU, most, least)
		return 0
	}
	if n.MTU == 0 {
		return most
	}
	if problems.haveProblemWith("option mtu") {
		return 0
	}
	if n.MTU < least || n.MTU > most {
		problems.Add("option mtu", fmt.Sprint(n.MTU), "must be from %d to %d, since %s has an MTU of %d and VXLAN adds %d bytes",
			least, most, iface.Name, iface.MTU, overhead)
	}
	return n.MTU
}

// checkOverlap refuses subnets that contain the underlay's addresses, since the VXLAN packets
// themselves would be routed into the overlay.
func checkOverlap(n Network, v VTEP, iface kernel.Interface, problems *Problems) {
	for _, s := range n.Subnets {
		overlapped := false
		for _, p := range iface.Addrs {
			if !overlapped && p.Masked().Overlaps(s.Prefix) {
				problems.Add("--subnet", s.Prefix.String(), "overlaps the underlay: %s has %s", iface.Name, p)
				overlapped = true
			}
		}
		for _, r := range v.Remotes {
			if !overlapped && s.Prefix.Contains(r) {
				problems.Add("--subnet", s.Prefix.String(), "overlaps the underlay: it contains the remote host %s", r)
				overlapped = true
			}
		}
	}
}

// String formats the VTEP for logs and tests.
func (v VTEP) String() string {
	return fmt.Sprintf("%s %s %d %v", v.Interface, v.Local, v.MTU, v.Remotes)
}
