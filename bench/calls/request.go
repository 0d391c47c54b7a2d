package calls

import (
	"encoding/json"
	"fmt"
	"net/netip"
)

// network is the network of an Open order.
type network struct {
	name   string
	config json.RawMessage
	subnet netip.Prefix
}

func parseNetwork(o Open) (network, error) {
	var named struct{ Name string }
	if err := json.Unmarshal(o.Network, &named); err != nil {
		return network{}, fmt.Errorf("parse network: %w", err)
	}
	if !o.Subnet.Addr().Is4() || o.Subnet.Bits() > 16 {
		return network{}, fmt.Errorf("check subnet %s: want an IPv4 one with room for 65,000 containers", o.Subnet)
	}
	return network{named.Name, o.Network, o.Subnet}, nil
}

// container is the container of a call.
type container struct {
	number int // from 0, different for each
	ports  int // published ones
}

func (c container) id() string { return fmt.Sprintf("%064x", c.number+1) }

// addr leaves the subnet's first addresses to its gateway.
func (c container) addr(subnet netip.Prefix) netip.Addr {
	b := subnet.Addr().As4()
	n := c.number + 10
	b[2], b[3] = byte(n>>8), byte(n)
	return netip.AddrFrom4(b)
}

// portMapping is netavark's, with its JSON names.
type portMapping struct {
	ContainerPort int    `json:"container_port"`
	HostIP        string `json:"host_ip"`
	HostPort      int    `json:"host_port"`
	Protocol      string `json:"protocol"`
	Range         int    `json:"range"`
}

// mappings give no two containers the same host port.
func (c container) mappings() []portMapping {
	var all []portMapping
	for i := range c.ports {
		all = append(all, portMapping{ContainerPort: 80 + i, HostPort: 10_000 + 10*c.number + i, Protocol: "tcp", Range: 1})
	}
	return all
}

// request is what Podman writes to netavark's standard input, for setup and teardown alike.
func (n network) request(c container) map[string]any {
	return map[string]any{
		"container_id":   c.id(),
		"container_name": fmt.Sprintf("container-%d", c.number),
		"port_mappings":  c.mappings(),
		"networks":       map[string]any{n.name: n.options(c)},
		"network_info":   map[string]any{n.name: n.config},
	}
}

// pluginRequest is what netavark passes to a plugin.
func (n network) pluginRequest(c container) map[string]any {
	return map[string]any{
		"container_id":    c.id(),
		"container_name":  fmt.Sprintf("container-%d", c.number),
		"port_mappings":   c.mappings(),
		"network":         n.config,
		"network_options": n.options(c),
	}
}

func (n network) options(c container) map[string]any {
	return map[string]any{
		"static_ips":     []netip.Addr{c.addr(n.subnet)},
		"interface_name": "eth0",
		"aliases":        []string{c.id()[:12]},
	}
}
