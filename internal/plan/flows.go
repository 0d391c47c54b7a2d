package plan

import (
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// flowOutlivesContainer tells whether a flow of the protocol can outlive the container that it
// leads to. A new connection of TCP is a new flow, unlike a packet of UDP from the same port. An
// association of SCTP begins anew from the same port too.
func flowOutlivesContainer(protocol uint8) bool {
	return protocol == network.ProtocolUDP.Number() || protocol == network.ProtocolSCTP.Number()
}

// StaleFlows returns the ports that elements publish and whose flows may have begun before, and so
// lead elsewhere.
func StaleFlows(elements []kernel.Element) []kernel.Publication {
	var all []kernel.Publication
	for _, e := range elements {
		if p, ok := kernel.PublishedBy(e); ok && flowOutlivesContainer(p.Protocol) {
			all = append(all, p)
		}
	}
	return all
}

// ownFlows are the flows of a container that publishes ports, of those ports' protocols.
func ownFlows(e network.Endpoint) []kernel.FlowEnd {
	var all []kernel.FlowEnd
	for _, m := range e.Ports {
		for _, a := range firstOfEachFamily(e.Addrs) {
			end := kernel.FlowEnd{Protocol: m.Protocol.Number(), Addr: a}
			if flowOutlivesContainer(end.Protocol) && !slices.Contains(all, end) {
				all = append(all, end)
			}
		}
	}
	return all
}
