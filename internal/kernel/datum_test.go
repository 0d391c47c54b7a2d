package kernel

import (
	"net/netip"
	"testing"
)

// Data are printed from their bytes, as nft takes them.
func TestDatumPrintsAsNftSyntax(t *testing.T) {
	ip4, ip6 := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")
	end := Concat(IP(ip4), Port(4789), VNI(100))
	for want, d := range map[string]Datum{
		"":                                    {},
		`"eth0"`:                              Device("eth0"),
		"10.0.0.2":                            IP(ip4),
		"fd00::2":                             IP(ip6),
		"10.0.0.0/23":                         Subnet(netip.MustParsePrefix("10.0.1.7/23")),
		"10.0.0.2/32":                         Subnet(netip.MustParsePrefix("10.0.0.2/32")),
		"fd00::/64":                           Subnet(netip.MustParsePrefix("fd00::7/64")),
		"::/0":                                Subnet(netip.MustParsePrefix("::/0")),
		"0xfd000000000000000000000000000002":  NDTarget(ip6),
		"4789":                                Port(4789),
		"tcp":                                 Protocol(6),
		"udp":                                 Protocol(17),
		"sctp":                                Protocol(132),
		"02:00:00:00:00:01":                   Ethernet(MAC{2, 5: 1}),
		"0x64":                                VNI(100),
		"65534":                               User(65534),
		"jump there":                          Jump("there"),
		"198.18.0.1 . 10.0.0.2 . 4789 . 0x64": Concat(IP(netip.MustParseAddr("198.18.0.1")), end),
		`"a" . 10.0.0.0/8 . 02:00:00:00:00:01 . udp . fd00::2`: Concat(
			Device("a"), Subnet(netip.MustParsePrefix("10.0.0.0/8")), Ethernet(MAC{2, 5: 1}), Protocol(17), IP(ip6)),
	} {
		if got := d.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if d.IsZero() != (want == "") || len(d.First()) != len(d.Last()) {
			t.Errorf("%s: %q to %q", want, d.First(), d.Last())
		}
	}
}

// Elements are told apart by set and key alone.
func TestElementID(t *testing.T) {
	e := Element{Set: Ports4, Key: Concat(Protocol(6), Port(80)), Value: Port(1)}
	other := Element{Set: Ports4, Key: Concat(Protocol(6), Port(80)), Value: Port(2), Comment: "n"}
	if e.ID() != other.ID() {
		t.Error("same key: not the same")
	}
	for _, other := range []Element{
		{Set: Ports6, Key: e.Key}, {Set: Ports4, Key: Concat(Protocol(17), Port(80))}, {Set: Ports4},
	} {
		if e.ID() == other.ID() {
			t.Errorf("the same as %s in %v", other, other.Set)
		}
	}
	narrow, wide := Element{Set: Masquerade4, Key: Subnet(netip.MustParsePrefix("10.0.0.0/24"))}, Element{Set: Masquerade4, Key: Subnet(netip.MustParsePrefix("10.0.0.0/16"))}
	if narrow.ID() == wide.ID() {
		t.Error("ranges that begin alike are the same")
	}
}
