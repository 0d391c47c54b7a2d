package attacktest

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// A port published on 127.0.0.1 is for the host alone. A neighbour on the underlay can send packets
// to that address, and the kernel would redirect them to the container before it looks at their
// source.
func TestLoopbackPortsCannotBeReachedFromUnderlay(t *testing.T) {
	l := startLab(t, 1)
	a := l.Host("host-a")
	labtest.Sh(t, a, "podman network create --driver vxlan --opt vni=101 --opt local_ip=auto --opt physical_interface=eth0 --opt remote_ips=198.18.0.12 --disable-dns --subnet 10.1.0.0/24 one")
	labtest.Sh(t, a, "podman run -d --name local -p 127.0.0.1:9000:9000/udp --network one localhost/web")
	mac, err := net.ParseMAC(strings.TrimSpace(labtest.Sh(t, a, "cat /sys/class/net/eth0/address")))
	checkErr(t, err)
	from := openPort(t, l.Host("outside").Netns())
	known := func(b []byte) bool { return bytes.Contains(b, []byte("for the host alone")) }
	arrived := receives(t, openPort(t, labtest.Namespace(t, a, "local")), known)
	attack := func(port uint16) {
		source := netip.AddrPortFrom(l.Host("outside").Addr4(), port)
		checkErr(t, from.Send(packet.Ethernet(packet.MAC(mac), from.MAC(), packet.TypeIPv4,
			packet.UDP(source, netip.MustParseAddrPort("127.0.0.1:9000"), []byte("for the host alone")))))
	}
	attack(5000)
	if arrived(300 * time.Millisecond) {
		t.Error("a port on 127.0.0.1 is reached from the underlay")
	}
	// Without the rule the attack succeeds. It needs another source port, since a connection keeps
	// the verdict on its first packet.
	labtest.Sh(t, a, `h=$(nft -a list chain inet vxlan-driver nat_prerouting | sed -n '/loopback address from outside/s/.*# handle //p')
		nft delete rule inet vxlan-driver nat_prerouting handle $h`)
	attack(5001)
	if !arrived(arrivalTimeout) {
		t.Error("it is not reached without the rule either, so this test proves nothing")
	}
}
