package rtnl_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/rtnl"
)

func TestAddressesComeAndGo(t *testing.T) {
	h := newHost(t)
	h.apply(bridge("br0"), bridge("br1"), kernel.SetUp{Name: "br0"}, addAddr("br1", "10.9.0.1/24"))
	for range 2 {
		h.apply(addAddr("br0", "10.0.0.1/24"), addAddr("br0", "10.0.0.2/24"), addAddr("br0", "10.0.0.1/16"),
			addAddr("br0", "fd00::1/64"), addAddr("br0", "fe80::1/64"))
	}
	// The link-local one is not listed; the subnet's second IPv4 address comes last.
	equal(t, "addresses", prefixes(h.link("br0").Addrs), "10.0.0.1/24", "10.0.0.1/16", "10.0.0.2/24", "fd00::1/64")
	if out := h.tool("ip", "-6", "address", "show", "dev", "br0"); !strings.Contains(out, "fd00::1/64 scope global nodad") {
		t.Errorf("duplicate address detection is on:\n%s", out)
	}
	for range 2 {
		h.apply(delAddr("br0", "10.0.0.1/16"), delAddr("br0", "fd00::1/64"), delAddr("br0", "10.0.0.2/16"))
	}
	equal(t, "addresses", prefixes(h.link("br0").Addrs), "10.0.0.1/24", "10.0.0.2/24")
}

// The kernel deletes with a subnet's first IPv4 address the others, unless told not to: the gateway
// would go with the host's own address on the bridge.
func TestDelAddrKeepsTheOthers(t *testing.T) {
	for _, promote := range []string{"0", "1"} {
		h := newHost(t)
		h.apply(bridge("br0"))
		h.sysctl("net/ipv4/conf/br0/promote_secondaries", promote)
		h.apply(addAddr("br0", "10.0.0.1/24"), addAddr("br0", "10.0.0.2/24"), addAddr("br0", "10.0.0.3/24"),
			addAddr("br0", "10.1.0.1/24"), delAddr("br0", "10.0.0.1/24"))
		have := map[string]bool{}
		for _, p := range prefixes(h.link("br0").Addrs) {
			have[p] = true
		}
		if len(have) != 3 || !have["10.0.0.2/24"] || !have["10.0.0.3/24"] || !have["10.1.0.1/24"] {
			t.Errorf("promote_secondaries=%s: left are %v", promote, have)
		}
	}
}

// A link whose last IPv4 address goes loses all its neighbours: those of 50,000 containers take long
// to set again.
func TestDelAddrKeepsNeighbours(t *testing.T) {
	for _, promote := range []string{"0", "1"} {
		h := newHost(t)
		h.apply(bridge("br0"), kernel.SetUp{Name: "br0"})
		h.sysctl("net/ipv4/conf/br0/promote_secondaries", promote)
		h.apply(addAddr("br0", "10.0.0.1/24"), addAddr("br0", "10.0.0.2/24"))
		h.tool("ip", "neighbour", "add", "10.0.0.9", "lladdr", "02:00:00:00:00:09", "dev", "br0", "nud", "permanent")
		h.apply(delAddr("br0", "10.0.0.1/24"))
		if out := h.tool("ip", "neighbour", "show", "dev", "br0"); !strings.Contains(out, "10.0.0.9") {
			t.Errorf("promote_secondaries=%s: the neighbour is gone: %q", promote, out)
		}
		equal(t, "addresses", prefixes(h.link("br0").Addrs), "10.0.0.2/24")
	}
}

// The kernel makes an address's local route later than it lists the address. A packet that came in
// between would be lost: so the first one to a container, or to its gateway, was lost at times on a
// busy host.
func TestIPv6AddressReceivesOnceAdded(t *testing.T) {
	h := newHost(t)
	h.apply(bridge("down"), bridge("up"), kernel.SetUp{Name: "up"})
	const count = 20
	start := time.Now()
	for i, name := range []string{"down", "up"} {
		for k := range count {
			h.apply(addAddr(name, fmt.Sprintf("fd00:%d::%d/64", i, k)))
			var table []byte
			err := netns.Do(h.path, func() (err error) {
				table, err = os.ReadFile("/proc/thread-self/net/ipv6_route")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			// The highest bit of the flags is RTF_LOCAL (linux/ipv6_route.h).
			local := regexp.MustCompile(fmt.Sprintf(`(?m)^fd00%04x%020d%04d 80 .* 8[0-9a-f]{7} +%s$`, i, 0, k, name))
			if !local.Match(table) {
				t.Errorf("%s: address %d has no local route:\n%s", name, k, table)
			}
		}
	}
	if took := time.Since(start); took > count*time.Second {
		t.Errorf("took %v: the routes are not recognised", took)
	}
}

func TestIPv6AddressWithAnotherLengthIsRefused(t *testing.T) {
	h := newHost(t)
	h.apply(bridge("br0"), addAddr("br0", "fd00::1/64"))
	err := h.refuses(addAddr("br0", "fd00::1/80"), "another prefix length")
	if !errors.Is(err, rtnl.ErrExists) {
		t.Errorf("not recognised: %v", err)
	}
}

func route(name string, typ kernel.RouteType, dst, via string, metric uint32) kernel.AddRoute {
	r := kernel.Route{Type: typ, Dst: netip.MustParsePrefix(dst), Metric: metric}
	if via != "" {
		r.Gateway = netip.MustParseAddr(via)
	}
	return kernel.AddRoute{Name: name, Route: r}
}

func TestRoutesOfTwoNetworksStayApart(t *testing.T) {
	h := newHost(t)
	if l := h.link("lo"); len(l.Routes) != 0 {
		t.Errorf("an empty namespace has routes: %v", l.Routes)
	}
	h.apply(bridge("eth0"), kernel.SetUp{Name: "eth0"}, addAddr("eth0", "10.0.0.2/24"), addAddr("eth0", "fd00::2/64"),
		bridge("eth1"), kernel.SetUp{Name: "eth1"}, addAddr("eth1", "10.1.0.2/24"), addAddr("eth1", "fd01::2/64"))
	routes := []kernel.AddRoute{
		route("eth0", kernel.RouteUnicast, "0.0.0.0/0", "10.0.0.1", 100),
		route("eth0", kernel.RouteUnicast, "10.5.0.0/16", "10.0.0.3", 0),
		route("eth0", kernel.RouteUnicast, "10.6.0.0/16", "", 7),
		route("eth0", kernel.RouteBlackhole, "10.7.0.0/16", "", 100),
		route("eth0", kernel.RouteUnreachable, "10.8.0.0/16", "", 100),
		route("eth0", kernel.RouteProhibit, "10.9.0.0/16", "", 100),
		route("eth0", kernel.RouteUnicast, "::/0", "fd00::1", 100),
		route("eth0", kernel.RouteUnicast, "fd05::/64", "fd00::3", 50),
		route("eth0", kernel.RouteUnicast, "fd06::/64", "", 50),
		route("eth0", kernel.RouteBlackhole, "fd07::/64", "", 50),
		route("eth0", kernel.RouteUnreachable, "fd08::/64", "", 50),
		route("eth0", kernel.RouteProhibit, "fd09::/64", "", 50),
	}
	others := []kernel.Change{
		route("eth1", kernel.RouteUnicast, "0.0.0.0/0", "10.1.0.1", 100),
		route("eth1", kernel.RouteUnicast, "fd05:1::/64", "fd01::1", 50),
	}
	for range 2 {
		// Another network's, with the same metric: once a second network's default route took its
		// place.
		h.apply(others...)
		for _, r := range routes {
			h.apply(r)
		}
	}
	want := map[kernel.Route]bool{}
	for _, r := range routes {
		want[r.Route] = true
	}
	for _, r := range h.link("eth0").Routes {
		if !want[r] {
			t.Errorf("unexpected: %v", r)
		}
		delete(want, r)
	}
	for r := range want {
		t.Errorf("missing: %v", r)
	}
	unicast := 0
	for _, r := range h.link("eth1").Routes {
		if r.Type == kernel.RouteUnicast {
			unicast++
		}
	}
	if unicast != len(others) {
		t.Errorf("the other network's routes: %v", h.link("eth1").Routes)
	}
}

// In IPv6 a destination and metric is there once: who comes first keeps it.
func TestSecondIPv6RouteOfOneMetricStaysOut(t *testing.T) {
	h := newHost(t)
	for i, name := range []string{"eth0", "eth1"} {
		h.apply(bridge(name), kernel.SetUp{Name: name}, addAddr(name, fmt.Sprintf("fd0%d::2/64", i)),
			route(name, kernel.RouteUnicast, "::/0", fmt.Sprintf("fd0%d::1", i), 100))
	}
	equal(t, "first", h.link("eth0").Routes, route("", kernel.RouteUnicast, "::/0", "fd00::1", 100).Route)
	equal(t, "second", h.link("eth1").Routes)
}

func TestRouteMetricAndGateway(t *testing.T) {
	h := newHost(t)
	h.apply(bridge("eth0"), kernel.SetUp{Name: "eth0"}, addAddr("eth0", "10.0.0.2/24"), addAddr("eth0", "fd00::2/64"),
		route("eth0", kernel.RouteUnicast, "::/0", "fd00::1", 0))
	equal(t, "routes", h.link("eth0").Routes, route("", kernel.RouteUnicast, "::/0", "fd00::1", 1024).Route)
	h.refuses(route("eth0", kernel.RouteUnicast, "0.0.0.0/0", "192.0.2.1", 0), "ip route append 0.0.0.0/0 via 192.0.2.1", "gateway")
}

func TestUnderlayInterfaces(t *testing.T) {
	h := underlay(t)
	i, err := h.Interface("phys")
	if err != nil || i.Name != "phys" || i.MTU != 1500 || !i.Up {
		t.Error(i, err)
	}
	equal(t, "addresses", i.Addrs, netip.MustParsePrefix("198.18.0.1/24"), netip.MustParsePrefix("2001:db8::1/64"))
	if i, err := h.Interface("nope"); err != nil || i.Name != "" {
		t.Error(i, err)
	}
	for addr, want := range map[string]string{"198.18.0.1": "phys", "2001:db8::1": "phys", "198.18.0.2": "",
		"2001:db8::2": "", "::ffff:198.18.0.1": "phys"} {
		if i, err := h.InterfaceByAddr(netip.MustParseAddr(addr)); err != nil || i.Name != want {
			t.Errorf("%s: %v %v", addr, i, err)
		}
	}
}

func TestDefaultRouteInterface(t *testing.T) {
	h := underlay(t)
	check := func(want4, want6 string) {
		t.Helper()
		for ipv6, want := range map[bool]string{false: want4, true: want6} {
			if i, err := h.DefaultRouteInterface(ipv6); err != nil || i.Name != want {
				t.Errorf("IPv6 %v: %v %v", ipv6, i, err)
			}
		}
	}
	check("", "")
	h.apply(route("phys", kernel.RouteUnicast, "0.0.0.0/0", "198.18.0.254", 200),
		route("phys", kernel.RouteUnicast, "::/0", "2001:db8::ff", 200))
	check("phys", "phys")
	h.apply(bridge("better"), kernel.SetUp{Name: "better"}, addAddr("better", "198.18.1.1/24"), addAddr("better", "2001:db8:1::1/64"),
		route("better", kernel.RouteUnicast, "0.0.0.0/0", "198.18.1.254", 100),
		route("better", kernel.RouteUnicast, "::/0", "2001:db8:1::ff", 300),
		route("better", kernel.RouteBlackhole, "::/0", "", 50))
	check("better", "phys")
	h.tool("ip", "route", "replace", "default", "metric", "50", "nexthop", "via", "198.18.0.254", "nexthop", "via", "198.18.1.254")
	check("phys", "phys")
}

// A route may lead by another interface than that of its network. It is taken away as it came, and
// another program's of the same destination stays.
func TestRouteByAnyDevice(t *testing.T) {
	h := newHost(t)
	h.apply(bridge("eth0"), kernel.SetUp{Name: "eth0"}, addAddr("eth0", "10.0.0.2/24"), addAddr("eth0", "fd00::2/64"))
	anyDevice := func(dst, via string) kernel.AddRoute {
		r := route("eth1", kernel.RouteUnicast, dst, via, 100)
		r.Route.AnyDevice = true
		return r
	}
	routes := []kernel.AddRoute{
		anyDevice("10.5.0.0/16", "10.0.0.3"), anyDevice("fd05::/64", "fd00::3"),
		route("eth1", kernel.RouteBlackhole, "10.7.0.0/16", "", 100), route("eth1", kernel.RouteProhibit, "fd07::/64", "", 0),
	}
	for range 2 {
		for _, r := range routes {
			h.apply(r)
		}
	}
	if got := h.link("eth0").Routes; len(got) != len(routes) {
		t.Fatalf("got %v", got)
	}
	h.refuses(anyDevice("10.6.0.0/16", "192.0.2.1"), "no interface of the container reaches the gateway 192.0.2.1")
	h.refuses(anyDevice("fd06::/64", "2001:db8::1"), "no interface of the container reaches the gateway 2001:db8::1")
	for range 2 {
		for _, r := range routes {
			h.apply(kernel.DelRoute{Route: r.Route})
		}
	}
	equal(t, "left", h.link("eth0").Routes)
	if out, err := exec.Command("nsenter", "--net="+h.path, "ip", "route", "add", "blackhole", "10.7.0.0/16", "metric", "100").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h.apply(kernel.DelRoute{Route: routes[2].Route})
	equal(t, "another program's", h.link("eth0").Routes, routes[2].Route)
}

// To the kernel a deletion of an IPv6 route that leads nowhere is one of any route to the same
// destination.
func TestDelRouteKeepsOtherTypes(t *testing.T) {
	h := newHost(t)
	h.apply(bridge("eth0"), kernel.SetUp{Name: "eth0"}, addAddr("eth0", "10.0.0.2/24"), addAddr("eth0", "fd00::2/64"))
	for _, c := range []struct{ dst, gateway string }{{"10.5.0.0/16", "10.0.0.1"}, {"fd05::/64", "fd00::1"}} {
		other := kernel.Route{Dst: netip.MustParsePrefix(c.dst), Gateway: netip.MustParseAddr(c.gateway), Metric: 1024, Type: kernel.RouteUnicast}
		h.apply(kernel.AddRoute{Name: "eth0", Route: other})
		for _, typ := range []kernel.RouteType{kernel.RouteBlackhole, kernel.RouteUnreachable, kernel.RouteProhibit} {
			nowhere := kernel.Route{Dst: other.Dst, Metric: 1024, Type: typ}
			h.apply(kernel.DelRoute{Route: nowhere})
			equal(t, c.dst, h.link("eth0").Routes, other)
		}
		h.apply(kernel.DelRoute{Route: other})
		equal(t, c.dst, h.link("eth0").Routes)
	}
}
