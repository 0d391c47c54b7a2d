package membership

import (
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
)

func TestHostNameIsValidAndTellsHostsApart(t *testing.T) {
	for _, host := range []string{"", "web1.example.com", strings.Repeat("x", 300), "ümlaut"} {
		for _, addr := range []string{"198.18.0.1", "2001:db8:1111:2222:3333:4444:5555:6666", "fe80::1"} {
			name := HostName(host, netip.MustParseAddr(addr))
			if err := cluster.CheckName(name); err != nil || len(name) > 64 {
				t.Errorf("%q %s: %q: %v", host, addr, name, err)
			}
		}
	}
	if got := HostName("web1.example.com", netip.MustParseAddr("198.18.0.1")); got != "web1.198.18.0.1" {
		t.Errorf("got %s", got)
	}
}
