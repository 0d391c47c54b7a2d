package membership

import (
	"strings"

	"vxlan-driver/internal/cluster"
)

const (
	maxHostName  = 64 // bytes, as Linux has it (HOST_NAME_MAX)
	maxHostLabel = 63 // bytes between two dots
)

// HostName returns the name by which people know a host in the cluster, given its host name. It
// need not be unique. Of a host name that is no name in the DNS, it is what is valid of the first
// label.
func HostName(host string) string {
	if len(host) <= maxHostName && cluster.CheckName(host) == nil {
		return host
	}
	label, _, _ := strings.Cut(host, ".")
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, label)
	if name == "" {
		return "unnamed"
	}
	return name[:min(len(name), maxHostLabel)]
}
