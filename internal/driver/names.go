package driver

import (
	"fmt"

	"vxlan-driver/internal/netavark"
)

// searchDomain is the one that Podman's own bridge networks have.
const searchDomain = "dns.podman"

// withNames has the container ask the agent for names. Without an agent it asks whom
// the host asks: a container that cannot find others by name is better than none.
func (d *Driver) withNames(p placed, s netavark.Status) netavark.Status {
	if !p.NeedsAgent() {
		return s
	}
	if err := d.Agent.Sync(); err != nil {
		d.Warn(fmt.Sprintf("network %s: no container names, only the host's name servers: %v", p.Name, err))
		return s
	}
	s.DNSServerIPs = p.Resolvers()
	s.DNSSearchDomains = []string{searchDomain}
	return s
}
