package plugin

import (
	"strings"
	"testing"

	"vxlan-driver/internal/kernel/netnstest"
)

// addNATUplink gives a host a second interface, with the default route.
func addNATUplink(t *testing.T, h realHost) {
	t.Helper()
	runShell(t, h.ns, `ip link add nat0 type bridge && ip address add 10.0.2.15/24 dev nat0 && ip link set nat0 up && ip link set lo up &&
		ip route add default via 10.0.2.2 dev nat0`)
}

// The same command on all hosts works where the default route is another interface's: by listed
// addresses of the underlay's interface, and by those of the loopback interface.
func TestRealAutoFindsTheUnderlay(t *testing.T) {
	for name, addrs := range map[string][2]string{
		"addresses of the interface": {"198.18.0.10", "198.18.0.11"},
		"addresses of the host":      {"10.255.0.10", "10.255.0.11"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newRealHosts(t)
			for i, h := range []realHost{a, b} {
				addNATUplink(t, h)
				if other := addrs[1-i]; strings.HasPrefix(other, "10.255") {
					runShell(t, h.ns, "ip address add "+addrs[i]+"/32 dev lo && ip route add "+other+" via 198.18.0."+[]string{"11", "10"}[i])
				}
			}
			config := strings.NewReplacer(`"local_ip": "198.18.0.10"`, `"local_ip": "auto"`, `"physical_interface": "eth0"`, `"physical_interface": "auto"`,
				`198.18.0.11,198.18.0.12`, addrs[0]+","+addrs[1]).Replace(testNetwork)
			namespaces := [2]string{}
			for i, h := range []realHost{a, b} {
				created, err := h.Create([]byte(config))
				if err != nil {
					t.Fatal(err)
				}
				_, r := request(string(created), i+1)
				namespaces[i] = netnstest.New(t)
				if _, err := h.Setup(namespaces[i], r); err != nil {
					t.Fatal(err)
				}
				if got := runShell(t, h.ns, "ip -d link show vxlan-vxlan-network"); !strings.Contains(got, "local "+addrs[i]+" dev eth0") {
					t.Errorf("host %d sends from elsewhere:\n%s", i, got)
				}
			}
			runShell(t, namespaces[0], "ping -c 1 -W 5 10.0.0.3")
		})
	}
}

// A host that takes its routes from router advertisements keeps doing so when it begins to forward.
func TestRealHostKeepsAdvertisedRoutes(t *testing.T) {
	a, _ := newRealHosts(t)
	runShell(t, a.ns, `echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_ra; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding
		ip -6 address add 2001:db8::10/64 dev eth0 nodad && ip -6 route add default via 2001:db8::1 dev eth0 proto ra`)
	ns, r := realRequest(t, "198.18.0.10", 1)
	if _, err := a.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	if got := runShell(t, a.ns, "cat /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv6/conf/eth0/accept_ra"); got != "1\n2\n" {
		t.Errorf("forwarding and accept_ra are %q", got)
	}
}
