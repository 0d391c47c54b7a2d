package ctl

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/packettrace"
)

var tracedNetworks = []TracedNetwork{
	{Name: "blue", Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}, Port: 4789, VNI: 7, Names: map[netip.Addr]string{netip.MustParseAddr("10.0.0.2"): "web"}},
	{Name: "red", Subnets: []netip.Prefix{netip.MustParsePrefix("fd00::/64")}, Port: 8472, VNI: 8},
}

func TestPrintDrop(t *testing.T) {
	addr := netip.MustParseAddr
	tests := []struct {
		packet packettrace.Packet
		event  packettrace.Event
		want   string
	}{
		{packettrace.Packet{Protocol: "tcp", Src: addr("10.0.0.2"), SrcPort: "4000", Dst: addr("192.0.2.1"), DstPort: "80"},
			packettrace.Event{Family: "ip", Table: "filter", Chain: "FORWARD"},
			"blue tcp web(10.0.0.2):4000 → 192.0.2.1:80: dropped by ip filter FORWARD, its policy"},
		{packettrace.Packet{Protocol: "icmpv6", Src: addr("fe80::1"), Dst: addr("fd00::9"), In: "eth0"},
			packettrace.Event{Family: "bridge", Table: "t", Chain: "c", Rule: `drop comment "no"`, Comment: "no"},
			`red icmpv6 fe80::1 → fd00::9 from eth0: dropped by bridge t c, rule "no"`},
		{packettrace.Packet{Protocol: "udp", Src: addr("198.18.0.9"), SrcPort: "1", Dst: addr("198.18.0.1"), DstPort: "4789"},
			packettrace.Event{Family: "inet", Table: "t", Chain: "c", Rule: "drop"},
			"blue udp 198.18.0.9:1 → 198.18.0.1:4789: dropped by inet t c, rule drop"},
		{packettrace.Packet{}, packettrace.Event{Family: "inet", Table: "t", Chain: "c"}, "- packet ? → ?: dropped by inet t c, its policy"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		if err := printDrop(&output.Printer{Out: &out}, tracedNetworks, packettrace.Drop{Packet: tt.packet, Event: tt.event}); err != nil {
			t.Fatal(err)
		}
		if _, got, _ := strings.Cut(strings.TrimSpace(out.String()), " "); got != tt.want {
			t.Errorf("printed %s\nwant    %s", got, tt.want)
		}
	}
}

func TestTracedPackets(t *testing.T) {
	want := `inet udp dport 4789 @th,96,24 7
inet ip saddr 10.0.0.0/24
bridge ip saddr 10.0.0.0/24
inet ip daddr 10.0.0.0/24
bridge ip daddr 10.0.0.0/24
inet udp dport 8472 @th,96,24 8
inet ip6 saddr fd00::/64
bridge ip6 saddr fd00::/64
inet ip6 daddr fd00::/64
bridge ip6 daddr fd00::/64
`
	var got strings.Builder
	for _, m := range tracedPackets(tracedNetworks) {
		fmt.Fprintln(&got, m.Family, m.Expression)
	}
	if got.String() != want {
		t.Errorf("selects\n%s", got.String())
	}
}

// droppingHost has rules that have dropped something.
type droppingHost struct{ fakeHost }

func (droppingHost) Status() (agentapi.StatusReport, error) {
	return agentapi.StatusReport{Drops: []agentapi.DropStatus{
		{Reason: "not_a_member", Chain: "vxlan_input", Comment: "not from a member to its VTEP", Packets: 3, Bytes: 450},
		{Reason: "isolation", Chain: "between_networks", Comment: "isolated"},
	}}, nil
}

func TestDropCounts(t *testing.T) {
	var out bytes.Buffer
	if err := execute(dropsCommand(droppingHost{}), &out, "--noheading"); err != nil || out.String() != "not_a_member  3        450    not from a member to its VTEP  vxlan_input\n" {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}
