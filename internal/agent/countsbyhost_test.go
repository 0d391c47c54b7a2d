package agent

import (
	"errors"
	"net/netip"
	"testing"

	"vxlan-driver/internal/agentapi"
)

// What eBPF programs have passed on is told of each host and network that it is known of.
func TestCountsByHost(t *testing.T) {
	vtep, other := netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("198.18.0.3")
	counts := agentapi.ProgramCounts{SentPackets: 3, ReceivedBytes: 7}
	s := &statusReporter{countsByHost: func(device string) (map[netip.Addr]agentapi.ProgramCounts, error) {
		if device != "vxlan-blue" {
			return nil, nil
		}
		return map[netip.Addr]agentapi.ProgramCounts{vtep: counts}, nil
	}}
	clusters := []agentapi.ClusterStatus{{Hosts: []agentapi.HostStatus{
		{Paths: []agentapi.PathStatus{{Network: "blue", VTEP: vtep}, {Network: "red", VTEP: vtep}}},
		{Paths: []agentapi.PathStatus{{Network: "blue", VTEP: other}}},
	}}}
	if err := s.addCountsByHost(clusters, map[string]string{"blue": "vxlan-blue", "red": "vxlan-red"}); err != nil {
		t.Fatal(err)
	}
	if got := clusters[0].Hosts[0].Paths[0].Programs; got == nil || *got != counts {
		t.Errorf("got %+v", got)
	}
	if clusters[0].Hosts[0].Paths[1].Programs != nil || clusters[0].Hosts[1].Paths[0].Programs != nil {
		t.Error("another network's, or another host's, has counts")
	}
	s.countsByHost = func(string) (map[netip.Addr]agentapi.ProgramCounts, error) { return nil, errors.New("no") }
	if err := s.addCountsByHost(clusters, map[string]string{"blue": "vxlan-blue"}); err == nil {
		t.Error("no error")
	}
}
