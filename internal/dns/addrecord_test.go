package dns

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// answersFrom returns a zone's answer: the response code, then addresses or names, sorted.
func answersFrom(t *testing.T, s *Server, network, name string, typ uint16) string {
	t.Helper()
	wire, err := question(name, typ).Pack()
	if err != nil {
		t.Fatal(err)
	}
	reply, forward := answerQuery(s.zones[network].viewsFor(netip.Addr{}), wire, true)
	if forward != nil {
		return "forwarded"
	}
	m := mustUnpack(t, reply)
	all := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		all = append(all, strings.Fields(rr.String())[4])
	}
	slices.Sort(all[1:])
	return strings.Join(all, " ")
}

func TestAddedRecordIsAnsweredUntilNextSet(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler))
	red := Zone{Network: "red", Device: "br-red", Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, Records: []Record{
		{ID: "a", Names: []string{"web", "www"}, Addrs: parseAddrs("10.0.0.2", "fd00::2")},
	}}
	set := func() {
		t.Helper()
		if err := s.Set([]Zone{red}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want map[string]string) {
		t.Helper()
		for what, want := range want {
			name, typ, _ := strings.Cut(what, " ")
			if got := answersFrom(t, s, "red", name, dns.StringToType[typ]); got != want {
				t.Errorf("%s: got %s, want %s", what, got, want)
			}
		}
	}
	without := map[string]string{
		"web A": "NOERROR 10.0.0.2", "web AAAA": "NOERROR fd00::2", "www A": "NOERROR 10.0.0.2", "new.dns.podman A": "NXDOMAIN",
		"3.0.0.10.in-addr.arpa PTR": "NXDOMAIN", "2.0.0.10.in-addr.arpa PTR": "NOERROR web. www.",
	}
	set()
	check(without)
	b, c := Record{ID: "b", Names: []string{"web", "new"}, Addrs: parseAddrs("10.0.0.3")}, Record{ID: "c", Names: []string{"web", "x.late"}, Addrs: parseAddrs("10.0.0.4")}
	if !s.AddRecord("red", b) || !s.AddRecord("red", c) {
		t.Fatal("not added")
	}
	check(map[string]string{
		"web A": "NOERROR 10.0.0.2 10.0.0.3 10.0.0.4", "web AAAA": "NOERROR fd00::2", "www A": "NOERROR 10.0.0.2",
		"new.dns.podman A": "NOERROR 10.0.0.3", "new A": "NOERROR 10.0.0.3", "new AAAA": "NOERROR", "late.dns.podman A": "NOERROR",
		"3.0.0.10.in-addr.arpa PTR": "NOERROR new. web.", "2.0.0.10.in-addr.arpa PTR": "NOERROR web. www.",
		"5.0.0.10.in-addr.arpa PTR": "NXDOMAIN", "nobody.dns.podman A": "NXDOMAIN",
	})
	set() // without them
	check(without)
	red.Records = append(red.Records, b)
	if !s.AddRecord("red", b) {
		t.Fatal("not added")
	}
	set()
	check(map[string]string{"web A": "NOERROR 10.0.0.2 10.0.0.3", "new A": "NOERROR 10.0.0.3"})
	if s.AddRecord("blue", b) {
		t.Error("added to a network that is not served")
	}
}
