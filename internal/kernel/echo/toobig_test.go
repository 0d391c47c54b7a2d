package echo

import (
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/netnstest"
)

// The router before a link with a small MTU says so, and is named.
func TestTooBig(t *testing.T) {
	a, router, b := netnstest.New(t), netnstest.New(t), netnstest.New(t)
	here, between, there := netnstest.Shell(t, a), netnstest.Shell(t, router), netnstest.Shell(t, b)
	here("ip link add eth0 type veth peer name left netns " + router)
	there("ip link add eth0 type veth peer name right netns " + router)
	between("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; ip link set left up; ip link set right mtu 1400 up; " +
		"ip addr add 198.18.0.1/24 dev left; ip addr add 198.19.0.1/24 dev right; ip addr add 2001:2:0:1::1/64 dev left nodad; ip addr add 2001:2:0:2::1/64 dev right nodad")
	here("ip link set eth0 up; ip addr add 198.18.0.2/24 dev eth0; ip route add default via 198.18.0.1; ip addr add 2001:2:0:1::2/64 dev eth0 nodad; ip -6 route add default via 2001:2:0:1::1")
	there("ip link set eth0 up; ip addr add 198.19.0.2/24 dev eth0; ip route add default via 198.19.0.1; ip addr add 2001:2:0:2::2/64 dev eth0 nodad; ip -6 route add default via 2001:2:0:2::1")
	for _, ns := range []string{a, router, b} {
		netnstest.WaitForAddrs(t, ns)
	}
	for to, by := range map[string]string{"198.19.0.2": "198.18.0.1", "2001:2:0:2::2": "2001:2:0:1::1"} {
		c, err := Open(a, netip.Addr{}, netip.MustParseAddr(to))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.ReportTooBig(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Echo(1400, 5*time.Second); err != nil {
			t.Errorf("%s: 1400 bytes fit: %v", to, err)
		}
		if said, ok := c.TooBig(); ok {
			t.Errorf("%s: nobody complained, got %+v", to, said)
		}
		if _, err := c.Echo(1401, 5*time.Second); err == nil {
			t.Errorf("%s: 1401 bytes passed", to)
		}
		if said, ok := c.TooBig(); !ok || said != (TooBig{netip.MustParseAddr(by), 1400}) {
			t.Errorf("%s: got %+v, %v", to, said, ok)
		}
	}
}
