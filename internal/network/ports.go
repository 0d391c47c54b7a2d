package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// PortMapping publishes ports of a container on the host.
type PortMapping struct {
	Protocol      Protocol
	HostIP        netip.Addr // invalid: every address; 0.0.0.0 or ::, every one of that family
	HostPort      uint16     // of the first port
	ContainerPort uint16
	Count         uint16 // of ports
}

// Protocol is a transport protocol.
type Protocol string

// The protocols whose ports can be published.
const (
	ProtocolTCP  Protocol = "tcp"
	ProtocolUDP  Protocol = "udp"
	ProtocolSCTP Protocol = "sctp"
)

// Number is the protocol's in an IP header (IANA, Protocol Numbers).
func (p Protocol) Number() uint8 { return protocolNumbers[p] }

var protocolNumbers = map[Protocol]uint8{ProtocolTCP: 6, ProtocolUDP: 17, ProtocolSCTP: 132}

// portConfig is a port mapping as netavark passes it (types.rs, PortMapping).
type portConfig struct {
	ContainerPort uint16 `json:"container_port"`
	HostIP        string `json:"host_ip"`
	HostPort      uint16 `json:"host_port"`
	Protocol      string `json:"protocol"`
	Range         uint16 `json:"range"`
}

// parsePortMappings reads netavark's port_mappings.
func parsePortMappings(data []byte, problems *Problems) ([]PortMapping, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var configs []portConfig
	if err := json.Unmarshal(data, &configs); err != nil {
		return nil, fmt.Errorf("read port mappings: %w", err)
	}
	var all []PortMapping
	for _, c := range configs {
		for protocol := range strings.SplitSeq(c.Protocol, ",") {
			all = append(all, c.parse(Protocol(protocol), problems))
		}
	}
	return all, nil
}

func (c portConfig) parse(protocol Protocol, problems *Problems) PortMapping {
	m := PortMapping{Protocol: protocol, HostPort: c.HostPort, ContainerPort: c.ContainerPort, Count: max(c.Range, 1)}
	what := fmt.Sprintf("published port %d", c.HostPort)
	if protocol.Number() == 0 {
		problems.Add(what, string(protocol), "must be of protocol tcp, udp or sctp")
	}
	if c.HostIP != "" {
		a, err := netip.ParseAddr(c.HostIP)
		if err != nil {
			problems.Add(what, c.HostIP, "must have an IP address of this host to be published on")
		}
		m.HostIP = a.Unmap().WithZone("")
	}
	last := uint32(max(m.HostPort, m.ContainerPort)) + uint32(m.Count) - 1
	if m.HostPort == 0 || m.ContainerPort == 0 || last > 65535 {
		problems.Add(what, fmt.Sprintf("%d ports to %d", m.Count, m.ContainerPort), "must have port numbers from 1 to 65535")
	}
	return m
}
