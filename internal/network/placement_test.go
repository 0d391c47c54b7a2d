package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

// twoUplinks is a host whose default route is that of nat0, while the other hosts are on lan0.
var twoUplinks = fakeHost{
	ifaces: []kernel.Interface{
		{Name: "lo", MTU: 65536, Up: true, Loopback: true, Addrs: parsePrefixes("10.255.0.1/32")},
		{Name: "nat0", MTU: 1500, Up: true, Addrs: parsePrefixes("10.0.2.15/24")},
		{Name: "lan0", MTU: 9000, Up: true, Addrs: parsePrefixes("192.168.56.10/24", "192.168.56.12/24")},
		{Name: "wg0", MTU: 1420, Up: true, Addrs: parsePrefixes("10.8.0.2/24")},
	},
	default4: "nat0",
}

// withoutDefault is twoUplinks without a default route.
var withoutDefault = fakeHost{ifaces: twoUplinks.ifaces}

func TestAutoFindsTheUnderlay(t *testing.T) {
	type opts = map[string]string
	auto := func(remotes string) opts {
		return opts{"local_ip": "auto", "physical_interface": "auto", "remote_ips": remotes}
	}
	tests := []struct {
		name string
		host fakeHost
		opts opts
		want string // the VTEP, or the problem
	}{
		{"a listed address of this host", twoUplinks, auto("192.168.56.10,192.168.56.11"), "lan0 192.168.56.10 8950 [192.168.56.11]"},
		{"a listed address without a default route", withoutDefault, auto("192.168.56.10,192.168.56.11"), "lan0 192.168.56.10 8950 [192.168.56.11]"},
		{"two listed addresses of this host", twoUplinks, auto("192.168.56.12,192.168.56.10,192.168.56.11"), "lan0 192.168.56.10 8950 [192.168.56.11]"},
		{"two listed addresses on two interfaces", twoUplinks, auto("192.168.56.12,10.8.0.2,192.168.56.11"), "lan0 192.168.56.12 8950 [192.168.56.11]"},
		{"the route to the others", twoUplinks, auto("10.8.0.3"), "wg0 10.8.0.2 1370 [10.8.0.3]"},
		{"the route to the others without a default route", withoutDefault, auto("10.8.0.3"), "wg0 10.8.0.2 1370 [10.8.0.3]"},
		{"the default route to the others", twoUplinks, auto("203.0.113.9"), "nat0 10.0.2.15 1450 [203.0.113.9]"},
		{"no route at all", withoutDefault, auto("203.0.113.9"),
			`option physical_interface "auto": this host has no route to the other hosts, and no default route to find it by; name the interface`},
		{"an address of the whole host", twoUplinks, auto("10.255.0.1,192.168.56.11"), "lan0 10.255.0.1 8950 [192.168.56.11]"},
		{"local_ip is an address of the whole host", twoUplinks,
			opts{"local_ip": "10.255.0.1", "physical_interface": "auto", "remote_ips": "10.8.0.3"}, "wg0 10.255.0.1 1370 [10.8.0.3]"},
		{"local_ip is an address of the whole host, by a named interface", twoUplinks,
			opts{"local_ip": "10.255.0.1", "physical_interface": "wg0", "remote_ips": "10.8.0.3"}, "wg0 10.255.0.1 1370 [10.8.0.3]"},
		{"loopback by name", twoUplinks, opts{"local_ip": "10.255.0.1", "physical_interface": "lo", "remote_ips": "10.8.0.3"},
			`option physical_interface "lo": is the loopback interface, by which no packet leaves the host; name the one that leads to the other hosts, or auto`},
		{"the source that the route uses", twoUplinks, opts{"local_ip": "auto", "physical_interface": "lan0", "remote_ips": "192.168.56.11"},
			"lan0 192.168.56.10 8950 [192.168.56.11]"},
		{"gossip without hosts to ask", twoUplinks, opts{"discovery": "gossip", "local_ip": "auto", "physical_interface": "auto", "-remote_ips": ""}, "nat0 10.0.2.15 1450 []"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, v, err := Parse(exampleNetwork(tt.opts, map[string]any{"subnets": subnet("10.77.0.0/24")}), tt.host, VTEP{})
			got := v.String()
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func subnet(prefix string) []any { return []any{map[string]string{"subnet": prefix}} }

// What contradicts itself is found when the network is created, not when packets are missed.
func TestCreateRefusesContradictions(t *testing.T) {
	type opts = map[string]string
	tests := []struct {
		name string
		opts opts
		want string
	}{
		{"hosts on two interfaces", opts{"remote_ips": "192.168.56.11,10.8.0.3"},
			`option physical_interface "auto": 10.8.0.3 is reached by wg0, but 192.168.56.11 by lan0; name the interface, or list addresses that are reached by one`},
		{"a host that this interface does not lead to", opts{"remote_ips": "192.168.56.10,192.168.56.11,10.8.0.3"},
			`option remote_ips "10.8.0.3": is reached by wg0, and there is no route to it by lan0; list the address by which that host is reached there, or use another physical_interface`},
		{"the same with a named interface", opts{"physical_interface": "wg0", "remote_ips": "192.168.56.11"},
			`option remote_ips "192.168.56.11": is reached by lan0, and there is no route to it by wg0; list the address by which that host is reached there, or use another physical_interface`},
		{"listed by another interface's address", opts{"physical_interface": "nat0", "remote_ips": "192.168.56.10,203.0.113.9"},
			`option physical_interface "nat0": has none of the addresses in remote_ips, but this host has 192.168.56.10 there on another interface; use that one, or auto`},
		{"local_ip is not the listed address", opts{"local_ip": "10.8.0.2", "remote_ips": "192.168.56.10,10.8.0.3"},
			`option local_ip "10.8.0.2": is not in remote_ips, but 192.168.56.10 is, which this host has too; use the one that the other hosts list`},
		{"a broadcast address", opts{"remote_ips": "192.168.56.10,192.168.56.255"}, `option remote_ips "192.168.56.255": is the network or broadcast address of 192.168.56.0/24, which lan0 has, and no host's`},
		{"behind NAT", opts{"remote_ips": "203.0.113.1,203.0.113.2"}, `option remote_ips "203.0.113.1,203.0.113.2": has public addresses only, but this host has 10.0.2.15`},
		{"behind NAT with an address given", opts{"local_ip": "10.0.2.15", "remote_ips": "203.0.113.1"}, `option remote_ips "203.0.113.1": has public addresses only, but this host has 10.0.2.15`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := opts{"local_ip": "auto", "physical_interface": "auto"}
			for k, v := range tt.opts {
				o[k] = v
			}
			data := exampleNetwork(o, map[string]any{"subnets": subnet("10.77.0.0/24")})
			_, _, problems, err := ParseNew(data, twoUplinks, nil)
			if err != nil || len(problems) != 1 || !strings.HasPrefix(problems.Error(), tt.want) {
				t.Errorf("got  %v, %v\nwant %s", problems, err, tt.want)
			}
		})
	}
}

// Routes with several next hops, as routed networks have them, and tables for each source address,
// as hosts with several uplinks have them, are no contradictions. Neither is an IPv6 group, to
// which each interface has a route.
func TestCreateAcceptsRoutedUnderlays(t *testing.T) {
	type opts = map[string]string
	multipath := twoUplinks
	multipath.routes = []fakeRoute{{to: netip.MustParsePrefix("10.255.0.0/24"), by: []string{"lan0", "wg0"}}}
	policy := twoUplinks
	policy.routes = []fakeRoute{{to: netip.MustParsePrefix("10.99.0.0/24"), by: []string{"lan0"}, from: netip.MustParseAddr("192.168.56.10")}}
	group := fakeHost{default6: "eth0", ifaces: []kernel.Interface{
		{Name: "dummy", Kind: "dummy", MTU: 1500, Up: true, Addrs: parsePrefixes("fd00:9::1/64")},
		{Name: "eth0", MTU: 1500, Up: true, Addrs: parsePrefixes("fd00:1::10/64")},
	}, routes: []fakeRoute{{to: netip.MustParsePrefix("ff00::/8"), by: []string{"dummy"}}}}
	for _, tt := range []struct {
		name string
		host fakeHost
		opts opts
		want string
	}{
		{"several next hops", multipath, opts{"local_ip": "10.255.0.1", "physical_interface": "auto", "remote_ips": "10.255.0.2,10.255.0.3"},
			"lan0 10.255.0.1 8950 [10.255.0.2 10.255.0.3]"},
		{"several next hops, one named", multipath, opts{"local_ip": "10.255.0.1", "physical_interface": "wg0", "remote_ips": "10.255.0.2,10.255.0.3"},
			"wg0 10.255.0.1 1370 [10.255.0.2 10.255.0.3]"},
		{"a table for the source", policy, opts{"local_ip": "192.168.56.10", "physical_interface": "lan0", "remote_ips": "10.99.0.2,10.99.0.3"},
			"lan0 192.168.56.10 8950 [10.99.0.2 10.99.0.3]"},
		{"an IPv6 group", group, opts{"local_ip": "auto", "physical_interface": "auto", "-remote_ips": "", "multicast_group": "ff05::1"}, "eth0 fd00:1::10 1430 []"},
	} {
		data := exampleNetwork(tt.opts, map[string]any{"subnets": subnet("10.77.0.0/24")})
		_, v, problems, err := ParseNew(data, tt.host, nil)
		if got := v.String(); err != nil || problems.Err() != nil || got != tt.want {
			t.Errorf("%s: got %s, %v, %v, want %s", tt.name, got, problems, err, tt.want)
		}
	}
}

// Hosts behind NAT whose ranges the user chose can work.
func TestCreateAcceptsNATWithRanges(t *testing.T) {
	data := exampleNetwork(map[string]string{"local_ip": "auto", "physical_interface": "auto", "remote_ips": "203.0.113.1,203.0.113.2"},
		map[string]any{"subnets": []any{map[string]any{"subnet": "10.77.0.0/24", "lease_range": map[string]string{"start_ip": "10.77.0.10", "end_ip": "10.77.0.20"}}}})
	_, v, problems, err := ParseNew(data, twoUplinks, nil)
	if err != nil || problems.Err() != nil || len(v.Warnings) > 0 {
		t.Errorf("got %v, %v, %v", problems, err, v.Warnings)
	}
}

// A list that was copied from another host may lack this one. It may as well have the others only.
func TestCreateWarnsWhereNoListedAddressIsHere(t *testing.T) {
	for remotes, want := range map[string]string{
		"192.168.56.11,192.168.56.13": "[none of the addresses in remote_ips is this host's, so it takes part as one more host, 192.168.56.10; " +
			"the other hosts must list that address, or they drop its packets and may hand out the same container addresses]",
		"192.168.56.11":               "[]",
		"192.168.56.10,192.168.56.11": "[]",
	} {
		data := exampleNetwork(map[string]string{"local_ip": "auto", "physical_interface": "auto", "remote_ips": remotes}, map[string]any{"subnets": subnet("10.77.0.0/24")})
		_, v, problems, err := ParseNew(data, twoUplinks, nil)
		if got := fmt.Sprint(v.Warnings); err != nil || problems.Err() != nil || got != want {
			t.Errorf("%s: got %s, %v, %v, want %s", remotes, got, problems, err, want)
		}
	}
}

// What auto found stays while routes come and go, and changes, said, when it cannot be right.
func TestAutoStaysWhereItIs(t *testing.T) {
	a := netip.MustParseAddr
	last := VTEP{Interface: "nat0", Local: a("10.0.2.15")}
	moved := twoUplinks
	moved.default4 = "wg0"
	gone := moved
	gone.ifaces = append([]kernel.Interface{}, twoUplinks.ifaces...)
	gone.ifaces[1].Addrs = nil
	renumbered := moved
	renumbered.ifaces = append([]kernel.Interface{}, twoUplinks.ifaces...)
	renumbered.ifaces[1].Addrs = parsePrefixes("10.0.2.99/24")
	warning := " [network vxlan-network sends from 10.8.0.2 by wg0 now, since 10.0.2.15 by nat0 cannot be used any more; hosts whose remote_ips have 10.0.2.15 must list 10.8.0.2 instead]"
	tests := []struct {
		name    string
		host    fakeHost
		opts    map[string]string
		last    VTEP
		want    string
		warning string
	}{
		{"nothing has changed", twoUplinks, nil, last, "nat0 10.0.2.15 1450 [203.0.113.9]", " []"},
		{"the default route moved before the first container", moved, nil, VTEP{}, "wg0 10.8.0.2 1370 [203.0.113.9]", " []"},
		{"the default route moved", moved, nil, last, "nat0 10.0.2.15 1450 [203.0.113.9]", " []"},
		{"the address is gone", gone, nil, last, "wg0 10.8.0.2 1370 [203.0.113.9]", warning},
		{"the interface has another address", renumbered, nil, last, "nat0 10.0.2.99 1450 [203.0.113.9]",
			" [network vxlan-network sends from 10.0.2.99 by nat0 now, since 10.0.2.15 by nat0 cannot be used any more; hosts whose remote_ips have 10.0.2.15 must list 10.0.2.99 instead]"},
		{"it is back", moved, nil, VTEP{Interface: "wg0", Local: a("10.8.0.2"), Home: Underlay{"nat0", a("10.0.2.15")}}, "nat0 10.0.2.15 1450 [203.0.113.9]",
			" [network vxlan-network sends from 10.0.2.15 by nat0 again]"},
		{"it is not back", gone, nil, VTEP{Interface: "wg0", Local: a("10.8.0.2"), Home: Underlay{"nat0", a("10.0.2.15")}}, "wg0 10.8.0.2 1370 [203.0.113.9]", " []"},
		{"the interface is gone", gone, nil, VTEP{Interface: "ppp0", Local: a("10.0.2.15")}, "wg0 10.8.0.2 1370 [203.0.113.9]",
			" [network vxlan-network sends from 10.8.0.2 by wg0 now, since 10.0.2.15 by ppp0 cannot be used any more; hosts whose remote_ips have 10.0.2.15 must list 10.8.0.2 instead]"},
		{"the interface has another name", moved, nil, VTEP{Interface: "enp0s3", Local: a("10.0.2.15")}, "nat0 10.0.2.15 1450 [203.0.113.9]",
			" [network vxlan-network sends from 10.0.2.15 by nat0 now, since 10.0.2.15 by enp0s3 cannot be used any more]"},
		{"a second address of a named interface", twoUplinks, map[string]string{"physical_interface": "lan0", "remote_ips": "192.168.56.11"},
			VTEP{Interface: "lan0", Local: a("192.168.56.12")}, "lan0 192.168.56.12 8950 [192.168.56.11]", " []"},
		{"a listed address has come", twoUplinks, map[string]string{"remote_ips": "192.168.56.10,192.168.56.11"},
			last, "lan0 192.168.56.10 8950 [192.168.56.11]",
			" [network vxlan-network sends from 192.168.56.10 by lan0 now, since 10.0.2.15 by nat0 cannot be used any more; hosts whose remote_ips have 10.0.2.15 must list 192.168.56.10 instead]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := map[string]string{"local_ip": "auto", "physical_interface": "auto", "remote_ips": "203.0.113.9"}
			for k, v := range tt.opts {
				o[k] = v
			}
			_, v, err := Parse(exampleNetwork(o, map[string]any{"subnets": subnet("10.77.0.0/24")}), tt.host, tt.last)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(v, " ", v.Warnings); got != tt.want+tt.warning {
				t.Errorf("got  %s\nwant %s", got, tt.want+tt.warning)
			}
		})
	}
}

// An interface that is down comes up again. Until then no container starts, and none goes
// elsewhere.
func TestAutoDoesNotLeaveAnInterfaceThatIsDown(t *testing.T) {
	down := fakeHost{default4: "wg0", ifaces: append([]kernel.Interface{}, twoUplinks.ifaces...)}
	down.ifaces[1].Up = false
	data := exampleNetwork(map[string]string{"local_ip": "auto", "physical_interface": "auto", "remote_ips": "203.0.113.9"}, map[string]any{"subnets": subnet("10.77.0.0/24")})
	_, _, err := Parse(data, down, VTEP{Interface: "nat0", Local: netip.MustParseAddr("10.0.2.15")})
	if want := "option physical_interface \"nat0\": is down; bring it up with `ip link set nat0 up`"; errorText(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A listed address that is gone comes back, as when a VPN is started anew. Nobody accepts packets
// from another one, and they would leave the host in clear text.
func TestAutoWaitsForTheListedAddress(t *testing.T) {
	last := VTEP{Interface: "wg0", Local: netip.MustParseAddr("10.8.0.2")}
	for _, tt := range []struct {
		name    string
		ifaces  []kernel.Interface
		remotes string
		want    string
	}{
		{"the interface is gone", twoUplinks.ifaces[:3], "10.8.0.2,10.8.0.3",
			`option local_ip "auto": the network sends from 10.8.0.2, which remote_ips lists, by wg0; that is gone, and is waited for; if the host has another address for good, recreate the network on all hosts, with that address in the list`},
		{"the address is gone", append(slices.Clone(twoUplinks.ifaces[:3]), kernel.Interface{Name: "wg0", MTU: 1420, Up: true}), "10.8.0.2,10.8.0.3",
			`option local_ip "auto": the network sends from 10.8.0.2, which remote_ips lists, by wg0; that is gone, and is waited for; if the host has another address for good, recreate the network on all hosts, with that address in the list`},
		{"the interface has another address", append(slices.Clone(twoUplinks.ifaces[:3]), kernel.Interface{Name: "wg0", MTU: 1420, Up: true, Addrs: parsePrefixes("10.8.0.9/24")}), "10.8.0.2,10.8.0.3",
			`option local_ip "auto": the network sends from 10.8.0.2, which remote_ips lists, by wg0; that is gone, and is waited for; if the host has another address for good, recreate the network on all hosts, with that address in the list`},
		{"it is back", twoUplinks.ifaces, "10.8.0.2,10.8.0.3", "wg0 10.8.0.2 1370 [10.8.0.3]"},
		{"another listed address is here", twoUplinks.ifaces[:3], "10.8.0.2,192.168.56.10,192.168.56.11", "lan0 192.168.56.10 8950 [10.8.0.2 192.168.56.11]"},
		{"only the others are listed", twoUplinks.ifaces[:3], "10.8.0.3", "nat0 10.0.2.15 1450 [10.8.0.3]"},
	} {
		data := exampleNetwork(map[string]string{"local_ip": "auto", "physical_interface": "auto", "remote_ips": tt.remotes}, map[string]any{"subnets": subnet("10.77.0.0/24")})
		_, v, err := Parse(data, fakeHost{ifaces: tt.ifaces, default4: "nat0"}, last)
		got := v.String()
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// An address may move to a bridge or a bond that the interface becomes a part of.
func TestNetworkFollowsItsAddress(t *testing.T) {
	last := VTEP{Interface: "eth0", Local: netip.MustParseAddr("192.168.56.10")}
	host := fakeHost{default4: "eth0", ifaces: []kernel.Interface{
		{Name: "eth0", MTU: 1500, Up: true, Addrs: parsePrefixes("172.16.0.10/24")},
		{Name: "br0", Kind: kernel.KindBridge, MTU: 1500, Up: true, Addrs: parsePrefixes("192.168.56.10/24")},
	}}
	for _, opts := range []map[string]string{
		{"local_ip": "auto", "physical_interface": "auto", "remote_ips": "192.168.56.10,192.168.56.11"},
		{"local_ip": "auto", "physical_interface": "auto", "remote_ips": "192.168.56.11"},
		{"local_ip": "192.168.56.10", "physical_interface": "auto", "remote_ips": "192.168.56.11"},
	} {
		_, v, err := Parse(exampleNetwork(opts, map[string]any{"subnets": subnet("10.77.0.0/24")}), host, last)
		if want := "br0 192.168.56.10 1450 [192.168.56.11]"; err != nil || v.String() != want {
			t.Errorf("%v: got %s, %v, want %s", opts, v, err, want)
		}
	}
}
