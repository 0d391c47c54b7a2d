package attacktest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// No ARP or neighbour discovery of or for the gateway's address crosses the underlay, whatever
// provokes it. As soon as the filter is off, it does.
func TestGatewayNeverCrossesTheTunnel(t *testing.T) {
	for _, kind := range []string{"", "--internal"} {
		t.Run("network "+kind, func(t *testing.T) {
			t.Parallel()
			l := startLab(t, 3)
			createNetwork(t, l.Hosts(), "one", kind+" --opt vni=101 --subnet 10.1.0.0/24 --subnet fd00:1::/64")
			var all []container
			for _, h := range l.Hosts() {
				all = append(all, runContainer(t, h, "c", "one"))
			}
			ports := openUnderlayPorts(t, l)
			labtest.Each(t, all, func(c container) {
				sendGatewayARPAndND(t, c)
				checkOwnGateway(t, c)
			})
			if got := framesAboutGateway(t, ports); len(got) > 0 {
				t.Errorf("%d crossed the tunnel, such as % x", len(got), got[0])
			}
			for _, h := range l.Hosts() {
				for _, chain := range []string{"from_tunnel", "to_tunnel", "nd_from_tunnel", "nd_to_tunnel"} {
					rule{h, "bridge", chain, ""}.disable(t)
				}
			}
			labtest.Each(t, all, func(c container) { sendGatewayARPAndND(t, c) })
			var arp, nd bool
			for _, f := range framesAboutGateway(t, ports) {
				arp = arp || packet.EtherType(f) == packet.TypeARP
				nd = nd || packet.EtherType(f) == packet.TypeIPv6
			}
			if !arp || !nd {
				t.Errorf("without the filter the capture shows ARP: %v, neighbour discovery: %v; so it proves nothing", arp, nd)
			}
		})
	}
}

func openUnderlayPorts(t *testing.T, l *lab.Lab) (ports []*packet.Port) {
	t.Helper()
	for _, h := range l.Hosts() {
		ports = append(ports, openPort(t, h.Netns()))
	}
	return ports
}

// sendGatewayARPAndND sends every kind of ARP and neighbour discovery about the gateway, from a
// container and its host.
func sendGatewayARPAndND(t *testing.T, c container) {
	t.Helper()
	labtest.Sh(t, c.host, fmt.Sprintf("ip -n %s neigh flush dev eth0", netnsName(c)))
	labtest.Sh(t, c.host, "podman exec c ping -c1 -W2 10.1.0.1; podman exec c ping -c1 -W2 fd00:1::1; podman exec c arping -c1 -w2 -I eth0 10.1.0.1")
	// The host itself with the gateway's address as sender, for a neighbour that it does not know,
	// and an announcement.
	labtest.Sh(t, c.host, "ping -c1 -W1 -I 10.1.0.1 10.1.0.250 || true; ping -c1 -W1 -I fd00:1::1 fd00:1::dead || true")
	gateway := parseAddr("10.1.0.1")
	p, err := packet.Open(c.host.Netns(), "br-vxlan-one")
	checkErr(t, err)
	checkErr(t, p.Send(packet.Ethernet(packet.Broadcast, p.MAC(), packet.TypeARP, packet.ARP(packet.ARPRequest, p.MAC(), gateway, packet.MAC{}, gateway))))
	checkErr(t, p.Close())
}

// checkOwnGateway checks that a container's gateway is its own host's bridge, in both families.
func checkOwnGateway(t *testing.T, c container) {
	t.Helper()
	bridge := labtest.Sh(t, c.host, "cat /sys/class/net/br-vxlan-one/address")
	for _, gateway := range []string{"10.1.0.1", "fd00:1::1"} {
		if got := labtest.Sh(t, c.host, fmt.Sprintf("ip -n %s neigh show %s dev eth0 | cut -d' ' -f3", netnsName(c), gateway)); got != bridge {
			t.Errorf("%s takes %s for %s, want its own host's bridge %s", c.host.Name(), got, gateway, bridge)
		}
	}
}

// framesAboutGateway returns the captured inner frames that are about the gateway's addresses.
func framesAboutGateway(t *testing.T, ports []*packet.Port) (found [][]byte) {
	t.Helper()
	for _, p := range ports {
		_, err := p.Receive(200*time.Millisecond, func(frame []byte) bool {
			if inner, ok := packet.Inner(frame); ok && isAboutGateway(inner) {
				found = append(found, bytes.Clone(inner))
			}
			return false
		})
		checkErr(t, err)
	}
	return found
}

func isAboutGateway(f []byte) bool {
	gateway4, gateway6 := parseAddr("10.1.0.1"), parseAddr("fd00:1::1")
	at := func(offset int, a netip.Addr) bool {
		b := a.AsSlice()
		return len(f) >= offset+len(b) && bytes.Equal(f[offset:offset+len(b)], b)
	}
	switch packet.EtherType(f) {
	case packet.TypeARP:
		return at(14+14, gateway4) || at(14+24, gateway4)
	case packet.TypeIPv6: // neighbour discovery's types (RFC 4861) and target
		discovery := len(f) > 54 && f[20] == 58 && f[54] >= 133 && f[54] <= 137
		return discovery && (at(14+8, gateway6) || at(54+8, gateway6))
	}
	return false
}

// Packets leave the overlay through the container's own host, even if no other host can be reached.
func TestInternetReachableWhileOtherHostsAreDown(t *testing.T) {
	l := startLab(t, 3)
	outside := l.Host("outside")
	createNetwork(t, l.Hosts(), "one", "--opt vni=101 --subnet 10.1.0.0/24 --subnet fd00:1::/64")
	for _, h := range l.Hosts() {
		runContainer(t, h, "c", "one")
	}
	for _, h := range l.Hosts()[1:] {
		if _, err := l.UnderlayIP(t.Context(), "link", "set", h.Name(), "down"); err != nil {
			t.Fatal(err)
		}
	}
	seen := openPort(t, outside.Netns())
	a := l.Host("host-a")
	for _, to := range []netip.Addr{outside.Addr4(), outside.Addr6()} {
		labtest.Sh(t, a, fmt.Sprintf("podman exec c ping -c2 -i0.2 -W2 %s", to))
	}
	var from4, from6 bool
	_, err := seen.Receive(200*time.Millisecond, func(f []byte) bool {
		switch binary.BigEndian.Uint16(f[12:]) {
		case packet.TypeIPv4:
			from4 = from4 || netip.AddrFrom4([4]byte(f[26:30])) == a.Addr4() && f[34] == 8
		case packet.TypeIPv6:
			from6 = from6 || netip.AddrFrom16([16]byte(f[22:38])) == a.Addr6() && f[54] == 128
		}
		return false
	})
	checkErr(t, err)
	if !from4 || !from6 {
		t.Errorf("pings came from the container's own host over IPv4: %v, IPv6: %v", from4, from6)
	}
}
