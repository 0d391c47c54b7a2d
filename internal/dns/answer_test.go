package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// testZone has a container with addresses of both families, several with one name, and unusual
// aliases.
func testZone() Zone {
	return Zone{
		Network: "red", Device: "br-red",
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")},
		Records: []Record{
			{Names: []string{"Web", "www", "0123456789ab"}, Addrs: parseAddrs("10.0.0.2", "fd00::2")},
			{Names: []string{"a", "db"}, Addrs: parseAddrs("10.0.0.3")},
			{Names: []string{"b", "db"}, Addrs: parseAddrs("10.0.0.4")},
			{Names: []string{"c", "db", "one.prod", "odd name", `back\slash`, "", strings.Repeat("x", 64)}, Addrs: parseAddrs("10.0.0.5")},
		},
		Upstreams: []netip.AddrPort{netip.MustParseAddrPort("198.18.0.53:53")},
	}
}

func internalZone() Zone {
	z := testZone()
	z.Upstreams, z.Internal = nil, true
	return z
}

func parseAddrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// askView packs a question and returns the view's answer, or nil if it must be forwarded.
func askView(t testing.TB, v *view, m *dns.Msg, tcp bool) *dns.Msg {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	reply, forward := v.answer(wire, tcp)
	if forward != nil {
		return nil
	}
	return mustUnpack(t, reply)
}

// answer is answerQuery with a single view.
func (v *view) answer(wire []byte, tcp bool) ([]byte, *query) {
	return answerQuery([]*view{v}, wire, tcp)
}

func mustUnpack(t testing.TB, wire []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		t.Fatalf("unpack %x: %v", wire, err)
	}
	return m
}

func question(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	return m.SetQuestion(dns.Fqdn(name), qtype)
}

// formatAnswer returns an answer as one line: code, answers, and the owner of the SOA.
func formatAnswer(m *dns.Msg) string {
	if m == nil {
		return "forward"
	}
	parts := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		parts = append(parts, strings.ReplaceAll(strings.TrimPrefix(rr.String(), rr.Header().Name+"\t0\tIN\t"), "\t", " "))
	}
	for _, rr := range m.Ns {
		parts = append(parts, "SOA of "+rr.Header().Name)
	}
	return strings.Join(parts, ", ")
}

func TestAnswersByNameAndType(t *testing.T) {
	for _, c := range []struct {
		what, name, qtype, want, internal string // internal: wanted on an internal network, if that differs
	}{
		{"a name", "web", "A", "NOERROR, A 10.0.0.2", ""},
		{"a name in the search domain", "web.dns.podman", "A", "NOERROR, A 10.0.0.2", ""},
		{"whatever its case", "wEB.DNS.podMAN", "AAAA", "NOERROR, AAAA fd00::2", ""},
		{"an alias", "www", "A", "NOERROR, A 10.0.0.2", ""},
		{"the start of an id", "0123456789ab", "A", "NOERROR, A 10.0.0.2", ""},
		{"an alias with a dot", "one.prod", "A", "NOERROR, A 10.0.0.5", ""},
		{"an alias with a space", `odd\032name`, "A", "NOERROR, A 10.0.0.5", ""},
		{"an alias with a backslash", `back\\slash`, "A", "NOERROR, A 10.0.0.5", ""},
		{"no address of that family", "a.dns.podman", "AAAA", "NOERROR, SOA of dns.podman.", ""},
		{"no address of that family, short", "a", "AAAA", "NOERROR, SOA of .", ""},
		{"no record of that type", "web", "MX", "NOERROR, SOA of .", ""},
		{"no record of an unknown type", "web", "TYPE65", "NOERROR, SOA of .", ""},
		{"any record", "web", "ANY", `NOERROR, HINFO "RFC8482" ""`, ""},
		{"an unknown name in the search domain", "nobody.dns.podman", "A", "NXDOMAIN, SOA of dns.podman.", ""},
		{"an unknown name of any type", "nobody.dns.podman", "MX", "NXDOMAIN, SOA of dns.podman.", ""},
		{"an unknown name of one label", "nobody", "A", "forward", "NXDOMAIN, SOA of ."},
		{"a name outside", "example.com", "A", "forward", "NXDOMAIN, SOA of ."},
		{"a name that only ends like the search domain", "webdns.podman", "A", "forward", "NXDOMAIN, SOA of ."},
		{"a name that exists by those below it", "prod.dns.podman", "A", "NOERROR, SOA of dns.podman.", ""},
		{"a name of one label that exists by those below it", "prod", "A", "forward", "NOERROR, SOA of ."},
		{"a name below one that exists", "x.web.dns.podman", "A", "NXDOMAIN, SOA of dns.podman.", ""},
		{"the search domain", "dns.podman", "A", "NOERROR, SOA of dns.podman.", ""},
		{"the search domain's SOA", "dns.podman", "SOA", "NOERROR, SOA dns.podman. hostmaster.dns.podman. 1 3600 600 86400 0", ""},
		{"the domain above", "podman", "NS", "NOERROR, SOA of .", ""},
		{"the root", ".", "NS", "forward", "NOERROR, SOA of ."},
		{"an address's names", "2.0.0.10.in-addr.arpa", "PTR", "NOERROR, PTR web., PTR www., PTR 0123456789ab.", ""},
		{"an IPv6 address's names", reverseName("fd00::2"), "PTR", "NOERROR, PTR web., PTR www., PTR 0123456789ab.", ""},
		{"an address without names in the subnet", "77.0.0.10.in-addr.arpa", "PTR", "NXDOMAIN, SOA of .", ""},
		{"an IPv6 address without names in the subnet", reverseName("fd00::77"), "PTR", "NXDOMAIN, SOA of .", ""},
		{"the subnet's reverse name", "0.0.10.in-addr.arpa", "NS", "NOERROR, SOA of .", ""},
		{"an address outside", "2.1.0.10.in-addr.arpa", "PTR", "forward", "NXDOMAIN, SOA of ."},
		{"a reverse name above the subnet", "0.10.in-addr.arpa", "SOA", "forward", "NOERROR, SOA of ."},
		{"a reverse name that is none", "x.0.0.10.in-addr.arpa", "PTR", "forward", "NXDOMAIN, SOA of ."},
		{"a reverse name that is too long", "1.2.0.0.10.in-addr.arpa", "PTR", "forward", "NXDOMAIN, SOA of ."},
		{"the address of a name's reverse", "2.0.0.10.in-addr.arpa", "A", "NOERROR, SOA of .", ""},
		{"a transfer", "web", "AXFR", "REFUSED", ""},
	} {
		qtype, ok := dns.StringToType[c.qtype]
		if !ok {
			fmt.Sscanf(c.qtype, "TYPE%d", &qtype)
		}
		if got := formatAnswer(askView(t, newView(testZone(), nil), question(c.name, qtype), false)); got != c.want {
			t.Errorf("%s: %s %s: got %s, want %s", c.what, c.name, c.qtype, got, c.want)
		}
		want := c.internal
		if want == "" {
			want = c.want
		}
		if got := formatAnswer(askView(t, newView(internalZone(), nil), question(c.name, qtype), false)); got != want {
			t.Errorf("%s on an internal network: %s %s: got %s, want %s", c.what, c.name, c.qtype, got, want)
		}
	}
}

func reverseName(addr string) string {
	name, err := dns.ReverseAddr(addr)
	if err != nil {
		panic(err)
	}
	return name
}

func TestContainersOfOneNameTakeTurns(t *testing.T) {
	v := newView(testZone(), nil)
	var firsts []string
	for range 4 {
		m := askView(t, v, question("db", dns.TypeA), false)
		if len(m.Answer) != 3 {
			t.Fatalf("got %s", formatAnswer(m))
		}
		firsts = append(firsts, m.Answer[0].(*dns.A).A.String())
		askView(t, v, question("db", dns.TypeAAAA), false) // clients ask for both families, which must not count
	}
	if want := []string{"10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.3"}; !slices.Equal(firsts, want) {
		t.Errorf("first were %v, want %v", firsts, want)
	}
}

func TestOrderOfRecordsDoesNotMatter(t *testing.T) {
	z := testZone()
	slices.Reverse(z.Records)
	z.Records = append(z.Records, z.Records[0]) // nor does a duplicate
	if got, want := formatAnswer(askView(t, newView(z, nil), question("db", dns.TypeA), false)), "NOERROR, A 10.0.0.3, A 10.0.0.4, A 10.0.0.5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// In a subnet larger than a /24, 10.0.1.0 is an address like any other.
func TestReverseNameOfPrefixIsNotOfItsFirstAddress(t *testing.T) {
	z := testZone()
	z.Subnets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}
	z.Records = append(z.Records, Record{Names: []string{"first"}, Addrs: parseAddrs("10.0.1.0")})
	for name, want := range map[string]string{"0.1.0.10.in-addr.arpa": "NOERROR, PTR first.", "1.0.10.in-addr.arpa": "NOERROR, SOA of ."} {
		if got := formatAnswer(askView(t, newView(z, nil), question(name, dns.TypePTR), false)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestAnswersAreAuthoritative(t *testing.T) {
	for _, name := range []string{"web", "nobody.dns.podman"} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeMX, dns.TypeANY} {
			if m := askView(t, newView(testZone(), nil), question(name, qtype), false); !m.Authoritative {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

func TestAnswerKeepsQuestionAsAsked(t *testing.T) {
	m := question("wEb.DNS.poDMan", dns.TypeA)
	m.CheckingDisabled = true
	got := askView(t, newView(testZone(), nil), m, false)
	if got.Question[0] != m.Question[0] || got.Answer[0].Header().Name != "wEb.DNS.poDMan." {
		t.Errorf("the case of the question changed:\n%v", got)
	}
	if got.Id != m.Id || !got.Response || !got.Authoritative || !got.RecursionDesired || !got.RecursionAvailable || !got.CheckingDisabled {
		t.Errorf("header: %v", got.MsgHdr)
	}
	if got.Answer[0].Header().Ttl != 0 {
		t.Error("an answer may be kept")
	}
}

func TestInvalidQueriesAreRefused(t *testing.T) {
	edns1 := question("web", dns.TypeA)
	edns1.SetEdns0(1232, false)
	edns1.IsEdns0().SetVersion(1)
	for what, c := range map[string]struct {
		change func(*dns.Msg)
		want   string
	}{
		"a class that is not IN": {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, "REFUSED"},
		"another operation":      {func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, "NOTIMP"},
		"a notification":         {func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, "NOTIMP"},
		"two questions":          {func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, "FORMERR"},
		"no question":            {func(m *dns.Msg) { m.Question = nil }, "FORMERR"},
		"a question with answer": {func(m *dns.Msg) { m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: ".", Rrtype: 1, Class: 1}}} }, "FORMERR"},
		"two EDNS records":       {func(m *dns.Msg) { m.SetEdns0(1232, false); m.SetEdns0(1232, false) }, "FORMERR"},
		"a later EDNS":           {func(m *dns.Msg) { *m = *edns1 }, "BADVERS"},
	} {
		m := question("web", dns.TypeA)
		c.change(m)
		got := askView(t, newView(testZone(), nil), m, false)
		if dns.RcodeToString[got.Rcode] != c.want && !(c.want == "BADVERS" && got.Rcode == dns.RcodeBadVers) {
			t.Errorf("%s: got %s, want %s", what, formatAnswer(got), c.want)
		}
		if got.Id != m.Id || got.Opcode != m.Opcode || !got.Response {
			t.Errorf("%s: header %v", what, got.MsgHdr)
		}
	}
}

func TestAnswersAndFragmentsGetNoReply(t *testing.T) {
	answer := question("web", dns.TypeA)
	answer.Response = true
	wire, _ := answer.Pack()
	for _, w := range [][]byte{nil, {1, 2, 3}, wire[:headerLen-1], wire} {
		if reply, q := newView(testZone(), nil).answer(w, false); reply != nil || q != nil {
			t.Errorf("%x is answered", w)
		}
	}
	wire[2] &^= flagResponse
	if reply, _ := newView(testZone(), nil).answer(wire[:len(wire)-2], false); reply == nil || reply[3]&maskRcode != dns.RcodeFormatError {
		t.Errorf("a cut question: got %x", reply)
	}
}

// manyZone has one name with more addresses than fit into a datagram.
func manyZone(n int) Zone {
	z := testZone()
	for i := range n {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(1 + i/250), byte(i % 250)})
		z.Records = append(z.Records, Record{Names: []string{"many", fmt.Sprint("many", i)}, Addrs: []netip.Addr{addr}})
	}
	return z
}

func TestAnswerFitsWhatClientAccepts(t *testing.T) {
	v := newView(manyZone(2000), nil)
	for what, c := range map[string]struct {
		edns      int // 0: none
		tcp       bool
		most      int
		truncated bool
	}{
		"without EDNS":           {0, false, 512, true},
		"with small EDNS":        {100, false, 512, true},
		"with EDNS":              {800, false, 800, true},
		"with greedy EDNS":       {65535, false, 1232, true},
		"over TCP":               {0, true, 65535, false},
		"over TCP and with EDNS": {800, true, 65535, false},
	} {
		m := question("many", dns.TypeA)
		if c.edns > 0 {
			m.SetEdns0(uint16(c.edns), true)
		}
		wire, _ := m.Pack()
		reply, _ := v.answer(wire, c.tcp)
		got := mustUnpack(t, reply)
		if len(reply) > c.most || len(reply) < c.most-50 && c.truncated || got.Truncated != c.truncated {
			t.Errorf("%s: %d bytes, truncated %v", what, len(reply), got.Truncated)
		}
		opt := got.IsEdns0()
		if (opt != nil) != (c.edns > 0) || opt != nil && (opt.UDPSize() != maxUDPSize || !opt.Do()) {
			t.Errorf("%s: EDNS %v", what, opt)
		}
		if !c.truncated && len(got.Answer) != 2000 {
			t.Errorf("%s: %d addresses", what, len(got.Answer))
		}
	}
}

func TestOwnResolverIsNoUpstream(t *testing.T) {
	z := testZone()
	z.Addrs = parseAddrs("10.0.0.1", "fd00::1")
	z.Upstreams = []netip.AddrPort{
		netip.MustParseAddrPort("10.0.0.1:53"), netip.MustParseAddrPort("[::ffff:10.0.0.1]:53"),
		netip.MustParseAddrPort("[fd00::1%eth0]:53"), netip.MustParseAddrPort("10.0.0.1:1053"),
	}
	z.Port = 1053
	wanted, errs := parseZones([]Zone{z})
	if errs != nil {
		t.Fatal(errs)
	}
	v := newView(z, resolverAddrs(wanted))
	if len(v.upstreams) != 0 {
		t.Errorf("left are %v", v.upstreams)
	}
	if got := formatAnswer(askView(t, v, question("example.com", dns.TypeA), false)); got != "SERVFAIL" {
		t.Errorf("got %s; an upstream is meant to be there", got)
	}
}

// "No such name" would be believed, and remembered, until long after the host has servers.
func TestNameOutsideWithoutUpstreamIsServerFailure(t *testing.T) {
	z := testZone()
	z.Upstreams = nil
	for name, want := range map[string]string{
		"example.com": "SERVFAIL", "nobody": "SERVFAIL", "2.1.0.10.in-addr.arpa": "SERVFAIL",
		"web": "NOERROR, A 10.0.0.2", "nobody.dns.podman": "NXDOMAIN, SOA of dns.podman.",
	} {
		if got := formatAnswer(askView(t, newView(z, nil), question(name, dns.TypeA), false)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	// Of several networks one that has an upstream counts.
	wire, err := question("example.com", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, views := range [][]*view{
		{newView(z, nil), newView(testZone(), nil)}, {newView(testZone(), nil), newView(z, nil)}, {newView(internalZone(), nil), newView(testZone(), nil)},
	} {
		if reply, q := answerQuery(views, wire, false); q == nil || len(q.upstreams) != 1 {
			t.Errorf("got %x and %v, not a query to forward", reply, q)
		}
	}
}

func TestParseResolvConf(t *testing.T) {
	for _, c := range []struct{ what, text, want string }{
		{"the documented form", "# comment\nsearch lan\nnameserver 192.0.2.1\nnameserver 2001:db8::1\noptions edns0\n", "[192.0.2.1:53 [2001:db8::1]:53]"},
		{"systemd-resolved's stub", "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n", "[127.0.0.53:53]"},
		{"a link-local server", "nameserver fe80::1%eth0\n", "[[fe80::1%eth0]:53]"},
		{"spaces, no newline, trailing text", "nameserver \t 192.0.2.1   # first", "[192.0.2.1:53]"},
		{"a mapped address and a repeat", "nameserver ::ffff:192.0.2.1\nnameserver 192.0.2.1\n", "[192.0.2.1:53]"},
		{"more than the C library takes", "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n", "[192.0.2.1:53 192.0.2.2:53 192.0.2.3:53]"},
		{"what is none", "nameserver\nnameserver dns.example\n;nameserver 192.0.2.1\nnameservers 192.0.2.1\n", "[]"},
	} {
		if got := fmt.Sprint(ParseResolvConf(c.text)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
}
