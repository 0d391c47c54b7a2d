package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"
)

// view is what a zone knows at one moment. It does not change, so no answer is half of an old and
// half of a new state. The next one shares with it all that is the same in both.
type view struct {
	nodes     sharded[string, *node]        // by lookupKey, without the search domain
	reverse   sharded[netip.Addr, []string] // names of an address
	subnets   []netip.Prefix
	upstreams []netip.AddrPort
	forwards  bool                    // false: names outside do not exist, as on an internal network
	resolvers map[netip.AddrPort]bool // this host's own

	elsewhere func(id string) []netip.AddrPort
	ids       map[netip.Addr]string // of this host's containers, where elsewhere needs them
}

// node has the addresses of a name. A node without any is an empty non-terminal: a name that exists
// only because of names below it (RFC 4592, section 2.2.2). There may be 100,000, so a node is small.
type node struct {
	addrs        []netip.Addr  // sorted, IPv4 first; an address that two records give is there twice
	madeBy       *viewEdit     // while it may be changed
	below        int32         // names below it that have records
	next4, next6 atomic.Uint32 // see rotate
}

// v4 returns the IPv4 addresses, and v6 the others.
func (n *node) v4() []netip.Addr { return n.addrs[:n.countV4()] }
func (n *node) v6() []netip.Addr { return n.addrs[n.countV4():] }

func (n *node) countV4() int {
	i := slices.IndexFunc(n.addrs, netip.Addr.Is6)
	if i < 0 {
		return len(n.addrs)
	}
	return i
}

// newView indexes a zone. The resolvers are this host's own.
func newView(z Zone, resolvers map[netip.AddrPort]bool) *view {
	e := new(view).edit()
	for r := range z.allRecords() {
		e.addRecord(r)
	}
	return e.finish().forZone(z, resolvers)
}

// forZone returns the view with what does not follow from other hosts' records.
func (v view) forZone(z Zone, resolvers map[netip.AddrPort]bool) *view {
	v.subnets = slices.Clone(z.Subnets)
	v.upstreams = usableUpstreams(z.Upstreams, resolvers)
	v.forwards = !z.Internal
	v.resolvers = resolvers
	v.elsewhere = z.Elsewhere
	v.addIDs(z.Records)
	return &v
}

// addIDs remembers whose the addresses of this host's containers are, where that is needed.
func (v *view) addIDs(records []Record) {
	v.ids = make(map[netip.Addr]string)
	for _, r := range records {
		for _, a := range r.Addrs {
			if r.ID != "" && v.elsewhere != nil && !v.forwards {
				v.ids[a.Unmap().WithZone("")] = r.ID
			}
		}
	}
}

// withRecords returns a view of only the names and addresses of further records, together with what
// v has at these. It must be asked before v.
func (v *view) withRecords(records []Record) *view {
	e := new(view).edit()
	for _, r := range records {
		e.addRecord(r)
	}
	for k, n := range e.touched {
		if old := v.nodes.get(k); old != nil {
			n.addrs = append(n.addrs, old.addrs...)
		}
	}
	for _, r := range records {
		for _, a := range r.Addrs {
			a = a.Unmap().WithZone("")
			if names := v.reverse.get(a); len(names) > 0 && !slices.Contains(e.merged, a) {
				e.merged = append(e.merged, a)
				e.reverse.set(a, append(slices.Clip(e.reverse.get(a)), names...))
			}
		}
	}
	added := e.finish()
	added.subnets, added.upstreams, added.forwards = v.subnets, v.upstreams, v.forwards
	added.resolvers, added.elsewhere = v.resolvers, v.elsewhere
	added.addIDs(records)
	return added
}

// outsideOf returns the view of names outside that a container has by a network which is not served
// here, or nil.
func (v *view) outsideOf(addr netip.Addr) *view {
	id, ok := v.ids[addr]
	if !ok {
		return nil
	}
	upstreams := usableUpstreams(v.elsewhere(id), v.resolvers)
	if len(upstreams) == 0 {
		return nil
	}
	return &view{forwards: true, upstreams: upstreams}
}

// usableUpstreams leaves out this host's own resolvers, which would ask themselves.
func usableUpstreams(upstreams []netip.AddrPort, resolvers map[netip.AddrPort]bool) []netip.AddrPort {
	var usable []netip.AddrPort
	for _, u := range upstreams {
		u = netip.AddrPortFrom(u.Addr().Unmap(), u.Port())
		if u.IsValid() && !resolvers[netip.AddrPortFrom(u.Addr().WithZone(""), u.Port())] {
			usable = append(usable, u)
		}
	}
	return usable
}

// viewEdit makes another view from one.
type viewEdit struct {
	nodes   *shardedEdit[string, *node]
	reverse *shardedEdit[netip.Addr, []string]
	touched map[string]*node
	merged  []netip.Addr
}

// edit begins to make a view with other records. Records are removed before others are added.
func (v *view) edit() *viewEdit {
	e := &viewEdit{nodes: v.nodes.edit(), reverse: v.reverse.edit(), touched: make(map[string]*node)}
	if v.nodes.get("") == nil {
		e.nodes.set("", new(node)) // the search domain itself
	}
	return e
}

// finish returns the view. It has only what follows from records.
func (e *viewEdit) finish() *view {
	for k, n := range e.touched {
		sortAddrs(n.addrs)
		if n.madeBy = nil; len(n.addrs) == 0 && n.below == 0 && k != "" {
			e.nodes.delete(k)
		}
	}
	return &view{nodes: e.nodes.sharded, reverse: e.reverse.sharded}
}

func sortAddrs(addrs []netip.Addr) {
	if !slices.IsSortedFunc(addrs, netip.Addr.Compare) {
		slices.SortFunc(addrs, netip.Addr.Compare)
	}
}

func (e *viewEdit) addRecord(r Record) {
	e.eachName(r, func(addr netip.Addr, n *node) { n.addrs = append(n.addrs, addr) }, 1,
		func(names, of []string) []string { return append(slices.Clip(names), of...) })
}

// removeRecord removes a record that was added.
func (e *viewEdit) removeRecord(r Record) {
	e.eachName(r, func(addr netip.Addr, n *node) { n.addrs = withoutOne(n.addrs, addr) }, -1,
		func(names, of []string) []string {
			names = slices.Clone(names)
			for _, name := range of {
				names = withoutOne(names, name)
			}
			return names
		})
}

func withoutOne[E comparable](list []E, one E) []E {
	if i := slices.Index(list, one); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// eachName changes the node of each name of a record, for each address, and the names of each
// address. More is how many names there are then below those above.
func (e *viewEdit) eachName(r Record, change func(netip.Addr, *node), more int32,
	rename func(names, of []string) []string) {
	var names []string
	for _, name := range r.Names {
		if k, ok := canonicalName(name); ok && !slices.Contains(names, k) {
			names = append(names, k)
		}
	}
	for _, addr := range r.Addrs {
		addr = addr.Unmap().WithZone("")
		if !addr.IsValid() {
			continue
		}
		for _, name := range names {
			change(addr, e.ownNode(name))
			e.countBelow(name, more)
		}
		if left := rename(e.reverse.get(addr), names); len(left) > 0 {
			e.reverse.set(addr, left)
		} else {
			e.reverse.delete(addr)
		}
	}
}

// countBelow counts a name at the names above it.
func (e *viewEdit) countBelow(name string, more int32) {
	for {
		_, parent, found := strings.Cut(name, ".")
		if !found {
			return
		}
		e.ownNode(parent).below += more
		name = parent
	}
}

// ownNode returns the node of a name that this edit may change.
func (e *viewEdit) ownNode(k string) *node {
	old := e.nodes.get(k)
	if old != nil && old.madeBy == e {
		return old
	}
	n := &node{madeBy: e}
	if old != nil {
		n.addrs, n.below = slices.Clone(old.addrs), old.below
		n.next4.Store(old.next4.Load())
		n.next6.Store(old.next6.Load())
	}
	e.nodes.set(k, n)
	e.touched[k] = n
	return n
}

const (
	maxNameLen  = 253 // characters without the final dot (RFC 1035, section 2.3.4: 255 bytes on the wire)
	maxLabelLen = 63
)

// canonicalName returns the lookupKey of questions about a name. It returns false if there can be
// no such question, as Podman accepts any string as an alias.
func canonicalName(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if isPlainName(name) {
		return strings.ToLower(name), true
	}
	var escaped strings.Builder
	for _, c := range []byte(name) {
		if c == '.' || isPlainByte(c) {
			escaped.WriteByte(c)
		} else {
			fmt.Fprintf(&escaped, `\%03d`, c)
		}
	}
	// Pack and unpack the name, as the library then escapes it as in questions.
	wire := make([]byte, 256)
	if name == "" {
		return "", false
	}
	if _, err := dns.PackDomainName(escaped.String()+".", wire, 0, nil, false); err != nil {
		return "", false
	}
	unpacked, _, err := dns.UnpackDomainName(wire, 0)
	return lookupKey(unpacked), err == nil
}

// isPlainName tells whether a name needs no escaping, as almost all.
func isPlainName(name string) bool {
	if name == "" || len(name) > maxNameLen {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabelLen {
			return false
		}
	}
	for _, c := range []byte(name) {
		if c != '.' && !isPlainByte(c) {
			return false
		}
	}
	return true
}

func isPlainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}
