package plan

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

var vtep = network.VTEP{
	Local: netip.MustParseAddr("198.18.0.10"), Interface: "eth0", MTU: 1450,
	Remotes: remotes, Flood: remotes,
}

var remotes = []netip.Addr{netip.MustParseAddr("198.18.0.11"), netip.MustParseAddr("198.18.0.12")}

func subnet(prefix, gateway string) network.Subnet {
	s := network.Subnet{Prefix: netip.MustParsePrefix(prefix)}
	if gateway != "" {
		s.Gateway = netip.MustParseAddr(gateway)
	}
	return s
}

func blue() network.Network {
	return network.Network{
		Identity: network.Identity{ID: "b1", Name: "blue", Bridge: network.DeviceName{Name: "br-vxlan-blue"}, Device: network.DeviceName{Name: "vxlan-blue"}},
		Tunnel:   kernel.Tunnel{VNI: 100, Port: 4789},
		Metric:   100,
		Subnets:  []network.Subnet{subnet("10.0.0.0/24", "10.0.0.1"), subnet("10.1.0.0/24", "10.1.0.1"), subnet("fd00:10::/64", "fd00:10::1")},
		Routes:   []kernel.Route{{Type: kernel.RouteBlackhole, Dst: netip.MustParsePrefix("192.0.2.0/24"), Metric: 5}},
	}
}

func endpointWith(addrs ...string) network.Endpoint {
	e := network.Endpoint{ContainerID: "c1", Namespace: "/run/netns/c1", Interface: "eth0"}
	for _, a := range addrs {
		e.Addrs = append(e.Addrs, netip.MustParsePrefix(a))
	}
	return e
}

// The routes in a container, by its addresses and the network's options.
func TestRoutes(t *testing.T) {
	tests := []struct {
		name   string
		change func(*network.Network)
		addrs  []string
		want   string
	}{
		{"one family", nil, []string{"10.0.0.2/24"}, "0.0.0.0/0 via 10.0.0.1 metric 100; blackhole 192.0.2.0/24 metric 5"},
		{"the gateway of the address's own subnet", nil, []string{"10.1.0.2/24"}, "0.0.0.0/0 via 10.1.0.1 metric 100; blackhole 192.0.2.0/24 metric 5"},
		{"both families", nil, []string{"10.0.0.2/24", "fd00:10::2/64"}, "0.0.0.0/0 via 10.0.0.1 metric 100; ::/0 via fd00:10::1 metric 100; blackhole 192.0.2.0/24 metric 5"},
		{"IPv6 only", nil, []string{"fd00:10::2/64"}, "::/0 via fd00:10::1 metric 100"},
		{"metric", func(n *network.Network) { n.Metric = 0 }, []string{"10.0.0.2/24"}, "0.0.0.0/0 via 10.0.0.1 metric 0; blackhole 192.0.2.0/24 metric 5"},
		{"no_default_route", func(n *network.Network) { n.NoDefaultRoute = true }, []string{"10.0.0.2/24"}, "blackhole 192.0.2.0/24 metric 5"},
		{"internal", func(n *network.Network) { n.Internal = true }, []string{"10.0.0.2/24"}, "blackhole 192.0.2.0/24 metric 5"},
		{"no gateway", func(n *network.Network) { n.Subnets[0].Gateway = netip.Addr{} }, []string{"10.0.0.2/24"}, "blackhole 192.0.2.0/24 metric 5"},
		{"no address", nil, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := blue()
			if tt.change != nil {
				tt.change(&n)
			}
			v := veth(PlacedNetwork{Network: n, VTEP: vtep}, endpointWith(tt.addrs...))
			var got []string
			for _, r := range v.Container.Routes {
				text := strings.TrimPrefix(kernel.AddRoute{Name: "eth0", Route: r}.String(), "ip route append ")
				got = append(got, strings.ReplaceAll(text, " dev eth0", ""))
			}
			if joined := strings.Join(got, "; "); joined != tt.want {
				t.Errorf("got  %s\nwant %s", joined, tt.want)
			}
		})
	}
}

// Who gets what the bridge has for everybody, and whether MACs are learned.
func TestDevice(t *testing.T) {
	n := blue()
	d := networkDevices(PlacedNetwork{Network: n, VTEP: vtep}, false).VXLAN
	if want := []kernel.FDB{{Dst: vtep.Remotes[0]}, {Dst: vtep.Remotes[1]}}; !reflect.DeepEqual(d.FDB, want) {
		t.Errorf("flood entries %v", d.FDB)
	}
	known := vtep
	known.Flood, known.StaticFDB = remotes[:1], true
	if d := networkDevices(PlacedNetwork{Network: n, VTEP: known}, false).VXLAN; d.Tunnel.Learning || len(d.FDB) != 1 {
		t.Errorf("with peers: %+v", d)
	}
	if !d.Tunnel.Learning || d.Tunnel.Dev != "eth0" || d.Tunnel.Local != vtep.Local || !d.NoLinkLocal || d.Master != "br-vxlan-blue" {
		t.Errorf("got %+v", d)
	}
	n.Learning = kernel.Some(false)
	if networkDevices(PlacedNetwork{Network: n, VTEP: vtep}, false).VXLAN.Tunnel.Learning {
		t.Error("learning is on")
	}
	n.Tunnel.Group = netip.MustParseAddr("239.1.1.1")
	if d = networkDevices(PlacedNetwork{Network: n, VTEP: vtep}, false).VXLAN; len(d.FDB) > 0 || d.Tunnel.Group != n.Tunnel.Group {
		t.Errorf("with a group: %+v", d)
	}
}

func TestPlanIsDeterministic(t *testing.T) {
	n := HostNetwork{PlacedNetwork: PlacedNetwork{Network: blue(), VTEP: vtep}}
	for _, e := range []network.Endpoint{endpointWith("10.0.0.2/24"), endpointWith("10.0.0.3/24", "fd00:10::3/64")} {
		n.Endpoints = append(n.Endpoints, RecordedEndpoint{Endpoint: e})
	}
	if a, b := RepairNetwork(n), RepairNetwork(n); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a, b)
	}
}
