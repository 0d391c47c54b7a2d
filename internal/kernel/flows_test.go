package kernel

import (
	"net/netip"
	"testing"
)

// What an element of a map of ports says is read from its bytes.
func TestPublishedBy(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")
	host4, host6 := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("2001:db8::1")
	port, target := Concat(Protocol(17), Port(53)), Port(5353)
	for want, e := range map[string]Element{
		"conntrack -D -p udp --orig-port-dst 53 # not to 10.0.0.2:5353":                  {Set: Ports4, Key: port, Value: Concat(IP(v4), target)},
		"conntrack -D -p udp --orig-port-dst 53 # not to [fd00::2]:5353":                 {Set: Ports6, Key: port, Value: Concat(IP(v6), target)},
		"conntrack -D -p udp --orig-port-dst 53 -d 198.18.0.1 # not to 10.0.0.2:5353":    {Set: PortsAt4, Key: Concat(IP(host4), port), Value: Concat(IP(v4), target)},
		"conntrack -D -p sctp --orig-port-dst 54 -d 2001:db8::1 # not to [fd00::2]:5353": {Set: PortsAt6, Key: Concat(IP(host6), Protocol(132), Port(54)), Value: Concat(IP(v6), target)},
	} {
		p, ok := PublishedBy(e)
		if got := (DeleteFlows{Stale: []Publication{p}}).String(); !ok || got != want {
			t.Errorf("%s: got %s, want %s", e, got, want)
		}
	}
	if p, ok := PublishedBy(Element{Set: VTEPs4, Key: Concat(IP(v4), Port(4789))}); ok {
		t.Errorf("a VTEP publishes %v", p)
	}
	got := DeleteFlows{Of: []FlowEnd{{17, v4}}}.String()
	if want := "conntrack -D -p udp --reply-src 10.0.0.2; conntrack -D -p udp --orig-src 10.0.0.2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
