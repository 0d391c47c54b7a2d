package plan

import (
	"net/netip"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Only where a port of UDP or SCTP comes or goes does anybody look through the kernel's flows,
// which takes milliseconds.
func TestFlowsOfPublishedPorts(t *testing.T) {
	udp := network.PortMapping{Protocol: network.ProtocolUDP, HostPort: 5300, ContainerPort: 53, Count: 2}
	at := network.PortMapping{Protocol: network.ProtocolSCTP, HostIP: netip.MustParseAddr("198.18.0.10"), HostPort: 2905, ContainerPort: 2905, Count: 1}
	tcp := network.PortMapping{Protocol: network.ProtocolTCP, HostPort: 80, ContainerPort: 80, Count: 1}
	for _, tt := range []struct {
		name         string
		ports        []network.PortMapping
		starts, ends string
	}{
		{name: "none"},
		{name: "of TCP", ports: []network.PortMapping{tcp}},
		{
			name: "of UDP, two of them", ports: []network.PortMapping{udp, tcp},
			starts: "conntrack -D -p udp --orig-port-dst 5300 # not to 10.0.0.2:53\n" +
				"conntrack -D -p udp --orig-port-dst 5301 # not to 10.0.0.2:54\n" +
				"conntrack -D -p udp --orig-port-dst 5300 # not to [fd00:10::2]:53\n" +
				"conntrack -D -p udp --orig-port-dst 5301 # not to [fd00:10::2]:54",
			ends: "conntrack -D -p udp --reply-src 10.0.0.2; conntrack -D -p udp --orig-src 10.0.0.2\n" +
				"conntrack -D -p udp --reply-src fd00:10::2; conntrack -D -p udp --orig-src fd00:10::2",
		},
		{
			name: "of SCTP, on one address", ports: []network.PortMapping{at},
			starts: "conntrack -D -p sctp --orig-port-dst 2905 -d 198.18.0.10 # not to 10.0.0.2:2905",
			ends: "conntrack -D -p sctp --reply-src 10.0.0.2; conntrack -D -p sctp --orig-src 10.0.0.2\n" +
				"conntrack -D -p sctp --reply-src fd00:10::2; conntrack -D -p sctp --orig-src fd00:10::2",
		},
	} {
		n, e := blue(), endpointWith("10.0.0.2/24", "fd00:10::2/64")
		e.Ports = tt.ports
		start := kernel.DeleteFlows{Stale: Start(PlacedNetwork{Network: n, VTEP: vtep}, e, Beside{}).StaleFlows}
		stop := kernel.DeleteFlows{Of: Stop(Leaving{Network: n.Identity, Endpoint: e}).Disconnect.Flows}
		if start.String() != tt.starts || stop.String() != tt.ends {
			t.Errorf("%s: a start has\n%s\nwant\n%s\na stop\n%s\nwant\n%s", tt.name, start, tt.starts, stop, tt.ends)
		}
	}
}
