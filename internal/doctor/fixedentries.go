package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// FixedEntry is a forwarding or neighbour entry of a network's devices that neither ages nor is learned.
type FixedEntry struct {
	Device string
	MAC    kernel.MAC
	Self   bool       // of the VXLAN device itself, not of the bridge
	Dst    netip.Addr // host behind which it is
	Addr   netip.Addr // of a neighbour; zero: it is a forwarding entry
	// Holder is the MAC that answers for Addr, where that was asked.
	Holder kernel.MAC
	// IsOwn tells that the MAC is the device's own.
	IsOwn bool
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
		if !known && !x.Holder.IsZero() {
			mac, known = x.Holder, true
		}
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
		// Without dst also one with another port or VNI goes.
		found.Mend = []string{fmt.Sprintf("bridge fdb delete %s dev %s self", x.MAC, x.Device)}
		// An agent would have written it.
		return x.Device == n.Device.Name && isUnicast(x.MAC) && x.Dst.IsValid() && !n.NeedsAgent()
	}
	if x.MAC == network.BridgeMAC(n.Tunnel.VNI, n.VTEP.Local) && x.Device != n.Bridge.Name {
		found.Summary = fmt.Sprintf("the bridge %s has its own MAC behind %s, so nobody reaches the gateway", n.Bridge.Name,
			x.Device)
		found.Mend = []string{fmt.Sprintf("bridge fdb delete %s dev %s master", x.MAC, x.Device),
			fmt.Sprintf("bridge fdb replace %s dev %s self permanent", x.MAC, n.Bridge.Name)}
		return true
	}
	isAgents := x.Device == n.Device.Name && (n.VTEP.StaticFDB || n.NeedsAgent())
	if owner := n.ownerOf(x.Device); owner != "" && owner != x.MAC.String() && !x.IsOwn && !isAgents && isUnicast(x.MAC) &&
		!n.isOfContainer(x.MAC) {
		found.Summary = fmt.Sprintf("somebody has fixed that %s is behind %s", x.MAC, x.Device)
		found.Mend = []string{fmt.Sprintf("bridge fdb delete %s dev %s master", x.MAC, x.Device)}
		if x.Device == n.Bridge.Name {
			found.Mend[0] = fmt.Sprintf("bridge fdb delete %s dev %s self", x.MAC, x.Device)
		}
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

func isUnicast(mac kernel.MAC) bool { return !mac.IsZero() && mac[0]&1 == 0 }

// ownerOf returns the MAC that belongs behind a device of the network, as text; "": it is none of the
// network's. Behind the VXLAN device any does.
func (n Network) ownerOf(device string) string {
	switch device {
	case n.Bridge.Name:
		return network.BridgeMAC(n.Tunnel.VNI, n.VTEP.Local).String()
	case n.Device.Name:
		return "another host's"
	}
	for _, e := range n.Endpoints {
		if n.Port(e.Endpoint) == device {
			return e.MAC.String()
		}
	}
	return ""
}

func (n Network) isOfContainer(mac kernel.MAC) bool {
	return slices.ContainsFunc(n.Endpoints, func(e plan.RecordedEndpoint) bool { return e.MAC == mac })
}
