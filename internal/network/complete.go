package network

import (
	"encoding/json"
	"fmt"
	"maps"
)

// Complete fills in what the configuration data, from which n was parsed, leaves to the driver: the
// bridge's name, each subnet's gateway and lease range, ipv6_enabled, and whether this host is
// listed. Everything else stays as it is, including keys that this project does not know.
func (n Network) Complete(data []byte) ([]byte, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("read network: %w", err)
	}
	set := func(m map[string]json.RawMessage, key string, value any) {
		m[key], _ = json.Marshal(value) // strings, booleans and maps of them always marshal
	}
	if n.Interface == "" {
		set(m, "network_interface", n.Bridge.Name)
	}
	set(m, "ipv6_enabled", n.HasIPv6())
	if n.AgentPicks() && !n.ListsHosts() {
		// An IPAM driver that Podman does not know makes it leave addresses to the plugin.
		set(m, "ipam_options", map[string]string{"driver": Driver})
	}
	if n.HostListed.Value {
		c, err := decodeConfig(data)
		if err != nil {
			return nil, err
		}
		options := map[string]string{"host_listed": "true"}
		maps.Copy(options, c.Options)
		set(m, "options", options)
	}
	if len(n.Subnets) > 0 {
		// A struct finds the key in any case of letters, as Parse did.
		var c struct {
			Subnets []map[string]json.RawMessage `json:"subnets"`
		}
		if err := json.Unmarshal(data, &c); err != nil {
			return nil, fmt.Errorf("read subnets: %w", err)
		}
		subnets := c.Subnets
		for i, s := range n.Subnets {
			set(subnets[i], "subnet", s.Prefix)
			if s.Gateway.IsValid() {
				set(subnets[i], "gateway", s.Gateway)
			}
			if !s.Lease.IsZero() {
				set(subnets[i], "lease_range", map[string]string{
					"start_ip": formatAddr(s.Lease.First), "end_ip": formatAddr(s.Lease.Last),
				})
			}
		}
		set(m, "subnets", subnets)
	}
	return json.Marshal(m)
}
