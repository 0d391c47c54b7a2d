package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// green is a second network beside blue.
func green() network.Network {
	n := blue()
	n.Identity = network.Identity{ID: "g1", Name: "green", Bridge: network.DeviceName{Name: "br-vxlan-green"}, Device: network.DeviceName{Name: "vxlan-green"}}
	n.Tunnel.VNI = 200
	n.Subnets = []network.Subnet{subnet("10.5.0.0/24", "10.5.0.1")}
	return n
}

// publisher is a container that publishes port 8080, set up at a time.
func publisher(containerID, addr string, setUp int64) RecordedEndpoint {
	e := endpointWith(addr)
	e.ContainerID = containerID
	e.Ports = []network.PortMapping{{Protocol: network.ProtocolTCP, HostPort: 8080, ContainerPort: 80, Count: 1}}
	return RecordedEndpoint{Endpoint: e, SetUp: setUp}
}

func hostNetwork(n network.Network, endpoints ...RecordedEndpoint) HostNetwork {
	return HostNetwork{PlacedNetwork: PlacedNetwork{Network: n, VTEP: vtep}, Endpoints: endpoints}
}

// inSet prints the elements of one set.
func inSet(elements []kernel.Element, set kernel.Set) string {
	var all []string
	for _, e := range elements {
		if e.Set == set {
			all = append(all, kernel.AddElements{Elements: []kernel.Element{e}}.String())
		}
	}
	return strings.Join(all, "\n")
}

// A published port has one owner, whatever the order in which networks and containers are read.
func TestPublishedPortHasOneOwner(t *testing.T) {
	tests := []struct {
		name     string
		networks []HostNetwork
		want     string
	}{
		{"a container on two networks: the one it joined first",
			[]HostNetwork{hostNetwork(blue(), publisher("c1", "10.0.0.2/24", 2)), hostNetwork(green(), publisher("c1", "10.5.0.2/24", 1))}, "10.5.0.2"},
		{"two containers: the later, as the earlier is gone without a teardown",
			[]HostNetwork{hostNetwork(blue(), publisher("c1", "10.0.0.2/24", 2), publisher("c2", "10.0.0.3/24", 1))}, "10.0.0.2"},
		{"two containers on two networks",
			[]HostNetwork{hostNetwork(blue(), publisher("c1", "10.0.0.2/24", 1)), hostNetwork(green(), publisher("c2", "10.5.0.3/24", 2))}, "10.5.0.3"},
	}
	for _, tt := range tests {
		for _, order := range []string{"forwards", "backwards"} {
			if got := inSet(HostElements(tt.networks), kernel.Ports4); strings.Count(got, "8080") != 1 || !strings.Contains(got, tt.want+" . 80") {
				t.Errorf("%s, read %s: got %s, want %s", tt.name, order, got, tt.want)
			}
			tt.networks = reversed(tt.networks)
		}
	}
}

func reversed(networks []HostNetwork) (all []HostNetwork) {
	for i := range networks {
		n := networks[len(networks)-1-i]
		var endpoints []RecordedEndpoint
		for j := range n.Endpoints {
			endpoints = append(endpoints, n.Endpoints[len(n.Endpoints)-1-j])
		}
		n.Endpoints = endpoints
		all = append(all, n)
	}
	return all
}

// A network that goes takes along only what no other needs.
func TestNetworkThatGoesLeavesSharedElements(t *testing.T) {
	gone := PlacedNetwork{Network: green(), VTEP: vtep}
	f := Forget(gone.Identity, &gone, []HostNetwork{hostNetwork(blue())}, nil).Firewall
	if f.Mode != FirewallRemove {
		t.Fatalf("mode %d", f.Mode)
	}
	for set, want := range map[kernel.Set]string{
		kernel.Bridges: "br-vxlan-green", kernel.Masquerade4: "10.5.0.0/24", kernel.OwnVNIs: "0xc8", // its own
		kernel.VTEPs4: "", kernel.VXLANPorts: "", kernel.Underlays: "", // both networks'
	} {
		if got := inSet(f.Remove, set); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("of %s goes %q, want %q", set.Name, got, want)
		}
	}
}

// Without the configuration of the network that goes nobody knows what it had, so all is set anew
// without it.
func TestNetworkThatCannotBeReadGoesByReset(t *testing.T) {
	f := Forget(green().Identity, nil, []HostNetwork{hostNetwork(blue(), publisher("c1", "10.0.0.2/24", 1))}, nil).Firewall
	all, err := f.All()
	if err != nil || f.Mode != FirewallReset || inSet(all, kernel.Ports4) == "" {
		t.Errorf("mode %d, %v, %v", f.Mode, all, err)
	}
}

// What the firewall has of a network that cannot be read stays, also where all is set anew.
func TestResetKeepsWhatCannotBeRead(t *testing.T) {
	networks := []HostNetwork{hostNetwork(blue())}
	for _, complete := range []bool{true, false} {
		if all, err := RepairFirewall(networks, complete).Firewall.All(); (err == nil) != complete || len(all) == 0 {
			t.Errorf("complete %t: %d elements, %v", complete, len(all), err)
		}
	}
	for _, tt := range []struct {
		networks []HostNetwork
		complete bool
		want     FirewallMode
	}{{networks, true, FirewallReset}, {networks, false, FirewallReset}, {nil, false, FirewallReset}, {nil, true, FirewallDelete}} {
		if got := ResetFirewall(tt.networks, tt.complete).Firewall.Mode; got != tt.want {
			t.Errorf("%d networks, complete %t: mode %d, want %d", len(tt.networks), tt.complete, got, tt.want)
		}
	}
}

// An element that the firewall has beyond the wanted ones is kept, unless another is wanted with
// its key.
func TestKeepElements(t *testing.T) {
	wanted := HostElements([]HostNetwork{hostNetwork(blue(), publisher("c1", "10.0.0.2/24", 1))})
	other := HostElements([]HostNetwork{hostNetwork(green(), publisher("c2", "10.5.0.2/24", 1))})
	all := KeepElements(wanted, slices.Concat(wanted, other))
	if got, want := inSet(all, kernel.Ports4), inSet(wanted, kernel.Ports4); got != want {
		t.Errorf("published %q, want %q", got, want)
	}
	for _, set := range []kernel.Set{kernel.Bridges, kernel.Members4} {
		got := inSet(all, set)
		if !strings.Contains(got, inSet(wanted, set)) || !strings.Contains(got, inSet(other, set)) {
			t.Errorf("%s: %q", set.Name, got)
		}
	}
}

// Beside a network that cannot be read, only what no two networks share goes with another.
func TestForgetBesideUnreadNetworkLeavesSharedElements(t *testing.T) {
	gone := hostNetwork(green()).PlacedNetwork
	f := Forget(gone.Identity, &gone, nil, errUnread).Firewall
	for _, set := range []kernel.Set{kernel.Underlays, kernel.VXLANPorts, kernel.VTEPs4} {
		if got := inSet(f.Remove, set); got != "" {
			t.Errorf("of %s goes %q", set.Name, got)
		}
	}
	if inSet(f.Remove, kernel.Bridges) == "" || inSet(f.Remove, kernel.Members4) == "" {
		t.Errorf("the network's own elements stay: %v", f.Remove)
	}
}

// What a container published on the network that it leaves, it publishes on its other networks from
// then on.
func TestPublishedPortMovesToAnotherNetwork(t *testing.T) {
	internal := green()
	internal.Internal = true
	elsewhere := publisher("c1", "10.5.0.2/24", 2).Endpoint
	for _, tt := range []struct {
		name  string
		ports bool
		other network.Network
		want  string
	}{
		{"published on both", true, green(), "10.5.0.2"},
		{"published on none", false, green(), ""},
		{"the other is internal", true, internal, ""},
	} {
		l := Leaving{Network: blue().Identity, Endpoint: publisher("c1", "10.0.0.2/24", 1).Endpoint, Elsewhere: []Elsewhere{{tt.other, elsewhere}}}
		if !tt.ports {
			l.Ports = nil
		}
		if got := inSet(Stop(l).Disconnect.Republish, kernel.Ports4); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// 127.0.0.1 is kept off the bridge again when nobody is to be reached there any more.
func TestRouteLocalnetGoesWithTheLastPublisher(t *testing.T) {
	silent := publisher("c1", "10.0.0.2/24", 1).Endpoint
	silent.Ports = nil
	for _, tt := range []struct {
		name     string
		endpoint network.Endpoint
		others   bool
		want     string
	}{
		{"the last", publisher("c1", "10.0.0.2/24", 1).Endpoint, false, "[sysctl -w net/ipv4/conf/br-vxlan-blue/route_localnet=0]"},
		{"another publishes", publisher("c1", "10.0.0.2/24", 1).Endpoint, true, "[]"},
		{"it publishes nothing", silent, false, "[]"},
	} {
		l := Leaving{Network: blue().Identity, Endpoint: tt.endpoint, OthersPublish: tt.others}
		if got := fmt.Sprint(Stop(l).Disconnect.Sysctls); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	for _, internal := range []bool{false, true} {
		n := blue()
		n.Internal = internal
		d := RepairDevices(hostNetwork(n, publisher("c1", "10.0.0.2/24", 1))).Network.Devices
		if got := strings.Contains(fmt.Sprint(d.Bridge.Sysctls), "route_localnet=1"); got == internal {
			t.Errorf("internal %t: parameters %v", internal, d.Bridge.Sysctls)
		}
	}
}

// Only elements whose key, value or comment differ are changed, also where a key is there twice.
func TestElementDifference(t *testing.T) {
	element := func(key, value, comment string) kernel.Element {
		return kernel.Element{Set: kernel.FromPort, Key: kernel.Device(key), Value: kernel.Jump(value), Comment: comment}
	}
	a, b, c := element("a", "x", ""), element("b", "x", ""), element("c", "x", "")
	for _, tt := range []struct {
		name                       string
		before, now                []kernel.Element
		wantOld, wantNew, wantGone int
	}{
		{"the same in another order", []kernel.Element{a, b}, []kernel.Element{b, a}, 0, 0, 0},
		{"from nothing", nil, []kernel.Element{a, b}, 0, 2, 0},
		{"to nothing", []kernel.Element{a, b}, nil, 2, 0, 2},
		{"one comes and one goes", []kernel.Element{a, b}, []kernel.Element{a, c}, 1, 1, 1},
		{"another value", []kernel.Element{a, b}, []kernel.Element{element("a", "y", ""), b}, 1, 1, 0},
		{"another comment", []kernel.Element{a, b}, []kernel.Element{a, element("b", "x", "new")}, 1, 1, 0},
		{"twice before and now", []kernel.Element{a, a}, []kernel.Element{a, a}, 0, 0, 0},
		{"twice before, once now", []kernel.Element{a, a}, []kernel.Element{a}, 0, 0, 0},
		{"once before, twice now", []kernel.Element{a}, []kernel.Element{a, a}, 0, 0, 0},
	} {
		d := elementDifference(tt.before, tt.now)
		if len(d.old) != tt.wantOld || len(d.new) != tt.wantNew || len(d.gone) != tt.wantGone {
			t.Errorf("%s: %d go for %d, %d of them for good", tt.name, len(d.old), len(d.new), len(d.gone))
		}
	}
}

// A host that both have is left out of what differs, unless its elements are others.
func TestOnlyHostsThatComeOrGoDiffer(t *testing.T) {
	before := hostNetwork(blue()).PlacedNetwork
	before.VTEP.AgentPort = 7947
	for _, tt := range []struct {
		name   string
		change func(*PlacedNetwork)
		want   int // elements of both that are compared, beyond those without a host
	}{
		{"a host joins", func(p *PlacedNetwork) { p.VTEP.Remotes = append(p.VTEP.Remotes, netip.MustParseAddr("198.18.0.77")) }, 3},
		{"all leave", func(p *PlacedNetwork) { p.VTEP.Remotes = nil }, 3 * len(before.VTEP.Remotes)},
		{"another port of agents", func(p *PlacedNetwork) { p.VTEP.AgentPort++ }, 2 * 3 * len(before.VTEP.Remotes)},
		{"another VNI", func(p *PlacedNetwork) { p.Tunnel.VNI++ }, 2 * 3 * len(before.VTEP.Remotes)},
		{"another VTEP", func(p *PlacedNetwork) { p.VTEP.Local = p.VTEP.Local.Next() }, 2 * 3 * len(before.VTEP.Remotes)},
	} {
		now := before
		now.VTEP.Remotes = slices.Clone(before.VTEP.Remotes)
		tt.change(&now)
		alone := before
		alone.VTEP.Remotes = nil
		old, changed := differingElements(before, now)
		if got := len(old) + len(changed) - 2*len(networkElements(alone)); got != tt.want || tt.want == 0 {
			t.Errorf("%s: %d elements of hosts are compared, want %d", tt.name, got, tt.want)
		}
		if old[0] != networkFingerprint(before) || changed[0] != networkFingerprint(now) {
			t.Errorf("%s: the fingerprints are of what is compared", tt.name)
		}
	}
}

// A firewall that was set anew without members becomes, by what differs, what it would have been if it
// had been set at once, also if hosts have come and gone meanwhile. Until then it lacks members alone.
func TestMembersFollowLater(t *testing.T) {
	before := hostNetwork(blue())
	before.VTEP.AgentPort = 7947
	first, err := WithoutMembers([]HostNetwork{before}, true)()
	if err != nil {
		t.Fatal(err)
	}
	all := HostElements([]HostNetwork{before})
	for _, e := range elementsExcept(all, first) {
		if e.Set != kernel.Members4 {
			t.Errorf("%v is missing until the members are there", e)
		}
	}
	if len(all)-len(first) != len(before.VTEP.Remotes) || len(before.VTEP.Remotes) == 0 {
		t.Errorf("%d elements at first, and %d in all", len(first), len(all))
	}
	for _, change := range []func(*HostNetwork){
		func(*HostNetwork) {},
		func(n *HostNetwork) { n.VTEP.Remotes = append(n.VTEP.Remotes, netip.MustParseAddr("198.18.0.77")) },
		func(n *HostNetwork) { n.VTEP.Remotes = nil },
		func(n *HostNetwork) { n.Tunnel.VNI++ },
	} {
		now := before
		now.VTEP.Remotes = slices.Clone(before.VTEP.Remotes)
		change(&now)
		now.Before = &before.PlacedNetwork
		p := RepairFirewall([]HostNetwork{now}, true).Firewall
		change := p.Networks[0].ChangeFrom(first[slices.IndexFunc(first, func(e kernel.Element) bool { return e.Set == kernel.Bridges })].Comment)
		if change == nil {
			t.Fatal("the first step is not known")
		}
		c, err := change(p.All)
		if err != nil {
			t.Fatal(err)
		}
		got := append(elementsExcept(first, c.Old), c.New...)
		want := HostElements([]HostNetwork{now})
		if d := elementDifference(got, want); len(d.old)+len(d.new) > 0 {
			t.Errorf("%v is to go, and %v is missing", d.old, d.new)
		}
	}
	if RepairFirewall([]HostNetwork{before}, true).Firewall.Networks[0].ChangeFrom("another") != nil {
		t.Error("another network is taken for this one")
	}
}
