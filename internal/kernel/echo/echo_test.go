package echo

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/netnstest"
)

const timeout = 100 * time.Millisecond

// newPair makes two namespaces whose second one takes no packets of more than 1400 bytes.
func newPair(t *testing.T) string {
	t.Helper()
	a, b := netnstest.New(t), netnstest.New(t)
	run, there := netnstest.Shell(t, a), netnstest.Shell(t, b)
	run("ip link add eth0 type veth peer name eth0 netns " + b)
	run("ip addr add 198.18.0.1/24 dev eth0; ip addr add 2001:2::1/64 dev eth0 nodad; ip link set eth0 up")
	there("ip addr add 198.18.0.2/24 dev eth0; ip addr add 2001:2::2/64 dev eth0 nodad; ip link set eth0 up; nft -f - <<E\n" +
		"table inet x {\n chain c {\n type filter hook input priority 0; policy accept;\n meta length > 1400 drop\n }\n}\nE\n")
	netnstest.WaitForAddrs(t, a)
	netnstest.WaitForAddrs(t, b)
	run("ping -c 1 -W 5 198.18.0.2; ping -c 1 -W 5 2001:2::2")
	return a
}

func TestEcho(t *testing.T) {
	namespace := newPair(t)
	for _, addr := range []string{"198.18.0.2", "2001:2::2"} {
		c, err := Open(namespace, netip.Addr{}, netip.MustParseAddr(addr))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if rtt, err := c.Echo(100, 5*time.Second); err != nil || rtt <= 0 {
			t.Errorf("%s: %v, %v", addr, rtt, err)
		}
		if _, err := c.Echo(1501, timeout); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: 1501 bytes: %v", addr, err)
		}
		if _, err := c.Echo(1450, timeout); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("%s: 1450 bytes: %v", addr, err)
		}
		if n, err := c.Largest(100, 1500, timeout); err != nil || n != 1400 {
			t.Errorf("%s: the largest packet has %d bytes, %v", addr, n, err)
		}
		if n, err := c.Largest(100, 1300, timeout); err != nil || n != 1300 {
			t.Errorf("%s: up to 1300 bytes, the largest packet has %d, %v", addr, n, err)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	namespace := newPair(t)
	c, err := Open(namespace, netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("198.18.0.77"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Largest(100, 1300, timeout); err != nil || n != 0 {
		t.Errorf("nobody answers %d bytes, %v", n, err)
	}
	if _, err := c.Echo(20, timeout); err == nil || !strings.Contains(err.Error(), "no echo request has 20 bytes") {
		t.Errorf("20 bytes: %v", err)
	}
	if _, err := Open(namespace, netip.Addr{}, netip.MustParseAddr("203.0.113.1")); err == nil {
		t.Error("there is a route to 203.0.113.1")
	}
}
