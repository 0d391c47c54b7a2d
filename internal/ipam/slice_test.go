package ipam

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"vxlan-driver/internal/network"
)

func parseSubnet(prefix, gateway string) network.Subnet {
	s := network.Subnet{Prefix: netip.MustParsePrefix(prefix)}
	if gateway != "" {
		s.Gateway = netip.MustParseAddr(gateway)
	}
	return s
}

func underlayAddrs(n int) []netip.Addr {
	var all []netip.Addr
	for i := range n {
		all = append(all, netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}))
	}
	return all
}

func TestSubnetSliceOfDocumentedExample(t *testing.T) {
	// Three hosts make four parts of 64 addresses.
	s := parseSubnet("10.0.0.0/24", "10.0.0.1")
	for rank, want := range []string{"10.0.0.2-10.0.0.62", "10.0.0.64-10.0.0.126", "10.0.0.128-10.0.0.190"} {
		r, err := SubnetSlice(s, underlayAddrs(3), underlayAddrs(3)[rank], 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.First.String() + "-" + r.Last.String(); got != want {
			t.Errorf("rank %d: got %s, want %s", rank, got, want)
		}
	}
}

func TestSubnetSliceOfTooSmallSubnetNamesSmallest(t *testing.T) {
	_, err := SubnetSlice(parseSubnet("10.0.0.0/29", ""), underlayAddrs(3), underlayAddrs(3)[0], 0)
	want := "is too small to give each of 3 hosts addresses of its own; the smallest that works is a /28, or give every host its own --ip-range"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := SubnetSlice(parseSubnet("10.0.0.0/28", ""), underlayAddrs(3), underlayAddrs(3)[0], 0); err != nil {
		t.Errorf("the size that the message names does not work: %v", err)
	}
}

// The properties hold for random subnets, gateways and lists of hosts.
func TestSubnetSliceProperties(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 1 + rnd.IntN(40)
		s := randomSubnet(rnd)
		all := underlayAddrs(n)
		rnd.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
		most := []int{0, n, 2 * n}[rnd.IntN(3)]
		var slices []network.Range
		for _, self := range all {
			r, err := SubnetSlice(s, all, self, most)
			if err != nil {
				if s.Prefix.Addr().BitLen()-s.Prefix.Bits() > 8 {
					t.Fatalf("%s for %d hosts: %v", s.Prefix, n, err)
				}
				break
			}
			other, _ := SubnetSlice(s, underlayAddrs(n), self, most)
			if r != other {
				t.Fatalf("%s: the list's order changes the slice: %v, %v", s.Prefix, r, other)
			}
			slices = append(slices, r)
		}
		if msg := sliceProblem(s, slices); msg != "" {
			t.Fatalf("%s gateway %s, %d hosts: %s", s.Prefix, s.Gateway, n, msg)
		}
	}
}

func randomSubnet(rnd *rand.Rand) network.Subnet {
	base, most := netip.MustParseAddr("10.64.0.0"), 16
	if rnd.IntN(2) == 0 {
		base, most = netip.MustParseAddr("fd00:10::"), 64
	}
	hostBits := 1 + rnd.IntN(most)
	s := network.Subnet{Prefix: netip.PrefixFrom(base, base.BitLen()-hostBits)}
	s.Gateway = base
	for range 1 + rnd.IntN(min(1<<min(hostBits, 9)-1, 300)) {
		s.Gateway = s.Gateway.Next()
	}
	return s
}

func sliceProblem(s network.Subnet, slices []network.Range) string {
	broadcast := netip.Addr{}
	if s.Prefix.Addr().Is4() {
		b := s.Prefix.Addr().As4()
		for bit := s.Prefix.Bits(); bit < 32; bit++ {
			b[bit/8] |= 0x80 >> (bit % 8)
		}
		broadcast = netip.AddrFrom4(b)
	}
	for i, r := range slices {
		if r.Last.Less(r.First) {
			return fmt.Sprintf("slice %d is empty: %v", i, r)
		}
		if !s.Prefix.Contains(r.First) || !s.Prefix.Contains(r.Last.Next()) {
			return fmt.Sprintf("slice %d and its host's address leave the subnet: %v", i, r)
		}
		own := hostAddrOf(s, r)
		for j, q := range slices {
			if !own.Less(q.First) && !q.Last.Less(own) || i != j && own == hostAddrOf(s, q) {
				return fmt.Sprintf("the own address %s of host %d is host %d's too", own, i, j)
			}
		}
		if own == s.Gateway || own == broadcast || own == s.Prefix.Addr() || !s.Prefix.Contains(own) {
			return fmt.Sprintf("host %d has the own address %s", i, own)
		}
		for _, never := range []netip.Addr{s.Prefix.Addr(), s.Gateway, broadcast} {
			if never.IsValid() && !never.Less(r.First) && !r.Last.Less(never) {
				return fmt.Sprintf("slice %d %v contains %s", i, r, never)
			}
		}
		for j, q := range slices[:i] {
			if !r.Last.Less(q.First) && !q.Last.Less(r.First) {
				return fmt.Sprintf("slices %d %v and %d %v overlap", i, r, j, q)
			}
		}
	}
	return ""
}

// hostAddrOf is the own address of the host that hands out r.
func hostAddrOf(s network.Subnet, r network.Range) netip.Addr {
	s.Lease = r
	n := network.Network{Subnets: []network.Subnet{s}}
	AssignSlices(&n, network.VTEP{})
	return n.Subnets[0].HostAddress
}

// A host that has two of the listed addresses counts twice on all hosts, so that all come to the
// same division.
func TestHostWithTwoListedAddressesKeepsItsRank(t *testing.T) {
	all := underlayAddrs(4)
	hosts := map[string]network.VTEP{
		"a":               {Local: all[0], Remotes: []netip.Addr{all[1], all[3]}}, // all[2] is its own too
		"a, by its other": {Local: all[2], Remotes: []netip.Addr{all[1], all[3]}},
		"b":               {Local: all[1], Remotes: []netip.Addr{all[0], all[2], all[3]}},
		"c":               {Local: all[3], Remotes: []netip.Addr{all[0], all[1], all[2]}},
	}
	seen := make(map[network.Range]string)
	for name, v := range hosts {
		n := network.Network{Remotes: all, Subnets: []network.Subnet{parseSubnet("10.0.0.0/24", "10.0.0.1")}}
		if problems := AssignSlices(&n, v); len(problems) > 0 {
			t.Fatal(problems)
		}
		lease := n.Subnets[0].Lease
		if other, taken := seen[lease]; taken {
			t.Errorf("hosts %s and %s have the same slice %v", name, other, lease)
		}
		seen[lease] = name
	}
}

// Between a list and a plane a host has its part and its own address as before, and also once the network is with the
// plane. Where agents pick from the whole subnet it has neither.
func TestPartsStayWhileANetworkMoves(t *testing.T) {
	all := underlayAddrs(3)
	parts := network.Range{First: netip.MustParseAddr("10.0.0.2"), Last: netip.MustParseAddr("10.0.0.62")}
	own := netip.MustParseAddr("10.0.0.63")
	for _, tt := range []struct {
		name    string
		network network.Network
		lease   network.Range // before
		want    network.Range
		own     netip.Addr
	}{
		{"a host that joins on the way", network.Network{Discovery: network.DiscoveryEtcd, DiscoveryAlso: "static"},
			network.Range{}, parts, own},
		{"on the way", network.Network{Discovery: network.DiscoveryEtcd, DiscoveryAlso: "static", PodmanPicks: true},
			parts, parts, own},
		{"by etcd, from a list", network.Network{Discovery: network.DiscoveryEtcd, PodmanPicks: true}, parts, parts, own},
		{"by etcd", network.Network{Discovery: network.DiscoveryEtcd}, network.Range{}, network.Range{}, netip.Addr{}},
	} {
		n := tt.network
		n.Remotes, n.Subnets = all, []network.Subnet{parseSubnet("10.0.0.0/24", "10.0.0.1")}
		n.Subnets[0].Lease = tt.lease
		if problems := AssignSlices(&n, network.VTEP{Local: all[0], Remotes: all[1:]}); len(problems) > 0 {
			t.Errorf("%s: %v", tt.name, problems)
		}
		if s := n.Subnets[0]; s.Lease != tt.want || s.HostAddress != tt.own {
			t.Errorf("%s: hands out %s, and has %v itself", tt.name, s.Lease.Typed(), s.HostAddress)
		}
	}
}

// A host with a higher address than the others changes no other host's slice, if max_hosts leaves
// room.
func TestSlicesStayWhenHostIsAddedWithinMaxHosts(t *testing.T) {
	s := parseSubnet("10.0.0.0/24", "10.0.0.1")
	part := func(list []netip.Addr, self netip.Addr, most int) network.Range {
		r, err := SubnetSlice(s, list, self, most)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	two, three := underlayAddrs(2), underlayAddrs(3)
	if a, b := part(two, two[1], 4), part(three, two[1], 4); a != b {
		t.Errorf("max_hosts=4: %v became %v", a, b)
	}
	if a, b := part(two, two[1], 0), part(three, two[1], 0); a == b {
		t.Errorf("%v stayed", a)
	}
	if _, err := SubnetSlice(s, three, three[0], 2); err == nil || err.Error() != "cannot be divided among 3 hosts: max_hosts is 2" {
		t.Errorf("got %v", err)
	}
}

func TestReserveRangesKeepsUsersRange(t *testing.T) {
	tests := []struct{ first, last, want, host string }{
		{"10.0.0.32", "10.0.0.47", "10.0.0.32-10.0.0.46", "10.0.0.47"},
		{"10.0.0.0", "10.0.0.7", "10.0.0.2-10.0.0.6", "10.0.0.7"},
		{"10.0.0.240", "10.0.0.255", "10.0.0.240-10.0.0.253", "10.0.0.254"},
		{"10.0.0.32", "", "10.0.0.32-10.0.0.253", "10.0.0.254"},
		{"", "10.0.0.9", "10.0.0.2-10.0.0.8", "10.0.0.9"},
		{"10.0.0.2", "10.0.0.3", "10.0.0.2-10.0.0.2", "10.0.0.3"},
		{"10.0.0.1", "10.0.0.2", "", ""},
		{"10.0.0.9", "10.0.0.9", "", ""},
	}
	for _, tt := range tests {
		s := parseSubnet("10.0.0.0/24", "10.0.0.1")
		if tt.first != "" {
			s.Lease.First = netip.MustParseAddr(tt.first)
		}
		if tt.last != "" {
			s.Lease.Last = netip.MustParseAddr(tt.last)
		}
		n := network.Network{Subnets: []network.Subnet{s}}
		problems := ReserveRanges(&n)
		if tt.want == "" {
			if len(problems) != 1 {
				t.Errorf("%s-%s: got %v and %v", tt.first, tt.last, n.Subnets[0].Lease, problems)
			}
			continue
		}
		problems = append(problems, AssignSlices(&n, network.VTEP{})...)
		got := n.Subnets[0]
		if text := got.Lease.First.String() + "-" + got.Lease.Last.String(); text != tt.want || got.HostAddress.String() != tt.host || len(problems) > 0 {
			t.Errorf("%s-%s: got %s, host %s, %v", tt.first, tt.last, text, got.HostAddress, problems)
		}
	}
}

// Another host's own address is refused for a container, whether or not that host has a container.
func TestCheckHostAddrsRefusesOtherHostsOwnAddress(t *testing.T) {
	all := underlayAddrs(3) // four slices of 64
	check := func(addr string, change func(*network.Network)) string {
		n := network.Network{Remotes: all, Subnets: []network.Subnet{parseSubnet("10.0.0.0/24", "10.0.0.1")}}
		n.Name = "net"
		if change != nil {
			change(&n)
		}
		v := network.VTEP{Local: all[0], Remotes: all[1:]}
		if problems := AssignSlices(&n, v); len(problems) > 0 {
			t.Fatal(problems)
		}
		err := CheckHostAddrs(n, v, []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(addr), 24)})
		if err == nil {
			return ""
		}
		return err.Error()
	}
	byUser := func(n *network.Network) {
		n.Subnets[0].Lease = network.Range{First: netip.MustParseAddr("10.0.0.10"), Last: netip.MustParseAddr("10.0.0.20")}
	}
	for _, tt := range []struct {
		addr   string
		change func(*network.Network)
		want   string
	}{
		{"10.0.0.127", nil, `--ip "10.0.0.127": is the own address of host 198.18.0.1 on network net`},
		{"10.0.0.191", nil, `--ip "10.0.0.191": is the own address of host 198.18.0.2 on network net`},
		{"10.0.0.254", nil, ""}, // there is no fourth host
		{"10.0.0.254", func(n *network.Network) { n.MaxHosts = 4 }, `--ip "10.0.0.254": is kept for a later host's own address on network net, as max_hosts says`},
		{"10.0.0.100", nil, ""},
		{"10.0.0.127", byUser, ""},
		{"10.0.0.127", func(n *network.Network) { n.Discovery = network.DiscoveryGossip }, ""},
	} {
		if got := check(tt.addr, tt.change); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.addr, got, tt.want)
		}
	}
}

// Where no list divides the subnet, the least that works is one address beside the gateway's.
func TestSubnetWithoutContainerAddress(t *testing.T) {
	for prefix, want := range map[string]bool{
		"10.0.0.0/32": false, "10.0.0.0/31": false, "10.0.0.0/30": true, "fd00::/128": false, "fd00::/127": false, "fd00::/126": true,
	} {
		for _, discovery := range []network.Discovery{"", network.DiscoveryGossip, network.DiscoveryEtcd} {
			n := network.Network{Discovery: discovery, Subnets: []network.Subnet{parseSubnet(prefix, "")}}
			if problems := AssignSlices(&n, network.VTEP{}); (problems.Err() == nil) != want {
				t.Errorf("%s: %v", prefix, problems)
			}
		}
	}
}
