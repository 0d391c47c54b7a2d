package bundle

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Anonymizer replaces names, addresses and MACs. The same one is replaced alike in all files of an
// archive, and addresses of one subnet stay in one subnet, so that it can be read what belongs
// together.
type Anonymizer struct {
	names    map[string]string // in lower case
	counts   map[string]int    // of names by kind
	subnets  map[netip.Prefix]int
	suffixes map[uint64]uint64
	macs     map[string]string
	pattern  *regexp.Regexp // of the names; nil: none or a new one
}

// NewAnonymizer returns one that knows no names yet.
func NewAnonymizer() *Anonymizer {
	return &Anonymizer{
		names: make(map[string]string), counts: make(map[string]int),
		subnets: make(map[netip.Prefix]int), suffixes: make(map[uint64]uint64), macs: make(map[string]string),
	}
}

// AddName makes the anonymizer replace a name, as by "container-1" if that is its kind. A name may
// have an address behind it, as in "host-b (192.0.2.12)".
func (a *Anonymizer) AddName(kind, name string) {
	name, _, _ = strings.Cut(strings.ToLower(name), " (")
	name = strings.Trim(ipv4.ReplaceAllString(name, ""), ".- ")
	if _, err := netip.ParseAddr(name); err == nil || name == "" || a.names[name] != "" {
		return
	}
	a.counts[kind]++
	a.names[name] = fmt.Sprintf("anon-%s-%d", kind, a.counts[kind])
	if label, _, qualified := strings.Cut(name, "."); qualified && label != "" && a.names[label] == "" {
		a.names[label] = a.names[name] // logs have a host's first label only
	}
	a.pattern = nil
}

var (
	ipv4 = regexp.MustCompile(`\d{1,3}(?:\.\d{1,3}){3,}`)
	ipv6 = regexp.MustCompile(`[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f]*(?:(?:\.\d{1,3}){3})?`)
	mac  = regexp.MustCompile(`\b[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\b`)
	// macChain is a chain of the fast path's. The MAC of a container mostly has its address.
	macChain = regexp.MustCompile(`\bport-[0-9a-f]{12}\b`)
)

// Replace returns the text without names, addresses and MACs.
func (a *Anonymizer) Replace(text string) string {
	text = a.replaceNames(text)
	text = mac.ReplaceAllStringFunc(text, a.mac)
	text = macChain.ReplaceAllStringFunc(text, a.macChain)
	text = ipv6.ReplaceAllStringFunc(text, a.address)
	return ipv4.ReplaceAllStringFunc(text, a.address)
}

// replaceNames replaces whole words, the longest first. A hyphen, a dot and an underscore end a word
// too: a device has its network's name in its own.
func (a *Anonymizer) replaceNames(text string) string {
	if len(a.names) == 0 {
		return text
	}
	if a.pattern == nil {
		var quoted []string
		for name := range a.names {
			quoted = append(quoted, regexp.QuoteMeta(name))
		}
		slices.SortFunc(quoted, func(x, y string) int { return len(y) - len(x) })
		a.pattern = regexp.MustCompile(`(?i)(?:` + strings.Join(quoted, "|") + `)`)
	}
	var b strings.Builder
	for at := 0; at < len(text); {
		found := a.pattern.FindStringIndex(text[at:])
		if found == nil {
			b.WriteString(text[at:])
			break
		}
		start, end := at+found[0], at+found[1]
		if start > 0 && isWordByte(text[start-1]) || end < len(text) && isWordByte(text[end]) {
			b.WriteString(text[at : start+1]) // a part of another word
			at = start + 1
			continue
		}
		b.WriteString(text[at:start] + a.names[strings.ToLower(text[start:end])])
		at = end
	}
	return b.String()
}

func isWordByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func (a *Anonymizer) mac(text string) string {
	key := strings.ToLower(text)
	if key == "00:00:00:00:00:00" || key == "ff:ff:ff:ff:ff:ff" {
		return text
	}
	if a.macs[key] == "" {
		n := len(a.macs) + 1
		a.macs[key] = fmt.Sprintf("02:00:5e:%02x:%02x:%02x", n>>16&0xff, n>>8&0xff, n&0xff)
	}
	return a.macs[key]
}

// macChain replaces the MAC in the name of a chain.
func (a *Anonymizer) macChain(name string) string {
	prefix, digits, _ := strings.Cut(name, "-")
	var pairs []string
	for pair := range slices.Chunk([]byte(digits), 2) {
		pairs = append(pairs, string(pair))
	}
	return prefix + "-" + strings.ReplaceAll(a.mac(strings.Join(pairs, ":")), ":", "")
}

// address replaces an address that says something of the host. An address in IPv4 becomes one of
// 240.0.0.0/4. Nobody uses these, so those that are there stay as they are. One in IPv6 becomes one
// of 100::/64 and following (RFC 6666).
func (a *Anonymizer) address(text string) string {
	if dots := strings.Count(text, "."); dots > 3 { // a name that ends in a number is before it
		_, rest, _ := strings.Cut(text, ".")
		return strings.TrimSuffix(text, rest) + a.address(rest)
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		trimmed := strings.TrimSuffix(text, ":") // it ends a sentence's part
		if trimmed != text && !strings.HasSuffix(trimmed, ":") {
			return a.address(trimmed) + ":"
		}
		return text
	}
	if ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() || ip.Is4() && ip.As4()[0] >= 240 {
		return text
	}
	if ip.Is4In6() {
		return "::ffff:" + a.address(ip.Unmap().String())
	}
	if ip.Is4() {
		prefix, _ := ip.Prefix(24)
		n, bytes := a.subnet(prefix), ip.As4()
		return netip.AddrFrom4([4]byte{240, byte(n >> 8), byte(n), bytes[3]}).String()
	}
	bytes := ip.As16()
	if !ip.IsLinkLocalUnicast() {
		prefix, _ := ip.Prefix(64)
		binary.BigEndian.PutUint64(bytes[:8], 0x0100<<48|uint64(a.subnet(prefix)))
	}
	binary.BigEndian.PutUint64(bytes[8:], a.suffix(binary.BigEndian.Uint64(bytes[8:])))
	return netip.AddrFrom16(bytes).String()
}

func (a *Anonymizer) subnet(p netip.Prefix) int {
	if _, known := a.subnets[p]; !known {
		a.subnets[p] = len(a.subnets) + 1
	}
	return a.subnets[p]
}

// suffix replaces the last 64 bits of an address. Small numbers tell nothing.
func (a *Anonymizer) suffix(n uint64) uint64 {
	if n < 1<<16 {
		return n
	}
	if _, known := a.suffixes[n]; !known {
		a.suffixes[n] = 1<<16 + uint64(len(a.suffixes))
	}
	return a.suffixes[n]
}
