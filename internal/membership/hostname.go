package membership

import (
	"net/netip"
	"strings"
)

// maxHostName leaves room for an IPv6 address in the 64 bytes of a name.
const maxHostName = 20

// HostName returns a host's name in the cluster, from its host name and the address that it talks
// by. The name is unique as long as the address is, and a person can tell the host by it.
func HostName(host string, bind netip.Addr) string {
	var b strings.Builder
	for _, r := range host {
		if b.Len() < maxHostName && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			b.WriteRune(r)
		}
		if r == '.' {
			break
		}
	}
	if b.Len() > 0 {
		b.WriteByte('.')
	}
	return b.String() + strings.ReplaceAll(bind.WithZone("").String(), ":", "-")
}
