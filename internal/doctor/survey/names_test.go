package survey

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"vxlan-driver/internal/network"
)

// A rule that is about questions for names is known as such, whatever else it names.
func TestRulesOfNames(t *testing.T) {
	for _, tt := range []struct {
		family, rule        string
		ofNames, translates bool
	}{
		{"bridge", "udp dport 53 drop", true, false},
		{"bridge", `ibrname "br-blue" udp dport 53 drop`, true, false},
		{"inet", `iifname "br-blue" udp dport { 53, 853 } counter packets 0 bytes 0 drop`, true, false},
		{"inet", "meta l4proto { tcp, udp } th dport 50-60 reject", true, false},
		{"ip", "udp dport 61053 drop", true, false},
		{"ip", "udp sport 53 drop", true, false},
		{"ip", `iifname "br-blue" udp dport 53 redirect to :5353`, true, true},
		{"ip", `udp dport 53 counter packets 0 bytes 0 xt target "REDIRECT"`, true, true},
		{"inet", "udp dport 53 tproxy to :5353", true, true},
		{"inet", "udp dport 53 notrack", true, false},
		{"ip", `udp dport 53 counter packets 0 bytes 0 xt target "CT"`, true, false},
		{"ip", "tcp dport 53 drop", false, false},
		{"ip", "udp dport 530 drop", false, false},
		{"ip", "udp dport != 53 drop", false, false},
		{"ip", "udp dport 53 accept", false, false},
		{"ip", "udp dport { 53, 4789 } drop", false, false},
	} {
		text := "table " + tt.family + " f { # handle 1\n\tchain c { # handle 2\n\t\t" + tt.rule + " # handle 3\n\t}\n}\n"
		found := FindRules(text, []string{portWord(4789), `"br-blue"`})
		ofNames := len(found) == 1 && found[0].OfNames
		if ofNames != tt.ofNames || ofNames && (found[0].Translates != tt.translates || found[0].Chain != tt.family+" f c") {
			t.Errorf("%s %s: found %+v", tt.family, tt.rule, found)
		}
	}
	for hook, want := range map[string]bool{
		"nat hook prerouting priority mangle": true, "nat hook prerouting priority -200": true,
		"nat hook prerouting priority dstnat - 5": true, "filter hook prerouting priority dstnat": true,
		"nat hook prerouting priority dstnat": false, "nat hook prerouting priority filter": false,
		"nat hook output priority -150": false,
	} {
		text := "table ip f { # handle 1\n\tchain c { # handle 2\n\t\ttype " + hook + "; policy accept;\n" +
			"\t\tiifname \"br-blue\" udp dport 53 redirect to :5353 # handle 3\n\t}\n}\n"
		if found := FindRules(text, []string{`"br-blue"`}); len(found) == 1 != want || want && !found[0].OfNames {
			t.Errorf("%s: found %+v", hook, found)
		}
	}
	const answeredFirst = `table bridge f { # handle 1
	chain c { # handle 2
		ip saddr 10.0.0.0/24 udp dport 53 accept # handle 4
		udp dport 53 drop # handle 3
	}
}
`
	if found := FindRules(answeredFirst, nil); len(found) > 0 {
		t.Errorf("behind a rule that accepts: found %+v", found)
	}
	for rule, want := range map[string]bool{
		"*mangle\n-A PREROUTING -p udp -m udp --dport 53 -j TPROXY --on-port 5353":                   true,
		"*mangle\n-A PREROUTING -i br-blue -p udp -m udp --dport 53 -j TPROXY --on-port 5353":        true,
		"*mangle\n-A PREROUTING -p udp -m multiport --dports 53,853 -j TPROXY --on-port 5353":        true,
		"*mangle\n-A PREROUTING -p udp -m udp --dport 50:60 -j TPROXY --on-port 5353":                true,
		"*nat\n-A PREROUTING -i br-blue -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353":        false,
		"*nat\n-A PREROUTING -p udp -m multiport --dports 53,853 -j DNAT --to-destination 192.0.2.1": false,
		"*mangle\n-A PREROUTING -p tcp -m tcp --dport 53 -j TPROXY --on-port 5353":                   false,
		"*nat\n-A PREROUTING -p udp -m udp --dport 4789 -j REDIRECT --to-ports 53":                   false,
		"*filter\n-A INPUT -p udp -m udp --dport 53 -j ACCEPT":                                       false,
	} {
		found := FindLegacyRules("iptables-legacy", rule+"\n", []string{portWord(4789), `"br-blue"`})
		isOfTunnel := strings.Contains(rule, "4789")
		got := len(found) == 1 && found[0].OfNames && found[0].Translates
		if got != want || !want && !isOfTunnel && len(found) > 0 {
			t.Errorf("%s: found %+v", rule, found)
		}
	}
	for rule, want := range map[string]bool{
		"-A PREROUTING -p udp -m udp --dport 53 -j CT --notrack":   true,
		"-A OUTPUT -p udp -m udp --sport 53 -j NOTRACK":            true,
		"-A PREROUTING -p udp -m udp --dport 53 -j CT --zone 1":    false,
		"-A PREROUTING -p udp -m udp --dport 4789 -j CT --notrack": false,
	} {
		found := FindLegacyRules("iptables-legacy", "*raw\n"+rule+"\n", []string{portWord(4789), `"br-blue"`})
		if got := len(found) == 1 && found[0].OfNames && found[0].Untracks; got != want || !want && len(found) > 0 {
			t.Errorf("%s: found %+v", rule, found)
		}
	}
}

// What a container has of its own that drops its packets, or leads its questions for names elsewhere.
func TestFiltersOfContainer(t *testing.T) {
	const ruleset = `table ip nat {
	chain out {
		type nat hook output priority dstnat; policy accept;
		udp dport 53 redirect to :5353
	}
}
table ip ok {
	chain c {
		udp dport 53 accept
		tcp dport 80 redirect to :8080
	}
}
table inet f {
	chain c {
		type filter hook input priority filter; policy drop;
	}
}
`
	var got []string
	for _, r := range FindDroppingTables(ruleset) {
		got = append(got, fmt.Sprint(r.Delete, " ", r.Translates))
	}
	const saved = "*nat\n:PREROUTING ACCEPT [0:0]\n-A OUTPUT -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353\n" +
		"-A OUTPUT -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080\nCOMMIT\n" +
		"*filter\n:INPUT DROP [0:0]\n-A OUTPUT -p udp -m udp --dport 53 -j DROP\nCOMMIT\n"
	for _, r := range FindDroppingLegacy("iptables-legacy", saved) {
		got = append(got, fmt.Sprint(r.Delete, " ", r.Translates))
	}
	want := []string{
		"nft delete table ip nat true", "nft delete table inet f false",
		"iptables-legacy -t nat -D OUTPUT -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353 true",
		"iptables-legacy -t filter -P INPUT ACCEPT false",
		"iptables-legacy -t filter -D OUTPUT -p udp -m udp --dport 53 -j DROP false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q", got)
	}
}

// An answer of another server than the network's is told from one of the network's own.
func TestCheckAnswer(t *testing.T) {
	n := network.Network{Subnets: []network.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24")}}}
	answer := func(code dnsmessage.RCode, addrs ...string) []byte {
		name := dnsmessage.MustNewName("cb.")
		m := dnsmessage.Message{Header: dnsmessage.Header{Response: true, RCode: code},
			Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		for _, a := range addrs {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
			})
		}
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return packed
	}
	for name, tt := range map[string]struct {
		answer []byte
		says   string
	}{
		"its own":         {answer(dnsmessage.RCodeSuccess, "10.0.0.2"), ""},
		"several":         {answer(dnsmessage.RCodeSuccess, "192.0.2.1", "10.0.0.3"), ""},
		"no such name":    {answer(dnsmessage.RCodeNameError), "no such name"},
		"another address": {answer(dnsmessage.RCodeSuccess, "192.0.2.1"), "no address of the network"},
		"no address":      {answer(dnsmessage.RCodeSuccess), "no address of the network"},
		"damaged":         {[]byte{1, 2, 3}, "cannot be read"},
	} {
		err := checkAnswer(tt.answer, n)
		_, isForeign := errors.AsType[foreignAnswerError](err)
		if isForeign != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
