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
// half of a new state.
type view struct {
	nodes     map[string]*node        // by lookupKey, without the search domain
	reverse   map[netip.Addr][]string // names of an address
	subnets   []netip.Prefix
	upstreams []netip.AddrPort
	forwards  bool                    // false: names outside do not exist, as on an internal network
	resolvers map[netip.AddrPort]bool // this host's own

	elsewhere func(id string) []netip.AddrPort
	ids       map[netip.Addr]string // of this host's containers, where elsewhere needs them
}

// node has the records of a name. A node without records is an empty non-terminal: a name that
// exists only because of names below it (RFC 4592, section 2.2.2).
type node struct {
	v4, v6       []netip.Addr
	names        []string      // of a reverse name
	next4, next6 atomic.Uint32 // see rotate
}

func (n *node) isEmpty() bool { return len(n.v4)+len(n.v6)+len(n.names) == 0 }

// newView indexes a zone. The resolvers are this host's own.
func newView(z Zone, resolvers map[netip.AddrPort]bool) *view {
	v := &view{
		nodes:     make(map[string]*node, 3*len(z.Records)),
		reverse:   make(map[netip.Addr][]string, len(z.Records)),
		subnets:   slices.Clone(z.Subnets),
		upstreams: usableUpstreams(z.Upstreams, resolvers),
		forwards:  !z.Internal,
		resolvers: resolvers,
		elsewhere: z.Elsewhere,
		ids:       make(map[netip.Addr]string),
	}
	for _, r := range z.Records {
		v.addRecord(r)
	}
	v.sortAddrs()
	v.addEmptyNonTerminals()
	return v
}

// withRecords returns a view of only the names and addresses of further records, together with what
// v has at these. It must be asked before v.
func (v *view) withRecords(records []Record) *view {
	added := &view{
		nodes: make(map[string]*node), reverse: make(map[netip.Addr][]string),
		subnets: v.subnets, upstreams: v.upstreams, forwards: v.forwards,
		resolvers: v.resolvers, elsewhere: v.elsewhere, ids: make(map[netip.Addr]string),
	}
	for _, r := range records {
		added.addRecord(r)
	}
	for k, n := range added.nodes {
		if old := v.nodes[k]; old != nil {
			n.v4, n.v6 = append(n.v4, old.v4...), append(n.v6, old.v6...)
		}
	}
	for a, names := range added.reverse {
		added.reverse[a] = append(names, v.reverse[a]...)
	}
	added.sortAddrs()
	added.addEmptyNonTerminals()
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

// addRecord adds a record. The caller sorts, and adds the empty non-terminals.
func (v *view) addRecord(record Record) {
	var names []string
	for _, name := range record.Names {
		if k, ok := canonicalName(name); ok && !slices.Contains(names, k) {
			names = append(names, k)
		}
	}
	for _, addr := range record.Addrs {
		addr = addr.Unmap().WithZone("")
		if !addr.IsValid() {
			continue
		}
		for _, name := range names {
			n := v.nodeAt(name)
			if addr.Is4() {
				n.v4 = append(n.v4, addr)
			} else {
				n.v6 = append(n.v6, addr)
			}
		}
		v.reverse[addr] = append(v.reverse[addr], names...)
		if record.ID != "" && v.elsewhere != nil && !v.forwards {
			v.ids[addr] = record.ID
		}
	}
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

// nodeAt returns the node of a name, and makes it if it is missing.
func (v *view) nodeAt(key string) *node {
	n := v.nodes[key]
	if n == nil {
		n = new(node)
		v.nodes[key] = n
	}
	return n
}

// sortAddrs makes the order of addresses independent of that of the records.
func (v *view) sortAddrs() {
	for _, n := range v.nodes {
		n.v4, n.v6 = sortedUnique(n.v4), sortedUnique(n.v6)
	}
}

func sortedUnique(addrs []netip.Addr) []netip.Addr {
	if len(addrs) < 2 {
		return addrs
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// addEmptyNonTerminals adds the names above those that have records.
func (v *view) addEmptyNonTerminals() {
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
