package survey_test

import (
	"strings"
	"testing"
)

// hostChange is what somebody changes on host-b, whose networks need no agent.
type hostChange struct {
	name, script string
	code, says   string // of the first finding
	after        string // takes off what the mend leaves
}

var hostChanges = []hostChange{
	{"router that is gone", "ip route add 198.18.0.11 via 198.18.0.99 dev eth0", "VX0203", "the router 198.18.0.99", "ip route delete 198.18.0.11"},
	{"route to all hosts flushed", "ip route flush dev eth0 proto kernel", "VX0203", "the router 198.18.0.1", "ip route replace 198.18.0.0/24 dev eth0 proto kernel src 198.18.0.12; ip route delete 198.18.0.11"},
	{"IPsec without keys", "ip xfrm policy add src 198.18.0.12 dst 198.18.0.11 dir out tmpl src 198.18.0.12 dst 198.18.0.11 proto esp mode transport", "VX0203", "IPsec", ""},
	{"table main not looked up", "ip rule delete priority 32766", "VX0203", "table main", ""},
	{"table local not looked up", "ip rule add priority 10 lookup local; ip rule delete priority 0; ip rule delete priority 10", "VX0203", "table local", ""},
	{"another host's address", "ip address add 198.18.0.11/32 dev lo", "VX0307", "198.18.0.11", ""},
	{"chain in the driver's table", "nft 'add chain inet vxlan-driver evil { type filter hook input priority 0; policy drop; }'", "VX0501", "evil", ""},
	{"address of the subnet", "ip address add 10.0.1.99/24 dev eth0", "VX0606", "10.0.1.0/24", ""},
	{"bridge's own MAC behind the tunnel", "bridge fdb replace $(cat /sys/class/net/br-vxlan-plain/address) dev vxlan-plain master static", "VX0403", "own MAC", ""},
	{"carrier switched off", "ip link set vxlan-plain protodown on", "VX0402", "protodown", ""},
	{"lo down", "ip link set lo down", "VX0402", "lo is down", ""},
	{"records read-only", "mount --bind /run/vxlan /run/vxlan; mount -o remount,bind,ro /run/vxlan", "VX0906", "read-only", "umount /run/vxlan"},
	{"frames of one container dropped", "nft add table bridge f; nft 'add chain bridge f c { type filter hook forward priority 0; }'; " +
		"nft add rule bridge f c ether saddr $(ip netns exec plain-b cat /sys/class/net/eth0/address) drop; ip netns exec plain-b ping -c 1 -W 1 10.0.1.11 || true",
		"VX0506", "frames", "nft delete table bridge f"},
	{"bridge learns nothing", "bridge link set dev vxlan-plain learning off", "VX0402", "learning false", ""},
	{"IPv6 off on the underlay", "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1", "VX0201", "IPv6 is switched off", ""},
	{"neighbour discovery dropped", "ip netns exec six-b ping -c 1 -w 5 10.0.2.11; ip6tables -A INPUT -p icmpv6 --icmpv6-type neighbour-solicitation -j DROP; " +
		"ip6tables -A INPUT -p icmpv6 --icmpv6-type neighbour-advertisement -j DROP; ip -6 neigh flush dev eth0", "VX0506", "ICMPv6 of neighbour discovery", "ip6tables -F"},
	{"router that is gone, chain in the driver's table", "ip route add 198.18.0.11 via 198.18.0.99 dev eth0; nft 'add chain inet vxlan-driver evil { type filter hook input priority 0; policy drop; }'",
		"VX0203", "the router 198.18.0.99", "vxlanctl reload; ip route delete 198.18.0.11"},
}

// What people change on a host is named first, and what is printed mends it.
func TestChangesOnHost(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	six := func(last string) map[string]string {
		return map[string]string{"vni": "102", "vxlan_port": "4790", "remote_ips": "fd00:198:18::11,fd00:198:18::12", "local_ip": "fd00:198:18::" + last}
	}
	l.startNetwork("plain", false, map[string]string{"vni": "101"})
	l.startNetwork("six", false, six("11"), six("12"))
	l.awaitHealth(t)
	b := l.hosts[1]
	for _, c := range hostChanges {
		t.Run(c.name, func(t *testing.T) {
			b.sh(c.script)
			found := b.look(t, c.code, "host-b", c.says)
			if len(found.Evidence) == 0 || len(found.Mend) == 0 {
				t.Errorf("no evidence or mend: %v", found)
			}
			b.sh(strings.Join(found.Mend, "\n"))
			if c.after != "" {
				b.sh(c.after)
			}
			b.sh("ip netns exec plain-b ping -c 3 -i 0.2 -w 8 10.0.1.11; ip netns exec six-b ping -c 3 -i 0.2 -w 8 10.0.2.11")
			l.awaitHealth(t)
		})
	}
}
