package adopt

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Network is a network of other hosts.
type Network struct {
	// Definition is that of most of the hosts. On a gossip network remote_ips are some of all hosts.
	Definition
	Hosts []string // that have it, sorted
	Names []string // by which they have it, sorted
	// Variations are what the hosts have set up differently.
	Variations []Variation
}

// Variation is what hosts of one network have set up differently.
type Variation struct {
	What   string
	Splits bool
	Values []Variant // that of most hosts first
}

// Variant is a value that some hosts have.
type Variant struct {
	Value string
	Hosts []string
}

// String shows all values, and who has each.
func (v Variation) String() string {
	var all []string
	for _, value := range v.Values {
		all = append(all, fmt.Sprintf("%s on %s", cmp.Or(value.Value, "not given"), joinHosts(value.Hosts)))
	}
	return v.What + ": " + strings.Join(all, "; ")
}

// joinHosts names some hosts, and counts the rest.
func joinHosts(hosts []string) string {
	const most = 5
	if len(hosts) <= most {
		return strings.Join(hosts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(hosts[:most], ", "), len(hosts)-most)
}

// Group returns the networks that hosts have, by name. Definitions are of one network if name, VNI and
// port are the same. With gossip the name may differ, as hosts tell networks apart by the rest.
func Group(all []Definition) []Network {
	var groups [][]Definition
	for _, d := range all {
		i := slices.IndexFunc(groups, func(g []Definition) bool { return d.isOf(g[0]) })
		if i < 0 {
			groups, i = append(groups, nil), len(groups)
		}
		groups[i] = append(groups[i], d)
	}
	var networks []Network
	for _, g := range groups {
		networks = append(networks, newNetwork(g))
	}
	slices.SortFunc(networks, func(a, b Network) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.VNI(), b.VNI()), cmp.Compare(a.Port(), b.Port()))
	})
	return networks
}

func (d Definition) isOf(other Definition) bool {
	return d.VNI() == other.VNI() && d.Port() == other.Port() && (d.Name == other.Name || d.IsGossip() &&
		other.IsGossip())
}

func newNetwork(group []Definition) Network {
	slices.SortStableFunc(group, func(a, b Definition) int { return strings.Compare(a.Host, b.Host) })
	n := Network{Definition: mostCommon(group)}
	for _, d := range group {
		n.Hosts, n.Names = append(n.Hosts, d.Host), append(n.Names, d.Name)
		for _, diff := range Differences(n.Definition, d) {
			if !slices.ContainsFunc(n.Variations, func(v Variation) bool { return v.What == diff.What }) {
				n.Variations = append(n.Variations, newVariation(group, diff))
			}
		}
	}
	slices.Sort(n.Names)
	n.Names = slices.Compact(n.Names)
	if n.IsGossip() {
		n.listSeeds(group)
	}
	return n
}

// mostCommon returns the definition that most have; the first one of those that equally many have.
func mostCommon(group []Definition) (most Definition) {
	count := make(map[string]int)
	key := func(d Definition) string { return fmt.Sprintf("%q %v", d.Name, d.properties()) }
	for _, d := range group {
		count[key(d)]++
	}
	return slices.MaxFunc(group, func(a, b Definition) int { return count[key(a)] - count[key(b)] })
}

func newVariation(group []Definition, diff Difference) Variation {
	v := Variation{What: diff.What, Splits: diff.Splits}
	for _, d := range group {
		var value string
		for _, p := range d.properties() {
			if p.what == v.What {
				value = p.value
			}
		}
		i := slices.IndexFunc(v.Values, func(x Variant) bool { return x.Value == value })
		if i < 0 {
			v.Values, i = append(v.Values, Variant{Value: value}), len(v.Values)
		}
		v.Values[i].Hosts = append(v.Values[i].Hosts, d.Host)
	}
	slices.SortStableFunc(v.Values, func(a, b Variant) int { return len(b.Hosts) - len(a.Hosts) })
	return v
}

// maxSeeds are enough to find the others while a host is down.
const maxSeeds = 3

// listSeeds makes remote_ips hosts that have the network. Those that a host lists itself come last: they
// may be gone.
func (n *Network) listSeeds(group []Definition) {
	var seeds []netip.Addr
	add := func(a netip.Addr) {
		isOther := a.IsValid() && !slices.Contains(seeds, a) && (!n.VTEP.IsValid() || a.Is4() == n.VTEP.Is4())
		if isOther && len(seeds) < maxSeeds {
			seeds = append(seeds, a)
		}
	}
	add(n.VTEP)
	for _, d := range group {
		add(d.VTEP)
	}
	for _, a := range n.Listed() {
		add(a)
	}
	n.setOption("remote_ips", joinAddrs(seeds))
}

// Split says why nobody can tell which of the hosts' networks this one is to have.
func (n Network) Split() error {
	var differ []string
	for _, v := range n.Variations {
		if v.Splits {
			differ = append(differ, "\n  "+v.String())
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return fmt.Errorf("network %s: hosts have set it up differently, so that their containers do not reach each "+
		"other:%s\nmake it alike on all hosts first", n.Name, strings.Join(differ, ""))
}

// Notes say what hosts have set up differently without harm, and which of it is taken. What the user
// gives for this host is left out.
func (n Network) Notes(own Own) (notes []string) {
	for _, v := range n.Variations {
		if v.Splits || own.Options[v.What] != "" {
			continue
		}
		taken := "it is left out here"
		for _, p := range n.properties() {
			if p.what == v.What && p.value != "" {
				taken = p.value + " is taken here"
			}
		}
		if v.What == "mtu" {
			taken += losesLarge
		}
		notes = append(notes, fmt.Sprintf("hosts of network %s differ in %v; %s", n.Name, v, taken))
	}
	return notes
}

// ErrNone says that no host has the network.
var ErrNone = errors.New("no other host that answers has it")

// Find returns the network of a name. vni picks one of several; 0 picks none.
func Find(all []Network, name string, vni uint32) (Network, error) {
	var found []Network
	var texts []string
	for _, n := range all {
		if !slices.Contains(n.Names, name) {
			continue
		}
		texts = append(texts, fmt.Sprintf("\n  VNI %d, port %d, subnets %s on %s", n.VNI(), n.Port(),
			cmp.Or(n.subnetText(), "none"), joinHosts(n.Hosts)))
		if vni == 0 || n.VNI() == vni {
			n.Name = name
			found = append(found, n)
		}
	}
	switch {
	case len(texts) == 0:
		return Network{}, fmt.Errorf("network %s: %w", name, ErrNone)
	case len(found) == 0:
		return Network{}, fmt.Errorf("network %s: no host has it with VNI %d:%s", name, vni, strings.Join(texts, ""))
	case len(found) > 1:
		pick := "pick one: vxlanctl network adopt --vni VNI " + name
		if found[0].VNI() == found[1].VNI() {
			pick = "create the one that you want with `podman network create` and its vxlan_port"
		}
		return Network{}, fmt.Errorf("network %s: hosts have several networks of this name:%s\n%s", name,
			strings.Join(texts, ""), pick)
	}
	return found[0], nil
}
