package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

func TestHealthyReportHasNoFindings(t *testing.T) {
	r := agentapi.StatusReport{
		Version: "1", Networks: []agentapi.NetworkStatus{{Name: "blue"}},
		Clusters: []agentapi.ClusterStatus{{
			Name: "198.18.0.1", Hosts: []agentapi.HostStatus{{Name: "b", Reachable: true}},
			Refused: []agentapi.RefusalStatus{{Reason: "host does not answer", Silent: true}}, // it has no container
		}},
	}
	if found := FromReport(r); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

func TestFromReport(t *testing.T) {
	cluster := func(c agentapi.ClusterStatus) agentapi.StatusReport {
		return agentapi.StatusReport{Clusters: []agentapi.ClusterStatus{c}}
	}
	tunnel := func(t agentapi.TunnelStatus) agentapi.StatusReport {
		return agentapi.StatusReport{Networks: []agentapi.NetworkStatus{{Name: "blue", Tunnels: []agentapi.TunnelStatus{t}}}}
	}
	tests := []struct {
		name   string
		report agentapi.StatusReport
		want   string // code, level, summary
		mend   string
	}{
		{"problem", agentapi.StatusReport{Problem: "boom"}, "VX0702 failure boom", ""},
		{"outdated", agentapi.StatusReport{Outdated: []string{"old"}}, "VX0703 warning old", "vxlanctl reload"},
		{"no key", agentapi.StatusReport{Outdated: []string{"it " + agentapi.NamesNoKey}}, "VX0703 warning it names no key_file any more",
			"vxlanctl reload   # on all hosts, to go on without a key; or else put key_file back"},
		{"warning", agentapi.StatusReport{Warnings: []string{"careful"}}, "VX0704 warning careful", ""},
		{"conflict", agentapi.StatusReport{Conflicts: []string{"two have one"}}, "VX0601 failure two have one", ""},
		{"conflict, the other one yields", agentapi.StatusReport{Conflicts: []string{"address 10.0.0.9 of network blue is that of container x here and of container y on host b (198.18.0.2); the one here keeps it: restart the other one with another address"}},
			"VX0601 failure address 10.0.0.9 of network blue is that of container x here and of container y on host b (198.18.0.2)", ""},
		{"difference", agentapi.StatusReport{Differences: []string{"not alike"}}, "VX0605 warning not alike", ""},
		{"other VNI", agentapi.StatusReport{Differences: []string{"network blue differs on host b: the VNI is 8 there and 7 here; recreate it"}},
			"VX0306 failure network blue differs on host b: the VNI is 8 there and 7 here", "recreate it"},
		{"other list", agentapi.StatusReport{Differences: []string{"network blue differs on host b: remote_ips has 1.2.3.4 there and not here; add it here"}},
			"VX0607 warning network blue differs on host b: remote_ips has 1.2.3.4 there and not here", "add it here"},
		{"full", agentapi.StatusReport{Warnings: []string{"the kernel's neighbour table is full, so containers do not find new addresses: raise net.ipv4.neigh.default.gc_thresh3, which is 8"}},
			"VX0901 failure the kernel's neighbour table is full, so containers do not find new addresses: raise net.ipv4.neigh.default.gc_thresh3, which is 8", "sysctl -w net.ipv4.neigh.default.gc_thresh3=8192"},
		{"firewall", agentapi.StatusReport{BlockingChains: []string{"chain f drops"}}, "VX0502 failure chain f drops", ""},
		{"large frames", tunnel(agentapi.TunnelStatus{Host: "b", Size: 1450, Passing: 1402}), "VX0303 failure frames of 1450 bytes to host b are lost", "vxlanctl network set blue mtu=1402   # on all hosts, unless the underlay's MTU can be raised"},
		{"one way", tunnel(agentapi.TunnelStatus{Host: "b", Port: 4789, Heard: true}), "VX0302 failure no VXLAN packet arrives at host b", "open UDP port 4789 on host b and on the way"},
		{"both ways", tunnel(agentapi.TunnelStatus{Host: "b", Port: 4789}), "VX0301 failure no VXLAN packet passes to or from host b", "open UDP port 4789 on both hosts and on the way"},
		{"stale", cluster(agentapi.ClusterStatus{Name: "198.18.0.1", Stale: time.Minute}), "VX0706 failure no contact to any other host from 198.18.0.1 for 1m0s", ""},
		{"servers away", cluster(agentapi.ClusterStatus{Name: "etcd", Stale: time.Minute, Syncing: true,
			Problem: "etcd does not answer: x"}),
			"VX0706 failure etcd does not answer: x", "vxlanctl config check   # and look at the servers of etcd"},
		{"syncing", cluster(agentapi.ClusterStatus{Name: "198.18.0.1", Syncing: true}), "VX0709 warning the cluster of 198.18.0.1 is still asking the other hosts what they have", ""},
		{"unreachable", cluster(agentapi.ClusterStatus{Hosts: []agentapi.HostStatus{{Name: "c.198.18.0.3", HostName: "c", UnreachableFor: time.Hour}}}),
			"VX0310 warning host c.198.18.0.3 has not answered for 1h0m0s", "vxlanctl doctor   # if it is gone for good, type here: vxlanctl host forget c"},
		{"wrong key", cluster(agentapi.ClusterStatus{Refused: []agentapi.RefusalStatus{{Reason: "wrong key", Count: 7}}}), "VX0707 warning refused, wrong key: 7", "copy one key_file to all hosts"},
		{"not listed there", cluster(agentapi.ClusterStatus{Refused: []agentapi.RefusalStatus{{
			Reason: "host does not list this one", OfOtherHost: true, Hosts: []agentapi.RefusedHost{{Addr: netip.MustParseAddr("198.18.0.2"), Count: 1}},
		}}}), "VX0708 warning host does not list this one: 198.18.0.2", "add this host to remote_ips there, or give all hosts the same key_file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := FromReport(tt.report)
			if len(found) != 1 {
				t.Fatalf("found %v", found)
			}
			f := found[0]
			if got := fmt.Sprint(f.Code, " ", f.Level, " ", f.Summary); got != tt.want {
				t.Errorf("found %s", got)
			}
			if tt.mend != "" && !slices.Equal(f.Mend, []string{tt.mend}) {
				t.Errorf("mend %q", f.Mend)
			}
			if _, known := diagnosis.Explain(string(f.Code)); !known {
				t.Errorf("%s is not explained", f.Code)
			}
		})
	}
}

// Of two containers with one address, that one is moved which does not keep it, on its host.
func TestMendOfDuplicateAddress(t *testing.T) {
	for keeper, want := range map[string]string{
		"here":  "b: podman network disconnect blue y; podman network connect blue y   # with another address",
		"there": ": podman network disconnect blue x; podman network connect blue x   # with another address",
	} {
		text := "address 10.0.0.9 of network blue is that of container x here and of container y on host b (198.18.0.2); the one " + keeper + " keeps it: restart it"
		f := FromReport(agentapi.StatusReport{Conflicts: []string{text}})[0]
		if got := f.Host + ": " + strings.Join(f.Mend, "; "); got != want || f.Network != "blue" || len(f.Evidence) == 0 {
			t.Errorf("kept %s: %s, %+v", keeper, got, f)
		}
	}
}

// What is printed can be typed.
func TestTypable(t *testing.T) {
	for advice, want := range map[string]string{
		"type on both: vxlanctl a":                               "vxlanctl a   # on both hosts",
		"if it is a host of the network, type here: vxlanctl b":  "vxlanctl b   # if it is a host of the network",
		"if it is a host of the network, type there: vxlanctl c": "vxlanctl c   # if it is a host of the network, on the other host",
		"give all hosts the same list":                           "give all hosts the same list",
	} {
		if got := typable(advice); got != want {
			t.Errorf("%s: %s", advice, got)
		}
	}
}

// Who looks at servers that do not answer sees how new that is what this host knows.
func TestServersAwayHaveTheirRevision(t *testing.T) {
	found := FromReport(agentapi.StatusReport{Clusters: []agentapi.ClusterStatus{
		{Name: "etcd", Stale: time.Minute, Problem: "x", Revision: 40, RevisionsBehind: 2}}})
	want := []string{"what other hosts have is as it was 1m0s ago",
		"that is up to revision 40 of etcd, which had 2 more when it answered last"}
	if len(found) != 1 || !slices.Equal(found[0].Evidence, want) {
		t.Errorf("got %+v", found)
	}
}
