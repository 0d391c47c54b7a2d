package record

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

var (
	host = cluster.HostID{1, 15: 2}
	blue = cluster.NetworkKey{VNI: 42, Port: 4789}
	// container is as long as Podman's are.
	container = strings.Repeat("0123456789abcdef", 4)
)

func TestKeysAreReadBack(t *testing.T) {
	k := NewKeys("/test/blue")
	if got, ok := k.ParsePresence(k.Presence(host)); !ok || got != host {
		t.Errorf("got %v, %v", got, ok)
	}
	if got, ok := k.ParseNetworkOf(host, k.NetworkOf(host, blue)); !ok || got != blue {
		t.Errorf("got %v, %v", got, ok)
	}
	for _, c := range []string{"", container} {
		key := k.Membership(blue, host)
		if c != "" {
			key = k.Endpoint(blue, host, c)
		}
		if h, got, ok := k.ParseHostKey(blue, key); !ok || h != host || got != c {
			t.Errorf("%s: got %v %q, %v", key, h, got, ok)
		}
	}
	for _, key := range []string{"", k.AllHosts(blue), k.AllHosts(blue) + "x", k.Membership(blue, host) + "/",
		k.Membership(blue, cluster.HostID{}), k.AllHosts(cluster.NetworkKey{VNI: 4, Port: 4789}) + host.String()} {
		if h, c, ok := k.ParseHostKey(blue, key); ok {
			t.Errorf("%q: %v %q", key, h, c)
		}
	}
	for _, name := range []string{"", "42", "42-", "042-4789", "42-4789/x", "99999999-1", "1-99999"} {
		if got, ok := k.ParseNetworkOf(host, k.AllNetworksOf(host)+name); ok {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestDefinitionKeysAreReadBack(t *testing.T) {
	k := NewKeys("/test/blue")
	if name, of, ok := k.ParseDefinition(k.Definition("my.net-1")); !ok || name != "my.net-1" || !of.IsZero() {
		t.Errorf("got %q %v, %v", name, of, ok)
	}
	if name, of, ok := k.ParseDefinition(k.DefinitionHost("hosts", host)); !ok || name != "hosts" || of != host {
		t.Errorf("got %q %v, %v", name, of, ok)
	}
	for _, key := range []string{"", k.AllDefinitions(), k.Definition("a/b"), k.AllDefinitionHosts("a"),
		k.AllDefinitionHosts("a") + "x", k.AllDefinitionHosts("") + host.String()} {
		if name, of, ok := k.ParseDefinition(key); ok {
			t.Errorf("%q: %q %v", key, name, of)
		}
	}
	if got, ok := k.ParseVNI(k.VNI(blue)); !ok || got != blue {
		t.Errorf("got %v, %v", got, ok)
	}
	for _, key := range []string{"", k.AllVNIs(), k.AllVNIs() + "042-4789", k.VNI(blue) + "/x"} {
		if got, ok := k.ParseVNI(key); ok {
			t.Errorf("%q: %v", key, got)
		}
	}
	if got := DecodeVNIOwner([]byte(Encode(VNIOwner{Network: "my.net"}))); got.Network != "my.net" {
		t.Errorf("got %+v", got)
	}
	for _, raw := range []string{"", "{", `{"network": "a\u001b"}`, `{"network": "a/b"}`} {
		if got := DecodeVNIOwner([]byte(raw)); got != (VNIOwner{}) {
			t.Errorf("%s: %+v", raw, got)
		}
	}
}

func TestValuesAreReadBack(t *testing.T) {
	owner := Owner{Host: host.String(), HostName: "host-a", ContainerID: container}
	same := Owner{Host: host.String(), ContainerID: container}
	if got := DecodeOwner([]byte(Encode(owner))); got != owner || !got.Is(same) {
		t.Errorf("got %+v", got)
	}
	e := cluster.Endpoint{ContainerID: container, Names: []string{"web", "www"}, MAC: kernel.MAC{2, 1}, Requested: true,
		Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")}}
	if got, err := DecodeEndpoint(container, []byte(EncodeEndpoint(e))); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v, %v", got, err)
	}
	claim := cluster.Endpoint{ContainerID: container, Addrs: e.Addrs, Granted: true}
	if got, err := DecodeEndpoint(container, []byte(EncodeEndpoint(claim))); err != nil || !reflect.DeepEqual(got, claim) {
		t.Errorf("got %+v, %v", got, err)
	}
	m := cluster.Membership{Network: blue, VTEP: netip.MustParseAddr("198.18.0.1"), StaticFDB: true,
		HostAddrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, BridgeMAC: kernel.MAC{2, 3},
		View: cluster.NetworkView{Name: "blue", MTU: 1450, UnderlayMTU: 1500, Subnets: []cluster.Subnet{
			{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.254")},
			{Prefix: netip.MustParsePrefix("fd00::/64")}}},
		Keys: []cluster.TunnelKey{{Generation: 4, Public: [32]byte{1, 31: 2}, Port: 51820, TakesIP: true, Sends: true},
			{Generation: 5, Public: [32]byte{3}, Port: 51821}},
		KeysVersion: 1_700_000_000_000}
	if name, got, err := DecodeMembership(blue, []byte(EncodeMembership("host-a", m))); err != nil || name != "host-a" ||
		!reflect.DeepEqual(got, m) {
		t.Errorf("got %q %+v, %v", name, got, err)
	}
}

// What somebody else wrote may be anything.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"name":"a"}`, `{"host":"x","container":"../x"}`, `{"addresses":["127.0.0.1"]}`,
		`{"vtep":"0.0.0.0"}`, `{"vtep":"198.18.0.1","host_name":"a b"}`, `{"names":["a","a"]}`, `[`,
		`{"vtep":"198.18.0.1","wireguard_keys":[{"generation":1,"public":"AAAA","port":1}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if o := DecodeOwner(raw); o != (Owner{}) {
			if _, ok := cluster.ParseHostID(o.Host); !ok || checkHostName(o.HostName) != nil {
				t.Errorf("%q: owner %+v", raw, o)
			}
		}
		if p, err := DecodePresence(raw); err == nil && checkHostName(p.Name) != nil {
			t.Errorf("%q: presence %+v", raw, p)
		}
		if e, err := DecodeEndpoint(container, raw); err == nil && e.Check() != nil {
			t.Errorf("%q: endpoint %+v", raw, e)
		}
		if _, m, err := DecodeMembership(blue, raw); err == nil && cluster.Check([]cluster.Membership{m}) != nil {
			t.Errorf("%q: membership %+v", raw, m)
		}
	})
}

// Values that no host of this project wrote count as not valid, and an address of such an owner as taken.
func TestInvalidValues(t *testing.T) {
	for _, raw := range []string{"", "{", `{"host":"x"}`, `{"host":"` + host.String() + `","container":"a/b"}`,
		`{"host":"` + host.String() + `","host_name":"a b"}`, `"` + strings.Repeat("x", maxValue) + `"`} {
		if got := DecodeOwner([]byte(raw)); got != (Owner{}) || got.Is(Owner{}) {
			t.Errorf("%.40s: %+v", raw, got)
		}
		if _, err := DecodeEndpoint("a/b", []byte(raw)); err == nil {
			t.Errorf("%.40s is an endpoint", raw)
		}
		if _, _, err := DecodeMembership(blue, []byte(raw)); err == nil {
			t.Errorf("%.40s is a membership", raw)
		}
	}
}
