package survey

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestFindBlocks(t *testing.T) {
	const text = `src 198.18.0.12/32 dst 198.18.0.11/32 
	dir out action block priority 0 
src 10.0.0.0/8 dst 10.1.0.0/16 proto udp 
	dir fwd priority 0 
	tmpl src 0.0.0.0 dst 0.0.0.0
src 0.0.0.0/0 dst 198.18.0.0/24 proto udp 
	dir in action block priority 5 
src 198.18.0.12/32 dst 198.18.0.13/32 
	dir out priority 0 
	tmpl src 198.18.0.12 dst 198.18.0.13
		proto esp reqid 0 mode transport
src 198.18.0.12/32 dst 198.18.0.14/32 
	dir out priority 0 
	tmpl src 198.18.0.12 dst 198.18.0.14
		proto esp reqid 0 mode transport
`
	const states = "src 198.18.0.12 dst 198.18.0.14\n\tproto esp spi 0x00000001 reqid 0 mode transport\n"
	const want = "[ip xfrm policy delete src 198.18.0.12/32 dst 198.18.0.11/32 dir out, ip xfrm policy delete src 0.0.0.0/0 dst 198.18.0.0/24 proto udp dir in, ip xfrm policy delete src 198.18.0.12/32 dst 198.18.0.13/32 dir out, ]"
	got := "["
	for _, b := range FindBlocks(text, states) {
		got += b.Delete + ", "
		if !b.From.IsValid() || !b.To.IsValid() {
			t.Errorf("%+v", b)
		}
	}
	if got += "]"; got != want {
		t.Error(got)
	}
}

func TestFindDefaultBlocks(t *testing.T) {
	blocks := FindDefaultBlocks("Default policies:\n in:  accept\n fwd: block\n out: block\n")
	if len(blocks) != 4 || blocks[0].Delete != "ip xfrm policy setdefault fwd accept" || !blocks[0].Forwards || blocks[3].Forwards || !blocks[3].From.Addr().Is6() {
		t.Errorf("%+v", blocks)
	}
}

func TestFindDroppingTables(t *testing.T) {
	const text = `table ip nat {
	chain c {
		type nat hook output priority 0; policy accept;
		counter packets 0 bytes 0 accept
	}
}
table inet f {
	chain c {
		type filter hook input priority filter; policy drop;
		udp dport 53 drop
	}
}
table ip6 g {
	chain c {
		type filter hook input priority filter; policy accept;
		tcp dport 22 reject with tcp reset
	}
}
`
	found := FindDroppingTables(text)
	if len(found) != 2 || found[0].Delete != "nft delete table inet f" || found[1].Delete != "nft delete table ip6 g" {
		t.Errorf("%+v", found)
	}
}

// A host's ICMP message that a UDP port is closed is told from others, and from one about another port.
func TestParseRefusal(t *testing.T) {
	refusal := func(kind, code byte, port uint16) []byte {
		b := []byte{0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 198, 18, 0, 13, 198, 18, 0, 11, kind, code, 0, 0, 0, 0, 0, 0}
		b = append(b, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 11, 198, 18, 0, 13)
		return append(b, 0x30, 0x39, byte(port>>8), byte(port), 0, 8, 0, 0)
	}
	s, ok := ParseRefusal(refusal(3, 3, 4789), 4789)
	if !ok || s.From != netip.MustParseAddr("198.18.0.13") || s.Port != 4789 || !s.Refused {
		t.Errorf("%v, %+v", ok, s)
	}
	for _, b := range [][]byte{refusal(3, 13, 4789), refusal(11, 3, 4789), refusal(3, 3, 4790), refusal(3, 3, 4789)[:50], nil} {
		if s, ok := ParseRefusal(b, 4789); ok {
			t.Errorf("%x: %+v", b, s)
		}
	}
}

func TestDescribeRule(t *testing.T) {
	for _, tt := range []struct {
		rule map[string]any
		want string
	}{
		{map[string]any{"priority": 0., "src": "all", "table": "local"}, "foreign false"},
		{map[string]any{"priority": 5., "src": "10.1.0.0", "srclen": 24., "action": "blackhole"}, "foreign true, from 10.1.0.0/24, to invalid Prefix, by , refuses true"},
		{map[string]any{"priority": 5., "src": "all", "dst": "198.18.0.11", "iif": "br", "table": "100"}, "foreign true, from invalid Prefix, to 198.18.0.11/32, by br, refuses false"},
	} {
		r, foreign := describeRule("-4", tt.rule)
		got := fmt.Sprintf("foreign %v", foreign)
		if foreign {
			got += fmt.Sprintf(", from %v, to %v, by %s, refuses %v", r.From, r.To, r.ArrivedBy, r.Refuses)
		}
		if got != tt.want {
			t.Errorf("%v: %s", tt.rule, got)
		}
	}
}

func TestFirstRoute(t *testing.T) {
	for text, want := range map[string]string{
		"198.18.0.11 dev eth0 scope link mtu 1300 \n":                  "198.18.0.11 dev eth0 scope link mtu 1300",
		"198.18.0.0/24 dev eth0 proto kernel scope link linkdown\nx\n": "198.18.0.0/24 dev eth0 proto kernel scope link",
	} {
		if got := firstRoute(text); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestNextHops(t *testing.T) {
	const several = "198.18.0.11 \n\tnexthop via 198.18.0.99 dev eth0 weight 1 \n\tnexthop via 198.18.0.98 dev " +
		"eth1 weight 1 \n" +
		"\tnexthop dev eth0 weight 1 \n"
	if got := fmt.Sprint(nextHops(several, "eth0")); got != "[198.18.0.99]" {
		t.Error(got)
	}
	if got := nextHops("198.18.0.0/24 via 198.18.0.99 dev eth0 \n", "eth0"); got != nil {
		t.Error(got)
	}
}

func TestRulesOfPorts(t *testing.T) {
	for _, tt := range []struct {
		rule        map[string]any
		ofPort      bool
		first, last uint16
	}{
		{map[string]any{"ipproto": "udp", "dport": 4789.}, true, 4789, 4789},
		{map[string]any{"dport_start": 4000., "dport_end": 5000.}, true, 4000, 5000},
		{map[string]any{"ipproto": "tcp", "dport": 443.}, true, 443, 443},
		{map[string]any{"ipproto": "udp", "sport": 68.}, true, 0, 0},
		{map[string]any{"ipproto": "icmp"}, false, 0, 0},
		{map[string]any{"table": "77"}, false, 0, 0},
	} {
		rule, _ := describeRule("-4", tt.rule)
		if rule.OfPort != tt.ofPort || rule.FirstPort != tt.first || rule.LastPort != tt.last {
			t.Errorf("%v: %+v", tt.rule, rule)
		}
	}
}

func TestFindGoneSources(t *testing.T) {
	subnets := []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}
	isGone := func(a netip.Addr) bool { return a.String() == "198.18.0.99" }
	for rule, want := range map[string]int{
		`oifname "eth0" snat to 198.18.0.99`:                                       1,
		`oifname "eth0" ip saddr 10.0.0.0/8 counter packets 1 snat to 198.18.0.99`: 1,
		`iifname "br-vxlan-net" snat ip to 198.18.0.99`:                            1,
		`oifname "eth0" snat to 198.18.0.12`:                                       0,
		`ip saddr 10.9.0.0/16 snat to 198.18.0.99`:                                 0,
		`ip saddr 10.0.1.12 snat to 198.18.0.99`:                                   0, // of one container
		`ip daddr 192.0.2.1 snat to 198.18.0.99`:                                   0,
		`iifname "docker0" snat to 198.18.0.99`:                                    0,
		`udp dport 53 snat to 198.18.0.99`:                                         0,
		`dnat to 198.18.0.99`:                                                      0,
	} {
		text := "table ip nat {\n\tchain POSTROUTING {\n\t\t" + rule + " # handle 7\n\t}\n}\n"
		found := FindGoneSources(text, subnets, []string{"br-vxlan-net"}, isGone)
		if len(found) != want || want == 1 && found[0].Delete != "nft delete rule ip nat POSTROUTING handle 7" {
			t.Errorf("%s: %+v", rule, found)
		}
	}
}
