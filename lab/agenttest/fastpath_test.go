package agenttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// watchBridgeTable has a host count the frames that pass its bridges, whose rules see all that a shortcut does not take.
const watchBridgeTable = `nft 'table bridge watch {
	counter ip4 { }; counter tcp6 { }; counter icmp6 { }
	chain frames { type filter hook prerouting priority -300
		ip daddr 10.0.0.0/24 counter name ip4
		ip6 daddr fd00:1::/64 tcp dport 80 counter name tcp6
		ip6 daddr fd00:1::/64 icmpv6 type echo-request counter name icmp6
	}
}'`

// bridgedFrames returns how many frames of the kind have passed the host's bridges.
func bridgedFrames(t *testing.T, h *lab.Host, kind string) string {
	t.Helper()
	return labtest.Sh(t, h, "nft list counter bridge watch "+kind+" | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'")
}

// fastPathToRemote is a script that succeeds if packets to a MAC on another host go past the bridge of the network.
func fastPathToRemote(network, mac string) string {
	return fmt.Sprintf("nft list table netdev vxlan-driver-vxlan-%s | grep -q %s", network, mac)
}

// fastPathOfLocal is a script that succeeds if those to and from a container here do.
func fastPathOfLocal(network, mac string) string {
	digits := strings.ReplaceAll(mac, ":", "")
	return fmt.Sprintf("nft list table netdev vxlan-driver-vxlan-%[1]s | grep -q port-%[2]s && test $(tc filter show dev vxlan-%[1]s ingress | grep -c 'match %[3]s/ffffffff at -12') = 3",
		network, digits, digits[4:])
}

func containerMAC(t *testing.T, h *lab.Host, container string) string {
	t.Helper()
	return labtest.Sh(t, h, "podman exec "+container+" cat /sys/class/net/eth0/address")
}

// Packets between containers on two hosts go past both bridges; what finds neighbours, and all that is for others, does not.
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
	// In pieces too, which a receiver puts together from more than one frame.
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

// Whatever goes and comes again, containers find each other at once, and past the bridge soon.
func TestFastPathReturnsAfterChanges(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net --ip 10.0.0.200") // one that Podman gives it again
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
		within time.Duration // they find each other again
	}{
		{"a container is started again", b, "podman restart -t0 cb", time.Second},
		{"a container is started again while its host has no agent", b, "podman stop -t0 cb; pkill -9 -x vxland-keeper; pkill -9 -x vxland; podman start cb", 2 * time.Second},
		{"the table is deleted", a, "nft delete table netdev vxlan-driver-vxlan-net", time.Second},
		{"the filters are", a, "tc qdisc del dev vxlan-net clsact", time.Second},
		{"all rules are", a, "nft flush ruleset", time.Second},
		{"the VXLAN device is", a, "ip link del vxlan-net", 5 * time.Second},
		{"a container's port is taken off the bridge", a,
			"ip link set $(ip -o link show type veth master br-vxlan-net | sed 's/.*: \\(veth[^@]*\\)@.*/\\1/') nomaster", 5 * time.Second},
	} {
		t.Run(event.name, func(t *testing.T) {
			labtest.Sh(t, event.host, event.script)
			both(t, event.within)
		})
	}
	t.Run("the other container goes", func(t *testing.T) {
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

// Networks whose packets are to pass the bridge have no shortcut, nor has one with a host that does not say what it has.
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
