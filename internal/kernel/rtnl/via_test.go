package rtnl_test

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"vxlan-driver/internal/kernel"
)

// The device that an entry sends by is part of the entry. Its name is given and read; when it goes,
// the entry stays, and is named by the index.
func TestEntriesByADevice(t *testing.T) {
	h := underlay(t)
	addTunnel := func(name string) {
		h.tool("ip", "tuntap", "add", name, "mode", "tun")
		h.tool("ip", "link", "set", name, "alias", "vxlan-driver network 7c7b blue")
	}
	addTunnel("wg0-blue")
	index, err := h.Index("wg0-blue")
	if err != nil {
		t.Fatal(err)
	}
	host, one := netip.MustParseAddr("198.18.0.2"), kernel.MAC{2, 0, 0, 0, 0, 1}
	plain, via := kernel.FDB{Dst: host}, kernel.FDB{Dst: host, Via: "wg0-blue"}
	unicast := kernel.FDB{MAC: one, Dst: host, Via: "wg0-blue"}
	h.apply(vxlan("vx", v4), kernel.CreateLink{Link: kernel.Link{Name: "br", Kind: kernel.KindBridge}},
		kernel.SetMaster{Name: "vx", Master: "br"})
	h.apply(kernel.AddFDB{Name: "vx", FDB: plain}, kernel.AddFDB{Name: "vx", FDB: via},
		kernel.AddFDB{Name: "vx", FDB: kernel.FDB{MAC: one, Dst: host}}, kernel.AddFDB{Name: "vx", FDB: unicast})
	sameFDB(t, h.link("vx").FDB, []kernel.FDB{plain, via, unicast})
	h.apply(kernel.DelFDB{Name: "vx", FDB: plain})
	sameFDB(t, h.link("vx").FDB, []kernel.FDB{via, unicast})

	h.tool("ip", "link", "del", "wg0-blue")
	gone := "#" + strconv.Itoa(int(index))
	want := []kernel.FDB{{Dst: host, Via: gone}, {MAC: one, Dst: host, Via: gone}}
	sameFDB(t, h.link("vx").FDB, want)
	tables, err := h.ForwardingTables("br", "vx", nil)
	if err != nil || !slices.Equal(tables.Flood, want[:1]) || !slices.Equal(tables.FDB, want[1:]) {
		t.Errorf("%v, %v", tables, err)
	}
	named, err := h.ForwardingTables("br", "vx", &kernel.ForwardingKeys{MACs: []kernel.MAC{one}})
	if err != nil || !slices.Equal(named.FDB, want[1:]) {
		t.Errorf("%v, %v", named, err)
	}
	h.refuses(kernel.AddFDB{Name: "vx", FDB: via}, "find the device wg0-blue, by which packets are to leave")
	h.apply(kernel.DelFDB{Name: "vx", FDB: via}) // no entry can have the name
	fresh := kernel.FDB{Dst: host.Next(), Via: "wg1-blue"}
	addTunnel("wg1-blue")
	h.apply(kernel.AddFDB{Name: "vx", FDB: fresh}, kernel.AddFDB{Name: "vx", FDB: plain})
	change := kernel.ForwardingChanges{Bridge: "br", Device: "vx",
		Add:    kernel.ForwardingTables{FDB: []kernel.FDB{unicast}},
		Delete: kernel.ForwardingTables{Flood: want[:1], FDB: want[1:]}}
	if err := h.ChangeForwardingTables(change); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("an entry by a device that is gone: %v", err)
	}
	sameFDB(t, h.link("vx").FDB, []kernel.FDB{fresh, plain})

	h.apply(kernel.AddFDB{Name: "vx", FDB: kernel.FDB{MAC: one, Dst: host, Via: "wg1-blue"}})
	h.tool("ip", "link", "del", "wg1-blue")
	for _, e := range h.link("vx").FDB {
		if e != plain {
			h.apply(kernel.DelFDB{Name: "vx", FDB: e}, kernel.DelFDB{Name: "vx", FDB: e})
		}
	}
	sameFDB(t, h.link("vx").FDB, []kernel.FDB{plain})
}

// Entries by a name lead to the driver's device alone. Those whose index another device has got are as those of a
// device that is gone.
func TestEntriesByNoOtherDevice(t *testing.T) {
	h := underlay(t)
	host, one := netip.MustParseAddr("198.18.0.2"), kernel.MAC{2, 0, 0, 0, 0, 1}
	entries := []kernel.FDB{{Dst: host, Via: "wg0-blue"}, {MAC: one, Dst: host, Via: "wg0-blue"}}
	h.apply(vxlan("vx", v4), kernel.CreateLink{Link: kernel.Link{Name: "br", Kind: kernel.KindBridge}},
		kernel.SetMaster{Name: "vx", Master: "br"})
	for _, other := range [][]string{
		{"ip", "tuntap", "add", "wg0-blue", "mode", "tun"}, {"ip", "link", "add", "wg0-blue", "type", "veth"},
	} {
		h.tool(other...)
		h.refuses(kernel.AddFDB{Name: "vx", FDB: entries[0]}, "the one of that name is another program's")
		h.refuses(kernel.AddFDB{Name: "vx", FDB: entries[1]}, "the one of that name is another program's")
		h.tool("ip", "link", "del", "wg0-blue")
	}
	sameFDB(t, h.link("vx").FDB, nil)

	h.tool("ip", "tuntap", "add", "wg0-blue", "mode", "tun")
	h.tool("ip", "link", "set", "wg0-blue", "alias", "vxlan-driver network 7c7b blue")
	h.apply(kernel.AddFDB{Name: "vx", FDB: entries[0]}, kernel.AddFDB{Name: "vx", FDB: entries[1]})
	index, err := h.Index("wg0-blue")
	if err != nil {
		t.Fatal(err)
	}
	h.tool("ip", "link", "del", "wg0-blue")
	h.tool("ip", "link", "add", "wg0-blue", "index", strconv.Itoa(index), "type", "veth")
	gone := "#" + strconv.Itoa(index)
	want := []kernel.FDB{{Dst: host, Via: gone}, {MAC: one, Dst: host, Via: gone}}
	sameFDB(t, h.link("vx").FDB, want)
	change := kernel.ForwardingChanges{Bridge: "br", Device: "vx",
		Delete: kernel.ForwardingTables{Flood: want[:1], FDB: want[1:]}}
	if err := h.ChangeForwardingTables(change); err != nil {
		t.Error(err)
	}
	sameFDB(t, h.link("vx").FDB, nil)
}
