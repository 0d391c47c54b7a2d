package membership

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

// Difference says, for a person, in what this host and another set up one network differently.
type Difference struct {
	Text string
	// Harmful tells that containers of the two hosts cannot talk, or lose packets.
	Harmful bool
}

// Differences compares how this host set up a network with how each reachable host did, whether it
// is on the static list or not. Hosts of an early version, which do not say, are left out, and this host
// at another address. It remembers what it found of each host, as few of a thousand have changed.
type Differences struct {
	name  string // of the network
	ours  cluster.NetworkView
	key   cluster.NetworkKey
	self  cluster.HostID
	hosts []*cluster.Host
	found map[*cluster.Host][]Difference // of those that differ
}

// Find returns the differences in a snapshot.
func (d *Differences) Find(n Network, s cluster.Snapshot) (all []Difference) {
	ours := viewOf(n)
	if d.name != n.Name || d.key != n.Key() || d.self != s.Self || !d.ours.Equal(ours) {
		*d = Differences{name: n.Name, ours: ours, key: n.Key(), self: s.Self}
	}
	before, found := d.hosts, make(map[*cluster.Host][]Difference)
	for _, h := range s.Hosts {
		for len(before) > 0 && before[0] != h && before[0].Compare(*h) <= 0 {
			before = before[1:] // another state of the host, or one that is gone
		}
		var differs []Difference
		if len(before) > 0 && before[0] == h {
			before, differs = before[1:], d.found[h]
		} else {
			differs = d.compare(n, h)
		}
		if len(differs) > 0 {
			found[h], all = differs, append(all, differs...)
		}
	}
	d.hosts, d.found = s.Hosts, found
	return all
}

func (d *Differences) compare(n Network, h *cluster.Host) []Difference {
	m := findCounterpart(n, d.ours, h.Memberships)
	if m == nil || h.ID.Matches(d.self) || !h.Reachable() || m.View.Name == "" ||
		m.Network == d.key && m.View.Equal(d.ours) && (n.Encrypts() || len(m.Keys) == 0) {
		return nil
	}
	c := comparison{network: n.Name, host: h.Label()}
	c.compareKeys(d.key, m.Network)
	if m.Network != d.key {
		return c.found
	}
	theirs := m.View
	if n.IsMoving() || n.Discovery == network.DiscoveryEtcd { // one of the two may have a list still
		theirs.List, theirs.Listed = d.ours.List, d.ours.Listed
	}
	if c.compareEncryption(n, m) {
		theirs.MTU = 0 // it follows from that
	}
	c.compareViews(d.ours, theirs)
	return c.found
}

// compareEncryption tells whether only one of the hosts encrypts the network. A host that encrypts may not have
// made its key yet. One that does not has room for more in a packet.
func (c *comparison) compareEncryption(n Network, m *cluster.Membership) (differs bool) {
	switch {
	case !n.Encrypts() && len(m.Keys) > 0:
		c.add("encryption", network.EncryptionWireGuard, "off", recreate)
	case n.Encrypts() && len(m.Keys) == 0 && n.VTEP.MTU > 0 && int(m.View.MTU) > n.VTEP.MTU:
		c.add("encryption", "off", network.EncryptionWireGuard, recreate)
	default:
		return false
	}
	return true
}

// findCounterpart returns the network of a host that is, or should be, the given one of this host:
// the one of the same VNI and port, or else of the same name, or else of the same VNI and subnets.
func findCounterpart(n Network, view cluster.NetworkView, theirs []cluster.Membership) *cluster.Membership {
	for _, same := range []func(*cluster.Membership) bool{
		func(m *cluster.Membership) bool { return m.Network == n.Key() },
		func(m *cluster.Membership) bool { return m.View.Name == n.Name },
		func(m *cluster.Membership) bool {
			return m.Network.VNI == n.Key().VNI && len(view.Subnets) > 0 && slices.Equal(m.View.Subnets, view.Subnets)
		},
	} {
		for i := range theirs {
			if same(&theirs[i]) {
				return &theirs[i]
			}
		}
	}
	return nil
}

// comparison collects in what a network of this host and one of another differ.
type comparison struct {
	network, host string
	found         []Difference
}

// recreate is what to do about most differences.
const recreate = "recreate the network on one of the hosts, as it is on the other"

// add notes a value that differs.
func (c *comparison) add(what string, theirs, ours any, advice string) {
	c.addText(fmt.Sprintf("%s is %v there and %v here; %s", what, theirs, ours, advice), true)
}

func (c *comparison) addText(text string, harmful bool) {
	c.found = append(c.found, Difference{fmt.Sprintf("network %s differs on host %s: %s",
		c.network, c.host, text), harmful})
}

func (c *comparison) compareKeys(ours, theirs cluster.NetworkKey) {
	if ours.VNI != theirs.VNI {
		c.add("the VNI", theirs.VNI, ours.VNI, recreate)
	}
	if ours.Port != theirs.Port {
		c.add("the VXLAN port", theirs.Port, ours.Port, recreate)
	}
}

func (c *comparison) compareViews(ours, theirs cluster.NetworkView) {
	if ours.Name != theirs.Name && ours.Name != "" {
		c.addText(fmt.Sprintf("it is called %s there; two networks must not share a VNI", theirs.Name), false)
	}
	c.compareSubnets(ours.Subnets, theirs.Subnets)
	if ours.MTU != theirs.MTU && ours.MTU > 0 && theirs.MTU > 0 {
		c.add("the MTU", theirs.MTU, ours.MTU, fmt.Sprintf("type on both: vxlanctl network set %s mtu=%d",
			c.network, min(ours.MTU, theirs.MTU)))
	}
	if ours.UnderlayMTU != theirs.UnderlayMTU && ours.UnderlayMTU > 0 && theirs.UnderlayMTU > 0 {
		c.addText(fmt.Sprintf("the MTU of the physical interface is %d there and %d here; packets over %d bytes may "+
			"be lost between them",
			theirs.UnderlayMTU, ours.UnderlayMTU, min(ours.UnderlayMTU, theirs.UnderlayMTU)), false)
	}
	c.compareLists(ours, theirs)
}

func (c *comparison) compareSubnets(ours, theirs []cluster.Subnet) {
	prefixes := func(subnets []cluster.Subnet) string {
		var texts []string
		for _, s := range subnets {
			texts = append(texts, s.Prefix.String())
		}
		slices.Sort(texts)
		return cmp.Or(strings.Join(texts, ","), "none")
	}
	if a, b := prefixes(ours), prefixes(theirs); a != b {
		c.add("the subnet", b, a, recreate)
		return
	}
	for _, s := range ours {
		i := slices.IndexFunc(theirs, func(o cluster.Subnet) bool { return o.Prefix == s.Prefix })
		if i >= 0 && theirs[i].Gateway != s.Gateway {
			c.add(fmt.Sprintf("the gateway of %v", s.Prefix), gatewayText(theirs[i].Gateway), gatewayText(s.Gateway), recreate)
		}
	}
}

func gatewayText(gateway netip.Addr) string {
	if !gateway.IsValid() {
		return "none"
	}
	return gateway.String()
}

// compareLists compares the lists of hosts. Hosts that find each other have seeds only, which may
// differ.
func (c *comparison) compareLists(ours, theirs cluster.NetworkView) {
	none := cluster.ListHash{}
	switch {
	case ours.List == theirs.List:
	case (ours.List == none) != (theirs.List == none):
		c.addText(fmt.Sprintf("hosts are %s there and %s here; %s", discoveryText(theirs), discoveryText(ours),
			recreate), false)
	case len(ours.Listed) == 0 || len(theirs.Listed) == 0:
		c.addText("remote_ips has other hosts there than here; give all hosts the same list", false)
	default:
		if more := listMissing(theirs.Listed, ours.Listed); more != "" {
			c.addText(fmt.Sprintf("remote_ips has %s there and not here; if it is a host of the network, type here: "+
				"vxlanctl network peer add %s %s",
				more, c.network, strings.ReplaceAll(more, ",", " ")), false)
		}
		if more := listMissing(ours.Listed, theirs.Listed); more != "" {
			c.addText(fmt.Sprintf("remote_ips has %s here and not there; if it is a host of the network, "+
				"type there: vxlanctl network peer add %s %s",
				more, c.network, strings.ReplaceAll(more, ",", " ")), false)
		}
	}
}

func discoveryText(v cluster.NetworkView) string {
	if v.List == (cluster.ListHash{}) {
		return "found by gossip or multicast"
	}
	return "listed in remote_ips"
}

// listMissing prints the addresses of a that are not in b.
func listMissing(a, b []netip.Addr) string {
	var texts []string
	for _, addr := range a {
		if !slices.Contains(b, addr) {
			texts = append(texts, addr.String())
		}
	}
	return strings.Join(texts, ",")
}
