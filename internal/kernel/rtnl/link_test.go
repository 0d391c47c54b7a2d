package rtnl_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/rtnl"
)

func bridge(name string) kernel.CreateLink {
	return kernel.CreateLink{Link: kernel.Link{Name: name, Kind: kernel.KindBridge}}
}

func TestOpenNamespaces(t *testing.T) {
	if _, err := rtnl.Open("/nowhere"); !netns.Gone(err) {
		t.Errorf("error is %v", err)
	}
	c, err := rtnl.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if l, err := c.Link("lo", 0); err != nil || l.Name != "lo" || l.Kind != "" {
		t.Error(l, err)
	}
}

func TestLinkAttributes(t *testing.T) {
	h := newHost(t)
	long := "br-vxlan-" + strings.Repeat("x", 118) // 127 bytes, the longest
	want := kernel.Link{Name: "br0", Kind: kernel.KindBridge, MTU: 1430, MAC: kernel.MAC{2, 0, 0, 0, 0, 9}}
	h.apply(kernel.CreateLink{Link: want},
		kernel.SetAlias{Name: "br0", Alias: "vxlan network net 4711"},
		kernel.AddAltName{Name: "br0", AltName: long},
		kernel.AddAltName{Name: "br0", AltName: "br-vxlan-network"},
		kernel.AddAltName{Name: "br0", AltName: "short"},
		kernel.SetNoLinkLocal{Name: "br0"})
	for _, name := range []string{"br0", long, "br-vxlan-network", "short"} {
		l := h.link(name)
		if l.Name != want.Name || l.Kind != want.Kind || l.MTU != want.MTU || l.MAC != want.MAC ||
			l.Up || !l.NoLinkLocal || l.Alias != "vxlan network net 4711" {
			t.Errorf("%s: %+v", name, l)
		}
		equal(t, "alternative names", l.AltNames, "br-vxlan-network", long, "short")
	}
	h.apply(kernel.SetUp{Name: "br-vxlan-network"}, kernel.SetMTU{Name: "br0", MTU: 1400},
		kernel.SetMAC{Name: "br0", MAC: kernel.MAC{2, 0, 0, 0, 0, 8}}, kernel.SetAlias{Name: "br0"})
	if l := h.link("br0"); !l.Up || l.MTU != 1400 || l.MAC != (kernel.MAC{2, 0, 0, 0, 0, 8}) || l.Alias != "" || len(l.Addrs) != 0 {
		t.Errorf("%+v", l)
	}
	if out := h.tool("ip", "-6", "address", "show", "dev", "br0"); strings.Contains(out, "fe80") {
		t.Errorf("the link has an address by itself:\n%s", out)
	}
}

func TestLinkNotFound(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"", "nope", "nope-but-with-a-long-name", strings.Repeat("n", 200)} {
		if _, err := h.Link(name, everything); !errors.Is(err, kernel.ErrNotFound) {
			t.Errorf("%q: error is %v", name, err)
		}
	}
	if _, err := h.Ports("nope"); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("ports: error is %v", err)
	}
	h.apply(kernel.DeleteLink{Name: "nope"}, kernel.DeleteLink{Name: ""}, delAddr("nope", "10.0.0.1/24"))
	for _, ch := range []kernel.Change{
		kernel.SetAlias{Name: "nope", Alias: "a"}, kernel.AddAltName{Name: "nope", AltName: "a"},
		kernel.SetMTU{Name: "nope", MTU: 1400}, kernel.SetMAC{Name: "nope", MAC: kernel.MAC{2}},
		kernel.SetMaster{Name: "nope"}, kernel.SetMaster{Name: "lo", Master: "nope"},
		kernel.SetNoLinkLocal{Name: "nope"}, kernel.SetUp{Name: "nope"}, addAddr("nope", "10.0.0.1/24"),
		route("nope", kernel.RouteUnicast, "10.0.0.0/24", "", 0),
	} {
		if err := h.refuses(ch, ": no such device"); !errors.Is(err, kernel.ErrNotFound) {
			t.Errorf("not recognised: %v", err)
		}
	}
}

func TestChangesAreIdempotent(t *testing.T) {
	h := newHost(t)
	h.apply(bridge("br0"), bridge("br1"))
	if err := h.refuses(bridge("br0"), "ip link add br0"); !errors.Is(err, rtnl.ErrExists) {
		t.Errorf("not recognised: %v", err)
	}
	for range 2 {
		h.apply(kernel.SetAlias{Name: "br0", Alias: "a"}, kernel.AddAltName{Name: "br0", AltName: "alternative-of-br0"},
			kernel.SetMTU{Name: "br0", MTU: 1400}, kernel.SetNoLinkLocal{Name: "br0"}, kernel.SetUp{Name: "br0"})
	}
	for _, taken := range []string{"alternative-of-br0", "br0"} {
		err := h.refuses(kernel.AddAltName{Name: "br1", AltName: taken})
		if !errors.Is(err, rtnl.ErrExists) {
			t.Errorf("not recognised: %v", err)
		}
	}
	for range 2 {
		h.apply(kernel.DeleteLink{Name: "alternative-of-br0"})
	}
}

// Without IPv6 a link gets no address of that kind, which is all that was asked. A link too small
// for IPv6 is the same case and can be had in a namespace.
func TestNoLinkLocalWithoutIPv6(t *testing.T) {
	h := newHost(t)
	h.apply(bridge("br0"))
	if h.link("br0").NoLinkLocal {
		t.Error("a new link makes itself an address")
	}
	h.apply(kernel.SetMTU{Name: "br0", MTU: 1000}, kernel.SetNoLinkLocal{Name: "br0"})
	if !h.link("br0").NoLinkLocal {
		t.Error("no IPv6, but a link-local address")
	}
}

func veth(name string, p kernel.Peer) kernel.CreateLink {
	return kernel.CreateLink{Link: kernel.Link{Name: name, Kind: kernel.KindVeth, MTU: 1430,
		MAC: kernel.MAC{2, 0, 0, 0, 0, 1}, Peer: p}}
}

func TestVethBetweenNamespaces(t *testing.T) {
	h, c := newHost(t), newHost(t)
	p := kernel.Peer{Name: "eth0", Namespace: c.path, MTU: 1420, MAC: kernel.MAC{2, 0, 0, 0, 0, 2}}
	h.apply(bridge("br0"), veth("veth0", p), kernel.SetMaster{Name: "veth0", Master: "br0"})
	if l := h.link("veth0"); l.Kind != kernel.KindVeth || l.MTU != 1430 || l.MAC != (kernel.MAC{2, 0, 0, 0, 0, 1}) || l.Master != "br0" {
		t.Errorf("%+v", l)
	}
	if l := c.link("eth0"); l.Kind != kernel.KindVeth || l.MTU != 1420 || l.MAC != p.MAC || l.Master != "" {
		t.Errorf("%+v", l)
	}
	err := h.refuses(veth("veth1", p), "peer name eth0") // there is one
	if !errors.Is(err, rtnl.ErrExists) {
		t.Errorf("not recognised: %v", err)
	}
	if _, err := h.Link("veth1", 0); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("half of a veth was left: %v", err)
	}
	p.Namespace = "/nowhere"
	if err := h.refuses(veth("veth1", p)); !netns.Gone(err) {
		t.Errorf("not recognised: %v", err)
	}
	h.apply(kernel.SetMaster{Name: "veth0"}, kernel.SetMaster{Name: "veth0"})
	if l := h.link("veth0"); l.Master != "" {
		t.Errorf("master is %s", l.Master)
	}
	h.apply(kernel.DeleteLink{Name: "veth0"})
	if _, err := c.Link("eth0", 0); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("peer outlived its veth: %v", err)
	}
}

func TestBridgePorts(t *testing.T) {
	h, c := newHost(t), newHost(t)
	h.apply(bridge("br0"), bridge("br1"), bridge("none"))
	var want []string
	for i := range 25 {
		name := fmt.Sprintf("veth%d", i)
		h.apply(veth(name, kernel.Peer{Name: name, Namespace: c.path}))
		switch {
		case i < 3:
			h.apply(kernel.SetMaster{Name: name, Master: "br0"})
			want = append(want, name)
		case i < 20:
			h.apply(kernel.SetMaster{Name: name, Master: "br1"})
		}
		h.apply(bridge(fmt.Sprintf("other%d", i)))
	}
	have, err := h.Ports("br0")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ports", have, want...)
	if have, err := h.Ports("none"); err != nil || len(have) != 0 {
		t.Error(have, err)
	}
	// All at once they are as each by itself.
	links, err := h.PortLinks("br0")
	if err != nil || len(links) != len(want) {
		t.Fatalf("%d links, %v", len(links), err)
	}
	for _, l := range links {
		if alone, err := h.Link(l.Name, kernel.FacetSysctls); err != nil || !reflect.DeepEqual(alone, l) {
			t.Errorf("got  %+v\nwant %+v, %v", l, alone, err)
		}
	}
}

func TestErrorSaysWhy(t *testing.T) {
	h := newHost(t)
	h.apply(bridge("br0"))
	err := h.refuses(kernel.SetMTU{Name: "br0", MTU: 70000})
	if want := "ip link set br0 mtu 70000: invalid argument (mtu greater than device maximum)"; err.Error() != want {
		t.Errorf("error is %q, not %q", err, want)
	}
	h.refuses(kernel.CreateLink{Link: kernel.Link{Name: "x", Kind: "unheard-of"}}, "not supported")
}

// All go, whatever of them is there, and nothing else: not even what is in groups of its own.
func TestDeleteLinksTogether(t *testing.T) {
	h, inner := underlay(t), newHost(t)
	h.apply(bridge("other"), bridge("br0"),
		kernel.AddAltName{Name: "br0", AltName: "alternative-of-br0"},
		kernel.CreateLink{Link: kernel.Link{Name: "vx0", Kind: kernel.KindVXLAN, Tunnel: kernel.Tunnel{VNI: 8_000_021, Port: 4789, Dev: "phys"}}},
		kernel.CreateLink{Link: kernel.Link{Name: "veth0", Kind: kernel.KindVeth, Peer: kernel.Peer{Namespace: inner.path, Name: "eth0"}}},
		kernel.SetMaster{Name: "vx0", Master: "br0"}, kernel.SetMaster{Name: "veth0", Master: "br0"},
		kernel.SetUp{Name: "br0"}, kernel.SetUp{Name: "vx0"}, kernel.SetUp{Name: "veth0"})
	h.tool("ip", "link", "set", "other", "group", "7")
	h.apply(kernel.DeleteLinks{Names: []string{"veth0", "nope", "", "vx0", "alternative-of-br0"}})
	for _, name := range []string{"veth0", "vx0", "br0"} {
		if _, err := h.Link(name, 0); !errors.Is(err, kernel.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := inner.Link("eth0", 0); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("the veth's other end: %v", err)
	}
	h.link("other")
	h.link("phys")
	h.apply(kernel.DeleteLinks{Names: []string{"veth0", "vx0"}}, kernel.DeleteLinks{})
}

// lo cannot be deleted, and so nor can a group with it: the others go all the same.
func TestDeleteLinksGoesOnOneByOne(t *testing.T) {
	h := newHost(t)
	h.apply(bridge("br0"), bridge("br1"))
	h.refuses(kernel.DeleteLinks{Names: []string{"br0", "lo", "br1"}}, "operation not supported")
	for _, name := range []string{"br0", "br1"} {
		if _, err := h.Link(name, 0); !errors.Is(err, kernel.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
