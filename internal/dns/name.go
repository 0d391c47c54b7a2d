package dns

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

const (
	maxNameLen  = 253 // characters without the final dot (RFC 1035, section 2.3.4: 255 bytes on the wire)
	maxLabelLen = 63

	reverseDomain4 = "in-addr.arpa"
	reverseDomain6 = "ip6.arpa"
)

// canonicalName returns the lookupKey of questions about a name. It returns false if there
// can be no such question, as Podman accepts any string as an alias.
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

// lookupKey returns a question's name as views have it: in lower case, without the final
// dot.
func lookupKey(fqdn string) string {
	return strings.TrimSuffix(dns.CanonicalName(fqdn), ".")
}

// cutDomain tells whether a name is a domain or below it, and returns what is before the
// domain.
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

// parseReverseName returns what a reverse name covers: an address, or a prefix where
// the name has fewer labels.
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
