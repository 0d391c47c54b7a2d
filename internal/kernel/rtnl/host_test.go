package rtnl_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
)

// twoUplinks has phys and the interface vpn, whose network is 10.8.0.0/24.
func twoUplinks(t *testing.T) host {
	h := underlay(t)
	h.apply(bridge("vpn"), kernel.SetUp{Name: "vpn"}, addAddr("vpn", "10.8.0.2/24"), addAddr("vpn", "2001:db8:8::2/64"),
		kernel.SetUp{Name: "lo"}, addAddr("lo", "10.255.0.1/32"),
		route("vpn", kernel.RouteUnicast, "10.9.0.0/16", "10.8.0.1", 0),
		route("phys", kernel.RouteBlackhole, "10.10.0.0/16", "", 0))
	return h
}

func TestRouteTo(t *testing.T) {
	h := twoUplinks(t)
	for _, tt := range []struct{ dst, via, want string }{
		{"198.18.0.2", "", "phys 198.18.0.1"},
		{"198.18.0.2", "phys", "phys 198.18.0.1"},
		{"198.18.0.2", "vpn", ""}, // no route, though the kernel would take it for a neighbour
		{"198.18.0.2", "none", ""},
		{"10.9.1.1", "", "vpn 10.8.0.2"},
		{"10.9.1.1", "phys", ""},
		{"10.10.1.1", "", ""},   // blackhole
		{"198.18.0.1", "", ""},  // this host's
		{"203.0.113.1", "", ""}, // no default route
		{"239.1.1.1", "phys", ""},
		{"2001:db8::2", "", "phys 2001:db8::1"},
		{"2001:db8::2", "vpn", ""},
		{"2001:db8:8::3", "vpn", "vpn 2001:db8:8::2"},
		{"2001:db8:9::3", "", ""},
	} {
		p, err := h.RouteTo(netip.MustParseAddr(tt.dst), tt.via, netip.Addr{})
		got := ""
		if p != (kernel.Path{}) {
			got = fmt.Sprintf("%s %s", p.Interface, p.Source)
		}
		if err != nil || got != tt.want {
			t.Errorf("%s via %q: got %q, %v, want %q", tt.dst, tt.via, got, err, tt.want)
		}
	}
	h.tool("ip", "route", "add", "default", "via", "198.18.0.254")
	if p, err := h.RouteTo(netip.MustParseAddr("239.1.1.1"), "", netip.Addr{}); err != nil || p.Interface != "phys" {
		t.Errorf("got %v, %v", p, err)
	}
}

// A host with several uplinks may have a table for each source address.
func TestRouteToFromSource(t *testing.T) {
	h := twoUplinks(t)
	for _, family := range []string{"-4", "-6"} {
		from, gateway, dst := "10.8.0.2", "10.8.0.1", "203.0.113.1"
		if family == "-6" {
			from, gateway, dst = "2001:db8:8::2", "2001:db8:8::1", "2001:db8:9::3"
		}
		h.tool("ip", family, "rule", "add", "from", from, "lookup", "100")
		h.tool("ip", family, "route", "add", "default", "via", gateway, "dev", "vpn", "table", "100")
		for _, via := range []string{"", "vpn"} {
			p, err := h.RouteTo(netip.MustParseAddr(dst), via, netip.MustParseAddr(from))
			if err != nil || p.Interface != "vpn" {
				t.Errorf("%s via %q: got %v, %v", dst, via, p, err)
			}
			if p, err := h.RouteTo(netip.MustParseAddr(dst), via, netip.Addr{}); err != nil || p.Interface != "" {
				t.Errorf("%s via %q from any source: got %v, %v", dst, via, p, err)
			}
		}
	}
}

func TestOwnAddrs(t *testing.T) {
	h := twoUplinks(t)
	var asked []netip.Addr
	for _, a := range []string{"10.255.0.1", "198.18.0.2", "198.18.0.1", "2001:db8::1", "2001:db8::2"} {
		asked = append(asked, netip.MustParseAddr(a))
	}
	got, err := h.OwnAddrs(asked)
	if err != nil || fmt.Sprint(got) != "[10.255.0.1 198.18.0.1 2001:db8::1]" {
		t.Errorf("got %v, %v", got, err)
	}
	if i, err := h.Interface("lo"); err != nil || !i.Loopback {
		t.Errorf("got %+v, %v", i, err)
	}
	if i, err := h.Interface("phys"); err != nil || i.Loopback {
		t.Errorf("got %+v, %v", i, err)
	}
}

func TestHostPrefixes(t *testing.T) {
	h := twoUplinks(t)
	h.tool("ip", "route", "add", "0.0.0.0/1", "via", "10.8.0.1")
	h.tool("ip", "route", "add", "100.64.1.0/24", "dev", "vpn", "table", "52")
	h.tool("ip", "route", "add", "100.65.0.0/24", "dev", "vpn", "table", "5200")
	got := map[string]bool{}
	all, err := h.HostPrefixes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		got[fmt.Sprintf("%s %s %s", p.Prefix, p.Use, p.Interface)] = true
	}
	want := []string{
		"198.18.0.0/24 the network of interface phys",
		"2001:db8::/64 the network of interface phys",
		"10.8.0.0/24 the network of interface vpn",
		"2001:db8:8::/64 the network of interface vpn",
		"10.255.0.1/32 the network of interface lo",
		"10.9.0.0/16 a route by interface vpn",
		"10.8.0.1/32 the gateway of a route by interface vpn",
		"100.64.1.0/24 a route by interface vpn",
		"100.65.0.0/24 a route by interface vpn",
	}
	for _, w := range want {
		if !got[w] {
			t.Errorf("%q is missing", w)
		}
		delete(got, w)
	}
	if len(got) > 0 {
		t.Errorf("also got %v", got)
	}
}

// A VRF is a world of its own.
func TestHostPrefixesLeaveOutVRFs(t *testing.T) {
	h := underlay(t)
	if err := netns.Do(h.path, func() error {
		return exec.Command("ip", "link", "add", "red", "type", "vrf", "table", "7").Run()
	}); err != nil {
		t.Skip("this kernel has no VRF")
	}
	h.tool("ip", "link", "set", "red", "up")
	h.tool("ip", "link", "set", "phys", "master", "red")
	if all, err := h.HostPrefixes(); err != nil || len(all) > 0 {
		t.Errorf("got %v, %v", all, err)
	}
}

func TestAdvertisedInterfaces(t *testing.T) {
	h := twoUplinks(t)
	if names, err := h.AdvertisedInterfaces(); err != nil || len(names) > 0 {
		t.Errorf("got %v, %v", names, err)
	}
	h.tool("ip", "-6", "route", "add", "default", "via", "2001:db8::ff", "proto", "ra")
	if names, err := h.AdvertisedInterfaces(); err != nil || fmt.Sprint(names) != "[phys]" {
		t.Errorf("got %v, %v", names, err)
	}
}

// It makes no device where the kernel could.
func TestCheckVXLAN(t *testing.T) {
	h := newHost(t)
	if err := h.CheckVXLAN(); err != nil {
		t.Fatal(err)
	}
	if i, err := h.Interface("vxlan-probe"); err != nil || i.Name != "" {
		t.Errorf("got %v, %v", i, err)
	}
}
