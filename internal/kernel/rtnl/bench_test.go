package rtnl_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/rtnl"
)

// BenchmarkContainer makes and removes, step by step, what the first container of a network on a
// host needs, and reports the mean of each step in µs; among 500 other links around it the figures
// should stay.
func BenchmarkContainer(b *testing.B) {
	for _, others := range []int{0, 500} {
		b.Run(fmt.Sprintf("links=%d", others), func(b *testing.B) { benchContainer(b, others) })
	}
}

func benchContainer(b *testing.B, others int) {
	h, c := underlay(b), newHost(b)
	for i := range others {
		h.apply(bridge(fmt.Sprintf("other%d", i)))
	}
	spent := map[string]time.Duration{}
	step := func(name string, f func()) {
		start := time.Now()
		f()
		spent[name] += time.Since(start)
	}
	apply := func(name string, h host, ch kernel.Change) { step(name, func() { h.apply(ch) }) }
	read := func(name string, h host, link string, f kernel.Facets) {
		step(name, func() {
			if _, err := h.Link(link, f); err != nil {
				b.Fatal(err)
			}
		})
	}
	for b.Loop() {
		apply("create-bridge", h, bridge("br0"))
		apply("alias", h, kernel.SetAlias{Name: "br0", Alias: "text"})
		apply("altname", h, kernel.AddAltName{Name: "br0", AltName: "br-vxlan-network-long"})
		apply("nolinklocal", h, kernel.SetNoLinkLocal{Name: "br0"})
		apply("addaddr4", h, addAddr("br0", "10.0.0.1/24"))
		apply("addaddr6", h, addAddr("br0", "fd00::1/64"))
		apply("up-bridge", h, kernel.SetUp{Name: "br0"})
		apply("create-vxlan", h, vxlan("vx0", v4))
		apply("nolinklocal", h, kernel.SetNoLinkLocal{Name: "vx0"})
		apply("master-vxlan", h, kernel.SetMaster{Name: "vx0", Master: "br0"})
		apply("addfdb", h, kernel.AddFDB{Name: "vx0", FDB: kernel.FDB{Dst: netip.MustParseAddr("198.18.0.2")}})
		apply("up-vxlan", h, kernel.SetUp{Name: "vx0"})
		apply("create-veth", h, veth("veth0", kernel.Peer{Name: "eth0", Namespace: c.path}))
		apply("nolinklocal", h, kernel.SetNoLinkLocal{Name: "veth0"})
		apply("master-veth", h, kernel.SetMaster{Name: "veth0", Master: "br0"})
		apply("up-veth", h, kernel.SetUp{Name: "veth0"})
		apply("addaddr4", c, addAddr("eth0", "10.0.0.2/24"))
		apply("up-peer", c, kernel.SetUp{Name: "eth0"})
		apply("route", c, route("eth0", kernel.RouteUnicast, "0.0.0.0/0", "10.0.0.1", 100))
		read("link", h, "veth0", 0)
		read("link-addrs", h, "br0", kernel.FacetAddrs)
		read("link-fdb", h, "vx0", kernel.FacetFDB)
		read("link-routes", c, "eth0", kernel.FacetAddrs|kernel.FacetRoutes)
		step("ports", func() { h.Ports("br0") })
		step("tunnels", func() { h.Tunnels() })
		step("default", func() { h.DefaultRouteInterface(false) })
		step("with", func() { h.InterfaceByAddr(netip.MustParseAddr("198.18.0.1")) })
		step("open", func() {
			x, err := rtnl.Open(c.path)
			if err != nil {
				b.Fatal(err)
			}
			x.Close()
		})
		apply("delfdb", h, kernel.DelFDB{Name: "vx0", FDB: kernel.FDB{Dst: netip.MustParseAddr("198.18.0.2")}})
		apply("delete-veth", h, kernel.DeleteLink{Name: "veth0"})
		apply("delete-vxlan", h, kernel.DeleteLink{Name: "vx0"})
		apply("delete-bridge", h, kernel.DeleteLink{Name: "br0"})
	}
	for name, d := range spent {
		b.ReportMetric(float64(d.Microseconds())/float64(b.N), name+"-µs")
	}
}
