package dns

import (
	"net/netip"
	"slices"
	"strings"
)

// maxResolvers is how many name servers the C library uses (MAXNS).
const maxResolvers = 3

// ParseResolvConf returns the name servers in the text of a resolv.conf(5), as the C library would
// use them: the first three. IPv6 addresses may have a zone (fe80::1%eth0). All other lines, and
// values that are not addresses, are ignored.
func ParseResolvConf(text string) []netip.AddrPort {
	var servers []netip.AddrPort
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		addr, err := netip.ParseAddr(fields[1])
		if err != nil {
			continue
		}
		server := netip.AddrPortFrom(addr.Unmap(), Port)
		if len(servers) < maxResolvers && !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	return servers
}
