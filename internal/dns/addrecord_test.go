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

// Nobody asks a new container to wait for the agent's next turn: what it looks up first, it looks
// up at once.
func TestAddedRecordKnowsItsOtherNetworks(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler))
	red := Zone{Network: "red", Device: "br-red", Internal: true, Records: []Record{{Names: []string{"web"}, Addrs: parseAddrs("10.0.0.9")}}}
	blue := Zone{Network: "blue", Device: "br-blue", Upstreams: []netip.AddrPort{netip.MustParseAddrPort("198.18.0.53:53")}}
	blue.Records = []Record{{ID: "old", Names: []string{"old"}, Addrs: parseAddrs("10.1.0.4")}, {Names: []string{"db"}, Addrs: parseAddrs("10.1.0.9")}}
	check := func(when, from, name, want string) {
		t.Helper()
		if got := answerTo(t, s.zones["red"], from, name); got != want {
			t.Errorf("%s %s asks for %s: got %s, want %s", when, from, name, got, want)
		}
	}
	if err := s.Set([]Zone{red, blue}); err != nil {
		t.Fatal(err)
	}
	inRed, inBlue := Record{ID: "new", Names: []string{"new"}, Addrs: parseAddrs("10.0.0.3")}, Record{ID: "new", Names: []string{"new"}, Addrs: parseAddrs("10.1.0.3")}
	if !s.AddRecord("red", inRed) {
		t.Fatal("not added")
	}
	check("on one network,", "10.0.0.3", "example.com", "NXDOMAIN")
	// The second container is on the other network already, since the last Set.
	if !s.AddRecord("blue", inBlue) || !s.AddRecord("red", Record{ID: "old", Names: []string{"old"}, Addrs: parseAddrs("10.0.0.4")}) {
		t.Fatal("not added")
	}
	for _, from := range []string{"10.0.0.3", "10.0.0.4"} {
		check("on both,", from, "example.com", "forwarded")
		check("on both,", from, "db.dns.podman", "NOERROR")
	}
	check("on neither,", "10.0.0.9", "example.com", "NXDOMAIN")
	red.Records = append(red.Records, inRed)
	if err := s.Set([]Zone{red, blue}); err != nil {
		t.Fatal(err)
	}
	check("after it has left one,", "10.0.0.3", "example.com", "NXDOMAIN")
}

// A container on internal networks only may be on one of another driver too, which leads outside.
func TestContainerOnAnotherDriversNetworkHasNamesOutside(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler))
	elsewhere := map[string][]netip.AddrPort{
		"out": {netip.MustParseAddrPort("198.18.0.53:53")}, "added": {netip.MustParseAddrPort("198.18.0.53:53")},
		"loop": {netip.MustParseAddrPort("10.0.0.1:53")},
	}
	red := Zone{Network: "red", Device: "br-red", Internal: true, Addrs: parseAddrs("10.0.0.1"), Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}
	red.Elsewhere = func(id string) []netip.AddrPort { return elsewhere[id] }
	red.Records = []Record{
		{ID: "in", Names: []string{"in"}, Addrs: parseAddrs("10.0.0.2")}, {ID: "out", Names: []string{"out"}, Addrs: parseAddrs("10.0.0.3")},
		{ID: "loop", Names: []string{"loop"}, Addrs: parseAddrs("10.0.0.4")}, {Names: []string{"remote"}, Addrs: parseAddrs("10.0.0.5")},
	}
	if err := s.Set([]Zone{red}); err == nil { // but the zone is there
		t.Error("listens on a device that does not exist")
	}
	s.zones["red"].addedView.Store(s.zones["red"].view.Load().withRecords([]Record{{ID: "added", Names: []string{"added"}, Addrs: parseAddrs("10.0.0.6")}}))
	for question, want := range map[string]string{
		"10.0.0.2 example.com": "NXDOMAIN", "10.0.0.3 example.com": "forwarded", "10.0.0.4 example.com": "NXDOMAIN",
		"10.0.0.5 example.com": "NXDOMAIN", "10.0.0.6 example.com": "forwarded", "10.0.0.7 example.com": "NXDOMAIN",
		"10.0.0.3 in": "NOERROR", "10.0.0.3 nobody.dns.podman": "NXDOMAIN", "10.0.0.3 9.0.0.10.in-addr.arpa": "NXDOMAIN",
	} {
		from, name, _ := strings.Cut(question, " ")
		if got := answerTo(t, s.zones["red"], from, name); got != want {
			t.Errorf("%s asks for %s: got %s, want %s", from, name, got, want)
		}
	}
}

// answerTo returns the response code that a client gets.
func answerTo(t *testing.T, z *servedZone, from, name string) string {
	t.Helper()
	wire, err := question(name, dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	reply, forward := answerQuery(z.viewsFor(netip.MustParseAddr(from)), wire, false)
	if forward != nil {
		return "forwarded"
	}
	return dns.RcodeToString[mustUnpack(t, reply).Rcode]
}
