package plugin

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/store"
)

// A change is checked as a new network is, but for what the network itself has on the host.
func TestCheckChange(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"MTU", `"vni"`, `"mtu": "1400", "vni"`, ""},
		{"no change", "", "", ""},
		{"a host behind the others", "198.18.0.12", "198.18.0.12,198.18.0.13", ""},
		{"a host before the others", "198.18.0.11", "198.18.0.9,198.18.0.11", `would move the part of 10.0.0.0/24 that host 198.18.0.10 hands out`},
		{"a host too many", "198.18.0.12", "198.18.0.12,198.18.0.13,198.18.0.14", "would move the part"},
		{"without the last host", ",198.18.0.12", "", "would move the part"}, // two hosts have halves
		{"MTU that does not fit", `"vni"`, `"mtu": "1500", "vni"`, `option mtu "1500": must be from 1280 to 1450`},
		{"unknown option", `"vni"`, `"mtus": "1400", "vni"`, `did you mean "mtu"?`},
		{"VNI of another device", `"100"`, `"7"`, "is used with port 4789 by the device vxlan7"},
		{"another ID", `"id":"7c7b"`, `"id":"7c7c"`, "the ID of a network cannot be changed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, plugin := newFakeHost(t)
			k.HostNamespace().Add(kernel.Link{Name: "vxlan7", Kind: kernel.KindVXLAN, Tunnel: kernel.Tunnel{VNI: 7, Port: 4789}})
			before, err := plugin.Create([]byte(testNetwork))
			if err != nil {
				t.Fatal(err)
			}
			ns, r := request(string(before), 1)
			if _, err := plugin.Setup(ns, r); err != nil {
				t.Fatal(err)
			}
			after := strings.Replace(string(before), tt.old, tt.new, 1)
			err = plugin.CheckChange(before, []byte(after))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A network's own WireGuard device, which the agent has made, does not keep it from changes. Another one does.
func TestCheckChangeOfAnEncryptedNetwork(t *testing.T) {
	for alias, want := range map[string]string{
		"":              `": is held by an interface of this host`,
		"the network's": "",
	} {
		k, plugin := newFakeHost(t)
		before, err := plugin.Create([]byte(strings.Replace(testNetwork, `"vni"`, `"encryption": "wireguard", "vni"`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		id, err := network.ParseIdentity(before)
		if err != nil {
			t.Fatal(err)
		}
		if alias != "" {
			alias = id.Alias()
		}
		k.HostNamespace().Add(kernel.Link{Name: id.WireGuard[1].Name, Kind: kernel.KindTun, Alias: alias})
		after := strings.Replace(string(before), `"vni"`, `"mtu": "1300", "vni"`, 1)
		if err := plugin.CheckChange(before, []byte(after)); (err == nil) != (want == "") ||
			err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("alias %q: got %v, want %q", alias, err, want)
		}
	}
}

// What is recorded of a network that has containers follows, and then the kernel.
func TestChangeConfig(t *testing.T) {
	k, plugin := newFakeHost(t)
	change := func(config []byte) ([]byte, error) {
		return []byte(strings.Replace(string(config), `"vni"`, `"mtu": "1400", "vni"`, 1)), nil
	}
	if err := plugin.ChangeConfig("7c7b", change); err != nil {
		t.Errorf("of a network without containers: %v", err)
	}
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	if err := plugin.ChangeConfig("7c7b", change); err != nil {
		t.Fatal(err)
	}
	s, err := plugin.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	networks, err := s.Networks()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reconcile(networks, hoststate.ScopeReset); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"br-vx-eaf72b2d", "vxlan-network"} {
		if l, err := k.HostNamespace().Link(name, 0); err == nil && l.MTU != 1400 {
			t.Errorf("%s has an MTU of %d", name, l.MTU)
		}
	}
	container, err := k.Open("/ns/1")
	if err != nil {
		t.Fatal(err)
	}
	if l, err := container.Link("eth0", 0); err != nil || l.MTU != 1400 {
		t.Errorf("the container has %+v, %v", l, err)
	}
}

// The list of hosts that is recorded of a network follows while it moves to etcd and back. Whoever knows the network
// from its record alone knows the same hosts.
func TestChangeConfigRecordsTheList(t *testing.T) {
	_, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	list := []netip.Addr{netip.MustParseAddr("198.18.0.11"), netip.MustParseAddr("198.18.0.12")}
	found := []netip.Addr{netip.MustParseAddr("198.18.0.14")}
	for _, tt := range []struct {
		discovery       string
		remotes, listed []netip.Addr
	}{
		{`"discovery": "etcd", "discovery_also": "static", `, slices.Concat(list, found), list},
		{`"discovery": "etcd", `, found, nil},
		{`"discovery": "static", "discovery_also": "etcd", `, slices.Concat(list, found), list},
		{`"discovery": "static", `, list, nil},
	} {
		config := strings.Replace(testNetwork, `"options": {`, `"options": {`+tt.discovery, 1)
		err := plugin.ChangeConfig("7c7b", func([]byte) ([]byte, error) { return []byte(config), nil })
		if err != nil {
			t.Fatal(err)
		}
		s, err := plugin.Begin()
		if err != nil {
			t.Fatal(err)
		}
		networks, err := s.Networks()
		if err == nil {
			err = s.SetPeers(&networks[0], network.Peers{Flood: found, StaticFDB: true})
		}
		if err != nil || !slices.Equal(networks[0].VTEP.Remotes, tt.remotes) {
			t.Errorf("%s: the other hosts are %v, %v", tt.discovery, networks[0].VTEP.Remotes, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		v, err := store.ReadVTEP(plugin.StoreDir, "7c7b")
		if err != nil || !slices.Equal(v.Listed, tt.listed) ||
			tt.discovery == `"discovery": "static", ` && !slices.Equal(v.Remotes, list) {
			t.Errorf("%s: recorded are %v, the list %v, %v", tt.discovery, v.Remotes, v.Listed, err)
		}
	}
}
