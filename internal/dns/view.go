package dns

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// view is what a zone knows at one moment. It does not change, so whoever
// answers a question from one never sees half of a new state.
type view struct {
	nodes     map[string]*node        // by key, without the search domain
	reverse   map[netip.Addr][]string // keys of an address
	subnets   []netip.Prefix
	upstreams []netip.AddrPort
	forwards  bool // false: names outside do not exist
}

// node is what there is at a name. One without anything is an empty
// non-terminal: a name that exists only because of those below it (RFC 4592,
// section 2.2.2).
type node struct {
	v4, v6       []netip.Addr
	names        []string // at a reverse name
	turn4, turn6 atomic.Uint32
}

func (n *node) empty() bool { return len(n.v4)+len(n.v6)+len(n.names) == 0 }

// newView makes a zone ready for questions; own are this host's resolvers.
func newView(z Zone, own map[netip.AddrPort]bool) *view {
	v := &view{
		nodes:     make(map[string]*node, 3*len(z.Records)),
		reverse:   make(map[netip.Addr][]string, len(z.Records)),
		subnets:   slices.Clone(z.Subnets),
		upstreams: usable(z.Upstreams, own),
		forwards:  len(z.Upstreams) > 0,
	}
	for _, e := range z.Records {
		v.add(e)
	}
	v.sort()
	v.addParents()
	return v
}

// with returns what the view would say of the names and addresses of further endpoints. It is to be asked first.
func (v *view) with(added []Record) *view {
	more := &view{
		nodes: make(map[string]*node), reverse: make(map[netip.Addr][]string),
		subnets: v.subnets, upstreams: v.upstreams, forwards: v.forwards,
	}
	for _, e := range added {
		more.add(e)
	}
	for k, n := range more.nodes {
		if old := v.nodes[k]; old != nil {
			n.v4, n.v6 = append(n.v4, old.v4...), append(n.v6, old.v6...)
		}
	}
	for a, names := range more.reverse {
		more.reverse[a] = append(names, v.reverse[a]...)
	}
	more.sort()
	more.addParents()
	return more
}

// usable leaves out upstreams that are this host's own resolvers, which would
// ask themselves: the host reaches them too.
func usable(upstreams []netip.AddrPort, own map[netip.AddrPort]bool) []netip.AddrPort {
	var good []netip.AddrPort
	for _, u := range upstreams {
		u = netip.AddrPortFrom(u.Addr().Unmap(), u.Port())
		if u.IsValid() && !own[netip.AddrPortFrom(u.Addr().WithZone(""), u.Port())] {
			good = append(good, u)
		}
	}
	return good
}

func (v *view) add(e Record) {
	var names []string
	for _, name := range e.Names {
		if k, ok := canonical(name); ok && !slices.Contains(names, k) {
			names = append(names, k)
		}
	}
	for _, addr := range e.Addrs {
		addr = addr.Unmap().WithZone("")
		if !addr.IsValid() {
			continue
		}
		for _, name := range names {
			n := v.at(name)
			if addr.Is4() {
				n.v4 = append(n.v4, addr)
			} else {
				n.v6 = append(n.v6, addr)
			}
		}
		v.reverse[addr] = append(v.reverse[addr], names...)
	}
}

func (v *view) at(key string) *node {
	n := v.nodes[key]
	if n == nil {
		n = new(node)
		v.nodes[key] = n
	}
	return n
}

// sort makes the order of addresses independent of that of the endpoints.
func (v *view) sort() {
	for _, n := range v.nodes {
		n.v4, n.v6 = sorted(n.v4), sorted(n.v6)
	}
}

func sorted(addrs []netip.Addr) []netip.Addr {
	if len(addrs) < 2 {
		return addrs
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// addParents adds the empty non-terminals.
func (v *view) addParents() {
	parents := map[string]*node{"": new(node)} // the search domain itself
	for k := range v.nodes {
		for {
			_, parent, more := strings.Cut(k, ".")
			if !more || v.nodes[parent] != nil || parents[parent] != nil {
				break
			}
			parents[parent] = new(node)
			k = parent
		}
	}
	for k, n := range parents {
		v.nodes[k] = n
	}
}

// lookup is what a view says about a name, the most certain first.
type lookup int

const (
	exists  lookup = iota
	absent         // nothing is there, and that is certain
	outside        // somebody else knows
	kept           // somebody else may know, and must not be asked
)

// lookup finds what there is at a name. A name of this network hides one outside,
// as with aardvark-dns. An unknown name of one label goes to the upstreams like
// any other: aardvark-dns did not forward these once, and does since its 1.13
// because they may be names of a local resolver, as Docker always did.
func (v *view) lookup(name string) (*node, lookup) {
	rest, qualified := under(name, SearchDomain)
	if !qualified {
		rest = name
	}
	n := v.nodes[rest]
	if n != nil && !n.empty() {
		return n, exists
	}
	if p, ok := parseReverse(name); ok {
		return v.lookupReverse(p)
	}
	switch {
	case outerDomain(name):
		return new(node), exists
	case !qualified && v.forwards:
		return nil, outside
	case n != nil:
		return n, exists
	case !qualified:
		return nil, kept
	}
	return nil, absent
}

// lookupReverse finds the names of an address. A prefix, which is what a reverse
// name with fewer labels stands for, may have addresses below it, so it exists.
func (v *view) lookupReverse(p netip.Prefix) (*node, lookup) {
	if names := v.reverse[p.Addr()]; names != nil && p.IsSingleIP() {
		return &node{names: names}, exists
	}
	own := slices.ContainsFunc(v.subnets, func(s netip.Prefix) bool {
		return s.Bits() <= p.Bits() && s.Contains(p.Addr())
	})
	switch {
	case !own && v.forwards:
		return nil, outside
	case !own && p.IsSingleIP():
		return nil, kept
	case p.IsSingleIP():
		return nil, absent
	}
	return new(node), exists
}

// outerDomain says whether a name is above the search domain. It exists, and to
// have an upstream deny it would deny all names below (RFC 8020).
func outerDomain(name string) bool {
	return name != "" && strings.HasSuffix(SearchDomain, "."+name)
}

// inTurn returns addresses so that each of them comes first once.
func inTurn(addrs []netip.Addr, turn *atomic.Uint32) []netip.Addr {
	if len(addrs) < 2 {
		return addrs
	}
	first := int((turn.Add(1) - 1) % uint32(len(addrs)))
	return append(slices.Clone(addrs[first:]), addrs[:first]...)
}
