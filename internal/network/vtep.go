package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"vxlan-driver/internal/kernel"
)

const (
	// Bytes that VXLAN adds to a frame's payload: inner Ethernet 14, VXLAN 8, UDP 8 and an outer
	// IPv4 header of 20 or IPv6 header of 40 (RFC 7348, section 5).
	overhead4 = 50
	overhead6 = 70

	minMTU4 = 576  // what every IPv4 host must accept (RFC 791)
	minMTU6 = 1280 // the least that IPv6 works with (RFC 8200, section 5)
)

// Underlay is an address of this host and the interface by which packets from it leave.
type Underlay struct {
	Interface string
	Local     netip.Addr
}

// VTEP is this host's end of a network's tunnel.
type VTEP struct {
	Local     netip.Addr
	Interface string       // underlay device
	Remotes   []netip.Addr // the other hosts, sorted; empty with a multicast group
	MTU       int          // of the overlay, bytes

	// Home is where the network was when its first container started, if it had to move since. It
	// returns there.
	Home Underlay `json:",omitzero"`

	// What Peers sets is not stored with the rest.
	Flood     []netip.Addr `json:"-"` // hosts that get flooded packets
	StaticFDB bool         `json:"-"` // agents write all FDB entries, so the device learns none
	AgentPort uint16       `json:"-"` // where the hosts' agents listen; 0: no agents

	UnderlayMTU int `json:"-"` // of Interface, bytes; 0: unknown

	Own      []netip.Addr `json:"-"` // listed addresses that this host has
	Warnings []string     `json:"-"` // what the user should know of the choice
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
// themselves would be routed into the overlay. Where hosts find each other, the list has the first
// ones to ask.
func checkOverlap(n Network, remotes []netip.Addr, iface kernel.Interface, problems *Problems) {
	for _, s := range n.Subnets {
		overlapped := false
		for _, p := range iface.Addrs {
			if !overlapped && p.Masked().Overlaps(s.Prefix) {
				problems.Add("--subnet", s.Prefix.String(), "overlaps the underlay: %s has %s", iface.Name, p)
				overlapped = true
			}
		}
		for _, r := range remotes {
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
