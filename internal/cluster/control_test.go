package cluster

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func valid() Membership {
	return Membership{
		Network:   NetworkKey{VNI: 100, Port: 4789},
		VTEP:      addr("198.18.0.1"),
		HostAddrs: []netip.Addr{addr("10.0.0.63"), addr("fd00::63")},
		BridgeMAC: kernel.MAC{6, 1},
		Endpoints: []Endpoint{
			{ContainerID: "a1", Names: []string{"web", "web.example"}, Addrs: []netip.Addr{addr("10.0.0.2")}, MAC: kernel.MAC{2, 1}},
			{ContainerID: "b2"},
		},
	}
}

func TestCanonicalSortsAndLeavesTheInputAlone(t *testing.T) {
	a, b := valid(), valid()
	a.Network.Port = 4790
	a.Endpoints[0], a.Endpoints[1] = a.Endpoints[1], a.Endpoints[0]
	got, err := Canonical([]Membership{a, b})
	if err != nil {
		t.Fatal(err)
	}
	want := valid()
	want.Network.Port = 4790
	if !reflect.DeepEqual(got, []Membership{valid(), want}) {
		t.Errorf("got %+v", got)
	}
	if a.Endpoints[0].ContainerID != "b2" {
		t.Error("the input was sorted")
	}
}

func TestCanonicalRefuses(t *testing.T) {
	many := func(n int) (addrs []netip.Addr) {
		for a := addr("10.0.0.1"); n > 0; n, a = n-1, a.Next() {
			addrs = append(addrs, a)
		}
		return addrs
	}
	tests := []struct {
		name   string
		change func(*Membership)
		want   string
	}{
		{"VNI 0", func(a *Membership) { a.Network.VNI = 0 }, "must have a VNI"},
		{"VNI of 25 bits", func(a *Membership) { a.Network.VNI = 1 << 24 }, "must have a VNI"},
		{"port 0", func(a *Membership) { a.Network.Port = 0 }, "and a port"},
		{"no VTEP", func(a *Membership) { a.VTEP = netip.Addr{} }, "VTEP"},
		{"multicast VTEP", func(a *Membership) { a.VTEP = addr("239.1.1.1") }, "VTEP"},
		{"loopback VTEP", func(a *Membership) { a.VTEP = addr("127.0.0.1") }, "VTEP"},
		{"IPv4 in IPv6", func(a *Membership) { a.VTEP = addr("::ffff:198.18.0.1") }, "VTEP"},
		{"broadcast", func(a *Membership) { a.VTEP = addr("255.255.255.255") }, "VTEP"},
		{"zone", func(a *Membership) { a.HostAddrs[0] = addr("fe80::1%eth0") }, "host address"},
		{"unspecified", func(a *Membership) { a.HostAddrs[0] = addr("::") }, "host address"},
		{"address twice", func(a *Membership) { a.HostAddrs[1] = a.HostAddrs[0] }, "is repeated"},
		{"too many addresses", func(a *Membership) { a.HostAddrs = many(MaxAddrs + 1) }, "17 addresses"},
		{"multicast bridge", func(a *Membership) { a.BridgeMAC = kernel.MAC{1} }, "bridge: MAC 01:00:00:00:00:00"},
		{"multicast endpoint", func(a *Membership) { a.Endpoints[0].MAC = kernel.MAC{1} }, "is a multicast address"},
		{"container twice", func(a *Membership) { a.Endpoints[1].ContainerID = "a1" }, "is repeated"},
		{"container without an id", func(a *Membership) { a.Endpoints[0].ContainerID = "" }, "container id"},
		{"id that is a path", func(a *Membership) { a.Endpoints[0].ContainerID = "../x" }, "container id"},
		{"long id", func(a *Membership) { a.Endpoints[0].ContainerID = strings.Repeat("a", 129) }, "over 128 bytes"},
		{"name twice", func(a *Membership) { a.Endpoints[0].Names[1] = "web" }, "is repeated"},
		{"name with a space", func(a *Membership) { a.Endpoints[0].Names[0] = "we b" }, "letters, digits"},
		{"name beyond ASCII", func(a *Membership) { a.Endpoints[0].Names[0] = "wéb" }, "letters, digits"},
		{"empty name", func(a *Membership) { a.Endpoints[0].Names[0] = "" }, "1 to 63 bytes"},
		{"empty label", func(a *Membership) { a.Endpoints[0].Names[0] = "a..b" }, "1 to 63 bytes"},
		{"long label", func(a *Membership) { a.Endpoints[0].Names[0] = strings.Repeat("a", 64) }, "1 to 63 bytes"},
		{"long name", func(a *Membership) { a.Endpoints[0].Names[0] = strings.Repeat("a.", 127) }, "over 253 bytes"},
		{"too many names", func(a *Membership) { a.Endpoints[0].Names = make([]string, 65) }, "65 names"},
		{"too many endpoints", func(a *Membership) { a.Endpoints = numbered(MaxEndpoints + 1) }, "4097 endpoints"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := valid()
			tt.change(&a)
			_, err := Canonical([]Membership{a})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := Canonical([]Membership{valid(), valid()}); err == nil {
		t.Error("the same network twice was taken")
	}
	if _, err := Canonical(make([]Membership, MaxMemberships+1)); err == nil {
		t.Error("too many networks were taken")
	}
}

func numbered(n int) []Endpoint {
	var endpoints []Endpoint
	for i := range n {
		endpoints = append(endpoints, Endpoint{ContainerID: string(rune('a'+i%26)) + strings.Repeat("b", 1+i/26%100) + strings.Repeat("c", i/2600)})
	}
	return endpoints
}

func TestCheckWantsOrder(t *testing.T) {
	a := valid()
	a.Endpoints[0], a.Endpoints[1] = a.Endpoints[1], a.Endpoints[0]
	if Check([]Membership{a}) == nil {
		t.Error("endpoints out of order were taken")
	}
	b := valid()
	b.Network.VNI = 1
	if Check([]Membership{valid(), b}) == nil {
		t.Error("networks out of order were taken")
	}
}

func TestSnapshotMembers(t *testing.T) {
	other := valid()
	other.Network.Port = 8472
	s := Snapshot{Hosts: []Host{
		{Name: "a", Memberships: []Membership{valid()}},
		{Name: "b", Memberships: []Membership{other}},
		{Name: "c", Memberships: []Membership{valid(), other}, UnreachableSince: time.Unix(1, 0)},
	}}
	m := s.Members(valid().Network)
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
