package attacktest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// Without a key an agent knows hosts by their addresses. A container could send to its own host
// with another host's address, and IPv6 has no reverse path filter against that.
func TestContainersCannotReachAgents(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Host("host-a"), l.Host("host-b")
	for _, tt := range []struct {
		name, flags, says string
		own, other        netip.Addr
	}{
		{"four", "--opt vni=101 --subnet 10.1.0.0/24", "container to an agent over IPv4", a.Addr4(), b.Addr4()},
		{"six", "--opt vni=102 --subnet 10.2.0.0/24 --subnet fd00:2::/64", "container to an agent over IPv6", a.Addr6(), b.Addr6()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			labtest.Sh(t, a, fmt.Sprintf("podman network create --driver vxlan --opt local_ip=%s --opt remote_ips=%s --opt physical_interface=eth0 %s %s",
				tt.own, tt.other, tt.flags, tt.name))
			labtest.Sh(t, a, "podman network create --ipv6 bridge-"+tt.name)
			forgeToAgent(t, a, tt.name, "br-vxlan-"+tt.name, rule{a, "inet", "container_to_agent", tt.says}, tt.other, tt.own)
			// A container on netavark's own bridge can do the same.
			bridge := labtest.Sh(t, a, "podman network inspect -f '{{.NetworkInterface}}' bridge-"+tt.name)
			forgeToAgent(t, a, "bridge-"+tt.name, bridge, rule{a, "inet", "container_to_agent", tt.says}, tt.other, tt.own)
		})
	}
}

// forgeToAgent sends from a container to its host's agent with another host's address.
func forgeToAgent(t *testing.T, h *lab.Host, network, bridge string, r rule, from, to netip.Addr) {
	t.Helper()
	evil := runContainer(t, h, "evil-"+network, network)
	router, err := packet.Open(h.Netns(), bridge)
	checkErr(t, err)
	mac := router.MAC()
	checkErr(t, router.Close())
	kind := uint16(packet.TypeIPv4)
	if to.Is6() {
		kind = packet.TypeIPv6
	}
	const port = 7947
	said := packet.UDP(netip.AddrPortFrom(from, port), netip.AddrPortFrom(to, port), []byte("not gossip, and so counted"))
	before := r.dropCount(t)
	checkErr(t, openPort(t, evil.ns).Send(packet.Ethernet(mac, evil.mac, kind, said)))
	for deadline := time.Now().Add(arrivalTimeout); r.dropCount(t) == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("the rule %q dropped nothing from %s", r.comment, network)
			break
		}
	}
	if status := labtest.Sh(t, h, "vxlanctl status"); strings.Contains(status, "label") || strings.Contains(status, "malformed") {
		t.Errorf("the agent heard a container on %s:\n%s", network, status)
	}
}
