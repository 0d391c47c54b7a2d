package rtnl_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/rtnl"
)

var (
	v4 = kernel.Tunnel{VNI: 100, Port: 4789, Dev: "phys", Local: netip.MustParseAddr("198.18.0.1")}
	v6 = kernel.Tunnel{VNI: 100, Port: 4789, Dev: "phys", Local: netip.MustParseAddr("2001:db8::1")}
)

func vxlan(name string, t kernel.Tunnel) kernel.CreateLink {
	return kernel.CreateLink{Link: kernel.Link{Name: name, Kind: kernel.KindVXLAN, MTU: 1400, Tunnel: t}}
}

// with returns a copy of the tunnel with something else about it.
func with(t kernel.Tunnel, change func(*kernel.Tunnel)) kernel.Tunnel {
	change(&t)
	return t
}

// Each attribute is sent with each of its values and must come back, so that neither a wrong number
// of an attribute nor a wrong width can hide behind the kernel's default.
func TestTunnelRoundTrip(t *testing.T) {
	h := underlay(t)
	both := []bool{false, true}
	var tunnels []kernel.Tunnel
	add := func(base kernel.Tunnel, change func(*kernel.Tunnel)) {
		tunnels = append(tunnels, with(base, change))
	}
	for _, base := range []kernel.Tunnel{v4, v6} {
		add(base, func(*kernel.Tunnel) {})
		for _, b := range both {
			o := kernel.Some(b)
			add(base, func(t *kernel.Tunnel) { t.Learning = b })
			add(base, func(t *kernel.Tunnel) { t.Proxy = o })
			add(base, func(t *kernel.Tunnel) { t.RSC = o })
			add(base, func(t *kernel.Tunnel) { t.L2Miss = o })
			add(base, func(t *kernel.Tunnel) { t.L3Miss = o })
			add(base, func(t *kernel.Tunnel) { t.GBP = o })
			add(base, func(t *kernel.Tunnel) { t.UDPChecksum = o })
		}
		for _, ttl := range []kernel.TTL{{}, {Value: 1}, {Value: 255}, {Inherit: true}} {
			add(base, func(t *kernel.Tunnel) { t.TTL = kernel.Some(ttl) })
		}
		for _, tos := range []uint8{0, kernel.TOSInherit, 0xb8} {
			add(base, func(t *kernel.Tunnel) { t.TOS = kernel.Some(tos) })
		}
		for _, df := range []kernel.DF{kernel.DFUnset, kernel.DFSet, kernel.DFInherit} {
			add(base, func(t *kernel.Tunnel) { t.DF = kernel.Some(df) })
		}
		for _, n := range []uint32{0, 1, 70000} {
			add(base, func(t *kernel.Tunnel) { t.Ageing = kernel.Some(max(n, 2)) }) // see TestTunnelAgeingZero
			add(base, func(t *kernel.Tunnel) { t.FDBLimit = kernel.Some(n) })
		}
		add(base, func(t *kernel.Tunnel) { t.SourcePorts = kernel.Some(kernel.PortRange{First: 32768, Last: 60999}) })
		add(base, func(t *kernel.Tunnel) { t.VNI, t.Port = 1<<24-1, 8472 })
	}
	add(v4, func(t *kernel.Tunnel) { t.Group = netip.MustParseAddr("239.1.2.3") })
	add(v6, func(t *kernel.Tunnel) { t.Group = netip.MustParseAddr("ff05::100") })

	for _, want := range tunnels {
		h.apply(vxlan("vx", want))
		l := h.link("vx")
		if !want.Same(l.Tunnel) || l.MTU != 1400 || l.Kind != kernel.KindVXLAN {
			t.Errorf("\nwant %s\nhave %s\n%+v", want, l.Tunnel, l)
		}
		if len(l.FDB) != 0 {
			t.Errorf("%s: the kernel's own entries are listed: %v", want, l.FDB)
		}
		allSet(t, l.Tunnel)
		h.apply(kernel.DeleteLink{Name: "vx"})
	}
}

func allSet(t *testing.T, u kernel.Tunnel) {
	t.Helper()
	if !(u.Proxy.Set && u.RSC.Set && u.L2Miss.Set && u.L3Miss.Set && u.GBP.Set && u.Ageing.Set && u.FDBLimit.Set &&
		u.TTL.Set && u.TOS.Set && u.DF.Set && u.UDPChecksum.Set && u.SourcePorts.Set) {
		t.Errorf("observed but not set: %+v", u)
	}
}

// The kernel takes 0 for its default (vxlan_config_validate in drivers/net/vxlan/vxlan_core.c),
// also when set later: there is no way to say that learned entries stay.
func TestTunnelAgeingZero(t *testing.T) {
	h := underlay(t)
	h.apply(vxlan("vx", with(v4, func(t *kernel.Tunnel) { t.Ageing = kernel.Some(uint32(0)) })))
	if a := h.link("vx").Tunnel.Ageing.Value; a != 300 {
		t.Errorf("ageing is %d", a)
	}
}

// A checksum over IPv6 in one direction only is nothing that was asked for.
func TestTunnelHalfChecksum(t *testing.T) {
	h := underlay(t)
	h.tool("ip", "link", "add", "vx", "type", "vxlan", "id", "1", "dstport", "4789", "dev", "phys",
		"local", "2001:db8::1", "udp6zerocsumtx", "noudp6zerocsumrx")
	if o := h.link("vx").Tunnel.UDPChecksum; o.Set {
		t.Errorf("checksum is %v", o)
	}
}

func TestTunnelCollision(t *testing.T) {
	h := underlay(t)
	h.apply(vxlan("vx", v4))
	for _, name := range []string{"vx", "other"} {
		err := h.refuses(vxlan(name, v4), "ip link add "+name, "file exists")
		if !errors.Is(err, rtnl.ErrExists) {
			t.Errorf("not recognised: %v", err)
		}
	}
	h.refuses(vxlan("other", v4), "(A VXLAN device with the specified VNI already exists)")
	h.apply(vxlan("other", with(v4, func(t *kernel.Tunnel) { t.Port = 4790 })))
	err := h.refuses(vxlan("third", with(v4, func(t *kernel.Tunnel) { t.Dev = "none" })), "underlay device none")
	if !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("not recognised: %v", err)
	}
}

func TestTunnelsAreListed(t *testing.T) {
	h := underlay(t)
	if links, err := h.Tunnels(); err != nil || len(links) != 0 {
		t.Fatal(links, err)
	}
	h.apply(kernel.CreateLink{Link: kernel.Link{Name: "br", Kind: kernel.KindBridge}},
		vxlan("vx0", v4), kernel.SetMaster{Name: "vx0", Master: "br"},
		vxlan("vx1", with(v4, func(t *kernel.Tunnel) { t.VNI = 101 })))
	links, err := h.Tunnels()
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, l := range links {
		have = append(have, fmt.Sprintf("%s %q %d %s", l.Name, l.Master, l.Tunnel.VNI, l.Tunnel.Dev))
	}
	equal(t, "tunnels", have, `vx0 "br" 100 phys`, `vx1 "" 101 phys`)
}

// An index of another namespace must not be taken for one of this.
func TestTunnelMovedAway(t *testing.T) {
	h, other := underlay(t), underlay(t)
	h.apply(vxlan("vx", v4))
	h.tool("ip", "link", "set", "vx", "netns", other.path)
	if l := other.link("vx"); l.Tunnel.Dev != "" || l.Tunnel.VNI != v4.VNI {
		t.Errorf("underlay is %q", l.Tunnel.Dev)
	}
	// The kernel still holds VNI and port in the first namespace.
	h.refuses(vxlan("again", v4), "already exists")
}

func TestFDBEntries(t *testing.T) {
	for _, group := range []string{"", "239.1.2.3"} {
		h := underlay(t)
		u := v4
		if group != "" {
			u.Group = netip.MustParseAddr(group)
		}
		h.apply(vxlan("vx", u), kernel.SetUp{Name: "vx"},
			kernel.CreateLink{Link: kernel.Link{Name: "br", Kind: kernel.KindBridge}}, kernel.SetMaster{Name: "vx", Master: "br"},
			vxlan("vy", with(v4, func(t *kernel.Tunnel) { t.VNI = 7 })))
		add := func(m kernel.MAC, dst string) kernel.AddFDB {
			return kernel.AddFDB{Name: "vx", FDB: kernel.FDB{MAC: m, Dst: netip.MustParseAddr(dst)}}
		}
		one := kernel.MAC{2, 0, 0, 0, 0, 1}
		var want []kernel.FDB
		for i := range 40 {
			ch := add(kernel.MAC{}, fmt.Sprintf("198.18.0.%d", i+2))
			h.apply(ch, ch)
			want = append(want, ch.FDB)
		}
		h.apply(kernel.AddFDB{Name: "vy", FDB: want[0]})
		sameFDB(t, h.link("vx").FDB, want)

		h.tool("bridge", "fdb", "add", "02:00:00:00:00:01", "dev", "vx", "dst", "198.18.0.9", "self", "dynamic")
		h.tool("bridge", "fdb", "add", "02:00:00:00:00:02", "dev", "vx", "master", "static")
		sameFDB(t, h.link("vx").FDB, want) // a learned entry and one of the bridge
		h.apply(add(one, "198.18.0.3"))    // replaces the learned one
		h.apply(add(one, "198.18.0.4"))    // and itself
		sameFDB(t, h.link("vx").FDB, append(want, kernel.FDB{MAC: one, Dst: netip.MustParseAddr("198.18.0.4")}))

		for _, e := range want[1:] {
			h.apply(kernel.DelFDB{Name: "vx", FDB: e}, kernel.DelFDB{Name: "vx", FDB: e})
		}
		h.apply(kernel.DelFDB{Name: "vx", FDB: kernel.FDB{MAC: one, Dst: want[0].Dst}}) // not its VTEP
		sameFDB(t, h.link("vx").FDB, []kernel.FDB{want[0], {MAC: one, Dst: netip.MustParseAddr("198.18.0.4")}})
		h.apply(kernel.DelFDB{Name: "gone", FDB: want[0]})
		h.refuses(kernel.AddFDB{Name: "gone", FDB: want[0]}, "no such device")
		h.refuses(kernel.AddFDB{Name: "vx", FDB: kernel.FDB{Dst: netip.MustParseAddr("2001:db8::2")}}, "address family")
	}
}

func TestFDBOverIPv6(t *testing.T) {
	h := underlay(t)
	e := kernel.FDB{Dst: netip.MustParseAddr("2001:db8::2")}
	h.apply(vxlan("vx", v6), kernel.AddFDB{Name: "vx", FDB: e})
	sameFDB(t, h.link("vx").FDB, []kernel.FDB{e})
}

// sameFDB compares in any order: the kernel's is that of a hash table.
func sameFDB(t *testing.T, have, want []kernel.FDB) {
	t.Helper()
	count := map[kernel.FDB]int{}
	for _, e := range have {
		count[e]++
	}
	for _, e := range want {
		count[e]--
	}
	for e, n := range count {
		if n != 0 {
			t.Errorf("%v: %+d", e, n)
		}
	}
}
