package survey_test

import (
	"fmt"
	"strings"
	"testing"
)

// sixFaults concern the IPv6 of host-b's network, which has both families. What is printed mends them.
var sixFaults = []hostFault{
	{name: "container without IPv6", inject: inside + "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1", code: "VX0409",
		says: "since IPv6 is switched off on it"},
	{name: "bridge without IPv6", inject: "sysctl -qw net.ipv6.conf.br-vxlan-net.disable_ipv6=1", code: "VX0102",
		says: "br-vxlan-net.disable_ipv6 is 1"},
	{name: "host without IPv6", inject: "sysctl -qw net.ipv6.conf.all.disable_ipv6=1", code: "VX0102",
		says: "br-vxlan-net.disable_ipv6 is 1", after: "sysctl -qw net.ipv6.conf.all.disable_ipv6=0"},
	{name: "container's address", inject: inside + "ip -6 address delete fd00:10::12/64 dev eth0", code: "VX0409",
		says: "eth0 lacks the address fd00:10::12"},
	{name: "gateway's address", inject: "ip -6 address delete fd00:10::1/64 dev br-vxlan-net", code: "VX0408",
		says: "fd00:10::1"},
}

func TestFaultsOfIPv6(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	for i, h := range l.hosts {
		h.createNetwork("net", false, "10.0.1.0/24,fd00:10::/64", map[string]string{"remote_ips": l.remotes(), "vni": "101"})
		h.start("net", "net-"+string(rune('a'+i)), fmt.Sprintf("10.0.1.%[1]d,fd00:10::%[1]d", 11+i))
	}
	l.awaitHealth(t)
	b := l.hosts[1]
	for _, f := range sixFaults {
		t.Run(f.name, func(t *testing.T) {
			b.sh(f.inject)
			found := b.look(t, f.code, "host-b", f.says)
			if len(found.Evidence) == 0 || len(found.Mend) == 0 {
				t.Fatalf("no evidence or no mend: %s", found)
			}
			b.sh(strings.Join(found.Mend, "\n"))
			if f.after != "" {
				b.sh(f.after)
			}
			l.awaitHealth(t)
			b.sh(inside + "ping -c 3 -i 0.2 -w 8 fd00:10::11; " + inside + "ping -c 3 -i 0.2 -w 8 fd00:10::1")
		})
	}
}
