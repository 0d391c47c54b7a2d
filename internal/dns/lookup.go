package dns

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// lookupKey returns a question's name as views have it: in lower case, without the final dot.
func lookupKey(fqdn string) string {
	return strings.TrimSuffix(dns.CanonicalName(fqdn), ".")
}

// lookupResult is what a view knows about a name.
type lookupResult int

// The results, the most certain first.
const (
	resultExists        lookupResult = iota
	resultAbsent                     // the name certainly does not exist
	resultForward                    // the upstreams know
	resultUnforwardable              // the name may exist outside, where this network has no way to
)

// foundName is what a view has of a name: the node, or the names of a reverse name's address. Both
// are nil if it has neither.
type foundName struct {
	node  *node
	names []string
}

// isEmpty tells whether there are no records.
func (f foundName) isEmpty() bool {
	return (f.node == nil || len(f.node.addrs) == 0) && len(f.names) == 0
}

// lookup finds a name. A name of this network hides one outside, as with aardvark-dns. An unknown
// name of one label is forwarded like any other, as it may be known to a local resolver. Docker
// always did so, and aardvark-dns does since 1.13.
func (v *view) lookup(name string) (foundName, lookupResult) {
	rest, qualified := cutDomain(name, SearchDomain)
	if !qualified {
		rest = name
	}
	f := foundName{node: v.nodes.get(rest)}
	if !f.isEmpty() {
		return f, resultExists
	}
	if p, ok := parseReverseName(name); ok {
		return v.lookupReverse(p)
	}
	switch {
	case isAboveSearchDomain(name):
		return foundName{}, resultExists
	case !qualified && v.forwards:
		return foundName{}, resultForward
	case f.node != nil:
		return f, resultExists
	case !qualified:
		return foundName{}, resultUnforwardable
	}
	return foundName{}, resultAbsent
}

// lookupReverse finds the names of an address. A reverse name with fewer labels stands for a
// prefix. It may have addresses below it, so it exists.
func (v *view) lookupReverse(p netip.Prefix) (foundName, lookupResult) {
	if names := v.reverse.get(p.Addr()); names != nil && p.IsSingleIP() {
		return foundName{names: names}, resultExists
	}
	inSubnet := slices.ContainsFunc(v.subnets, func(s netip.Prefix) bool {
		return s.Bits() <= p.Bits() && s.Contains(p.Addr())
	})
	switch {
	case !inSubnet && v.forwards:
		return foundName{}, resultForward
	case !inSubnet && p.IsSingleIP():
		return foundName{}, resultUnforwardable
	case p.IsSingleIP():
		return foundName{}, resultAbsent
	}
	return foundName{}, resultExists
}

// cutDomain tells whether a name is a domain or below it, and returns what is before the domain.
func cutDomain(key, domain string) (string, bool) {
	if key == domain {
		return "", true
	}
	rest, ok := strings.CutSuffix(key, domain)
	if !ok || !strings.HasSuffix(rest, ".") {
		return "", false
	}
	return rest[:len(rest)-1], true
}

// isAboveSearchDomain tells whether a name is above the search domain. Such a name exists: if an
// upstream denied it, all names below would be denied (RFC 8020).
func isAboveSearchDomain(name string) bool {
	return name != "" && strings.HasSuffix(SearchDomain, "."+name)
}

// The domains of reverse names (RFC 1035, section 3.5, and RFC 3596, section 2.5).
const (
	reverseDomain4 = "in-addr.arpa"
	reverseDomain6 = "ip6.arpa"
)

// parseReverseName returns what a reverse name covers: an address, or a prefix where the name has
// fewer labels.
func parseReverseName(key string) (netip.Prefix, bool) {
	if rest, ok := cutDomain(key, reverseDomain4); ok {
		return parseReverseLabels(rest, 10, 8, make([]byte, 4))
	}
	if rest, ok := cutDomain(key, reverseDomain6); ok {
		return parseReverseLabels(rest, 16, 4, make([]byte, 16))
	}
	return netip.Prefix{}, false
}

// parseReverseLabels reads labels of the given number of bits, last label first, into raw.
func parseReverseLabels(labels string, base, bits int, raw []byte) (netip.Prefix, bool) {
	n := 0
	for labels != "" {
		i := strings.LastIndexByte(labels, '.')
		v, err := strconv.ParseUint(labels[i+1:], base, bits)
		if err != nil || n+bits > 8*len(raw) {
			return netip.Prefix{}, false
		}
		raw[n/8] |= byte(v) << (8 - bits - n%8)
		n += bits
		labels = labels[:max(i, 0)]
	}
	addr, _ := netip.AddrFromSlice(raw) // 4 or 16 bytes
	return netip.PrefixFrom(addr, n), true
}
