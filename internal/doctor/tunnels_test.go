package doctor

import (
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
)

func TestTunnelsWithoutAgent(t *testing.T) {
	other := addr("198.18.0.11")
	came := func(port uint16, vni uint32, inner string) Stream {
		return Stream{From: other, To: addr("198.18.0.12"), Port: port, VNI: vni, Count: 3, Inner: addr(inner)}
	}
	answered := func(who string) Stream {
		s := came(4789, 7, who)
		s.Replier = s.Inner
		return s
	}
	sent := Stream{From: addr("198.18.0.12"), To: other, Port: 4789, VNI: 7, Out: true, Count: 3}
	present := func(f *Facts) { f.Networks[0].Neighbours = []Neighbour{{Addr: other, Answers: []kernel.MAC{{2, 8}}}} }
	for _, tt := range []struct {
		name    string
		tunnel  Tunnel
		traffic []Stream
		alter   func(*Facts) // may be nil
		want    []string
	}{
		{"all passes", Tunnel{Answers: true, Pinged: true, Size: 1450, Sent: 60, Answered: 60}, nil, nil, nil},
		{"it answers no ping", Tunnel{Answers: true, Learned: "02"}, nil, nil, nil},
		{"nobody was heard", Tunnel{}, nil, nil, nil},
		{"silent", Tunnel{Learned: "02"}, nil, nil, []string{"VX0301 warning no VXLAN packet passes to or from host 198.18.0.11"}},
		{"silent, and it can be heard", Tunnel{Learned: "02"}, []Stream{came(4789, 7, "10.0.0.9"), sent}, nil,
			[]string{"VX0302 warning no VXLAN packet arrives at host 198.18.0.11"}},
		{"it can be heard, and nothing leaves", Tunnel{Learned: "02"}, []Stream{came(4789, 7, "10.0.0.9")}, nil,
			[]string{"VX0302 failure no VXLAN packet to host 198.18.0.11 leaves this host"}},
		{"its answers come, and are dropped here", Tunnel{Learned: "02"}, []Stream{answered("10.0.0.253")}, nil,
			[]string{"VX0302 failure this host drops the VXLAN packets of host 198.18.0.11"}},
		{"answers of one of its containers come", Tunnel{Learned: "02"}, []Stream{answered("10.0.0.9"), sent}, nil,
			[]string{"VX0302 warning no VXLAN packet arrives at host 198.18.0.11"}},
		{"its last container was stopped", Tunnel{Learned: "02", Refused: true}, nil, nil, nil},
		{"it has no such port", Tunnel{Wanted: []string{"x"}, Refused: true}, nil, nil, []string{
			"VX0308 warning host 198.18.0.11 has no VXLAN device on UDP port 4789: no container of the network runs there, or it has another port"}},
		{"full frames are lost", Tunnel{Answers: true, Pinged: true, Size: 1450, Sent: 10, Passing: 1300}, nil, nil,
			[]string{"VX0303 failure frames of 1450 bytes to host 198.18.0.11 are lost"}},
		{"some are lost", Tunnel{Answers: true, Pinged: true, Size: 1450, Sent: 180, Answered: 170}, nil, nil,
			[]string{"VX0304 warning 10 of 180 frames to host 198.18.0.11 are lost"}},
		{"one is lost", Tunnel{Answers: true, Pinged: true, Size: 1450, Sent: 180, Answered: 179}, nil, nil, nil},
		{"another VNI", Tunnel{}, []Stream{came(4789, 9, "10.0.0.9")}, nil,
			[]string{"VX0306 failure network blue differs on host 198.18.0.11: the VNI is 9 there and 7 here"}},
		{"another port", Tunnel{}, []Stream{came(4790, 7, "10.0.0.9")}, nil,
			[]string{"VX0306 failure network blue differs on host 198.18.0.11: the VXLAN port is 4790 there and 4789 here"}},
		{"packets of another network", Tunnel{}, []Stream{came(4790, 8, "10.9.0.9")}, nil, nil},
		{"another VNI beside the right one", Tunnel{}, []Stream{came(4789, 7, "10.0.0.9"), came(4789, 9, "10.0.0.9")}, nil, nil},
		{"the host is there, and nobody was heard", Tunnel{}, nil, present, []string{
			"VX0301 warning no VXLAN packet passes to or from host 198.18.0.11, or no container of the network runs there"}},
		{"somebody was looked for", Tunnel{Wanted: []string{"container cb looked for x"}}, nil, present, []string{
			"VX0301 warning no VXLAN packet passes to or from host 198.18.0.11, or no container of the network runs there"}},
		{"the host sends packets of another network to the port", Tunnel{}, []Stream{came(4789, 8, "10.9.0.9")}, present,
			nil},
		{"it sends such, and somebody was looked for", Tunnel{Wanted: []string{"container cb looked for x"}},
			[]Stream{came(4789, 8, "10.9.0.9")}, present, []string{
				"VX0301 warning no VXLAN packet passes to or from host 198.18.0.11, or no container of the network runs there"}},
		{"it sends them to another port", Tunnel{}, []Stream{came(4790, 8, "10.9.0.9")}, present, []string{
			"VX0301 warning no VXLAN packet passes to or from host 198.18.0.11, or no container of the network runs there"}},
		{"the host is there, and its port is closed", Tunnel{Refused: true}, nil, present, nil},
		{"another network's tunnel to the port passes", Tunnel{}, nil, func(f *Facts) {
			present(f)
			other := f.Networks[0]
			other.Name, other.Tunnel.VNI, other.Tunnels = "red", 8, []Tunnel{{Host: addr("198.18.0.11"), Answers: true}}
			f.Networks = append(f.Networks, other)
		}, nil},
		{"an agent finds that another network's tunnel passes", Tunnel{}, nil, func(f *Facts) {
			present(f)
			f.Agent.Report.Clusters = []agentapi.ClusterStatus{{Hosts: []agentapi.HostStatus{{Reachable: true,
				Paths: []agentapi.PathStatus{{Network: "blue", VTEP: addr("198.18.0.11"), MTU: 1450, FullSize: 1450}}}}}}
		}, nil},
		{"a container of the host answers", Tunnel{Learned: "02"}, nil, func(f *Facts) {
			f.Networks[0].Exchanges = []Exchange{{From: "cb", To: addr("10.0.0.130"), VTEP: addr("198.18.0.11"), Ping: true, TCP: true, UDP: true}}
		}, nil},
	} {
		f := healthy()
		tt.tunnel.Host, tt.tunnel.Addr = other, addr("10.0.0.253")
		f.Networks[0].Tunnels, f.Traffic = []Tunnel{tt.tunnel}, tt.traffic
		if tt.alter != nil {
			tt.alter(&f)
		}
		var got []string
		for _, found := range Diagnose(f).Findings {
			got = append(got, string(found.Code)+" "+found.Level.String()+" "+found.Summary)
			if len(found.Evidence) == 0 || len(found.Mend) == 0 {
				t.Errorf("%s: no evidence or mend: %+v", tt.name, found)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

// A host that has the port for another network alone is as silent as one that is cut off. Both are said,
// and how to tell them apart.
func TestSilentTunnelNamesBothCauses(t *testing.T) {
	f := healthy()
	f.Networks[0].Neighbours = []Neighbour{{Addr: addr("198.18.0.11"), Answers: []kernel.MAC{{2, 8}}}}
	f.Networks[0].Tunnels = []Tunnel{{Host: addr("198.18.0.11"), Size: 1450}}
	d := Diagnose(f)
	if len(d.Findings) != 1 || d.Level != diagnosis.Warning {
		t.Fatalf("found %+v", d)
	}
	found := d.Findings[0]
	const silent = "the host does not refuse UDP port 4789: packets are lost, or only another network has the port " +
		"there, or this one with another VNI"
	if !slices.Contains(found.Evidence, silent) {
		t.Errorf("evidence %q", found.Evidence)
	}
	want := []string{"podman ps --filter network=blue   # on host 198.18.0.11: if it lists none, nothing is wrong",
		"open UDP port 4789 on both hosts and on the way"}
	if !slices.Equal(found.Mend, want) {
		t.Errorf("mend %q", found.Mend)
	}
}

// The MAC of a container whose address another host's container keeps is that container's too.
func TestEntryOfDuplicateIsNoFault(t *testing.T) {
	f := healthy()
	f.Networks[0].DNS, f.Networks[0].VTEP.StaticFDB = true, true
	f.Networks[0].FixedEntries = []FixedEntry{{Device: "vxlan-blue", MAC: f.Networks[0].Endpoints[0].MAC}}
	if found := Diagnose(f).Findings; len(found) != 1 || found[0].Code != diagnosis.ForwardingAltered {
		t.Errorf("without a duplicate: %+v", found)
	}
	f.Agent.Report = &agentapi.StatusReport{Conflicts: []string{
		"address 10.0.0.2 of network blue is that of container cb here and of container ca on host a (198.18.0.11); the one there keeps it: restart the one here"}}
	if found := Diagnose(f).Findings; len(found) != 1 || found[0].Code != diagnosis.DuplicateAddress {
		t.Errorf("with a duplicate: %+v", found)
	}
}
