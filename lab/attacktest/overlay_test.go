package attacktest

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// VXLAN packets are not in connection tracking, so a host's own rules see them as untracked.
func TestTunnelPacketsAreNotTracked(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Host("host-a"), l.Host("host-b")
	createNetwork(t, l.Hosts(), "one", "--opt vni=101 --subnet 10.1.0.0/24")
	from, to := runContainer(t, a, "from", "one"), runContainer(t, b, "to", "one")
	// In a table of its own: the test asks the kernel, not the rules under test.
	labtest.Sh(t, a, `nft -f - <<'NFT'
table inet watch {
	chain arrive { type filter hook input priority 0; udp dport 4789 ct state untracked counter comment "in untracked"; udp dport 4789 ct state != untracked counter comment "in tracked"; }
	chain leave { type filter hook output priority 0; udp dport 4789 ct state untracked counter comment "out untracked"; udp dport 4789 ct state != untracked counter comment "out tracked"; }
}
NFT`)
	labtest.Sh(t, a, fmt.Sprintf("podman exec %s ping -c3 -i0.1 %s", from.name, to.addr4))
	seen := labtest.Sh(t, a, "nft list table inet watch | grep -o 'packets.*comment.*'")
	for line := range strings.Lines(seen) {
		if none := strings.HasPrefix(line, "packets 0 "); none != strings.Contains(line, " tracked") {
			t.Errorf("%s", line)
		}
	}
	if strings.Count(seen, "packets") != 4 {
		t.Errorf("want four counters, got\n%s", seen)
	}
}

// A VXLAN made by hand on the same port, with a host that is no member of ours, still works.
func TestOtherVXLANOnSamePortIsLeftAlone(t *testing.T) {
	l := startLab(t, 2)
	a, b, outside := l.Host("host-a"), l.Host("host-b"), l.Host("outside")
	createNetwork(t, l.Hosts(), "one", "--opt vni=101 --subnet 10.1.0.0/24")
	from, to := runContainer(t, a, "from", "one"), runContainer(t, b, "to", "one")
	labtest.Sh(t, a, "ip link add other type vxlan id 777 dstport 4789 local 198.18.0.11 remote 198.18.0.200 dev eth0; ip addr add 10.77.0.1/24 dev other; ip link set other up")
	labtest.Sh(t, outside, "ip link add other type vxlan id 777 dstport 4789 local 198.18.0.200 remote 198.18.0.11 dev eth0; ip addr add 10.77.0.2/24 dev other; ip link set other up")
	labtest.Sh(t, a, "ping -c3 -i0.1 -W2 10.77.0.2")
	labtest.Sh(t, outside, "ping -c3 -i0.1 -W2 10.77.0.1")
	labtest.Sh(t, a, fmt.Sprintf("podman exec %s ping -c1 -W2 %s", from.name, to.addr4))
	// Our rules accept these packets and count none.
	if n := (rule{a, "inet", "vxlan_input", "not from a member to its VTEP"}).dropCount(t); n != 0 {
		t.Errorf("%d packets of the other overlay were dropped", n)
	}
}

// A container cannot send the agents' tunnel probes: it could answer for another host's agent, or
// keep its own busy.
func TestTunnelProbesOfContainersAreDropped(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Host("host-a"), l.Host("host-b")
	createNetwork(t, l.Hosts(), "one", "--opt vni=101 --subnet 10.1.0.0/24")
	from := runContainer(t, a, "from", "one")
	runContainer(t, b, "to", "one")
	port, err := packet.Open(labtest.Namespace(t, a, from.name), "eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	everybody := packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	request := append([]byte("vxlprobe\x01\x01\x00\x2e"), make([]byte, 34)...) // docs/design/tunnel-probe.md
	for range 5 {
		if err := port.Send(packet.Ethernet(everybody, port.MAC(), 0x88b5, request)); err != nil {
			t.Fatal(err)
		}
	}
	if n := (rule{a, "bridge", "prerouting", "tunnel probe from a container"}).dropCount(t); n != 5 {
		t.Errorf("%d of 5 probes were dropped", n)
	}
}
