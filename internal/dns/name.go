package dns

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

const (
	maxName  = 253 // characters without the final dot (RFC 1035, section 2.3.4, less lengths)
	maxLabel = 63

	reverse4 = "in-addr.arpa"
	reverse6 = "ip6.arpa"
)

// canonical returns a name as key gives it for a question about it, or false
// where no question can be about it. Podman takes any string as an alias.
func canonical(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if plain(name) {
		return strings.ToLower(name), true
	}
	var escaped strings.Builder
	for _, c := range []byte(name) {
		if c == '.' || plainByte(c) {
			escaped.WriteByte(c)
		} else {
			fmt.Fprintf(&escaped, `\%03d`, c)
		}
	}
	// Through the wire and back, since the library then escapes as in questions.
	wire := make([]byte, 256)
	if name == "" {
		return "", false
	}
	if _, err := dns.PackDomainName(escaped.String()+".", wire, 0, nil, false); err != nil {
		return "", false
	}
	unpacked, _, err := dns.UnpackDomainName(wire, 0)
	return key(unpacked), err == nil
}

// plain says whether a name looks the same on the wire as in text, as almost all do.
func plain(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return false
		}
	}
	for _, c := range []byte(name) {
		if c != '.' && !plainByte(c) {
			return false
		}
	}
	return true
}

func plainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// key returns the name of a question as it is looked up: in lower case, without
// the final dot.
func key(fqdn string) string {
	return strings.TrimSuffix(dns.CanonicalName(fqdn), ".")
}

// under says whether a key is below a domain or is that domain, and returns what
// is before it.
func under(key, domain string) (string, bool) {
	if key == domain {
		return "", true
	}
	rest, ok := strings.CutSuffix(key, domain)
	if !ok || !strings.HasSuffix(rest, ".") {
		return "", false
	}
	return rest[:len(rest)-1], true
}

// parseReverse returns what a reverse name covers: an address, or a prefix where
// the name has fewer labels.
func parseReverse(key string) (netip.Prefix, bool) {
	if rest, ok := under(key, reverse4); ok {
		return parseLabels(rest, 10, 8, make([]byte, 4))
	}
	if rest, ok := under(key, reverse6); ok {
		return parseLabels(rest, 16, 4, make([]byte, 16))
	}
	return netip.Prefix{}, false
}

// parseLabels reads labels of the given number of bits, last label first, into raw.
func parseLabels(labels string, base, bits int, raw []byte) (netip.Prefix, bool) {
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
