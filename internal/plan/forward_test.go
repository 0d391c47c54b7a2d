package plan

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

func mac(last byte) kernel.MAC { return kernel.MAC{2, 5: last} }

func remote(m kernel.MAC, vtep string, addrs ...string) Remote {
	r := Remote{MAC: m, VTEP: netip.MustParseAddr(vtep)}
	for _, a := range addrs {
		r.Addrs = append(r.Addrs, netip.MustParseAddr(a))
	}
	return r
}

// formatTables prints tables in short: MAC>VTEP and address=MAC, by the MACs' last octet.
func formatTables(t kernel.ForwardingTables) string {
	var s []string
	for _, e := range t.FDB {
		s = append(s, fmt.Sprintf("%d>%s", e.MAC[5], e.Dst))
	}
	for _, n := range t.Neighbours {
		s = append(s, fmt.Sprintf("%s=%d", n.Addr, n.MAC[5]))
	}
	return strings.Join(s, " ")
}

// Which entries what other hosts say gives, and which not.
func TestForward(t *testing.T) {
	const b, c = "198.18.0.11", "198.18.0.12"
	tests := []struct {
		name    string
		remotes []Remote
		want    string
	}{
		{"nothing known", nil, ""},
		{"both families", []Remote{remote(mac(1), b, "10.0.0.5", "fd00:10::5")}, "1>" + b + " 10.0.0.5=1 fd00:10::5=1"},
		{"without addresses", []Remote{remote(mac(1), b)}, "1>" + b},
		{"sorted", []Remote{remote(mac(2), b, "10.0.0.7"), remote(mac(1), c, "10.0.0.5")}, "1>" + c + " 2>" + b + " 10.0.0.5=1 10.0.0.7=2"},
		{"one MAC of two hosts", []Remote{remote(mac(1), c, "10.0.0.5"), remote(mac(1), b, "10.0.0.6")}, "1>" + c + " 10.0.0.5=1"},
		{"one MAC twice on a host", []Remote{remote(mac(1), c, "10.0.0.5"), remote(mac(1), c, "10.0.0.6")}, "1>" + c + " 10.0.0.5=1 10.0.0.6=1"},
		{"one address of two MACs", []Remote{remote(mac(2), c, "10.0.0.5"), remote(mac(1), b, "10.0.0.5")}, "1>" + b + " 2>" + c + " 10.0.0.5=2"},
		{"a local container's MAC", []Remote{remote(mac(9), b, "10.0.0.5")}, ""},
		{"a local container's address", []Remote{remote(mac(1), b, "10.0.0.9", "10.0.0.5")}, "1>" + b + " 10.0.0.5=1"},
		{"this bridge's MAC", []Remote{remote(network.BridgeMAC(100, vtep.Local), b, "10.0.0.5")}, ""},
		{"a gateway", []Remote{remote(mac(1), b, "10.0.0.1", "fd00:10::1")}, "1>" + b},
		{"this host's own address", []Remote{remote(mac(1), b, "10.0.0.63")}, "1>" + b},
		{"addresses outside", []Remote{remote(mac(1), b, "10.0.1.5", "8.8.8.8", "fe80::1", "fd00:10::5%eth0")}, "1>" + b},
		{"the zero MAC", []Remote{remote(kernel.MAC{}, b, "10.0.0.5")}, ""},
		{"multicast and broadcast", []Remote{remote(kernel.MAC{1}, b, "10.0.0.5"), remote(kernel.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, b, "10.0.0.6")}, ""},
		{"this host's VTEP", []Remote{remote(mac(1), vtep.Local.String(), "10.0.0.5")}, ""},
		{"a VTEP of another family", []Remote{remote(mac(1), "2001:db8::1", "10.0.0.5")}, ""},
		{"a multicast VTEP", []Remote{remote(mac(1), "239.1.1.1", "10.0.0.5")}, ""},
		{"no VTEP", []Remote{{MAC: mac(1)}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := blue()
			n.Subnets[0].HostAddress = netip.MustParseAddr("10.0.0.63")
			own := endpointWith("10.0.0.9/24")
			own.MAC = mac(9)
			f := Forward(n, vtep, Known{Remotes: NewRemotes(tt.remotes...), Local: []network.Endpoint{own}})
			if got := formatTables(f.Tables); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestForwardPort(t *testing.T) {
	for _, staticFDB := range []bool{true, false} {
		f := Forward(blue(), vtep, Known{StaticFDB: staticFDB})
		d := f.Device
		want := kernel.PortFlags{Learning: kernel.Some(!staticFDB), Suppress: kernel.Some(staticFDB)}
		if f.Port != want || d.Name != "vxlan-blue" || d.Master != "br-vxlan-blue" || d.Alias != blue().Alias() {
			t.Errorf("staticFDB %t: %+v", staticFDB, f)
		}
	}
}

// A fast path needs all MACs to be known, and is not for networks whose rules are the bridge's.
func TestFastPathWhereAllMACsAreKnown(t *testing.T) {
	tests := []struct {
		name      string
		staticFDB bool
		alter     func(*network.Network)
		want      string
	}{
		{"all known", true, func(*network.Network) {}, "[02:00:00:00:00:01] [{web0 02:00:00:00:00:09 %s}]"},
		{"asked for", true, func(n *network.Network) { n.FastPath = kernel.Some(true) }, "[02:00:00:00:00:01] [{web0 02:00:00:00:00:09 %s}]"},
		{"learning", false, func(*network.Network) {}, "[] []"},
		{"not wanted", true, func(n *network.Network) { n.FastPath = kernel.Some(false) }, "[] []"},
		{"port security", true, func(n *network.Network) { n.PortSecurity = true }, "[02:00:00:00:00:01] [{web0 02:00:00:00:00:09 %s}]"},
		{"group policy", true, func(n *network.Network) { n.Tunnel.GBP = kernel.Some(true) }, "[] []"},
	}
	for _, tt := range tests {
		n := blue()
		tt.alter(&n)
		local := []network.Endpoint{{ContainerID: "c1", HostInterface: "web0", MAC: mac(9)}, {ContainerID: "c2"}, {ContainerID: "c3", MAC: mac(9)},
			{ContainerID: "c4", MAC: network.BridgeMAC(100, vtep.Local)}}
		s := Forward(n, vtep, Known{StaticFDB: tt.staticFDB, WishFastPath: WishFastPath, Local: local, Remotes: NewRemotes(remote(mac(1), "198.18.0.11"), remote(mac(9), "198.18.0.12"))}).FastPath
		if s.PortSecurity != n.PortSecurity || len(s.FDB) != len(s.Remote) {
			t.Errorf("%s: got %+v", tt.name, s)
		}
		if want := strings.ReplaceAll(tt.want, "%s", n.EndpointAlias(local[0])); s.Device != "vxlan-blue" || s.Bridge != "br-vxlan-blue" || fmt.Sprint(s.Remote, s.Ports) != want {
			t.Errorf("%s: got %+v, want %s", tt.name, s, want)
		}
	}
}

// With port security the fast path must know from where a container may send. A checksum is needed
// where somebody has asked for it.
func TestFastPathOfOptions(t *testing.T) {
	n := blue()
	n.PortSecurity, n.Tunnel.UDPChecksum = true, kernel.Some(true)
	own := endpointWith("10.0.0.9/24")
	own.MAC, own.HostInterface = mac(9), "web0"
	s := Forward(n, vtep, Known{StaticFDB: true, WishFastPath: WishFastPath, Local: []network.Endpoint{own}, Remotes: NewRemotes(remote(mac(1), "198.18.0.11"))}).FastPath
	want := "[{web0 0.0.0.0} {web0 ::} {web0 fe80::ff:fe00:9} {web0 10.0.0.9}]"
	if fmt.Sprint(s.Sources) != want || !s.Checksum || fmt.Sprint(s.FDB[0].Dst) != "198.18.0.11" {
		t.Errorf("got %+v, want %s", s, want)
	}
}

// A network without subnets has no addresses, but frames.
func TestForwardWithoutSubnets(t *testing.T) {
	n := blue()
	n.Subnets = nil
	f := Forward(n, vtep, Known{Remotes: NewRemotes(remote(mac(1), "198.18.0.11", "10.0.0.5"))})
	if got := formatTables(f.Tables); got != "1>198.18.0.11" {
		t.Errorf("got %s", got)
	}
}

// randomKnown has few values of everything, so that claims meet.
func randomKnown(rnd *rand.Rand) (k Known, remotes []Remote) {
	k.StaticFDB = rnd.IntN(2) == 0
	address := func() netip.Addr {
		return []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(rnd.IntN(2)), byte(rnd.IntN(8))}),
			netip.AddrFrom16([16]byte{0xfd, 3: 0x10, 15: byte(rnd.IntN(6))})}[rnd.IntN(2)]
	}
	for range rnd.IntN(4) {
		a := address()
		k.Local = append(k.Local, network.Endpoint{MAC: mac(byte(rnd.IntN(8))), Addrs: []netip.Prefix{netip.PrefixFrom(a, 24)}})
	}
	for range rnd.IntN(20) {
		r := Remote{MAC: kernel.MAC{byte(2 + rnd.IntN(2)), 5: byte(rnd.IntN(8))}, VTEP: netip.AddrFrom4([4]byte{198, 18, 0, byte(9 + rnd.IntN(4))})}
		for range rnd.IntN(3) {
			r.Addrs = append(r.Addrs, address())
		}
		remotes = append(remotes, r)
	}
	k.Remotes = NewRemotes(remotes...)
	return k, remotes
}

// Whatever the hosts say: each MAC and address is there once and as the first host said that may
// say it, what is local is not there, and every neighbour's MAC has its entries.
func TestForwardProperties(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	n := blue()
	for range 5000 {
		k, remotes := randomKnown(rnd)
		f := Forward(n, vtep, k)
		if again := Forward(n, vtep, k); !reflect.DeepEqual(f, again) {
			t.Fatalf("%+v\n%+v", f, again)
		}
		if err := checkForwarding(n, k.Local, remotes, f.Tables); err != nil {
			t.Fatalf("%v\n%+v\n%s", err, k, formatTables(f.Tables))
		}
	}
}

func checkForwarding(n network.Network, local []network.Endpoint, remotes []Remote, have kernel.ForwardingTables) error {
	at := map[kernel.MAC]netip.Addr{}
	for i, e := range have.FDB {
		if _, twice := at[e.MAC]; twice || e.MAC.IsZero() || e.MAC[0]&1 == 1 || e.Dst == vtep.Local || have.Static[i] != e.MAC {
			return fmt.Errorf("entry %v", e)
		}
		at[e.MAC] = e.Dst
		first := slices.IndexFunc(remotes, func(r Remote) bool { return r.MAC == e.MAC && r.VTEP != vtep.Local })
		if remotes[first].VTEP != e.Dst {
			return fmt.Errorf("entry %v is not the first host's", e)
		}
	}
	addrs := map[netip.Addr]bool{}
	for _, nb := range have.Neighbours {
		s, inside := n.SubnetOf(nb.Addr)
		if addrs[nb.Addr] || !inside || nb.Addr == s.Gateway || !at[nb.MAC].IsValid() {
			return fmt.Errorf("neighbour %v", nb)
		}
		addrs[nb.Addr] = true
	}
	for _, e := range local {
		if addrs[e.Addrs[0].Addr()] || at[e.MAC].IsValid() {
			return fmt.Errorf("local %v", e)
		}
	}
	if len(have.Static) != len(have.FDB) || !slices.IsSortedFunc(have.Neighbours, func(a, b kernel.Neighbour) int { return a.Addr.Compare(b.Addr) }) {
		return fmt.Errorf("tables do not go together")
	}
	return nil
}

// networkWithRemotes is a network with so many containers on 256 other hosts.
func networkWithRemotes(count int) (network.Network, Known) {
	n := blue()
	n.Subnets = []network.Subnet{subnet("10.0.0.0/8", "10.0.0.1"), subnet("fd00:10::/64", "fd00:10::1")}
	var remotes []Remote
	for i := range count {
		a := [4]byte{10}
		binary.BigEndian.PutUint32(a[:], 10<<24+uint32(i)+2)
		addr := netip.AddrFrom4(a)
		remotes = append(remotes, Remote{MAC: network.EndpointMAC(100, addr), VTEP: netip.AddrFrom4([4]byte{198, 19, 0, byte(i)}), Addrs: []netip.Addr{addr}})
	}
	return n, Known{StaticFDB: true, WishFastPath: WishFastPath, Remotes: NewRemotes(remotes...)}
}

func BenchmarkForward(b *testing.B) {
	for _, count := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", count), func(b *testing.B) {
			n, k := networkWithRemotes(count)
			b.ReportAllocs()
			for b.Loop() {
				Forward(n, vtep, k)
			}
		})
	}
}

// What is measured is what there would be.
func TestEachContainerElsewhereHasEntries(t *testing.T) {
	n, k := networkWithRemotes(100_000)
	tables := Forward(n, vtep, k).Tables
	if got := []int{len(tables.FDB), len(tables.Static), len(tables.Neighbours)}; !slices.Equal(got, []int{100_000, 100_000, 100_000}) {
		t.Errorf("%v entries", got)
	}
}

// Of the entries that are set unread only those are looked at that nobody wants: they may have to go.
func TestUnreadEntriesAreNotLookedAt(t *testing.T) {
	has, gone := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6")
	k := Known{StaticFDB: true, WishFastPath: WishFastPath, Remotes: NewRemotes(remote(mac(1), "198.18.0.11", "10.0.0.5")),
		Only: &kernel.ForwardingKeys{MACs: []kernel.MAC{mac(1), mac(2)}, Addrs: []netip.Addr{has, gone},
			Flood: []kernel.FDB{{Dst: vtep.Local}}}}
	read := Forward(blue(), vtep, k)
	if !reflect.DeepEqual(read.Only, k.Only) || !slices.Equal(read.FastPath.Only, k.Only.MACs) {
		t.Errorf("read: looks at %+v, and in the fast path at %v", read.Only, read.FastPath.Only)
	}
	k.SetUnread = SetUnread
	unread := Forward(blue(), vtep, k)
	want := kernel.ForwardingKeys{MACs: []kernel.MAC{mac(2)}, Addrs: []netip.Addr{gone}, Flood: k.Only.Flood}
	if !reflect.DeepEqual(*unread.Only, want) || !slices.Equal(unread.FastPath.Only, want.MACs) {
		t.Errorf("unread: looks at %+v, and in the fast path at %v", unread.Only, unread.FastPath.Only)
	}
	if got := formatTables(unread.Tables); got != formatTables(read.Tables) || got != "1>198.18.0.11 10.0.0.5=1" {
		t.Errorf("unread: sets %s", got)
	}
}
