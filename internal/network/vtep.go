package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"vxlan-driver/internal/kernel"
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

	// Listed are the other hosts of the network's list, where Remotes has those that were found too.
	Listed []netip.Addr `json:",omitempty"`

	// Home is where the network was when its first container started, if it had to move since. It
	// returns there.
	Home Underlay `json:",omitzero"`

	// What Peers sets is not stored with the rest.
	Flood     []netip.Addr `json:"-"` // hosts that get flooded packets
	StaticFDB bool         `json:"-"` // agents write all FDB entries, so the device learns none
	AgentPort uint16       `json:"-"` // where the hosts' agents listen; 0: no agents

	// WireGuard is the device by which an encrypted network's packets leave now; "": none is ready, and
	// nothing leaves.
	WireGuard string `json:"-"`
	// WireGuardAddrs are where this host and the others take in an encrypted network's packets.
	WireGuardAddrs []netip.AddrPort `json:"-"`

	AllowedUsers []uint32 `json:"-"` // users of this host, besides root, that may send VXLAN and talk to agents

	UnderlayMTU int `json:"-"` // of Interface, bytes; 0: unknown

	Own       []netip.Addr `json:"-"` // listed addresses that this host has
	Unlisted  bool         `json:"-"` // the host should have a listed address, and has none yet
	Tentative bool         `json:"-"` // duplicate address detection has not accepted Local
	Warnings  []string     `json:"-"` // what the user should know of the choice
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
		problems.AddAbsent("option vrf", n.VRF,
			"this host has no such device; make it with `ip link add %s type vrf table N`, which needs a kernel with VRF", n.VRF)
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
