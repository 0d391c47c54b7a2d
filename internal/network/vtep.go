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
	// Bytes that KindVXLAN adds to a frame's payload: inner Ethernet 14, KindVXLAN 8,
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

	// What Peers have a say in, and so is not kept with the rest.
	Flood     []netip.Addr `json:"-"` // hosts that get what is for everybody
	StaticFDB bool         `json:"-"` // others say which MACs they have, so there is nothing to learn
	AgentPort uint16       `json:"-"` // where the hosts' agents listen; 0: there are none
}

// place finds the network's VTEP on the host. The error is of the lookups; what
// is wrong with the network or the host is added to problems.
func place(n Network, host InterfaceLookup, problems *Problems) (VTEP, error) {
	iface, err := findInterface(n, host, problems)
	if err != nil || iface.Name == "" {
		return VTEP{}, err
	}
	v := VTEP{Interface: iface.Name}
	v.Local = findLocal(n, iface, problems)
	// Not only Local: a host that flooded to another address of its own would
	// learn its own containers' MACs from the tunnel.
	for _, r := range n.Remotes {
		if r != v.Local && !iface.HasAddr(r) && !n.Gossip {
			v.Remotes = append(v.Remotes, r)
		}
	}
	v.Flood = v.Remotes
	if len(v.Remotes) == 0 && !n.Gossip && !n.Tunnel.Group.IsValid() && !problems.mention("option remote_ips") {
		problems.Add("option remote_ips", v.Local.String(), "has no host but this one; name at least one other")
	}
	if err := checkVRF(n, host, problems); err != nil {
		return VTEP{}, err
	}
	v.MTU = findMTU(n, iface, v.Local.Is6(), problems)
	checkOverlap(n, v, iface, problems)
	return v, nil
}

// findInterface returns the underlay interface, or a zero Interface with a problem.
func findInterface(n Network, host InterfaceLookup, problems *Problems) (kernel.Interface, error) {
	const option = "option physical_interface"
	var (
		iface kernel.Interface
		err   error
	)
	switch {
	case problems.mention(option):
	case n.PhysicalInterface != "":
		if iface, err = host.Interface(n.PhysicalInterface); err == nil && iface.Name == "" {
			problems.Add(option, n.PhysicalInterface, "this host has no such interface; see `ip link`")
		}
	case problems.mention("option local_ip"):
	case n.LocalIP.IsValid():
		if iface, err = host.InterfaceByAddr(n.LocalIP); err == nil && iface.Name == "" {
			problems.Add("option local_ip", n.LocalIP.String(), "no interface of this host has this address; see `ip address`")
		}
	default:
		if iface, err = host.DefaultRouteInterface(n.wantsIPv6()); err == nil && iface.Name == "" {
			problems.Add(option, auto, "this host has no default route to find it by; name the interface")
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

// wantsIPv6 tells the family of the underlay from the peers.
func (n Network) wantsIPv6() bool {
	if len(n.Remotes) > 0 {
		return n.Remotes[0].Is6()
	}
	return n.Tunnel.Group.Is6()
}

// findLocal returns this host's VTEP address, or an invalid one with a problem.
func findLocal(n Network, iface kernel.Interface, problems *Problems) netip.Addr {
	const option = "option local_ip"
	if problems.mention(option) {
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
		return listed // what the other hosts know this one by
	case !n.LocalIP.IsValid() && first.IsValid():
		return first
	case iface.HasAddr(n.LocalIP) && listed.IsValid() && !slices.Contains(n.Remotes, n.LocalIP):
		problems.Add(option, n.LocalIP.String(), "is not in remote_ips, but %s is, which this host has too; use the one that the other hosts list", listed)
		return n.LocalIP
	case iface.HasAddr(n.LocalIP):
		return n.LocalIP
	}
	if n.LocalIP.IsValid() {
		problems.Add(option, n.LocalIP.String(), "is not an address of %s, which has %s", iface.Name, listOr(has, "none"))
	} else {
		problems.Add(option, auto, "%s has no address of the remote hosts' family; it has %s", iface.Name, listOr(has, "none"))
	}
	return netip.Addr{}
}

// checkVRF wants the device to be there, since it is not the driver's to make: its
// table is the administrator's choice.
func checkVRF(n Network, host InterfaceLookup, problems *Problems) error {
	if n.VRF == "" || problems.mention("option vrf") {
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

func listOr(items []string, none string) string {
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
	if problems.mention("option mtu") {
		return 0
	}
	if n.MTU < least || n.MTU > most {
		problems.Add("option mtu", fmt.Sprint(n.MTU), "must be from %d to %d, since %s has an MTU of %d and VXLAN adds %d bytes",
			least, most, iface.Name, iface.MTU, overhead)
	}
	return n.MTU
}

// checkOverlap refuses an overlay that covers the addresses by which its own
// packets travel.
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

// String prints the VTEP for logs and tests.
func (v VTEP) String() string {
	return fmt.Sprintf("%s %s %d %v", v.Interface, v.Local, v.MTU, v.Remotes)
}
