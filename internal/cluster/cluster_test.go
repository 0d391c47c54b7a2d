package cluster

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func validMembership() Membership {
	return Membership{
		Network:   NetworkKey{VNI: 100, Port: 4789},
		VTEP:      mustAddr("198.18.0.1"),
		HostAddrs: []netip.Addr{mustAddr("10.0.0.63"), mustAddr("fd00::63")},
		BridgeMAC: kernel.MAC{6, 1},
		Endpoints: []Endpoint{
			{ContainerID: "a1", Names: []string{"web", "web.example"}, Addrs: []netip.Addr{mustAddr("10.0.0.2")}, MAC: kernel.MAC{2, 1}},
			{ContainerID: "b2"},
		},
	}
}

func TestCanonicalSortsACopy(t *testing.T) {
	a, b := validMembership(), validMembership()
	a.Network.Port = 4790
	a.Endpoints[0], a.Endpoints[1] = a.Endpoints[1], a.Endpoints[0]
	got, err := Canonical([]Membership{a, b})
	if err != nil {
		t.Fatal(err)
	}
	want := validMembership()
	want.Network.Port = 4790
	if !reflect.DeepEqual(got, []Membership{validMembership(), want}) {
		t.Errorf("got %+v", got)
	}
	if a.Endpoints[0].ContainerID != "b2" {
		t.Error("the input was sorted")
	}
}

func TestCanonicalRefusesInvalidMemberships(t *testing.T) {
	manyAddrs := func(n int) (addrs []netip.Addr) {
		for a := mustAddr("10.0.0.1"); n > 0; n, a = n-1, a.Next() {
			addrs = append(addrs, a)
		}
		return addrs
	}
	tests := []struct {
		name   string
		change func(*Membership)
		want   string
	}{
		{"VNI 0", func(m *Membership) { m.Network.VNI = 0 }, "must have a VNI"},
		{"VNI of 25 bits", func(m *Membership) { m.Network.VNI = 1 << 24 }, "must have a VNI"},
		{"port 0", func(m *Membership) { m.Network.Port = 0 }, "and a port"},
		{"no VTEP", func(m *Membership) { m.VTEP = netip.Addr{} }, "VTEP"},
		{"multicast VTEP", func(m *Membership) { m.VTEP = mustAddr("239.1.1.1") }, "VTEP"},
		{"loopback VTEP", func(m *Membership) { m.VTEP = mustAddr("127.0.0.1") }, "VTEP"},
		{"IPv4 in IPv6", func(m *Membership) { m.VTEP = mustAddr("::ffff:198.18.0.1") }, "VTEP"},
		{"broadcast", func(m *Membership) { m.VTEP = mustAddr("255.255.255.255") }, "VTEP"},
		{"zone", func(m *Membership) { m.HostAddrs[0] = mustAddr("fe80::1%eth0") }, "host address"},
		{"unspecified", func(m *Membership) { m.HostAddrs[0] = mustAddr("::") }, "host address"},
		{"address twice", func(m *Membership) { m.HostAddrs[1] = m.HostAddrs[0] }, "is repeated"},
		{"too many addresses", func(m *Membership) { m.HostAddrs = manyAddrs(MaxAddrs + 1) }, "17 addresses"},
		{"multicast bridge", func(m *Membership) { m.BridgeMAC = kernel.MAC{1} }, "bridge: MAC 01:00:00:00:00:00"},
		{"multicast endpoint", func(m *Membership) { m.Endpoints[0].MAC = kernel.MAC{1} }, "is a multicast address"},
		{"container twice", func(m *Membership) { m.Endpoints[1].ContainerID = "a1" }, "is repeated"},
		{"container without an id", func(m *Membership) { m.Endpoints[0].ContainerID = "" }, "container id"},
		{"id that is a path", func(m *Membership) { m.Endpoints[0].ContainerID = "../x" }, "container id"},
		{"long id", func(m *Membership) { m.Endpoints[0].ContainerID = strings.Repeat("a", 129) }, "over 128 bytes"},
		{"name twice", func(m *Membership) { m.Endpoints[0].Names[1] = "web" }, "is repeated"},
		{"name with a space", func(m *Membership) { m.Endpoints[0].Names[0] = "we b" }, "letters, digits"},
		{"name beyond ASCII", func(m *Membership) { m.Endpoints[0].Names[0] = "wéb" }, "letters, digits"},
		{"empty name", func(m *Membership) { m.Endpoints[0].Names[0] = "" }, "1 to 63 bytes"},
		{"empty label", func(m *Membership) { m.Endpoints[0].Names[0] = "a..b" }, "1 to 63 bytes"},
		{"long label", func(m *Membership) { m.Endpoints[0].Names[0] = strings.Repeat("a", 64) }, "1 to 63 bytes"},
		{"long name", func(m *Membership) { m.Endpoints[0].Names[0] = strings.Repeat("a.", 127) }, "over 253 bytes"},
		{"too many names", func(m *Membership) { m.Endpoints[0].Names = make([]string, 65) }, "65 names"},
		{"too many endpoints", func(m *Membership) { m.Endpoints = distinctEndpoints(MaxEndpoints + 1) }, "4097 endpoints"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := validMembership()
			tt.change(&a)
			_, err := Canonical([]Membership{a})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := Canonical([]Membership{validMembership(), validMembership()}); err == nil {
		t.Error("the same network twice was accepted")
	}
	if _, err := Canonical(make([]Membership, MaxMemberships+1)); err == nil {
		t.Error("too many networks were accepted")
	}
}

func distinctEndpoints(n int) []Endpoint {
	var endpoints []Endpoint
	for i := range n {
		endpoints = append(endpoints, Endpoint{ContainerID: string(rune('a'+i%26)) + strings.Repeat("b", 1+i/26%100) + strings.Repeat("c", i/2600)})
	}
	return endpoints
}

func TestCheckRefusesWrongOrder(t *testing.T) {
	a := validMembership()
	a.Endpoints[0], a.Endpoints[1] = a.Endpoints[1], a.Endpoints[0]
	if Check([]Membership{a}) == nil {
		t.Error("endpoints out of order were accepted")
	}
	b := validMembership()
	b.Network.VNI = 1
	if Check([]Membership{validMembership(), b}) == nil {
		t.Error("networks out of order were accepted")
	}
}

func TestSnapshotFindsMembersOfNetwork(t *testing.T) {
	other := validMembership()
	other.Network.Port = 8472
	s := Snapshot{Hosts: []*Host{
		{Name: "a", Memberships: []Membership{validMembership()}},
		{Name: "b", Memberships: []Membership{other}},
		{Name: "c", Memberships: []Membership{validMembership(), other}, UnreachableSince: time.Unix(1, 0)},
	}}
	m := s.Members(validMembership().Network)
	if len(m) != 2 || m[0].Host != "a" || !m[0].Reachable || m[1].Host != "c" || m[1].Reachable {
		t.Errorf("got %+v", m)
	}
	if h, ok := s.Find("b"); !ok || h.Name != "b" {
		t.Error("b is not found")
	}
	if _, ok := s.Find("bb"); ok {
		t.Error("bb is found")
	}
}
