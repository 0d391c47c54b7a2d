package wireguard_test

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel/wireguard"
)

// Packets go by another interface as soon as the routes do, though what comes still comes by the first one.
// wireguard-go looks at changes of routes only if it has its sockets as they are, and it does not.
func TestPacketsFollowRoutes(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		a, b := pair(t, i, ipv6)
		waitForPing(t, a)
		if !a.isAnswered() { // a knows now by which interface b's packets come
			t.Fatal("b does not answer")
		}
		length, addrs := "/24", [2]string{"198.18.8.1", "198.18.8.2"}
		if ipv6 {
			length, addrs = "/64 nodad", [2]string{"2001:db8:8::1", "2001:db8:8::2"}
		}
		a.sh("ip link add eth1 type veth peer name eth1 netns " + b.path)
		for n, h := range []*host{a, b} {
			h.sh(fmt.Sprintf(`
				ip link set eth1 addrgenmode none up
				ip address add %s%s dev eth1
				sysctl -qw net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.eth1.rp_filter=2`, addrs[n], length))
		}
		mac := strings.TrimSpace(b.sh("ip -br link show eth1 | awk '{ print $3 }'"))
		a.sh(fmt.Sprintf(`
			nft 'table inet gone { chain c { type filter hook output priority 0; oifname "eth0" udp dport %d drop; }; }'
			ip neighbour replace %s dev eth1 lladdr %s nud permanent
			ip route add %s/%d via %[2]s dev eth1 src %[6]s`, b.state.Port, addrs[1], mac, b.vtep, b.vtep.BitLen(), a.vtep))
		for range 3 {
			if !a.isAnswered() {
				t.Fatal("no packet passes by the second interface")
			}
		}
	})
}
