package bpfpath

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel/netnstest"
)

// setMTU sets the MTU of a host's underlay interface, and of all links of the network to what fits.
func (h *realHost) setMTU(underlay int) {
	h.Helper()
	inner := underlay - overhead4
	h.sh(fmt.Sprintf("ip link set eth0 mtu %d; ip link set vx.0 mtu %d; ip link set c0 mtu %[2]d; ip link set br0 "+
		"mtu %[2]d", underlay, inner))
	h.in(fmt.Sprintf("ip link set eth0 mtu %d", inner))
}

// The MTU is raised while packets pass, and lowered again. What is sent is as long as it may be, and arrives
// whole.
func TestMTUChanges(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	send := newDatagrams(t, a, b, containerB)
	send(text(1400))
	for _, mtu := range []int{9000, 1400, 1500} {
		for _, h := range []*realHost{b, a} { // the receiver first
			h.setMTU(mtu)
		}
		exchangeStream(t, a, b, fmt.Sprintf("10.0.0.2:%d", mtu)) // before the agents have looked
		a.set(a.want(b))
		b.set(b.want(a))
		wire := packetSocket(t, b.path, "eth0")
		before := a.counted().SentPackets
		longest := mtu - overhead4 - 28
		send(text(longest))
		if a.counted().SentPackets != before+1 {
			t.Errorf("MTU %d: the longest datagram was not sent by the program", mtu)
		}
		send(text(longest + 1))
		if got := longestIn(t, wire); got != 14+mtu {
			t.Errorf("MTU %d: the longest frame has %d bytes", mtu, got)
		}
		exchangeStream(t, a, b, fmt.Sprintf("[fd00::2]:%d", mtu))
	}
}

// Containers talk on a VLAN inside the network. The programs leave tagged frames to the bridge.
func TestVLANInside(t *testing.T) {
	a, b := newPair(t, underlay{})
	if out := a.in("ip link add link eth0 name vlan6 type vlan id 6 2>&1 || true"); out != "" {
		t.Skipf("the kernel has no VLAN devices: %s", out)
	}
	for _, h := range []*realHost{a, b} {
		h.in(fmt.Sprintf("ip link add link eth0 name vlan5 type vlan id 5; ip link set vlan5 mtu 1446 up; ip address "+
			"add 10.5.0.%d/24 dev vlan5", h.number))
	}
	connectPair(a, b)
	before := a.counted()
	exchangeStream(t, a, b, "10.5.0.2:80")
	newDatagrams(t, a, b, "10.5.0.2:5000")(text(4001))
	if after := a.counted(); after != before {
		t.Errorf("the programs took tagged frames: before %+v, after %+v", before, after)
	}
	if !takes(a, b) {
		t.Error("without a tag: not by the programs")
	}
}

// A container forwards what others send to what is behind it, and the answers. The programs take these
// packets, whose addresses are not the container's.
func TestForwardingContainer(t *testing.T) {
	a, b := newPair(t, underlay{})
	behind := &realHost{TB: t, container: netnstest.New(t)}
	behind.in = netnstest.Shell(t, behind.container)
	b.in("ip link add to-behind type veth peer name eth0 netns " + behind.container + `; sysctl -qw net.ipv4.ip_forward=1
		ip address add 10.9.0.1/24 dev to-behind; ip link set to-behind up`)
	behind.in("ip link set eth0 up; ip address add 10.9.0.9/24 dev eth0; ip route add default via 10.9.0.1")
	a.in("ip route add 10.9.0.0/24 via 10.0.0.2")
	connectPair(a, b)
	exchangeStream(t, a, behind, "10.9.0.9:80")
	newDatagrams(t, a, behind, "10.9.0.9:5000")(text(4001))
	for _, h := range []*realHost{a, b} {
		if c := h.counted(); c.SentPackets < 20 || c.ReceivedPackets < 20 {
			t.Errorf("host %d: %+v", h.number, c)
		}
	}
}

// What the host has marked packets with is no container's matter, as without programs.
func TestMarksStayOnHost(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	b.sh(`nft 'add table inet marks; add chain inet marks in { type filter hook prerouting priority -400; }
		add rule inet marks in udp dport 4789 meta mark set 7 counter'`)
	b.in(`nft 'add table inet seen; add chain inet seen in { type filter hook prerouting priority 0; }
		add rule inet seen in udp dport 5000 meta mark 7 counter'`)
	tunnels, err := dump[programsTunnel, programsTunnelEnd](b.programs.objects.Tunnels)
	if err != nil {
		t.Fatal(err)
	}
	for tunnel := range tunnels { // so that the packet goes by the VXLAN device
		if err := b.programs.objects.Tunnels.Delete(tunnel); err != nil {
			t.Fatal(err)
		}
	}
	exchange(a, b, containerB, 9)
	if rules := b.sh("nft list table inet marks"); strings.Contains(rules, "packets 0") {
		t.Errorf("nothing was marked: %s", rules)
	}
	if rules := b.in("nft list table inet seen"); !strings.Contains(rules, "packets 0") {
		t.Errorf("the container sees the host's mark: %s", rules)
	}
	if c := b.counted(); c.UnwrappedPackets != 1 {
		t.Errorf("from_device did not take it: %+v", c)
	}
}
