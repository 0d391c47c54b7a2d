package agentapi

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A brief report counts the hosts to which all frames pass, and lists all others.
func TestBriefReportListsWhatIsWrong(t *testing.T) {
	healthy := PathStatus{Network: "blue", FullSize: 1450, MTU: 1450, Measured: time.Second, Full: FrameCount{5, 5}}
	path := func(change func(*PathStatus)) []PathStatus {
		p := healthy
		change(&p)
		return []PathStatus{healthy, p}
	}
	hosts := []HostStatus{
		{Name: "healthy", Reachable: true, Paths: []PathStatus{healthy}},
		{Name: "on no network", Reachable: true},
		{Name: "unreachable", Paths: []PathStatus{healthy}},
		{Name: "lossy", Reachable: true, Paths: path(func(p *PathStatus) { p.Full.Answered = 4 })},
		{Name: "small", Reachable: true, Paths: path(func(p *PathStatus) { p.MTU = 1280 })},
		{Name: "lost", Reachable: true, Paths: path(func(p *PathStatus) { p.MTU = 0 })},
		{Name: "untested", Reachable: true, Paths: path(func(p *PathStatus) { p.Measured = 0 })},
	}
	full := StatusReport{Clusters: []ClusterStatus{{Hosts: hosts}}, AddressConflicts: 2 * maxBriefTexts}
	for i := range 3 * maxBriefTexts {
		full.Conflicts = append(full.Conflicts, fmt.Sprint("conflict ", i))
	}
	encrypted := EncryptionStatus{Devices: []WireGuardStatus{
		{Device: "wg0-blue", Peers: []WireGuardPeer{{Host: "healthy", Handshake: true}, {Host: "mute"}}},
	}}
	full.Networks = []NetworkStatus{{Name: "red"}, {Name: "blue", Encryption: &encrypted}}
	brief := full.Brief()
	d := brief.Networks[1].Encryption.Devices[0]
	if len(d.Peers) != 1 || d.Peers[0].Host != "mute" || d.HealthyPeers != 1 || len(encrypted.Devices[0].Peers) != 2 {
		t.Errorf("it lists the peers %+v, and counts %d others", d.Peers, d.HealthyPeers)
	}
	var left []string
	for _, h := range brief.Clusters[0].Hosts {
		left = append(left, h.Name)
	}
	if got := strings.Join(left, ", "); got != "unreachable, lossy, small, lost, untested" || brief.Clusters[0].HealthyHosts != 2 {
		t.Errorf("it lists %s, and counts %d others", got, brief.Clusters[0].HealthyHosts)
	}
	if n := len(brief.Conflicts); n != maxBriefTexts+1 || !strings.HasPrefix(brief.Conflicts[n-1], "and 200 more") || brief.AddressConflicts != maxBriefTexts {
		t.Errorf("%d conflicts, of addresses %d, at last %s", n, brief.AddressConflicts, brief.Conflicts[n-1])
	}
	if len(full.Clusters[0].Hosts) != len(hosts) || hosts[0].Name != "healthy" || len(full.Conflicts) != 3*maxBriefTexts {
		t.Error("the full report has changed")
	}
}
