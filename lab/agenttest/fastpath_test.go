package agenttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// watchBridgeTable counts the frames that pass the host's bridges, which are those off the fast
// path.
const watchBridgeTable = `nft 'table bridge watch {
	counter ip4 { }; counter tcp6 { }; counter icmp6 { }
	chain frames { type filter hook prerouting priority -300
		ip daddr 10.0.0.0/24 counter name ip4
		ip6 daddr fd00:1::/64 tcp dport 80 counter name tcp6
		ip6 daddr fd00:1::/64 icmpv6 type echo-request counter name icmp6
	}
}'`

// bridgedFrames returns how many frames of a kind have passed the host's bridges.
func bridgedFrames(t *testing.T, h *lab.Host, kind string) string {
	t.Helper()
	return labtest.Sh(t, h, "nft list counter bridge watch "+kind+" | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'")
}

// fastPathToRemote is a script that succeeds if packets to a MAC of another host take the fast
// path.
func fastPathToRemote(network, mac string) string {
	return fmt.Sprintf("nft list table netdev vxlan-driver-vxlan-%s | grep -q %s", network, mac)
}

// fastPathOfLocal is a script that succeeds if packets to and from a local container take the fast
// path.
func fastPathOfLocal(network, mac string) string {
	digits := strings.ReplaceAll(mac, ":", "")
	return fmt.Sprintf("nft list table netdev vxlan-driver-vxlan-%[1]s | grep -q port-%[2]s && test $(tc filter show dev vxlan-%[1]s ingress | grep -c 'match %[3]s/ffffffff at -12') = 3",
		network, digits, digits[4:])
}

func containerMAC(t *testing.T, h *lab.Host, container string) string {
	t.Helper()
	return labtest.Sh(t, h, "podman exec "+container+" cat /sys/class/net/eth0/address")
}

// IP packets between containers on two hosts bypass both bridges. Neighbour discovery, and packets
// of the host itself, do not.
func TestFastPathBypassesBridges(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24 --subnet fd00:1::/64")
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	labtest.Within(t, 5*time.Second, a, fastPathToRemote("net", containerMAC(t, b, "cb"))+" && "+fastPathOfLocal("net", containerMAC(t, a, "ca")))
	labtest.Within(t, 5*time.Second, b, fastPathToRemote("net", containerMAC(t, a, "ca"))+" && "+fastPathOfLocal("net", containerMAC(t, b, "cb")))
	addr4 := labtest.Address(t, b, "cb", "net")
	addr6 := labtest.Sh(t, b, "podman inspect -f '{{.NetworkSettings.Networks.net.GlobalIPv6Address}}' cb")
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, watchBridgeTable)
	}
	// Also in fragments, which the receiver reassembles.
	labtest.Sh(t, a, fmt.Sprintf("podman exec ca sh -c 'ping -c5 -i0.05 -W1 %[1]s && ping -c2 -i0.05 -s5000 -W1 %[1]s && wget -qO- http://%[1]s/ && wget -qO- http://[%[2]s]/' >/dev/null", addr4, addr6))
	for _, h := range l.Hosts() {
		if ip4, tcp6 := bridgedFrames(t, h, "ip4"), bridgedFrames(t, h, "tcp6"); ip4 != "0" || tcp6 != "0" {
			t.Errorf("the bridge of %s has seen %s IPv4 packets and %s of TCP over IPv6", h.Name(), ip4, tcp6)
		}
	}
	labtest.Sh(t, a, fmt.Sprintf("podman exec ca ping -c3 -i0.05 -W1 %s; ping -c3 -i0.05 -W1 %s; ping -c3 -i0.05 -W1 %s", addr6, addr4, labtest.Address(t, a, "ca", "net")))
	for _, h := range l.Hosts() {
		if bridgedFrames(t, h, "icmp6") == "0" {
			t.Errorf("the bridge of %s has not seen ICMPv6, which may be neighbour discovery", h.Name())
		}
	}
	if bridgedFrames(t, a, "ip4") == "0" {
		t.Error("the bridge has not seen answers to the host itself; so the counter counts nothing")
	}
}

// Whatever is deleted and comes back, containers reach each other at once, and by the fast path
// soon after.
func TestFastPathReturnsAfterChanges(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net --ip 10.0.0.200") // Podman assigns it again after a restart
	addrA, addrB := labtest.Address(t, a, "ca", "net"), labtest.Address(t, b, "cb", "net")
	macA, macB := containerMAC(t, a, "ca"), containerMAC(t, b, "cb")
	both := func(t *testing.T, within time.Duration) {
		t.Helper()
		labtest.Within(t, within, a, "podman exec ca ping -c1 -W1 "+addrB)
		labtest.Within(t, within, b, "podman exec cb ping -c1 -W1 "+addrA)
		labtest.Within(t, 5*time.Second, a, fastPathToRemote("net", macB)+" && "+fastPathOfLocal("net", macA))
		labtest.Within(t, 5*time.Second, b, fastPathToRemote("net", macA)+" && "+fastPathOfLocal("net", macB))
		labtest.Sh(t, a, "podman exec ca ping -c2 -i0.05 -W1 "+addrB)
	}
	both(t, time.Second)
	for _, event := range []struct {
		name   string
		host   *lab.Host
		script string
		within time.Duration // until they reach each other again
	}{
		{"container is restarted", b, "podman restart -t0 cb", time.Second},
		{"container is restarted while its host has no agent", b, "podman stop -t0 cb; pkill -9 -x vxland-keeper; pkill -9 -x vxland; podman start cb", 2 * time.Second},
		{"nftables table is deleted", a, "nft delete table netdev vxlan-driver-vxlan-net", time.Second},
		{"tc filters are deleted", a, "tc qdisc del dev vxlan-net clsact", time.Second},
		{"all nftables rules are deleted", a, "nft flush ruleset", time.Second},
		{"VXLAN device is deleted", a, "ip link del vxlan-net", 5 * time.Second},
		{"container's port is taken off the bridge", a,
			"ip link set $(ip -o link show type veth master br-vxlan-net | sed 's/.*: \\(veth[^@]*\\)@.*/\\1/') nomaster", 5 * time.Second},
	} {
		t.Run(event.name, func(t *testing.T) {
			labtest.Sh(t, event.host, event.script)
			both(t, event.within)
		})
	}
	t.Run("remote container is removed", func(t *testing.T) {
		labtest.Sh(t, b, "podman rm -f -t0 cb")
		labtest.Within(t, 5*time.Second, a, "! { "+fastPathToRemote("net", macB)+"; }")
	})
	labtest.Sh(t, a, "podman rm -f -t0 ca")
	for _, h := range l.Hosts() {
		if left := labtest.Sh(t, h, "nft list ruleset"); left != "" {
			t.Errorf("%s is left with\n%s", h.Name(), left)
		}
	}
}

// Networks whose packets must pass the bridge have no fast path.
func TestNoFastPathWherePacketsMustPassBridge(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	labtest.CreateNetwork(t, l, "off", "--opt vni=200 --opt fast_path=false --subnet 10.1.0.0/24")
	labtest.CreateNetwork(t, l, "secure", "--opt vni=300 --opt port_security=true --subnet 10.2.0.0/24")
	labtest.CreateNetwork(t, l, "learn", "--opt vni=400 --opt learning=true --subnet 10.3.0.0/24")
	for _, h := range l.Hosts() {
		for _, n := range []string{"off", "secure", "learn", "net"} {
			runWebServer(t, h, n, "--network "+n)
		}
	}
	labtest.Within(t, 5*time.Second, a, fastPathToRemote("net", containerMAC(t, b, "net")))
	for _, n := range []string{"off", "secure", "learn"} {
		if n != "learn" {
			labtest.Within(t, 5*time.Second, a, staticFDBActive(n))
		}
		labtest.Within(t, time.Second, a, fmt.Sprintf("podman exec %s ping -c1 -W1 %s", n, labtest.Address(t, b, n, n)))
	}
	if tables := labtest.Sh(t, a, "nft list tables netdev"); strings.TrimSpace(tables) != "table netdev vxlan-driver-vxlan-net" {
		t.Errorf("tables are\n%s", tables)
	}
}
