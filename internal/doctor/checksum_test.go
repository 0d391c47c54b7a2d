package doctor

import (
	"fmt"
	"slices"
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// The host whose packets have wrong checksums is named, if two have.
func TestChecksums(t *testing.T) {
	from := Stream{From: addr("198.18.0.11"), To: addr("198.18.0.12"), Port: 4789, VNI: 7, Count: 9}
	with := func(change func(*Stream)) []Stream {
		s := from
		change(&s)
		return []Stream{s}
	}
	accepts := func(f *Facts) { f.Networks[0].Tunnel.UDPChecksum = kernel.Some(false) }
	for _, tt := range []struct {
		name    string
		traffic []Stream
		alter   func(*Facts)
		want    string
	}{
		{"sound", []Stream{from}, nil, ""},
		{"one damaged packet", with(func(s *Stream) { s.BadInner, s.BadOuter, s.ZeroOuter = 1, 1, 1 }), nil, ""},
		{"inside", with(func(s *Stream) { s.BadInner = 2 }), nil, "VX0407 failure a packets of containers of host a (198.18.0.11) arrive with wrong checksums"},
		{"outside", with(func(s *Stream) { s.BadOuter, s.BadInner = 2, 2 }), nil, "VX0407 failure a VXLAN packets of host a (198.18.0.11) arrive with wrong UDP checksums, and are dropped"},
		{"none", with(func(s *Stream) { s.ZeroOuter = 2 }), nil, "VX0605 failure a VXLAN packets of host a (198.18.0.11) have no UDP checksum, and this host drops such over IPv6"},
		{"none is needed", with(func(s *Stream) { s.ZeroOuter = 2 }), accepts, ""},
		{"of another network", with(func(s *Stream) { s.BadInner, s.VNI = 2, 8 }), nil, ""},
		{"what left", with(func(s *Stream) { s.BadInner, s.Out = 2, true }), nil, ""},
		{"of a host without an agent", with(func(s *Stream) { s.BadInner = 2 }), func(f *Facts) { f.Agent.Report.Clusters = nil },
			"VX0407 failure host-b packets of containers of host 198.18.0.11 arrive with wrong checksums"},
		{"only counted", nil, func(f *Facts) { f.BadSums = []BadSum{{"container cb", "TcpInCsumErrors", 3}} },
			"VX0407 warning host-b 3 packets with wrong checksums came while this was looked for"},
		{"only one counted", nil, func(f *Facts) { f.BadSums = []BadSum{{"container cb", "TcpInCsumErrors", 1}} }, ""},
	} {
		f := healthy()
		f.Agent.Report.Clusters = []agentapi.ClusterStatus{{Hosts: []agentapi.HostStatus{{Name: "a (198.18.0.11)", HostName: "a", Addr: addr("198.18.0.11"), Reachable: true}}}}
		f.Traffic = tt.traffic
		if tt.alter != nil {
			tt.alter(&f)
		}
		got := ""
		for _, found := range Diagnose(f).Findings {
			got += fmt.Sprintf("%s %s %s %s", found.Code, found.Level, found.Host, found.Summary)
		}
		if got != tt.want {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

// A host is asked whose container answers ping and nothing else, and none that has a firewall.
func TestSilentToTCPAndUDP(t *testing.T) {
	f := healthy()
	for i, e := range []Exchange{{Ping: true}, {Ping: true, TCP: true}, {Ping: true, UDP: true}, {}} {
		e.VTEP = addr(fmt.Sprintf("198.18.0.%d", 20+i))
		f.Networks[0].Exchanges = append(f.Networks[0].Exchanges, e)
	}
	if d := Diagnose(f); len(d.Findings) > 0 || !slices.Equal(d.Suspects, []string{"198.18.0.20"}) {
		t.Errorf("found %+v, suspects %q", d.Findings, d.Suspects)
	}
}

// Packets from who is no member are seen without an agent and without a loss, but for hosts that find
// each other.
func TestStrangers(t *testing.T) {
	f := healthy()
	f.Agent.Report = nil
	f.Traffic = []Stream{{From: addr("198.18.0.77"), To: addr("198.18.0.12"), Port: 4789, VNI: 7, Count: 1}}
	if found := checkStrangers(&f); len(found) != 1 || found[0].Code != diagnosis.ForeignSender || found[0].Level != diagnosis.Warning {
		t.Errorf("found %+v", found)
	}
	f.Networks[0].Discovery = network.DiscoveryGossip
	if found := checkStrangers(&f); len(found) > 0 {
		t.Errorf("of hosts that find each other: found %+v", found)
	}
}
